#include <cmath>
#include <map>

#include "train/basicsr_file.h"

namespace dgp::basicsr {
namespace {

// What a loss may say that is either taken or the same here.
const std::set<std::string> kOfLosses = {
    "type",          "loss_weight",    "perceptual_weight", "style_weight",   "reduction",  "eps",
    "layer_weights", "vgg_type",       "criterion",         "use_input_norm", "range_norm", "gan_type",
    "alpha",         "real_label_val", "fake_label_val",    "weights"};

// Ours for the bare name of one of theirs; empty: dgp has none.
std::string loss_name(const std::string& type) {
  static const std::map<std::string, std::string> names = {{"l1", "l1"},
                                                           {"mse", "mse"},
                                                           {"l2", "mse"},
                                                           {"charbonnier", "charbonnier"},
                                                           {"weightedtv", "tv"},
                                                           {"tv", "tv"},
                                                           {"ssim", "ssim"},
                                                           {"mssim", "ms_ssim"},
                                                           {"msssim", "ms_ssim"},
                                                           {"fft", "fft"},
                                                           {"ff", "focal_frequency"},
                                                           {"focalfrequency", "focal_frequency"},
                                                           {"edge", "sobel"},
                                                           {"sobel", "sobel"},
                                                           {"gradient", "gradient"},
                                                           {"perceptual", "perceptual"},
                                                           {"vggperceptual", "perceptual"}};
  const auto found = names.find(type);
  return found == names.end() ? "" : found->second;
}

Node add_term(Node out, const std::string& name, const Node& weight) {
  Node term(YAML::NodeType::Map);
  term["type"] = Node(name);
  term["weight"] = weight;
  out["loss"].push_back(term);
  return term;
}

// Adds the loss described at `path` to ours; true: it is the adversarial one.
bool loss(File& in, Node out, const std::string& path, const Node& theirs) {
  const auto of = [&](const char* key) { return std::as_const(theirs)[key]; };
  const Node type_node = of("type"), weight = of("loss_weight") ? of("loss_weight") : of("perceptual_weight");
  if (weight && is_off(weight)) return false;
  if (!type_node || !type_node.IsScalar()) in.wrong(path, "expects a type");
  const std::string type = bare(type_node.Scalar());
  const auto refuse = [&](const auto&... parts) {
    fail(ErrorCode::invalid, in.where(type_node), ": ", path, ": ", parts...);
  };
  if (type == "gan" || type == "multiscalegan") {
    Node gan = section(out, "gan");
    const std::string kind = of("gan_type") ? lower(of("gan_type").Scalar()) : "vanilla";
    gan["type"] = kind == "bce"    ? Node("vanilla")
                  : kind == "mse"  ? Node("lsgan")
                  : of("gan_type") ? of("gan_type")
                                   : Node(kind);
    if (weight) gan["weight"] = weight;
    return true;
  }
  if (type == "msssiml1") {  // alpha of MS-SSIM, the rest of L1
    const double all = weight ? weight.as<double>() : 1, alpha = of("alpha") ? of("alpha").as<double>() : 0.1;
    add_term(out, "ms_ssim", number(all * alpha));
    add_term(out, "l1", number(all * (1 - alpha)));
    in.note(path + ": MS-SSIM and L1 as two terms; L1 without the Gaussian weights");
    return false;
  }
  for (const auto& item : theirs)
    if (const std::string key = item.first.Scalar(); !kOfLosses.count(key))
      in.note(path + "." + key + ": left out");
  const std::string name = loss_name(type);
  if (name.empty())
    refuse("dgp has no ", type_node.Scalar(),
           "; set its loss_weight to 0 (docs/training.md has the losses there are)");
  Node term = add_term(out, name, weight ? weight : number(1));
  if (name == "charbonnier")  // their eps is the square of ours
    term["eps"] = number(std::sqrt(of("eps") ? of("eps").as<double>() : 1e-12));
  if (name == "perceptual") {
    if (const Node criterion = of("criterion"); criterion && lower(criterion.Scalar()) != "l1")
      in.note(path + ".criterion: features are compared by l1");
    if (const Node style = of("style_weight"); style && !is_off(style))
      refuse("dgp has no style loss; set style_weight to 0");
    if (const Node layers = of("layer_weights")) {
      for (const char* layer : {"conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"})
        term[layer] = number(0);
      for (const auto& layer : layers) term[layer.first.Scalar()] = layer.second;
    }
    const std::string key = "loss." + std::to_string(std::as_const(out)["loss"].size() - 1);
    if (of("weights"))
      term["weights"] = of("weights");
    else if (!in.overridden(key + ".weights"))
      refuse("the weights of VGG19 come from a file of yours: --set ", key,
             ".weights=vgg19.safetensors (docs/training.md says how to make it), or set perceptual_weight "
             "to 0");
  }
  return false;
}

}  // namespace

bool losses(File& in, Node out) {
  out["loss"] = Node(YAML::NodeType::Sequence);
  bool gan = false;
  const Node train = in.keys_of("train");
  if (train.IsDefined())
    for (const auto& item : train) {
      const std::string key = item.first.Scalar();
      if (!key.ends_with("_opt") && key != "losses") continue;
      in.take("train." + key);
      if (item.second.IsMap()) gan = loss(in, out, "train." + key, item.second) || gan;
      if (item.second.IsSequence())
        for (size_t i = 0; i < item.second.size(); ++i)
          if (item.second[i].IsMap())
            gan = loss(in, out, "train." + key + "." + std::to_string(i), item.second[i]) || gan;
    }
  if (gan) {
    optimizer(in, "train.optim_d", section(out, "gan"));
    move(in, "train.net_d_init_iters", section(out, "gan"), "alone");
  } else {
    in.take("train.optim_d"), in.at("train.net_d_init_iters");
  }
  return gan;
}

}  // namespace dgp::basicsr
