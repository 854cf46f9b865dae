// Short runs of training on the GPU or its emulator, and their losses.
#pragma once

#include <atomic>

#include "tensor/random.h"
#include "tests/cuda/device.h"
#include "tests/train/pictures.h"
#include "train/trainer.h"

namespace dgp {

// Pictures of noise: where a picture is flat, the untrained network is right up to rounding, which then
// decides the sign of l1's gradient, and Adam makes a whole step of any sign.
inline void write_noise(const std::string& folder) {
  std::filesystem::create_directories(folder);
  for (uint64_t i = 0; i < 3; ++i) {
    Tensor x({40, 42, 3});
    Rng rng(i);
    for (int64_t k = 0; k < x.numel(); ++k) x.data<float>()[k] = static_cast<float>(rng.uniform());
    write_image(folder + "/p" + std::to_string(i) + ".png", {x, 8});
  }
}

inline TrainConfig tiny_run(const TempFolder& temp, const std::string& device) {
  if (!std::filesystem::exists(temp / "hr")) write_noise(temp / "hr");
  TrainConfig config = small_run(temp);
  config.device = device, config.out = temp / device;
  config.data.patch = 8, config.log.every = 1, config.checkpoint.every = 1000;
  return config;
}

// The loss of every iteration up to `stop`.
inline std::vector<double> losses_of(const TrainConfig& config, int64_t stop_at = 1 << 20,
                                     bool resume = false, device::Order order = device::Order::forward) {
  device::With with(order, false);
  std::vector<double> losses;
  std::atomic<bool> stop = false;
  TrainHooks hooks;
  hooks.stop = &stop;
  hooks.progress = [&](const TrainProgress& p) {
    losses.push_back(p.loss);
    stop = p.iteration >= stop_at;
  };
  train(config, hooks, resume);
  return losses;
}

inline void check_close(const std::vector<double>& got, const std::vector<double>& want,
                        double limit = 1e-4) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("iteration " << i + 1);
    CHECK(std::abs(got[i] - want[i]) <= limit * std::abs(want[i]));
  }
}

}  // namespace dgp
