// Small pictures to train on, written as PNG, and a configuration for a network small enough for tests.
#pragma once

#include "image/image.h"
#include "tensor/random.h"
#include "tests/temp_folder.h"
#include "train/config.h"

// Smooth colours with a few rectangles on them: something to learn, no two alike.
inline dgp::Tensor test_picture(int64_t height, int64_t width, uint64_t seed) {
  dgp::Rng rng(seed);
  dgp::Tensor x({height, width, 3});
  float* p = x.data<float>();
  for (int64_t i = 0; i < x.numel(); ++i)
    p[i] = static_cast<float>(
        0.5 + 0.3 * std::sin(0.13 * static_cast<double>(i / 3 % width) + static_cast<double>(seed + i % 3)) *
                  std::cos(0.21 * static_cast<double>(i / 3 / width)));
  for (int n = 0; n < 6; ++n) {
    int64_t y = rng.below(height - 4), x0 = rng.below(width - 4);
    float colour[3] = {static_cast<float>(rng.uniform()), static_cast<float>(rng.uniform()),
                       static_cast<float>(rng.uniform())};
    for (int64_t r = y; r < std::min(height, y + 12); ++r)
      for (int64_t c = x0; c < std::min(width, x0 + 9); ++c)
        for (int64_t k = 0; k < 3; ++k) p[(r * width + c) * 3 + k] = colour[k];
  }
  return x;
}

inline void write_pictures(const std::string& folder, int count, int64_t height, int64_t width) {
  std::filesystem::create_directories(folder);
  for (int i = 0; i < count; ++i)
    dgp::write_image(folder + "/p" + std::to_string(i) + ".png",
                     {test_picture(height, width, static_cast<uint64_t>(i)), 8});
}

inline dgp::TrainConfig small_run(const TempFolder& temp) {
  if (!std::filesystem::exists(temp / "hr")) write_pictures(temp / "hr", 3, 48, 52);
  dgp::TrainConfig c;
  c.out = temp / "run";
  c.model.scale = 2, c.model.options = {{"channels", 4}, {"blocks", 1}};
  c.data.train = {dgp::SourceConfig{.hr = temp / "hr"}};
  c.data.patch = 12, c.data.batch = 2;
  c.data.augment.channels = c.data.augment.cutblur = c.data.augment.mixup = 0.3;
  c.optimizer.lr = 1e-3;
  c.iterations = 12;
  c.checkpoint.every = 5, c.log.every = 2;
  return c;
}
