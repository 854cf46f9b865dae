#include "bench/peak.h"

#include <algorithm>
#include <chrono>

#include "tensor/kernels/gemm_kernels.h"
#include "tensor/parallel.h"

namespace dgp {

double peak_gflops() {
  constexpr int64_t kRounds = 400000;
  constexpr int kTries = 10;
  const GemmKernels& kernels = active_gemm_kernels();
  volatile float sink = 0;  // so that nothing is optimised away
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    auto start = std::chrono::steady_clock::now();
    parallel_for(num_threads(), 1, [&](int64_t, int64_t) { sink = kernels.multiply_adds(kRounds); });
    std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    double operations = 2.0 * static_cast<double>(kRounds * kernels.multiply_adds_a_round * num_threads());
    best = std::max(best, operations / time.count() / 1e9);
  }
  return best;
}

}  // namespace dgp
