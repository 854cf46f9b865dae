// Folding in four steps, M kernels a half: z = means of what the kernels make of h; gates of z; projections
// times gates, and the bias that comes of them; and the product of those with the kernels, one for each half
// and tap, by the kernel of tensor/gemm.cu.
#include <cmath>

#include "infer/gpu_fold.h"
#include "tensor/cuda_gemm.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

constexpr int kThreads = 256, kWarp = 32, kMostHidden = 256;  // of at most 2048 channels, an eighth

__device__ inline double warp_sum(double value) {
  for (unsigned by = kWarp / 2; by > 0; by /= 2) value += __shfl_xor_sync(~0U, value, static_cast<int>(by));
  return value;
}

struct Reader {  // what of z an attention reads: entry i
  int64_t first_half, first, channels, m;
  __device__ int64_t at(int64_t i) const { return (first_half + i / channels) * m + first + i % channels; }
};

// A warp each: z[h,j] = biases[h,j] + sum over taps and channels of kernels[h,j] means[.., half h].
__global__ void read_kernel(const float* kernels, const float* biases, const float* means, int64_t halves,
                            int64_t m, int64_t taps, int64_t channels, float* z) {
  int64_t at = element() / kWarp, lane = threadIdx.x % kWarp, length = taps * channels;
  double sum = 0;
  if (at < halves * m)
    for (int64_t i = lane; i < length; i += kWarp) {
      int64_t mean = i / channels * halves * channels + at / m * channels + i % channels;
      sum += static_cast<double>(kernels[at * length + i]) * static_cast<double>(means[mean]);
    }
  sum = warp_sum(sum);
  if (lane == 0 && at < halves * m) z[at] = static_cast<float>(sum + static_cast<double>(biases[at]));
}

// One block: gates = sigmoid(excite(relu(squeeze(z)))), a warp a hidden unit, then a thread a gate.
__global__ void gate_kernel(const float* z, Reader reader, int64_t inputs, int64_t hidden,
                            const float* squeeze_weight, const float* squeeze_bias,
                            const float* excite_weight, const float* excite_bias, float* gates) {
  DGP_SHARED(double, units, [kMostHidden]);
  int64_t warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  for (int64_t q = warp; q < hidden; q += kThreads / kWarp) {
    double sum = 0;
    for (int64_t i = lane; i < inputs; i += kWarp)
      sum += static_cast<double>(squeeze_weight[q * inputs + i]) * static_cast<double>(z[reader.at(i)]);
    sum = warp_sum(sum) + static_cast<double>(squeeze_bias[q]);
    if (lane == 0) units[q] = sum > 0 ? sum : 0;
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < inputs; i += kThreads) {
    double sum = static_cast<double>(excite_bias[i]);
    for (int64_t q = 0; q < hidden; ++q) sum += static_cast<double>(excite_weight[i * hidden + q]) * units[q];
    gates[reader.at(i)] = static_cast<float>(1 / (1 + std::exp(-sum)));
  }
}

// A block a result channel o: gated[o] = projections[o] gates; bias[o] = project_bias[o] + gated[o] biases.
__global__ void project_kernel(const float* projections, const float* gates, const float* biases,
                               const float* project_bias, int64_t entries, float* gated, float* bias) {
  DGP_SHARED(double, sums, [kThreads]);
  int64_t o = blockIdx.x;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < entries; i += kThreads) {
    float u = projections[o * entries + i] * (gates ? gates[i] : 1.0F);
    gated[o * entries + i] = u;
    sum += static_cast<double>(u) * static_cast<double>(biases[i]);
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) bias[o] = static_cast<float>(sums[0] + static_cast<double>(project_bias[o]));
}

const float* data(const Tensor& t) { return t.device_data<float>(); }

}  // namespace

void fold(const FoldWeights& w, const FoldSpace& s) {
  int64_t halves = w.kernels.dim(0), m = w.kernels.dim(1), taps = w.kernels.dim(2) * w.kernels.dim(3);
  int64_t c = w.kernels.dim(4), entries = halves * m;
  launch(read_kernel, blocks_for(entries * kWarp), kBlock, data(w.kernels), data(w.biases), data(s.means),
         halves, m, taps, c, s.z.device_data<float>());
  for (const FoldWeights::Gate& gate : w.gates) {
    check(gate.squeeze_bias.numel() <= kMostHidden, "fold: ", gate.squeeze_bias.numel(), " hidden units");
    launch(gate_kernel, 1, kThreads, data(s.z), Reader{gate.first_half, gate.first, c, m}, gate.halves * c,
           gate.squeeze_bias.numel(), data(gate.squeeze_weight), data(gate.squeeze_bias),
           data(gate.excite_weight), data(gate.excite_bias), s.gates.device_data<float>());
  }
  launch(project_kernel, static_cast<unsigned>(c), kThreads, data(w.projections),
         w.gates.empty() ? nullptr : data(s.gates), data(w.biases), data(w.project_bias), entries,
         s.gated.device_data<float>(), s.bias.device_data<float>());
  for (int64_t h = 0; h < halves; ++h)  // weight[o,tap,h] = gated[o,h] kernels[h,.,tap], [C,M] by [M,C]
    gemm_by_kernel({.ta = false,
                    .tb = false,
                    .m = c,
                    .n = c,
                    .k = m,
                    .a = data(s.gated) + h * m,
                    .lda = entries,
                    .b = data(w.kernels) + h * m * taps * c,
                    .ldb = taps * c,
                    .c = s.weight.device_data<float>() + h * c,
                    .ldc = taps * halves * c,
                    .batch = taps,
                    .a_step = 0,
                    .b_step = c,
                    .c_step = halves * c});
}

}  // namespace dgp::cuda
