// Optimisers and schedules against PyTorch and their authors' code (tests/reference/optimizer_vectors.py);
// the average; the norm.
#include "train/optimizer.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tests/test.h"
#include "train/ema.h"
#include "train/schedule.h"

using namespace dgp;

namespace {

constexpr int kSteps = 8, kSize = 5;

nlohmann::json golden() {
  return nlohmann::json::parse(read_file(DGP_SOURCE_DIR "/tests/golden/optimizer.json"));
}

std::unique_ptr<Optimizer> make(const std::string& type, std::vector<Var> parameters,
                                const Options& options) {
  const OptimizerKind* kind = optimizers().find(type);
  REQUIRE(kind != nullptr);
  return kind->make(std::move(parameters), with_defaults(*kind, options));
}

Var start() {
  Var w(Tensor({kSize}), true);
  for (int i = 0; i < kSize; ++i) w.value().data<float>()[i] = static_cast<float>(std::sin(1.0 + i));
  return w;
}

Tensor gradient(int step) {
  Tensor g({kSize});
  for (int i = 0; i < kSize; ++i)
    g.data<float>()[i] = static_cast<float>(std::cos(3.0 * step + i) * std::pow(10.0, -(i % 3)));
  return g;
}

void check_values(const Var& w, const nlohmann::json& expected) {
  for (int i = 0; i < kSize; ++i)
    CHECK(w.value().data<float>()[i] == Approx(expected[static_cast<size_t>(i)].get<double>()).margin(3e-7));
}

// Also with gradients scaled by a power of two and scaled back, which changes no bit.
void check_steps(const std::string& name, const std::string& type, const Options& options) {
  INFO(name);
  const auto expected = golden()[name];
  for (double scale : {1.0, 0.25}) {
    Var w = start();
    auto optimizer = make(type, {w}, options);
    for (int step = 0; step < kSteps; ++step) {
      Tensor g = gradient(step);
      for (int i = 0; i < kSize; ++i) g.data<float>()[i] /= static_cast<float>(scale);
      w.set_grad(g);
      optimizer->step(0.01, scale);
      check_values(w, expected[static_cast<size_t>(step)]);
    }
  }
}

}  // namespace

TEST_CASE("optimisers take PyTorch's steps") {
  check_steps("adam", "adam", {});
  check_steps("adam_decay", "adam", {{"weight_decay", 0.1}});
  check_steps("adamw", "adamw", {{"weight_decay", 0.1}});
  check_steps("sgd", "sgd", {{"weight_decay", 0.1}});
  check_steps("sgd_plain", "sgd", {{"momentum", 0}});
  check_steps("sgd_nesterov", "sgd", {{"nesterov", 1}});
  check_steps("adan", "adan", {{"weight_decay", 0.1}});
}

TEST_CASE("schedule-free AdamW takes its authors' steps, and tells the average apart from where it trains") {
  const auto expected = golden()["schedulefree"];
  Var w = start();
  auto optimizer = make("schedulefree", {w}, {{"weight_decay", 0.1}});
  for (int step = 0; step < kSteps; ++step) {
    w.set_grad(gradient(step));
    optimizer->step(0.01 * std::min(1.0, (step + 1) / 3.0));
    check_values(w, expected[static_cast<size_t>(step)]["y"]);
    check_values(optimizer->evaluated().at(0), expected[static_cast<size_t>(step)]["x"]);
  }
}

TEST_CASE("an optimiser keeps parameters without a gradient, and wants f32") {
  for (const std::string& name : optimizers().names()) {
    INFO(name);
    Var w = start(), idle = start();
    auto optimizer = make(name, {w, idle}, {});
    w.set_grad(gradient(0));
    optimizer->step(0.1);
    CHECK(w.value().data<float>()[0] != start().value().data<float>()[0]);
    for (int i = 0; i < kSize; ++i) {
      CHECK(idle.value().data<float>()[i] == start().value().data<float>()[i]);
      CHECK(optimizer->evaluated()[1].value().data<float>()[i] == start().value().data<float>()[i]);
    }
    CHECK_THROWS_WITH(make(name, {Var(Tensor({2}))}, {}), ContainsSubstring("f32 parameters"));
  }
}

TEST_CASE("schedules give PyTorch's rates, after a linear warm-up") {
  TrainConfig config;
  config.iterations = 20;
  config.optimizer.lr = 2e-4;
  config.schedule.min_lr = 1e-6;
  config.schedule.milestones = {5, 12};
  config.schedule.periods = {6, 8, 6}, config.schedule.restart_weights = {1, 0.5, 2};
  config.schedule.pct_start = 0.25, config.schedule.div_factor = 10, config.schedule.final_div_factor = 100;
  for (const char* type : {"cosine", "multistep", "cosine_restart", "onecycle"}) {
    config.schedule.type = type;
    auto expected = golden()[type];
    for (int i = 0; i < 20; ++i)
      CHECK(learning_rate(config, i) == Approx(expected[i].get<double>()).epsilon(1e-12));
  }
  config.schedule.warmup = 4;
  for (const char* type : {"constant", "cosine", "multistep", "cosine_restart", "onecycle"}) {
    INFO(type);
    config.schedule.type = type;
    const double begin = type == std::string("onecycle") ? 2e-5 : 2e-4;
    for (int i = 0; i < 4; ++i) CHECK(learning_rate(config, i) == Approx(begin * (i + 1) / 4).epsilon(1e-12));
    CHECK(learning_rate(config, 4) <= 2e-4);
    CHECK(learning_rate(config, 4) > 0.2 * begin);
    CHECK(learning_rate(config, 19) <= learning_rate(config, 4));
  }
  config.schedule.type = "onecycle";  // over what the warm-up leaves: begins and ends where it should
  CHECK(learning_rate(config, 4) == Approx(2e-5));
  CHECK(learning_rate(config, 7) == Approx(2e-4));
  CHECK(learning_rate(config, 19) == Approx(2e-7));
}

TEST_CASE("the gradient norm and a step have the same bits for any number of threads") {
  const int before = num_threads();
  for (const std::string& name : optimizers().names()) {
    INFO(name);
    double norms[2];
    Tensor weights[2];
    for (int threads : {1, 2}) {
      set_num_threads(threads);
      Rng rng(3);
      Var w(Tensor::zeros({70001}), true);
      Tensor g({70001});
      for (int64_t i = 0; i < g.numel(); ++i) g.data<float>()[i] = static_cast<float>(rng.normal());
      w.set_grad(g);
      auto optimizer = make(name, {w}, {});
      norms[threads - 1] = optimizer->grad_norm();
      optimizer->step(1e-3, 0.5);
      optimizer->step(1e-3, 0.5);
      weights[threads - 1] = optimizer->evaluated().at(0).value();
    }
    CHECK(norms[0] == norms[1]);
    CHECK(norms[0] == Approx(std::sqrt(70001.0)).epsilon(0.01));
    CHECK(std::equal(weights[0].bytes(), weights[0].bytes() + weights[0].nbytes(), weights[1].bytes()));
  }
  set_num_threads(before);
}

TEST_CASE("the average follows the weights, quickly at first") {
  Var w(Tensor::full({3}, 1), true), a(Tensor::zeros({3}), true);
  Ema ema({a}, 0.999);
  ema.update({w}, 0);  // keeps (1 + 0) / (10 + 0)
  CHECK(a.value().data<float>()[2] == Approx(0.9));
  ema.update({w}, 1'000'000);
  CHECK(a.value().data<float>()[2] == Approx(0.9 * 0.999 + 0.001));
  Ema none({a}, 0);
  none.update({w}, 5);
  CHECK(a.value().data<float>()[0] == 1);
}

TEST_CASE("the average takes in buffers: numbers averaged, whole numbers copied") {
  Var w(Tensor::full({2}, 1)), count(Tensor::full({1}, 7, DType::i64));
  Var a(Tensor::zeros({2})), counted(Tensor::zeros({1}, DType::i64));
  Ema ema({a, counted}, 0.999);
  ema.update({w, count}, 0);
  CHECK(a.value().data<float>()[1] == Approx(0.9));
  CHECK(counted.value().data<int64_t>()[0] == 7);
  CHECK_THROWS_WITH(ema.update({w}, 0), ContainsSubstring("2 averages of 1"));
}
