#include "train/basicsr_file.h"

#include <algorithm>

namespace dgp::basicsr {
namespace {

// Keys that change nothing of what is computed here: how their program runs, or what dgp does in any case.
const std::set<std::string> kWithoutUse = {"blur_kernel_size",
                                           "blur_kernel_size2",
                                           "compile",
                                           "compile_mode",
                                           "dataset_enlarge_ratio",
                                           "deterministic",
                                           "dist_params",
                                           "fast_matmul",
                                           "high_order_degradations_debug",
                                           "high_order_degradations_debug_limit",
                                           "ignore_resume_networks",
                                           "io_backend",
                                           "lq_usm_radius_range",
                                           "metrics_enabled",
                                           "moa_debug",
                                           "moa_debug_limit",
                                           "num_prefetch_queue",
                                           "param_key_d",
                                           "param_key_g",
                                           "pbar",
                                           "persistent_workers",
                                           "phase",
                                           "pin_memory",
                                           "prefetch_mode",
                                           "print_network",
                                           "resume_state",
                                           "save_checkpoint_format",
                                           "save_img",
                                           "save_tb_img",
                                           "strict_load_d",
                                           "strict_load_g",
                                           "suffix",
                                           "tile",
                                           "tile_overlap",
                                           "tile_size",
                                           "use_channels_last",
                                           "use_compile",
                                           "use_shuffle",
                                           "use_tb_logger",
                                           "wandb"};

// What dgp does not do: fine while it is off.
const std::set<std::string> kOnlyOff = {
    "color",           "dataroot_lq_prob", "eco", "eco_init", "lq_usm", "match_lq",        "mean",
    "net_d_reg_every", "r1_reg_weight",    "sam", "sam_init", "std",    "thicklines_prob", "wavelet_guided",
    "wavelet_init"};

// Sections whose keys are looked at one by one though the section was asked for.
bool is_open(const std::string& path) {
  return path == "train" || path == "val" || path == "datasets" || path == "datasets.train";
}

}  // namespace

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string bare(const std::string& type) {
  std::string name = lower(type);
  std::erase(name, '_');
  if (name.size() > 4 && name.ends_with("loss")) name.resize(name.size() - 4);
  return name;
}

bool is_off(const Node& node) {
  if (!node || node.IsNull()) return true;
  if (!node.IsScalar()) return node.size() == 0;
  const std::string value = lower(node.Scalar());
  return value == "false" || value == "0" || value == "0.0" || value == "none" || value.empty();
}

Node number(double value) {
  Node node;
  node = value;
  return node;
}

Node section(Node parent, const char* key) {
  if (!std::as_const(parent)[key]) parent[key] = Node(YAML::NodeType::Map);
  return parent[key];
}

void move(File& in, const std::string& path, Node into, const char* key) {
  if (const Node node = in.at(path); node.IsDefined()) into[key] = node;
}

Node File::at(const std::string& path) {
  used_.insert(path);
  Node node = root_;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t dot = std::min(path.find('.', begin), path.size());
    if (!node.IsMap()) return Node(YAML::NodeType::Undefined);
    const Node next = std::as_const(node)[path.substr(begin, dot - begin)];
    if (!next || next.IsNull()) return Node(YAML::NodeType::Undefined);
    node.reset(next);
    begin = dot + 1;
  }
  return node;
}

Node File::keys_of(const std::string& path) {
  const Node node = at(path);
  if (node.IsDefined() && !node.IsMap()) wrong(path, "expects keys with values");
  return node;
}

std::string File::scalar(const std::string& path, const std::string& otherwise) {
  const Node node = at(path);
  return node.IsDefined() && node.IsScalar() ? node.Scalar() : otherwise;
}

double File::value(const std::string& path, double otherwise) {
  const Node node = at(path);
  double found = otherwise;
  if (node.IsDefined() && !YAML::convert<double>::decode(node, found)) wrong(path, "expects a number");
  return found;
}

bool File::flag(const std::string& path, bool otherwise) {
  const Node node = at(path);
  return node.IsDefined() ? !is_off(node) : otherwise;
}

bool File::overridden(const std::string& key) const {
  return std::any_of(source_.overrides.begin(), source_.overrides.end(),
                     [&](const auto& o) { return o.first == key || key.starts_with(o.first + "."); });
}

void File::finish() {
  std::string unused;
  walk(root_, "", unused);
  if (!unused.empty()) note("of no use here: " + unused);
}

void File::walk(const Node& node, const std::string& path, std::string& unused) const {
  for (const auto& item : node) {
    const std::string key = item.first.Scalar(), here = path.empty() ? key : path + "." + key;
    if (item.second.IsNull()) continue;
    if (kWithoutUse.count(key)) {
      unused += (unused.empty() ? "" : ", ") + here;
    } else if (kOnlyOff.count(key)) {
      if (!is_off(item.second))
        fail(ErrorCode::invalid, where(item.second), ": ", here, ": dgp does not do this; leave it out");
    } else if (item.second.IsMap() && (is_open(here) || !used_.count(here))) {
      walk(item.second, here, unused);
    } else if (!used_.count(here)) {
      std::vector<std::string> known(kWithoutUse.begin(), kWithoutUse.end());
      for (const std::string& used : used_) known.push_back(used.substr(used.rfind('.') + 1));
      fail(ErrorCode::invalid, where(item.first), ": unknown key \"", here, "\"; did you mean \"",
           nearest_name(key, known), "\"?");
    }
  }
}

}  // namespace dgp::basicsr
