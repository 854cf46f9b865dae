// The divergence watch: what alarms it and what does not; runs that diverge and come back.
#include "train/watch.h"

#include <cmath>

#include "tensor/file.h"
#include "tensor/random.h"
#include "tests/test.h"
#include "tests/train/outcome.h"
#include "tests/train/pictures.h"
#include "train/trainer.h"

using namespace dgp;

namespace {

void calm_steps(Watch& watch, int count) {
  Rng rng(5);
  for (int i = 0; i < count; ++i) watch.step(true, 0.02 * (1 + 0.3 * rng.normal()));
}

struct Story {
  std::vector<std::string> told;
  TrainResult result;
  std::string all() const {
    std::string text;
    for (const std::string& line : told) text += line + "\n";
    return text;
  }
};

Story run(const TrainConfig& config, TrainHooks hooks = {}, bool resume = false) {
  Story story;
  hooks.message = [&](const std::string& text) { story.told.push_back(text); };
  story.result = train(config, hooks, resume);
  return story;
}

// So high a rate that the network's colours leave at once: three returns make it a usable one.
TrainConfig much_too_fast(const TempFolder& temp) {
  TrainConfig config = small_run(temp);
  config.optimizer.lr = 8, config.iterations = 30, config.schedule.type = "constant";
  config.watch.every = 2, config.watch.backoff = 0.04;
  config.validate.data = config.data.train, config.validate.every = 10, config.validate.images = 0;
  return config;
}

}  // namespace

TEST_CASE("a watch is calm at losses that scatter, at some outliers, and at slow changes") {
  TrainConfig config;
  Watch watch(config);
  calm_steps(watch, 300);
  for (int i = 0; i < 7; ++i) watch.step(true, 0.9);
  CHECK_FALSE(watch.calm());
  CHECK(watch.diverged().empty());
  calm_steps(watch, 16);
  CHECK(watch.calm());
  for (int i = 0; i < 2000; ++i) watch.step(true, 0.02 * std::exp(i / 700.0));
  CHECK(watch.calm());
}

TEST_CASE("a watch notices losses far above the others, values that are not finite, and drifting colours") {
  TrainConfig config;
  for (double loss : {0.5, HUGE_VAL}) {
    Watch watch(config);
    calm_steps(watch, 40);
    for (int i = 0; i < 8; ++i) {
      CHECK(watch.diverged().empty());
      watch.step(std::isfinite(loss), loss);
    }
    CHECK_THAT(watch.diverged(), ContainsSubstring("8 of the last 16"));
  }
  Watch watch(config);
  watch.preview(0.9);  // a network that has not learnt anything yet
  CHECK(watch.diverged().empty());
  watch.preview(0.02);
  CHECK(watch.calm());
  watch.preview(0.12);
  CHECK_THAT(watch.diverged(), ContainsSubstring("colour") && ContainsSubstring("0.120"));
  watch.preview(NAN);
  CHECK_FALSE(watch.calm());
}

TEST_CASE("a run that meets values that are not finite returns to its last good state at a lower rate") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.iterations = 40, config.log.every = 1, config.schedule.type = "constant";
  int poisoned = 0;
  TrainHooks hooks;
  hooks.on_batch = [&](int64_t iteration, Batch& batch) {
    if (iteration >= 22 && poisoned++ < 8) batch.hr.fill(NAN);
  };
  const Story story = run(config, hooks);
  CHECK(poisoned > 8);
  CHECK(story.result.iteration == 40);
  CHECK_FALSE(story.result.interrupted);
  const std::string event = "back to iteration 20, from there at 0.5 times the rate";
  CHECK_THAT(story.all(), ContainsSubstring("diverged at iteration 30") && ContainsSubstring(event));
  for (const char* file : {"/log.txt", "/report.html", "/metrics.jsonl"})
    CHECK_THAT(read_file(config.folder() + file), ContainsSubstring(event));
  std::istringstream lines(read_file(config.folder() + "/metrics.jsonl"));
  int64_t next = 1;
  for (std::string line; std::getline(lines, line);) {
    auto json = nlohmann::json::parse(line);
    if (!json.contains("lr")) continue;
    CHECK(json["iteration"] == next++);  // what was dropped is not told twice
    CHECK(json["lr"].get<double>() == Approx(next - 1 <= 20 ? 1e-3 : 5e-4));
  }
  CHECK(next == 41);
}

TEST_CASE(
    "a rate that is much too high is lowered until the run learns; stopping on the way changes nothing") {
  TempFolder temp;
  const TrainConfig config = much_too_fast(temp);
  const Story story = run(config);
  CHECK_THAT(story.all(), ContainsSubstring("mean colour") && ContainsSubstring("back to iteration 0"));
  CHECK(story.result.iteration == 30);
  CHECK(story.result.best > 15);
  for (int64_t stop_at : {3, 13, 27}) {
    TrainConfig parts = config;
    parts.out = temp / ("parts" + std::to_string(stop_at));
    std::atomic<bool> stop = false;
    TrainHooks hooks;
    hooks.stop = &stop;
    hooks.progress = [&](const TrainProgress& p) { stop = stop || p.iteration == stop_at; };
    run(parts, hooks);
    run(parts, {}, true);
    CHECK(outcome(parts) == outcome(config));
  }
}

TEST_CASE("a run that keeps diverging ends, and one without a watch goes its way") {
  TempFolder temp;
  TrainConfig config = much_too_fast(temp);
  config.watch.backoff = 1, config.watch.returns = 2;
  CHECK_THROWS_WITH(run(config), ContainsSubstring("after 2 returns") && ContainsSubstring("optimizer.lr"));
  config.watch.returns = 0, config.out = temp / "unwatched", config.iterations = 6;
  CHECK(run(config).result.iteration == 6);
}
