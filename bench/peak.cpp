#include "bench/peak.h"

#include <algorithm>
#include <chrono>

#include "tensor/allocator.h"
#include "tensor/cuda_measure.h"
#include "tensor/isa.h"
#include "tensor/kernels/gemm_kernels.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace dgp {

double milliseconds(Device device, const std::function<void()>& run) {
  if (device == Device::cuda) return cuda::milliseconds(run);
  auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void reset_peak_bytes(Device device) {
  device == Device::cuda ? cuda::reset_peak_memory() : reset_peak_memory();
}

int64_t peak_bytes(Device device) {
  return device == Device::cuda ? cuda::peak_memory() : memory_stats().peak;
}

std::string machine_name(Device device) {
  if (device == Device::cuda) return cuda::device_name();
  return std::to_string(num_threads()) + " threads, " + to_string(current_isa());
}

double peak_gflops(Device device, int tries) {
  if (device == Device::cuda) return cuda::peak_gflops();
  constexpr int64_t kRounds = 400000;
  const GemmKernels& kernels = active_gemm_kernels();
  volatile float sink = 0;  // so that nothing is optimised away
  double best = 0;
  for (int i = 0; i < tries; ++i) {
    auto start = std::chrono::steady_clock::now();
    parallel_for(num_threads(), 1, [&](int64_t, int64_t) { sink = kernels.multiply_adds(kRounds); });
    std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    double operations = 2.0 * static_cast<double>(kRounds * kernels.multiply_adds_a_round * num_threads());
    best = std::max(best, operations / time.count() / 1e9);
  }
  return best;
}

double bandwidth_gbs(Device device) {
  if (device == Device::cuda) return cuda::bandwidth_gbs();
  constexpr int64_t kElements = int64_t{32} << 20;  // 128 MiB an array
  constexpr int kTries = 6;
  Tensor a({kElements}), b({kElements}), c({kElements});
  b.fill(1), c.fill(2), a.fill(0);  // pages are given out on the first write: not a part of what is timed
  const float *from = b.data<float>(), *scaled = c.data<float>();
  float* to = a.data<float>();
  int64_t share = (kElements + num_threads() - 1) / num_threads();
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    auto start = std::chrono::steady_clock::now();
    parallel_for(kElements, share, [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; ++j) to[j] = from[j] + 3 * scaled[j];
    });
    std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::max(best, 12.0 * static_cast<double>(kElements) / time.count() / 1e9);
  }
  return best;
}

}  // namespace dgp
