// The learning rate finder: what it reads off a sweep, and its page.
#include "train/lr_finder.h"

#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/trainer.h"

using namespace dgp;

TEST_CASE("a sweep finds a rate that learns, below where learning breaks") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.data.batch = 4;
  const LrFound found = find_learning_rate(config, {1e-5, 10, 120});
  CHECK(found.diverged);
  CHECK(found.rates.size() < 120);
  CHECK(found.losses.size() == found.rates.size());
  CHECK(found.rates[0] == Approx(1e-5));
  CHECK(found.rates[1] / found.rates[0] == Approx(std::pow(1e6, 1.0 / 119)));
  CHECK(found.losses[0] == Approx(1).epsilon(1e-5));  // not yet changed: measured before the step
  CHECK(found.suggested == Approx(found.least / 3));
  CHECK(found.least < found.rates.back());

  // Learns at the suggestion, not at thirty times the rate where it broke.
  auto loss_at = [&](double lr, const char* name) {
    TrainConfig run = config;
    run.optimizer.lr = lr, run.schedule.type = "constant", run.iterations = 40, run.log.every = 20;
    run.watch.returns = 0, run.out = temp / name;
    double loss = 0;
    TrainHooks hooks;
    hooks.progress = [&](const TrainProgress& p) { loss = p.loss; };
    train(run, hooks);
    return loss;
  };
  CHECK(loss_at(found.suggested, "good") < 0.5 * loss_at(30 * found.rates.back(), "bad"));

  const std::string page = to_html(found, config);
  CHECK_THAT(page, ContainsSubstring("<polyline class=\"main\"") &&
                       ContainsSubstring("Suggested: optimizer.lr") && ContainsSubstring("broken at") &&
                       ContainsSubstring("prefers-color-scheme"));
}

TEST_CASE("a sweep in which nothing learns says so") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  CHECK_THROWS_WITH(find_learning_rate(config, {5, 10, 5}), ContainsSubstring("no learning rate"));
  CHECK_THROWS_WITH(find_learning_rate(config, {1, 1, 5}), ContainsSubstring("0 < low < high"));
}
