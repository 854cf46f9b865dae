// Forward: squares of every W_j, summed over inputs; then a block a DGConv runs its balance network; then the
// weighted sum. Backward: <g, W_j>; back through the balance network; the gradient of the raw kernels. W_j is
// made where it is needed, from the raw kernel's k*k taps. Sums over inputs and outputs are in double and in
// an order that shapes alone fix.
#include <algorithm>
#include <cmath>

#include "ops/fused_kernels_cuda.h"
#include "ops/kernels/kernels.h"
#include "ops/warp_cuda.h"
#include "tensor/tensor.h"

namespace dgp::cuda {
namespace {

constexpr double kTinySquare = 1e-12, kTinyMean = 1e-8;  // as on the CPU
constexpr int kWarps = 4;                                // of a block that gives each a sum
constexpr int kMostTaps = kMostKernelSide * kMostKernelSide;

struct Sizes {
  int64_t sets, outputs, k, inputs, hidden;  // hidden: the most of any set
  __host__ __device__ int64_t taps() const { return k * k; }
  __host__ __device__ int64_t slab() const { return taps() * inputs; }
  __host__ __device__ int64_t columns() const { return kMostOperators * taps(); }  // of the balance network
  __host__ __device__ int64_t width() const { return 2 * columns() + 2 * hidden + kMostOperators + 1; }
};

// What is kept of a set, in doubles.
struct Kept {
  double *rms, *scale;               // [n * taps]: r; of the gradient, dr / (O I r)
  double *hidden, *dhidden, *alpha;  // [hidden], [hidden], [n]
  double* mean;                      // of r, and a little more
};
__device__ inline Kept kept_of(double* all, int64_t set, const Sizes& s) {
  double* at = all + set * s.width();
  return {at,
          at + s.columns(),
          at + 2 * s.columns(),
          at + 2 * s.columns() + s.hidden,
          at + 2 * s.columns() + 2 * s.hidden,
          at + 2 * s.columns() + 2 * s.hidden + kMostOperators};
}

// One operator's kernel of one output and input: taps `step` apart.
struct OperatorTaps {
  Operator op;
  const float* w;
  int64_t k, step, location;
  float sum;  // of all taps

  __device__ float raw(int64_t t) const { return w[t * step]; }
  __device__ float operator()(int64_t t) const {
    int64_t r = t / k, c = t % k;
    switch (op) {
      case Operator::csg:
        return raw(t) - sum / static_cast<float>(k * k);
      case Operator::csa:
        return raw(t) + sum / static_cast<float>(k * k);
      case Operator::hg:
        return raw(t) - raw(r * k + k - 1 - c);
      case Operator::vg:
        return raw(t) - raw((k - 1 - r) * k + c);
      case Operator::idg:
        return location == t ? raw(t) - sum : raw(t);
      case Operator::vc:
        break;
    }
    return raw(t);
  }
};

__device__ inline OperatorTaps taps_of(const FusedSet& set, int j, const Sizes& s, int64_t o, int64_t i) {
  OperatorTaps taps{set.op[j], set.raw[j] + o * s.slab() + i, s.k, s.inputs, -1, 0};
  if (taps.op == Operator::idg) taps.location = set.location[o * s.inputs + i];
  for (int64_t t = 0; t < s.taps(); ++t) taps.sum += taps.raw(t);
  return taps;
}

// The set, output and operator that this warp works for; false for a warp too many, or of no operator.
struct Place {
  int64_t set, o;
  int j;
};
__device__ inline bool place_of(const FusedSet* sets, const Sizes& s, Place& p) {
  int64_t row = warp_row();
  p = {row / (s.outputs * kMostOperators), row / kMostOperators % s.outputs,
       static_cast<int>(row % kMostOperators)};
  return row < s.sets * s.outputs * kMostOperators && p.j < sets[p.set].operators;
}

// squares [sets, outputs, kMostOperators * taps]
__global__ void squares_kernel(const FusedSet* sets, Sizes s, double* squares) {
  DGP_SHARED(double, sums, [kWarps][kMostTaps]);
  double* mine = sums[threadIdx.x / 32];
  Place p;
  if (!place_of(sets, s, p)) return;
  for (int64_t t = lane(); t < s.taps(); t += 32) mine[t] = 0;
  __syncwarp();
  for (int64_t first = 0; first < s.inputs; first += 32) {
    int64_t i = first + lane();
    bool there = i < s.inputs;
    OperatorTaps w = taps_of(sets[p.set], p.j, s, p.o, there ? i : 0);
    for (int64_t t = 0; t < s.taps(); ++t) {
      double value = there ? static_cast<double>(w(t)) : 0.0;
      value = warp_sum(value * value);
      if (lane() == 0) mine[t] += value;
    }
  }
  __syncwarp();
  double* out = squares + (p.set * s.outputs + p.o) * s.columns() + p.j * s.taps();
  for (int64_t t = lane(); t < s.taps(); t += 32) out[t] = mine[t];
}

// A block a set.
__global__ void balance_kernel(const FusedSet* sets, Sizes s, const double* squares, double* all) {
  const FusedSet& set = sets[blockIdx.x];
  Kept kept = kept_of(all, blockIdx.x, s);
  int64_t columns = set.operators * s.taps();
  for (int64_t p = threadIdx.x; p < columns; p += blockDim.x) {
    double sum = 0;
    for (int64_t o = 0; o < s.outputs; ++o) sum += squares[(blockIdx.x * s.outputs + o) * s.columns() + p];
    kept.rms[p] = sqrt(sum / static_cast<double>(s.outputs * s.inputs) + kTinySquare);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    double sum = 0;
    for (int64_t p = 0; p < columns; ++p) sum += kept.rms[p];
    *kept.mean = sum / static_cast<double>(columns) + kTinyMean;
  }
  __syncthreads();
  for (int h = static_cast<int>(threadIdx.x); h < set.hidden; h += static_cast<int>(blockDim.x)) {
    double sum = set.fc1_bias[h];
    for (int64_t p = 0; p < columns; ++p)
      sum += double{set.fc1_weight[h * columns + p]} * (kept.rms[p] / *kept.mean);
    kept.hidden[h] = sum > 0 ? sum : 0;
  }
  __syncthreads();
  int j = static_cast<int>(threadIdx.x);
  if (j < set.operators) {
    double sum = set.fc2_bias[j];
    for (int h = 0; h < set.hidden; ++h) sum += double{set.fc2_weight[j * set.hidden + h]} * kept.hidden[h];
    kept.alpha[j] = 2 / (1 + exp(-sum));
  }
}

// A thread an input of an output.
struct Column {
  int64_t set, o, i;
};
__device__ inline Column column_of(const Sizes& s, int64_t at) {
  return {at / (s.inputs * s.outputs), at / s.inputs % s.outputs, at % s.inputs};
}

__global__ void weighted_sum_kernel(const FusedSet* sets, Sizes s, double* all, float* w, int64_t n) {
  int64_t at = element();
  if (at >= n) return;
  Column c = column_of(s, at);
  const FusedSet& set = sets[c.set];
  Kept kept = kept_of(all, c.set, s);
  float* out = w + (c.set * s.outputs + c.o) * s.slab() + c.i;
  for (int j = 0; j < set.operators; ++j) {
    OperatorTaps taps = taps_of(set, j, s, c.o, c.i);
    auto alpha = static_cast<float>(kept.alpha[j]);
    for (int64_t t = 0; t < s.taps(); ++t)
      out[t * s.inputs] = j == 0 ? alpha * taps(t) : out[t * s.inputs] + alpha * taps(t);
  }
}

// dots [sets, outputs, kMostOperators] = <dy, W_j> of one output
__global__ void dots_kernel(const FusedSet* sets, Sizes s, const float* dy, double* dots) {
  Place p;
  if (!place_of(sets, s, p)) return;
  const float* g = dy + (p.set * s.outputs + p.o) * s.slab();
  double sum = 0;
  for (int64_t i = lane(); i < s.inputs; i += 32) {
    OperatorTaps w = taps_of(sets[p.set], p.j, s, p.o, i);
    for (int64_t t = 0; t < s.taps(); ++t)
      sum += static_cast<double>(g[t * s.inputs + i]) * static_cast<double>(w(t));
  }
  sum = warp_sum(sum);
  if (lane() == 0) dots[(p.set * s.outputs + p.o) * kMostOperators + p.j] = sum;
}

__device__ inline void put(float* to, int64_t at, double value) {
  if (to) to[at] = static_cast<float>(value);
}

// A block a set: from dalpha to the balance network's own gradients and kept.scale.
__global__ void balance_backward_kernel(const FusedSet* sets, Sizes s, const double* dots, double* all) {
  DGP_SHARED(double, dsum, [kMostOperators]);  // of what the sigmoid sees
  DGP_SHARED(double, through_mean, [1]);
  const FusedSet& set = sets[blockIdx.x];
  Kept kept = kept_of(all, blockIdx.x, s);
  int64_t columns = set.operators * s.taps();
  int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  if (thread < set.operators) {
    double dalpha = 0, alpha = kept.alpha[thread];
    for (int64_t o = 0; o < s.outputs; ++o)
      dalpha += dots[(blockIdx.x * s.outputs + o) * kMostOperators + thread];
    dsum[thread] = dalpha * alpha * (1 - alpha / 2);
    put(set.dfc2_bias, thread, dsum[thread]);
  }
  __syncthreads();
  for (int h = thread; h < set.hidden; h += threads) {
    double sum = 0;
    for (int j = 0; j < set.operators; ++j) {
      put(set.dfc2_weight, j * set.hidden + h, dsum[j] * kept.hidden[h]);
      sum += dsum[j] * double{set.fc2_weight[j * set.hidden + h]};
    }
    kept.dhidden[h] = kept.hidden[h] > 0 ? sum : 0;
    put(set.dfc1_bias, h, kept.dhidden[h]);
  }
  __syncthreads();
  for (int64_t p = thread; p < columns; p += threads) {
    double sum = 0;
    for (int h = 0; h < set.hidden; ++h) {
      put(set.dfc1_weight, h * columns + p, kept.dhidden[h] * kept.rms[p] / *kept.mean);
      sum += kept.dhidden[h] * double{set.fc1_weight[h * columns + p]};
    }
    kept.scale[p] = sum;
  }
  __syncthreads();
  if (thread == 0) {
    double sum = 0;
    for (int64_t p = 0; p < columns; ++p) sum += kept.scale[p] * kept.rms[p];
    through_mean[0] = sum / (*kept.mean * static_cast<double>(columns));
  }
  __syncthreads();
  for (int64_t p = thread; p < columns; p += threads)
    kept.scale[p] = (kept.scale[p] - through_mean[0]) / *kept.mean /
                    (static_cast<double>(s.outputs * s.inputs) * kept.rms[p]);
}

// draw_j = L_j^T (alpha_j g + scale_j W_j)
__global__ void raw_gradient_kernel(const FusedSet* sets, Sizes s, double* all, const float* dy, int64_t n) {
  int64_t at = element();
  if (at >= n) return;
  Column c = column_of(s, at);
  const FusedSet& set = sets[c.set];
  Kept kept = kept_of(all, c.set, s);
  const float* g = dy + (c.set * s.outputs + c.o) * s.slab() + c.i;
  for (int j = 0; j < set.operators; ++j) {
    if (!set.draw[j]) continue;
    OperatorTaps w = taps_of(set, j, s, c.o, c.i);
    auto alpha = static_cast<float>(kept.alpha[j]);
    const double* scale = kept.scale + j * s.taps();
    auto dw = [&](int64_t t) { return alpha * g[t * s.inputs] + static_cast<float>(scale[t]) * w(t); };
    float sum = 0;
    if (w.op == Operator::csg || w.op == Operator::csa)
      for (int64_t t = 0; t < s.taps(); ++t) sum += dw(t);
    float mean = sum / static_cast<float>(s.taps());
    float at_location =
        w.op == Operator::idg && w.location >= 0 && w.location < s.taps() ? dw(w.location) : 0.0F;
    float* out = set.draw[j] + c.o * s.slab() + c.i;
    for (int64_t t = 0; t < s.taps(); ++t) {
      int64_t row = t / s.k, column = t % s.k;
      float value = dw(t);
      if (w.op == Operator::csg) value -= mean;
      if (w.op == Operator::csa) value += mean;
      if (w.op == Operator::hg) value -= dw(row * s.k + s.k - 1 - column);
      if (w.op == Operator::vg) value -= dw((s.k - 1 - row) * s.k + column);
      if (w.op == Operator::idg) value -= at_location;
      out[t * s.inputs] = value;
    }
  }
}

Sizes sizes_of(const std::vector<FusedSet>& sets, const Tensor& w) {
  Sizes s{static_cast<int64_t>(sets.size()), w.dim(0) / static_cast<int64_t>(sets.size()), w.dim(1), w.dim(3),
          0};
  for (const FusedSet& set : sets) s.hidden = std::max<int64_t>(s.hidden, set.hidden);
  return s;
}

Tensor on_device(const std::vector<FusedSet>& sets) {
  auto bytes = static_cast<int64_t>(sets.size() * sizeof(FusedSet));
  Tensor list({bytes}, DType::u8, Device::cuda);
  to_device(list.device_data<uint8_t>(), sets.data(), bytes);
  return list;
}
const FusedSet* sets_in(const Tensor& list) {
  return reinterpret_cast<const FusedSet*>(list.device_data<uint8_t>());
}

// A warp for each operator of each output.
dim3 warps_for(const Sizes& s) {
  int64_t blocks = (s.sets * s.outputs * kMostOperators + kWarps - 1) / kWarps;
  check(blocks <= 0x7fffffff, "fused_kernels: too many outputs for one kernel");
  return {static_cast<unsigned>(blocks)};
}

}  // namespace

Tensor fused_kernels(const std::vector<FusedSet>& sets, const Tensor& w) {
  Sizes s = sizes_of(sets, w);
  Tensor list = on_device(sets), squares({s.sets, s.outputs, s.columns()}, DType::f64, Device::cuda);
  Tensor kept({s.sets, s.width()}, DType::f64, Device::cuda);
  double* state = kept.device_data<double>();
  launch(squares_kernel, warps_for(s), 32 * kWarps, sets_in(list), s, squares.device_data<double>());
  launch(balance_kernel, static_cast<unsigned>(s.sets), kBlock, sets_in(list), s,
         squares.device_data<double>(), state);
  int64_t n = s.sets * s.outputs * s.inputs;
  launch(weighted_sum_kernel, blocks_for(n), kBlock, sets_in(list), s, state, w.device_data<float>(), n);
  return kept;
}

void fused_kernels_backward(const std::vector<FusedSet>& sets, const Tensor& kept, const Tensor& dy) {
  Sizes s = sizes_of(sets, dy);
  Tensor list = on_device(sets), dots({s.sets, s.outputs, kMostOperators}, DType::f64, Device::cuda);
  double* state = kept.device_data<double>();
  launch(dots_kernel, warps_for(s), 32 * kWarps, sets_in(list), s, dy.device_data<float>(),
         dots.device_data<double>());
  launch(balance_backward_kernel, static_cast<unsigned>(s.sets), kBlock, sets_in(list), s,
         dots.device_data<double>(), state);
  int64_t n = s.sets * s.outputs * s.inputs;
  launch(raw_gradient_kernel, blocks_for(n), kBlock, sets_in(list), s, state, dy.device_data<float>(), n);
}

}  // namespace dgp::cuda
