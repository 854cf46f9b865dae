// Whole runs of a very small network: learning, stopping and going on, steps that are not finite, locks.
#include "train/trainer.h"

#include <atomic>
#include <cmath>
#include <sstream>

#include "models/state.h"
#include "tensor/file.h"
#include "tests/test.h"
#include "tests/train/outcome.h"
#include "tests/train/pictures.h"
#include "train/optimizer.h"
#include "train/run_folder.h"

using namespace dgp;

namespace {

TrainResult train_until(const TrainConfig& config, int64_t stop_at, bool resume) {
  std::atomic<bool> stop = false;
  TrainHooks hooks;
  hooks.stop = &stop;
  hooks.progress = [&](const TrainProgress& p) { stop = p.iteration >= stop_at; };
  return train(config, hooks, resume);
}

TrainConfig validated_run(const TempFolder& temp) {
  TrainConfig config = small_run(temp);
  config.validate.data = config.data.train;
  config.validate.every = 4, config.validate.border = 2, config.validate.images = 1;
  return config;
}

void poison(Batch& batch) { batch.lr.data<float>()[5] = NAN; }

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.code();
  }
  return ErrorCode{0};
}

}  // namespace

TEST_CASE("four patches can be learnt by heart") {
  TempFolder temp;
  write_pictures(temp / "hr", 4, 24, 24);  // each just one patch
  TrainConfig config = small_run(temp);
  config.model.options["channels"] = 8;
  config.data.batch = 4, config.data.augment = AugmentConfig::none();
  config.iterations = 400, config.optimizer.lr = 5e-3, config.log.every = 20, config.ema = 0.9;
  config.validate.data = config.data.train;
  config.validate.every = 400, config.validate.border = 0;
  double first = 0, last = 0;
  TrainHooks hooks;
  hooks.progress = [&](const TrainProgress& p) { (p.iteration <= 20 ? first : last) = p.loss; };
  TrainResult result = train(config, hooks);
  CHECK(result.iteration == 400);
  CHECK(last < 0.45 * first);
  CHECK(result.best > 26);
}

TEST_CASE(
    "a stopped run goes on to the bits of an uninterrupted one, for any number of threads and workers") {
  TempFolder temp;
  TrainConfig whole = validated_run(temp);
  whole.loss = {{"l1"}, {"fft", 0.05}};
  whole.accumulate = 2, whole.clip = 0.05, whole.optimizer.options["weight_decay"] = 0.01, whole.threads = 1;
  CHECK_FALSE(train(whole).interrupted);
  const std::string expected = outcome(whole);
  for (int64_t threads : {1, 2}) {
    TrainConfig parts = whole;
    parts.threads = threads, parts.data.workers = threads;
    parts.out = temp / ("parts" + std::to_string(threads));
    for (int64_t stop : {3, 8, 9}) {  // 8: with the validation due
      TrainResult result = train_until(parts, stop, true);
      CHECK(result.interrupted);
      CHECK(result.iteration == stop);
    }
    CHECK_FALSE(train(parts, {}, true).interrupted);
    CHECK(outcome(parts) == expected);
  }
}

TEST_CASE("every optimiser goes on after a stop to the bits of an uninterrupted run") {
  for (const std::string& name : optimizers().names()) {
    INFO(name);
    TempFolder temp;
    TrainConfig whole = validated_run(temp);
    whole.optimizer.type = name, whole.optimizer.lr = name == "sgd" ? 0.05 : 2e-3;
    if (optimizers().find(name)->name != "sgd") whole.optimizer.options["weight_decay"] = 0.01;
    whole.schedule.type = name == "schedulefree" ? "constant" : "onecycle";
    whole.schedule.warmup = 3, whole.clip = 0.5, whole.accumulate = 2;
    train(whole);
    TrainConfig parts = whole;
    parts.out = temp / "parts";
    for (int64_t stop : {5, 8}) CHECK(train_until(parts, stop, true).iteration == stop);
    train(parts, {}, true);
    CHECK(outcome(parts) == outcome(whole));
  }
}

TEST_CASE("resuming tells what has changed in the configuration, and refuses another optimiser's state") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  train_until(config, 4, false);
  config.optimizer.lr = 3e-3;
  std::string told;
  TrainHooks hooks;
  hooks.message = [&](const std::string& text) { told += text + "\n"; };
  train(config, hooks, true);
  CHECK_THAT(told, ContainsSubstring("changed") && ContainsSubstring("-   lr: 0.001\n") &&
                       ContainsSubstring("+   lr: 0.003"));
  CHECK(told.find("batch:") == std::string::npos);
  config.optimizer.type = "sgd";
  CHECK(code_of([&] { train(config, hooks, true); }) == ErrorCode::bad_file);
  CHECK_THAT(told, ContainsSubstring("of another network or optimiser: expected optimizer.momentum."));
}

TEST_CASE("a run's folder holds what was promised, and is not overwritten by accident") {
  TempFolder temp;
  TrainConfig config = validated_run(temp);
  config.iterations = 12;
  TrainResult result = train(config);
  CHECK(std::isfinite(result.best));
  for (const char* name : {"config.yml", "log.txt", "metrics.jsonl", "report.html", "best.safetensors",
                           "last.safetensors", "val/p0_input.png", "val/p0_output.png", "val/p0_hr.png"})
    CHECK(std::filesystem::exists(config.folder() + "/" + name));
  CHECK(list_checkpoints(config.folder() + "/checkpoints").size() == 3);  // 5, 10, and the last
  TrainConfig more = config;
  more.out = temp / "more", more.checkpoint.keep = 3, more.checkpoint.every = 2;
  train(more);
  CHECK(list_checkpoints(more.folder() + "/checkpoints").size() == 3);
  CHECK(load_model(config.folder() + "/best.safetensors").config.scale == 2);
  CHECK(to_yaml(load_config(config.folder() + "/config.yml")) == to_yaml(config));
  const std::string report = read_file(config.folder() + "/report.html");
  CHECK_THAT(report, ContainsSubstring("<polyline") && ContainsSubstring("data:image/png;base64,iVBOR") &&
                         ContainsSubstring("prefers-color-scheme"));
  CHECK(code_of([&] { train(config); }) == ErrorCode::invalid);
}

TEST_CASE("a step that is not finite is skipped and counted; the weights stay") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.iterations = 4, config.checkpoint.every = 1;
  TrainHooks hooks;
  hooks.on_batch = [](int64_t iteration, Batch& batch) {
    if (iteration == 3) poison(batch);
  };
  TrainResult result = train(config, hooks);
  CHECK(result.skipped == 1);
  auto paths = list_checkpoints(config.folder() + "/checkpoints");
  auto after = read_safetensors(paths.at(0)).tensors, before = read_safetensors(paths.at(1)).tensors;
  for (size_t i = 0; i < after.size(); ++i)
    CHECK((after[i].first == "watch" ||
           std::equal(after[i].second.bytes(), after[i].second.bytes() + after[i].second.nbytes(),
                      before[i].second.bytes())));
}

TEST_CASE("ten steps in a row that are not finite end the run; the last good checkpoint stays") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.iterations = 40;
  TrainHooks hooks;
  hooks.on_batch = [](int64_t iteration, Batch& batch) {
    if (iteration >= 6) poison(batch);
  };
  CHECK(code_of([&] { train(config, hooks); }) == ErrorCode::numeric);
  TrainResult result = train_until(config, 20, true);
  CHECK(result.iteration == 20);
  CHECK(load_model(config.folder() + "/last.safetensors").config.channels == 4);
}

TEST_CASE("a damaged checkpoint is noticed and the one before is taken") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  train(config);
  const std::string expected = outcome(config);
  const std::string newest = list_checkpoints(config.folder() + "/checkpoints").at(0);
  const std::string sound = read_file(newest);
  for (size_t at : {size_t{3}, size_t{40}, sound.size() / 2, sound.size() - 1}) {
    std::string damaged = sound;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    write_file(newest, damaged);
    std::string told;
    TrainHooks hooks;
    hooks.message = [&](const std::string& text) { told += text + "\n"; };
    CHECK(train(config, hooks, true).iteration == 12);
    CHECK_THAT(told, ContainsSubstring("damaged") && ContainsSubstring("resumed from"));
    CHECK(outcome(config) == expected);
  }
  for (const std::string& path : list_checkpoints(config.folder() + "/checkpoints"))
    write_file(path, sound.substr(0, 500));
  CHECK(code_of([&] { train(config, {}, true); }) == ErrorCode::bad_file);
}

TEST_CASE("a folder has one owner") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  const std::string left = config.folder() + "/checkpoints/.dgp-1-0.tmp";
  {
    RunFolder owner(config, false);
    write_file(left, "by a process that was killed");
    CHECK(code_of([&] { train(config); }) == ErrorCode::locked);
  }
  CHECK(std::filesystem::exists(left));
  config.iterations = 1;
  CHECK(train(config).iteration == 1);
  CHECK_FALSE(std::filesystem::exists(left));
}

TEST_CASE("training starts from given weights") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  train(config);
  config.model.init = config.folder() + "/last.safetensors";
  config.out = temp / "second", config.iterations = 1, config.optimizer.lr = 0;
  train(config);
  CHECK(read_file(temp / "second/last.safetensors") == read_file(config.model.init));
  config.model.options["channels"] = 5, config.out = temp / "third";
  CHECK(code_of([&] { train(config); }) == ErrorCode::bad_file);
}

TEST_CASE("all losses together can be trained with") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.iterations = 2;
  config.data.patch = 16, config.log.every = 1;
  config.loss.clear();
  for (const std::string& name : losses().names())
    if (!losses().find(name)->make_from_file) config.loss.push_back({name, 0.25});
  for (LossTerm& term : config.loss)
    if (term.type == "ms_ssim") term.options["scales"] = 2;
  config.loss.push_back({"l1", 2});
  std::string console;
  TrainHooks hooks;
  hooks.progress = [&](const TrainProgress& p) { console = to_text(p, ""); };
  CHECK(train(config, hooks).skipped == 0);
  CHECK_THAT(console,
             ContainsSubstring(" (l1 ") && ContainsSubstring("tv 0.") && ContainsSubstring("l1_2 0."));
  CHECK_THAT(read_file(config.folder() + "/report.html"), ContainsSubstring("weighted term fft_amplitude"));
  std::istringstream lines(read_file(config.folder() + "/metrics.jsonl"));
  std::string line;
  std::getline(lines, line);
  auto json = nlohmann::json::parse(line);
  double sum = 0;
  for (const auto& [name, value] : json["losses"].items()) sum += value.get<double>();
  CHECK(json["losses"].size() == losses().names().size());
  CHECK(sum == Approx(json["loss"].get<double>()).epsilon(1e-5));
  CHECK(json["losses"]["l1_2"].get<double>() == Approx(8 * json["losses"]["l1"].get<double>()).epsilon(1e-6));
}
