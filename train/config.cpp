#include "train/config.h"

#include <algorithm>
#include <cmath>

#include "tensor/file.h"
#include "train/degrade_fields.h"
#include "train/yaml_fields.h"

namespace dgp {
namespace {

template <class V>
void source_fields(V& v, SourceConfig& c) {
  v.value("lr", c.lr);
  v.value("hr", c.hr);
  v.value("lr_pattern", c.lr_pattern);
  v.value("hr_pattern", c.hr_pattern);
  v.values("only", c.only);
  v.values("skip", c.skip);
  v.value("weight", c.weight, 0, 1e9);
  v.values("sizes", c.sizes, 0.1, 1);
  v.section("degrade", [&](auto& s) { degrade_fields(s, c.degrade); });
  if (c.hr.empty()) v.wrong("hr", "expects a folder of high-resolution pictures");
  for (auto [key, pattern] : {std::pair{"lr_pattern", &c.lr_pattern}, {"hr_pattern", &c.hr_pattern}})
    if (!pattern->empty() && std::count(pattern->begin(), pattern->end(), '*') != 1)
      v.wrong(key, "expects one '*', got \"", *pattern, "\"");
  if (c.sizes.empty()) v.wrong("sizes", "expects at least one number");
}

template <class V>
void model_fields(V& v, TrainConfig& c) {
  v.section("model", [&](auto& s) {
    auto& m = c.model;
    s.choice("preset", m.preset, {"tiny", "small", "base", "large", ""});
    if (s.reading && !m.preset.empty()) {
      m.channels = m.preset == "tiny" ? 16 : m.preset == "small" ? 32 : m.preset == "base" ? 48 : 64;
      m.blocks = m.preset == "tiny" ? 2 : m.preset == "small" ? 4 : m.preset == "base" ? 6 : 12;
    }
    s.value("scale", m.scale, 1, 8);
    s.value("channels", m.channels, 1, 1024);
    s.value("blocks", m.blocks, 0, 200);
    s.value("kernel", m.kernel, 1, 15);
    s.value("unshuffle", m.unshuffle, 1, 8);
    s.value("init", m.init);
    if (m.kernel % 2 == 0) s.wrong("kernel", "expects an odd number, got ", m.kernel);
  });
}

// The options of a kind from a registry (train/registry.h).
template <class V, class Kind>
void option_fields(V& v, const Kind& kind, Options& options) {
  options = with_defaults(kind, options);
  for (const OptionSpec& o : kind.options) {
    double& value = options[o.name];
    v.value(o.name.c_str(), value, o.low, o.high);
    if (o.whole && value != std::floor(value)) v.wrong(o.name.c_str(), "expects a whole number, got ", value);
  }
}

// A mapping from names to weights, `loss: {l1: 1, fft: 0.05}`, or a list of terms with options,
// `loss: [{type: charbonnier, weight: 1, eps: 1e-6}]`. Nothing, or weights of 0 alone, stand for l1.
template <class V>
void loss_fields(V& v, std::vector<LossTerm>& terms) {
  if (V::reading && !v.is_list("loss")) {
    v.section("loss", [&](auto& s) {
      std::vector<LossTerm> given;
      for (const std::string& name : losses().names()) {
        LossTerm term{name, 0, with_defaults(*losses().find(name), {})};
        s.value(name.c_str(), term.weight, 0, 1e6);
        if (term.weight > 0) given.push_back(term);
      }
      if (!given.empty()) terms = given;
    });
  } else {
    v.sections("loss", terms, [](auto& s, LossTerm& term) {
      s.choice("type", term.type, losses().names());
      if (term.type.empty()) s.wrong("type", "expects the name of a loss");
      s.value("weight", term.weight, 0, 1e6);
      option_fields(s, *losses().find(term.type), term.options);
    });
  }
  if (terms.empty()) terms = {{"l1"}};
}

template <class V>
void learning_fields(V& v, TrainConfig& c) {
  v.section("optimizer", [&](auto& s) {
    s.choice("type", c.optimizer.type, {"adam", "adamw"});
    s.value("lr", c.optimizer.lr, 0, 10);
    s.pair("betas", c.optimizer.betas, 0, 0.999999, false);
    s.value("eps", c.optimizer.eps, 1e-20, 1);
    s.value("weight_decay", c.optimizer.weight_decay, 0, 10);
  });
  v.section("schedule", [&](auto& s) {
    s.choice("type", c.schedule.type, {"cosine", "multistep", "constant"});
    s.value("warmup", c.schedule.warmup, 0, 1'000'000'000);
    s.values("milestones", c.schedule.milestones, 0, 1'000'000'000);
    s.value("gamma", c.schedule.gamma, 0, 1);
    s.value("min_lr", c.schedule.min_lr, 0, 10);
  });
  loss_fields(v, c.loss);
  v.value("ema", c.ema, 0, 0.9999999);
  v.value("clip", c.clip, 0, 1e9);
  v.value("accumulate", c.accumulate, 1, 4096);
}

template <class V>
void fields(V& v, TrainConfig& c) {
  v.value("name", c.name);
  v.value("out", c.out);
  v.value("seed", c.seed, 0, int64_t{1} << 53);
  v.value("iterations", c.iterations, 1, 1'000'000'000);
  v.value("threads", c.threads, 0, 1024);
  model_fields(v, c);
  v.section("data", [&](auto& s) {
    s.sections("train", c.data.train, [](auto& item, SourceConfig& source) { source_fields(item, source); });
    s.value("patch", c.data.patch, 4, 4096);
    s.value("batch", c.data.batch, 1, 4096);
    s.value("workers", c.data.workers, 1, 64);
    s.value("cache", c.data.cache, 1, 1 << 24);
    s.value("augment", c.data.augment);
    if (c.data.train.empty()) s.wrong("train", "expects at least one root of pictures");
  });
  learning_fields(v, c);
  v.section("validate", [&](auto& s) {
    s.value("every", c.validate.every, 1, 1'000'000'000);
    s.sections("data", c.validate.data,
               [](auto& item, SourceConfig& source) { source_fields(item, source); });
    s.value("border", c.validate.border, 0, 256);
    s.value("images", c.validate.images, 0, 64);
    s.value("crop", c.validate.crop, 0, 1 << 16);
    s.choice("best", c.validate.best, {"psnr_y", "psnr_rgb", "ssim_y", "ssim_rgb"});
  });
  v.section("checkpoint", [&](auto& s) { s.value("every", c.checkpoint.every, 1, 1'000'000'000); });
  v.section("log", [&](auto& s) { s.value("every", c.log.every, 1, 1'000'000'000); });
  if (c.name.empty() || c.name.find('/') != std::string::npos) v.wrong("name", "expects a name without '/'");
}

}  // namespace

TrainConfig parse_config(const std::string& yaml, const std::string& name,
                         const std::vector<std::string>& overrides) {
  ConfigSource source{name, {}};
  try {
    YAML::Node root = YAML::Load(yaml);
    if (root.IsNull()) root = YAML::Node(YAML::NodeType::Map);
    for (const std::string& text : overrides) apply_override(root, text, source);
    TrainConfig config;
    FieldReader reader(source, root, "");
    fields(reader, config);
    reader.finish();
    return config;
  } catch (const YAML::Exception& e) {
    fail(ErrorCode::invalid, name, ":", e.mark.line + 1, ": ", e.msg);
  }
}

TrainConfig load_config(const std::string& path, const std::vector<std::string>& overrides) {
  return parse_config(read_file(path, 1 << 20), path, overrides);
}

std::string to_yaml(const TrainConfig& config) {
  TrainConfig copy = config;
  YAML::Node root(YAML::NodeType::Map);
  FieldWriter writer(root);
  fields(writer, copy);
  YAML::Emitter text;
  text << root;
  return std::string(text.c_str()) + "\n";
}

uint32_t config_hash(const TrainConfig& config) {
  TrainConfig core = config, defaults;
  core.name = defaults.name, core.out.clear(), core.threads = 0;
  core.data.workers = 1, core.data.cache = defaults.data.cache;
  core.validate = defaults.validate, core.checkpoint = defaults.checkpoint, core.log = defaults.log;
  std::string text = to_yaml(core);
  return crc32(text.data(), text.size());
}

}  // namespace dgp
