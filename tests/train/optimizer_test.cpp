// Adam, AdamW and schedules against PyTorch (tests/reference/optimizer_vectors.py); the average; the norm.
#include "train/optimizer.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tests/test.h"
#include "train/schedule.h"

using namespace dgp;

namespace {

constexpr int kSteps = 8, kSize = 5;

nlohmann::json golden() {
  return nlohmann::json::parse(read_file(DGP_SOURCE_DIR "/tests/golden/optimizer.json"));
}

void check_steps(const std::string& name, AdamOptions options) {
  INFO(name);
  auto expected = golden()[name];
  Var w(Tensor({kSize}), true);
  for (int i = 0; i < kSize; ++i) w.value().data<float>()[i] = static_cast<float>(std::sin(1.0 + i));
  Adam adam({w}, options);
  for (int step = 0; step < kSteps; ++step) {
    Tensor g({kSize});
    for (int i = 0; i < kSize; ++i)
      g.data<float>()[i] = static_cast<float>(std::cos(3.0 * step + i) * std::pow(10.0, -(i % 3)));
    w.set_grad(g);
    adam.step(0.01);
    for (int i = 0; i < kSize; ++i)
      CHECK(w.value().data<float>()[i] == Approx(expected[step][i].get<double>()).margin(2e-7));
  }
}

}  // namespace

TEST_CASE("Adam and AdamW take PyTorch's steps") {
  check_steps("adam", {});
  check_steps("adam_decay", {.weight_decay = 0.1});
  check_steps("adamw", {.weight_decay = 0.1, .decoupled = true});
}

TEST_CASE("schedules give PyTorch's rates, after a linear warm-up") {
  TrainConfig config;
  config.iterations = 20;
  config.optimizer.lr = 2e-4;
  config.schedule.min_lr = 1e-6;
  config.schedule.milestones = {5, 12};
  for (const char* type : {"cosine", "multistep"}) {
    config.schedule.type = type;
    auto expected = golden()[type];
    for (int i = 0; i < 20; ++i)
      CHECK(learning_rate(config, i) == Approx(expected[i].get<double>()).epsilon(1e-12));
  }
  config.schedule = {"constant", 4, {}, 0.5, 0};
  CHECK(learning_rate(config, 0) == Approx(0.5e-4));
  CHECK(learning_rate(config, 3) == 2e-4);
  CHECK(learning_rate(config, 19) == 2e-4);
}

TEST_CASE("the gradient norm and a step have the same bits for any number of threads") {
  const int before = num_threads();
  double norms[2];
  Tensor weights[2];
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    Rng rng(3);
    Var w(Tensor::zeros({70001}), true);
    Tensor g({70001});
    for (int64_t i = 0; i < g.numel(); ++i) g.data<float>()[i] = static_cast<float>(rng.normal());
    w.set_grad(g);
    Adam adam({w}, {});
    norms[threads - 1] = adam.grad_norm();
    adam.step(1e-3, 0.5);
    weights[threads - 1] = w.value();
  }
  set_num_threads(before);
  CHECK(norms[0] == norms[1]);
  CHECK(norms[0] == Approx(std::sqrt(70001.0)).epsilon(0.01));
  CHECK(std::equal(weights[0].bytes(), weights[0].bytes() + weights[0].nbytes(), weights[1].bytes()));
}

TEST_CASE("the average follows the weights, quickly at first") {
  Var w(Tensor::full({3}, 1), true), a(Tensor::zeros({3}), true);
  Ema ema({w}, {a}, 0.999);
  ema.update(0);  // keeps (1 + 0) / (10 + 0)
  CHECK(a.value().data<float>()[2] == Approx(0.9));
  ema.update(1'000'000);
  CHECK(a.value().data<float>()[2] == Approx(0.9 * 0.999 + 0.001));
  Ema none({w}, {a}, 0);
  none.update(5);
  CHECK(a.value().data<float>()[0] == 1);
}
