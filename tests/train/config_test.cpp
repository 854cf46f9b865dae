// The configuration: what is accepted, what is refused and in which words, overrides, the resolved text.
#include "train/config.h"

#include "tensor/error.h"
#include "tests/test.h"

using namespace dgp;

namespace {

const std::string kLeast = "data:\n  train:\n    - hr: photos\n";

std::string complaint(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  try {
    parse_config(yaml, "my.yml", overrides);
  } catch (const Error& e) {
    CHECK(e.code() == ErrorCode::invalid);
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a small configuration takes the defaults") {
  TrainConfig c =
      parse_config(kLeast + "  patch: 32\noptimizer: {type: adamw, lr: 1e-4}\niterations: 1e3\n", "my.yml");
  CHECK(c.data.train.at(0).hr == "photos");
  CHECK(c.data.patch == 32);
  CHECK(c.optimizer.lr == 1e-4);
  CHECK(c.iterations == 1000);
  CHECK(c.loss.at(0).type == "l1");
  CHECK(c.folder() == "runs/run");
  CHECK(c.loss.at(0).weight == 1);
}

TEST_CASE("parts of the network that are left out are written, the others are not") {
  const TrainConfig whole = parse_config(kLeast, "my.yml");
  CHECK_THAT(to_yaml(whole), !ContainsSubstring("hg:") && !ContainsSubstring("balance:"));
  const TrainConfig c = parse_config(kLeast + "model: {hg: false, interaction: true}\n", "my.yml");
  CHECK(c.model.options.at("hg") == 0);
  CHECK_THAT(to_yaml(c), ContainsSubstring("hg: false") && !ContainsSubstring("interaction"));
  CHECK(to_yaml(parse_config(to_yaml(c), "again.yml")) == to_yaml(c));
  CHECK(config_hash(c) != config_hash(whole));
  CHECK_THROWS_WITH(parse_config(kLeast + "model: {statistical: false, structural: false}\n", "my.yml"),
                    ContainsSubstring("my.yml:") && ContainsSubstring("expects a branch"));
  CHECK_THROWS_WITH(parse_config(kLeast + "model: {vc: false, csa: false}\n", "my.yml"),
                    ContainsSubstring("flat picture"));
}

TEST_CASE("presets set sizes that other keys may change") {
  TrainConfig c = parse_config(kLeast + "model: {preset: base, blocks: 3}\n", "my.yml");
  CHECK(c.model.options.at("channels") == 48);
  CHECK(c.model.options.at("blocks") == 3);
}

TEST_CASE("mistakes are told with file, line and the nearest known key") {
  CHECK_THAT(
      complaint(kLeast + "iteratoins: 5\n"),
      ContainsSubstring("my.yml:4: unknown key \"iteratoins\"") && ContainsSubstring("\"iterations\""));
  CHECK_THAT(complaint(kLeast + "optimizer:\n  lr: 1e-4\n  beta: [0.9, 0.99]\n"),
             ContainsSubstring("my.yml:6") && ContainsSubstring("\"optimizer.betas\""));
  CHECK_THAT(complaint("data:\n  train:\n    - hrr: photos\n"), ContainsSubstring("data.train.0"));
  CHECK_THAT(complaint(kLeast + "optimizer:\n  lr: fast\n"),
             ContainsSubstring("my.yml:5: optimizer.lr: expects a number, got \"fast\""));
  CHECK_THAT(complaint(kLeast + "iterations: -3\n"), ContainsSubstring("my.yml:4: iterations: expects 1 to"));
  CHECK_THAT(complaint(kLeast + "iterations: 2.5\n"), ContainsSubstring("expects a whole number"));
  CHECK_THAT(complaint(kLeast + "optimizer: {type: adem}\n"), ContainsSubstring("did you mean \"adam\""));
  CHECK_THAT(complaint(kLeast + "optimizer: {lr: .nan}\n"), ContainsSubstring("optimizer.lr: expects"));
  CHECK_THAT(complaint(kLeast + "model: {kernel: 4}\n"), ContainsSubstring("odd"));
  CHECK_THAT(complaint(kLeast + "device: gpu\n"), ContainsSubstring("device"));
  for (const char* precision : {"tf32", "bf16", "f16"})
    CHECK_THAT(complaint(kLeast + "precision: " + precision + "\n"),
               ContainsSubstring("\"full\" with device \"cpu\""));
  CHECK_THAT(complaint(kLeast + "seed: 1\nseed: 2\n"), ContainsSubstring("given twice"));
  CHECK_THAT(complaint(kLeast + "model: [1, 2]\n"), ContainsSubstring("my.yml:4: model: expects keys"));
  CHECK_THAT(complaint("data: {train: [{hr: a, hr_pattern: HR.png}]}\n"), ContainsSubstring("one '*'"));
  CHECK_THAT(complaint("name: x\n"), ContainsSubstring("data.train"));
  CHECK_THAT(complaint("a: [1,\n"), ContainsSubstring("my.yml:"));
  CHECK_THAT(complaint(""), ContainsSubstring("data.train"));
}

TEST_CASE("losses are a mapping from names to weights, or a list of terms with options") {
  TrainConfig c = parse_config(kLeast + "loss: {ssim: 0.5, l1: 0, fft: 5e-2}\n", "my.yml");
  REQUIRE(c.loss.size() == 2);
  CHECK(c.loss[0].type == "ssim");
  CHECK(c.loss[0].weight == 0.5);
  CHECK(c.loss[1].type == "fft");
  CHECK(c.loss[1].weight == 0.05);
  c = parse_config(kLeast + "loss:\n  - {type: charbonnier, eps: 1e-6}\n  - {type: ms_ssim, weight: 2}\n",
                   "my.yml", {"loss.1.scales=3"});
  REQUIRE(c.loss.size() == 2);
  CHECK(c.loss[0].options.at("eps") == 1e-6);
  CHECK(c.loss[0].weight == 1);
  CHECK(c.loss[1].options.at("scales") == 3);
  CHECK(c.loss[1].weight == 2);
  TrainConfig again = parse_config(to_yaml(c), "resolved.yml");
  CHECK(to_yaml(again) == to_yaml(c));
  CHECK(parse_config(kLeast, "my.yml", {"loss.mse=1"}).loss.at(0).type == "mse");
  CHECK(parse_config(kLeast + "loss: {l1: 0}\n", "my.yml").loss.at(0).type == "l1");
  CHECK_THAT(complaint(kLeast + "loss: {sobl: 1}\n"),
             ContainsSubstring("my.yml:4: unknown key \"loss.sobl\"") && ContainsSubstring("\"loss.sobel\""));
  CHECK_THAT(complaint(kLeast + "loss: [{type: charbonier}]\n"),
             ContainsSubstring("did you mean \"charbonnier\""));
  CHECK_THAT(complaint(kLeast + "loss: [{type: charbonnier, epss: 1}]\n"),
             ContainsSubstring("\"loss.0.eps\""));
  CHECK_THAT(complaint(kLeast + "loss: [{type: ms_ssim, scales: 2.5}]\n"), ContainsSubstring("whole number"));
  CHECK_THAT(complaint(kLeast + "loss: [{weight: 1}]\n"), ContainsSubstring("loss.0.type: expects the name"));
  CHECK_THAT(complaint(kLeast + "loss: [{type: l1, weight: -1}]\n"), ContainsSubstring("loss.0.weight"));
}

TEST_CASE("optimisers and schedules have options of their own") {
  TrainConfig c = parse_config(kLeast + "optimizer: {type: adan, betas: [0.9, 0.8, 0.95]}\n", "my.yml");
  CHECK(c.optimizer.options ==
        Options{{"beta1", 0.9}, {"beta2", 0.8}, {"beta3", 0.95}, {"eps", 1e-8}, {"weight_decay", 0}});
  CHECK(to_yaml(parse_config(to_yaml(c), "again.yml")) == to_yaml(c));
  c = parse_config(kLeast + "optimizer: {type: sgd, nesterov: true}\n", "my.yml");
  CHECK(c.optimizer.options.at("nesterov") == 1);
  CHECK_THAT(to_yaml(c), ContainsSubstring("nesterov: true"));
  c = parse_config(kLeast + "optimizer: {type: schedulefree}\n", "my.yml");
  CHECK(c.schedule.type == "constant");
  CHECK_THAT(complaint(kLeast + "optimizer: {type: sgd, betas: [0.9, 0.99]}\n"),
             ContainsSubstring("unknown key \"optimizer.betas\""));
  CHECK_THAT(complaint(kLeast + "optimizer: {type: adan, betas: [0.9, 0.99]}\n"),
             ContainsSubstring("expects 3 numbers"));
  CHECK_THAT(complaint(kLeast + "optimizer: {betas: [0.9, 1]}\n"), ContainsSubstring("optimizer.betas"));
  CHECK_THAT(complaint(kLeast + "optimizer: {type: sgd, nesterov: 2}\n"), ContainsSubstring("true or false"));
  CHECK_THAT(complaint(kLeast + "optimizer: {type: schedulefree}\nschedule: {type: cosine}\n"),
             ContainsSubstring("my.yml:5: schedule.type: schedulefree goes with"));
  c = parse_config(kLeast + "iterations: 30\nschedule: {type: cosine_restart, periods: [10, 20]}\n",
                   "my.yml");
  CHECK(c.schedule.restart_weights == std::vector<double>{1, 1});
  CHECK_THAT(complaint(kLeast + "iterations: 31\nschedule: {type: cosine_restart, periods: [10, 20]}\n"),
             ContainsSubstring("add up to the iterations, 31"));
  CHECK_THAT(complaint(kLeast + "iterations: 9\nschedule: {type: cosine_restart, periods: [9], "
                                "restart_weights: [1, 2]}\n"),
             ContainsSubstring("one for each of the 1 periods"));
}

TEST_CASE("overrides are typed and checked like the file") {
  TrainConfig c = parse_config(kLeast, "my.yml",
                               {"optimizer.lr=3e-4", "data.train.0.hr=other", "schedule.milestones=[5, 9]"});
  CHECK(c.optimizer.lr == 3e-4);
  CHECK(c.data.train[0].hr == "other");
  CHECK(c.schedule.milestones == std::vector<int64_t>{5, 9});
  CHECK(parse_config("name: x", "my.yml", {"data.train.0.hr=a"}).data.train[0].hr == "a");
  CHECK(parse_config(kLeast, "my.yml", {"data.train.1.hr=b"}).data.train.at(1).hr == "b");
  CHECK_THAT(complaint(kLeast, {"optimizer.lr=fast"}),
             ContainsSubstring("--set optimizer.lr=fast: optimizer.lr: expects a number"));
  CHECK_THAT(complaint(kLeast, {"optimiser.lr=1"}),
             ContainsSubstring("--set optimiser.lr=1: unknown key \"optimiser\"") &&
                 ContainsSubstring("\"optimizer\""));
  CHECK_THAT(complaint(kLeast, {"seed"}), ContainsSubstring("expects key=value"));
  CHECK_THAT(complaint(kLeast, {"data.train.7.hr=x"}), ContainsSubstring("there are 1"));
  CHECK_THAT(complaint(kLeast + "seed: 1\n", {"seed.x=2"}), ContainsSubstring("--set seed.x=2"));
}

TEST_CASE("the resolved configuration reads back as itself") {
  TrainConfig c =
      parse_config(kLeast + "model: {preset: tiny, channels: 17}\nname: \"yes\"\nclip: 0.1\n", "my.yml");
  TrainConfig again = parse_config(to_yaml(c), "resolved.yml");
  CHECK(to_yaml(again) == to_yaml(c));
  CHECK(again.name == "yes");
  CHECK(again.model.options.at("channels") == 17);
  CHECK(config_hash(again) == config_hash(c));
  again.log.every = 3, again.data.workers = 2;
  CHECK(config_hash(again) == config_hash(c));
  again.optimizer.lr *= 2;
  CHECK(config_hash(again) != config_hash(c));
}

TEST_CASE("the committed configurations are sound") {
  for (const char* name : {"classic-x4", "real-x1", "real-x4"})
    CHECK(load_config(std::string(DGP_SOURCE_DIR "/configs/") + name + ".yml").name == name);
}
