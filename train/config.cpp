#include "train/config.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/file.h"
#include "train/basicsr_options.h"
#include "train/degrade_fields.h"
#include "train/network.h"
#include "train/optimizer.h"
#include "train/yaml_fields.h"

namespace dgp {
namespace {

template <class V>
void source_fields(V& v, SourceConfig& c) {
  v.value("lr", c.lr);
  v.value("hr", c.hr);
  v.value("lr_pattern", c.lr_pattern);
  v.value("hr_pattern", c.hr_pattern);
  v.value("meta_info", c.meta_info);
  v.values("only", c.only);
  v.values("skip", c.skip);
  v.value("weight", c.weight, 0, 1e9);
  v.value("share", c.share, 0, 1);
  v.values("sizes", c.sizes, 0.1, 1);
  v.section("degrade", [&](auto& s) { degrade_fields(s, c.degrade); });
  if (c.hr.empty()) v.wrong("hr", "expects a folder of high-resolution pictures");
  for (auto [key, pattern] : {std::pair{"lr_pattern", &c.lr_pattern}, {"hr_pattern", &c.hr_pattern}})
    if (!pattern->empty() && std::count(pattern->begin(), pattern->end(), '*') != 1)
      v.wrong(key, "expects one '*', got \"", *pattern, "\"");
  if (c.sizes.empty()) v.wrong("sizes", "expects at least one number");
}

// `augment: false` turns everything off, `true` leaves the defaults; a section sets single probabilities.
template <class V>
void augment_fields(V& v, AugmentConfig& c) {
  if (V::reading && v.is_scalar("augment")) {
    bool on = true;
    v.value("augment", on);
    if (!on) c = AugmentConfig::none();
    return;
  }
  v.section("augment", [&](auto& s) {
    s.value("hflip", c.hflip, 0, 1);
    s.value("vflip", c.vflip, 0, 1);
    s.value("transpose", c.transpose, 0, 1);
    s.value("channels", c.channels, 0, 1);
    s.value("cutblur", c.cutblur, 0, 1);
    s.value("cutblur_ratio", c.cutblur_ratio, 0.01, 1);
    s.value("mixup", c.mixup, 0, 1);
    s.value("mixup_alpha", c.mixup_alpha, 0.05, 3);
  });
}

// The options of a kind from a registry (train/registry.h), in `options` with their values before.
template <class V>
void option_fields(V& v, const std::vector<OptionSpec>& specs, Options& options) {
  for (const OptionSpec& o : specs) {
    double& value = options[o.name];
    if (!V::reading && o.implied && value == o.value) continue;
    if (o.flag) {
      bool flag = value != 0;
      v.value(o.name.c_str(), flag);
      value = flag ? 1 : 0;
      continue;
    }
    v.value(o.name.c_str(), value, o.low, o.high);
    if (o.whole && value != std::floor(value)) v.wrong(o.name.c_str(), "expects a whole number, got ", value);
  }
}

template <class V>
void model_fields(V& v, TrainConfig& c) {
  v.section("model", [&](auto& s) {
    auto& m = c.model;
    s.choice("type", m.type, networks().names());
    const NetworkKind& kind = *networks().find(m.type);
    if (m.type == "dgpnet") {
      s.choice("preset", m.preset, {"tiny", "small", "base", "large", ""});
      if (s.reading && !m.preset.empty()) {
        const int size = m.preset == "tiny" ? 0 : m.preset == "small" ? 1 : m.preset == "base" ? 2 : 3;
        m.options = {{"channels", std::array{16, 32, 48, 64}[size]},
                     {"blocks", std::array{2, 4, 6, 12}[size]}};
      }
    }
    s.value("scale", m.scale, 1, 8);
    m.options = with_defaults(kind, m.options);
    option_fields(s, kind.options, m.options);
    s.value("init", m.init);
    if (m.type == "dgpnet" && std::fmod(m.options["kernel"], 2) == 0)
      s.wrong("kernel", "expects an odd number, got ", m.options["kernel"]);
    if (m.type == "dgpnet" && m.options["statistical"] == 0 && m.options["structural"] == 0)
      s.wrong("structural", "expects a branch; statistical and structural cannot both be false");
    if (m.type == "dgpnet" && m.options["vc"] == 0 && m.options["csa"] == 0)
      s.wrong("vc", "vc and csa cannot both be false: the other operators do not see a flat picture");
  });
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
        if (term.weight > 0 && losses().find(name)->make_from_file)
          s.wrong(name.c_str(), "expects a list, with the file: loss: [{type: ", name, ", weights: FILE}]");
        if (term.weight > 0) given.push_back(term);
      }
      if (!given.empty()) terms = given;
    });
  } else {
    v.sections("loss", terms, [](auto& s, LossTerm& term) {
      s.choice("type", term.type, losses().names());
      if (term.type.empty()) s.wrong("type", "expects the name of a loss");
      s.value("weight", term.weight, 0, 1e6);
      const LossKind& kind = *losses().find(term.type);
      term.options = with_defaults(kind, term.options);
      option_fields(s, kind.options, term.options);
      if (!kind.make_from_file) return;
      s.value("weights", term.weights);
      if (term.weights.empty()) s.wrong("weights", "expects a weights file");
    });
  }
  if (terms.empty()) terms = {{"l1"}};
}

// beta1, beta2, ... are one list, `betas`, as in PyTorch.
template <class V>
void optimizer_fields(V& v, OptimizerConfig& c) {
  v.section("optimizer", [&](auto& s) {
    s.choice("type", c.type, optimizers().names());
    s.value("lr", c.lr, 0, 10);
    const OptimizerKind& kind = *optimizers().find(c.type);
    c.options = with_defaults(kind, c.options);
    std::vector<OptionSpec> betas, rest;
    for (const OptionSpec& o : kind.options) (o.name.starts_with("beta") ? betas : rest).push_back(o);
    std::vector<double> values;
    for (const OptionSpec& o : betas) values.push_back(c.options[o.name]);
    if (!betas.empty()) s.values("betas", values, 0, 1);
    if (values.size() != betas.size()) s.wrong("betas", "expects ", betas.size(), " numbers");
    for (size_t i = 0; i < betas.size(); ++i) {
      if (values[i] < betas[i].low || values[i] > betas[i].high)
        s.wrong("betas", "expects ", betas[i].low, " to ", betas[i].high, ", got ", values[i]);
      c.options[betas[i].name] = values[i];
    }
    option_fields(s, rest, c.options);
  });
}

template <class V>
void gan_fields(V& v, TrainConfig& c) {
  v.section("gan", [&](auto& s) {
    s.choice("type", c.gan.type, {"none", "vanilla", "lsgan", "hinge"});
    s.value("weight", c.gan.weight, 0, 1e6);
    s.value("features", c.gan.features, 1, 1024);
    s.value("alone", c.gan.alone, 0, 1'000'000'000);
    optimizer_fields(s, c.gan.optimizer);
    if (c.gan.type != "none" && c.data.patch * c.model.scale % 8 != 0)
      s.wrong(
          "type",
          "the discriminator expects HR patches of a multiple of 8 pixels; data.patch times model.scale is ",
          c.data.patch * c.model.scale);
  });
}

template <class V>
void schedule_fields(V& v, TrainConfig& c) {
  auto& schedule = c.schedule;
  const bool averages_itself = c.optimizer.type == "schedulefree";
  if (V::reading && averages_itself) schedule.type = "constant";
  v.section("schedule", [&](auto& s) {
    s.choice("type", schedule.type, {"cosine", "cosine_restart", "multistep", "onecycle", "constant"});
    s.value("warmup", schedule.warmup, 0, 1'000'000'000);
    s.value("min_lr", schedule.min_lr, 0, 10);
    s.values("milestones", schedule.milestones, 0, 1'000'000'000);
    s.value("gamma", schedule.gamma, 0, 1);
    s.values("periods", schedule.periods, 1, 1'000'000'000);
    s.values("restart_weights", schedule.restart_weights, 0, 1e6);
    s.value("pct_start", schedule.pct_start, 0.001, 0.999);
    s.value("div_factor", schedule.div_factor, 1, 1e9);
    s.value("final_div_factor", schedule.final_div_factor, 1, 1e12);
    if (averages_itself && schedule.type != "constant")
      s.wrong("type", "schedulefree goes with \"constant\" and a warmup, got \"", schedule.type, "\"");
    if (schedule.type != "cosine_restart") return;
    const auto length = std::accumulate(schedule.periods.begin(), schedule.periods.end(), int64_t{0});
    if (length < c.iterations)
      s.wrong("periods", "expects periods that add up to the iterations, ", c.iterations, ", or more; got ",
              length);
    if (schedule.restart_weights.empty()) schedule.restart_weights.assign(schedule.periods.size(), 1);
    if (schedule.restart_weights.size() != schedule.periods.size())
      s.wrong("restart_weights", "expects one for each of the ", schedule.periods.size(), " periods, got ",
              schedule.restart_weights.size());
  });
}

template <class V>
void learning_fields(V& v, TrainConfig& c) {
  optimizer_fields(v, c.optimizer);
  schedule_fields(v, c);
  loss_fields(v, c.loss);
  gan_fields(v, c);
  v.value("ema", c.ema, 0, 0.9999999);
  v.value("clip", c.clip, 0, 1e9);
  v.value("accumulate", c.accumulate, 1, 4096);
}

template <class V>
void fields(V& v, TrainConfig& c) {
  v.value("name", c.name);
  v.value("out", c.out);
  v.choice("device", c.device, {"cpu", "cuda"});
  v.choice("precision", c.precision, {"full", "tf32", "fast", "bf16", "f16"});
  if (c.device == "cpu" && c.precision != "full")
    v.wrong("precision", "expects \"full\" with device \"cpu\", got \"", c.precision, "\"");
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
    s.value("pack", c.data.pack);
    augment_fields(s, c.data.augment);
    s.section("pool", [&](auto& pool) {
      pool.value("pairs", c.data.pool.pairs, 0, 1'000'000);
      pool.value("reuse", c.data.pool.reuse, 1, 1'000'000);
      pool.value("size", c.data.pool.size, 0, 1 << 16);
      if (c.data.pool.size > 0 && c.data.pool.size < c.data.patch)
        pool.wrong("size", "expects at least data.patch, ", c.data.patch, ", got ", c.data.pool.size);
    });
    if (c.data.train.empty()) s.wrong("train", "expects at least one root of pictures");
    double shares = 0;
    for (const SourceConfig& source : c.data.train) shares += source.share;
    if (shares > 1 + 1e-9) s.wrong("train", "the shares add up to ", shares, ", expected at most 1");
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
  v.section("watch", [&](auto& s) {
    s.value("every", c.watch.every, 1, 1'000'000'000);
    s.value("outlier", c.watch.outlier, 1, 1e9);
    s.value("colour", c.watch.colour, 0.001, 1e9);
    s.value("backoff", c.watch.backoff, 0.001, 1);
    s.value("returns", c.watch.returns, 0, 1000);
  });
  v.section("checkpoint", [&](auto& s) {
    s.value("every", c.checkpoint.every, 1, 1'000'000'000);
    s.value("keep", c.checkpoint.keep, 2, 1'000'000);
  });
  v.section("log", [&](auto& s) { s.value("every", c.log.every, 1, 1'000'000'000); });
  if (c.name.empty() || c.name.find('/') != std::string::npos) v.wrong("name", "expects a name without '/'");
}

}  // namespace

TrainConfig parse_config(const std::string& yaml, const std::string& name,
                         const std::vector<std::string>& overrides, std::vector<std::string>* notes) {
  ConfigSource source{name, {}};
  try {
    YAML::Node root = YAML::Load(yaml);
    if (root.IsNull()) root = YAML::Node(YAML::NodeType::Map);
    if (is_basicsr(root)) {
      for (const std::string& text : overrides)
        source.overrides[text.substr(0, text.find('='))] = "--set " + text;
      std::vector<std::string> told;
      root = from_basicsr(root, source, notes ? *notes : told);
    }
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

TrainConfig load_config(const std::string& path, const std::vector<std::string>& overrides,
                        std::vector<std::string>* notes) {
  check(!path.ends_with(".toml"), path, ": a configuration is YAML; this is TOML by its name");
  return parse_config(read_file(path, 1 << 20), path, overrides, notes);
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
  core.data.workers = 1, core.data.cache = defaults.data.cache, core.data.pack.clear();
  core.validate = defaults.validate, core.checkpoint = defaults.checkpoint, core.log = defaults.log;
  std::string text = to_yaml(core);
  return crc32(text.data(), text.size());
}

}  // namespace dgp
