// What `dgp bench model` runs: a preset, untrained, or a weights file, of any architecture, made ready for
// images.
#pragma once

#include <functional>
#include <string>

#include "infer/layer_time.h"
#include "ops/conv2d.h"

namespace dgp {

struct Runner {
  int64_t scale, channels, blocks, unshuffle, parameters;
  std::function<int64_t(int64_t height, int64_t width)> multiply_adds;  // of one LR image
  std::function<Tensor(const Tensor& lr)> run;  // [1,H,W,3] -> [1,scale H,scale W,3], both on the device
};

struct RunnerOptions {
  int64_t scale = 4, unshuffle = 1;       // of the presets
  Precision precision = Precision::full;  // on the CPU; on the GPU what is in use (tensor/cuda_math.h)
  Device device = Device::cpu;
  LayerObserver observe = {};
};

// name: tiny, small, base, large, edsr (EDSR-baseline), a bundled model or a file. Running throws Cancelled
// after Ctrl-C.
Runner make_runner(const std::string& name, const RunnerOptions& options);

}  // namespace dgp
