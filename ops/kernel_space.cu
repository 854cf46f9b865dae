// The operators' linear maps and what is summed over kernels. Neighbouring threads take neighbouring inputs,
// which lie side by side.
#include <cmath>

#include "ops/kernel_space.h"
#include "ops/reduce_cuda.h"

namespace dgp::cuda {
namespace {

constexpr int kMostOperators = 6;

struct Maps {
  int count;
  Operator ops[kMostOperators];
  const float* from[kMostOperators];
  float* into[kMostOperators];  // null: left out
  const int64_t* location;
  int64_t outputs, k, inputs;
  bool adjoint;
};

// One (output, input) pair of one operator: k*k taps, `inputs` apart.
__device__ inline void apply(Operator op, const float* w, int64_t k, int64_t step, int64_t location,
                             bool adjoint, float* out) {
  int64_t taps = k * k;
  float sum = 0;
  for (int64_t t = 0; t < taps; ++t) sum += w[t * step];
  for (int64_t t = 0; t < taps; ++t) {
    int64_t r = t / k, c = t % k;
    float value = w[t * step];
    if (op == Operator::csg) value -= sum / static_cast<float>(taps);
    if (op == Operator::csa) value += sum / static_cast<float>(taps);
    if (op == Operator::hg) value -= w[(r * k + k - 1 - c) * step];
    if (op == Operator::vg) value -= w[((k - 1 - r) * k + c) * step];
    if (op == Operator::idg && adjoint && location >= 0 && location < taps) value -= w[location * step];
    if (op == Operator::idg && !adjoint && location == t) value -= sum;
    out[t * step] = value;
  }
}

__global__ void maps_kernel(Maps m, int64_t n) {
  int64_t at = element();
  if (at >= n) return;
  int64_t i = at % m.inputs, o = at / m.inputs % m.outputs, j = at / (m.inputs * m.outputs);
  if (!m.into[j]) return;
  int64_t slab = o * m.k * m.k * m.inputs + i;
  int64_t location = m.ops[j] == Operator::idg ? m.location[o * m.inputs + i] : 0;
  apply(m.ops[j], m.from[j] + slab, m.k, m.inputs, location, m.adjoint, m.into[j] + slab);
}

struct LoadSquare {
  const float* x;
  __device__ double operator()(int64_t i) const {
    return static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
};

__global__ void root_kernel(const double* mean, double tiny, float* rms, int64_t n) {
  int64_t i = element();
  if (i < n) rms[i] = static_cast<float>(std::sqrt(mean[i] + tiny));
}

// d: [n,taps]; w, dw: [n,O,taps,I]
__global__ void rms_backward_kernel(const float* dy, const float* rms, const float* w, int64_t outputs,
                                    int64_t taps, int64_t inputs, float* dw, int64_t n) {
  int64_t at = element();
  if (at >= n) return;
  int64_t d = at / (inputs * taps * outputs) * taps + at / inputs % taps;
  dw[at] = dy[d] / (rms[d] * static_cast<float>(outputs * inputs)) * w[at];
}

__global__ void weighted_sum_kernel(const float* w, const float* alpha, int64_t count, float* y, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  float sum = alpha[0] * w[i];
  for (int64_t j = 1; j < count; ++j) sum += alpha[j] * w[j * n + i];
  y[i] = sum;
}

__global__ void outer_product_kernel(const float* dy, const float* alpha, int64_t per_operator, float* dw,
                                     int64_t n) {
  int64_t i = element();
  if (i < n) dw[i] = alpha[i / per_operator] * dy[i % per_operator];
}

struct LoadDot {  // of one kernel of many with dy
  const float *w, *dy;
  int64_t per_operator;
  __device__ double operator()(int64_t i) const {
    return static_cast<double>(w[i]) * static_cast<double>(dy[i % per_operator]);
  }
};

}  // namespace

void operator_kernels(const std::vector<Tensor>& from, const std::vector<Operator>& ops,
                      const Tensor& location, bool adjoint, const std::vector<Tensor>& into) {
  check(ops.size() <= kMostOperators, "operator_kernels on the GPU: ", ops.size(), " operators, of at most ",
        kMostOperators);
  const Shape& shape = from[0].shape();
  Maps m{static_cast<int>(ops.size()), {}, {}, {}, nullptr, shape[0], shape[1], shape[3], adjoint};
  if (location.defined()) m.location = location.device_data<int64_t>();
  for (size_t j = 0; j < ops.size(); ++j) {
    m.ops[j] = ops[j];
    m.from[j] = from[j].device_data<float>();
    m.into[j] = into[j].defined() ? into[j].device_data<float>() : nullptr;
  }
  int64_t n = m.count * m.outputs * m.inputs;
  if (n > 0) launch(maps_kernel, blocks_for(n), kBlock, m, n);
}

void kernel_rms(const Tensor& kernels, double tiny, const Tensor& rms) {
  int64_t n = kernels.dim(0), outputs = kernels.dim(1), inputs = kernels.dim(4), taps = rms.numel() / n;
  Tensor by_output({n * outputs, taps}, DType::f64, Device::cuda), mean({n, taps}, DType::f64, Device::cuda);
  sum_axis(LoadSquare{kernels.device_data<float>()}, n * outputs * taps, inputs, 1, 1,
           by_output.device_data<double>());
  sum_axis(LoadF64{by_output.device_data<double>()}, n, outputs, taps,
           1 / static_cast<double>(outputs * inputs), mean.device_data<double>());
  launch(root_kernel, blocks_for(rms.numel()), kBlock, mean.device_data<double>(), tiny,
         rms.device_data<float>(), rms.numel());
}

void kernel_rms_backward(const Tensor& dy, const Tensor& kernels, const Tensor& rms, const Tensor& dw) {
  launch(rms_backward_kernel, blocks_for(dw.numel()), kBlock, dy.device_data<float>(),
         rms.device_data<float>(), kernels.device_data<float>(), kernels.dim(1),
         kernels.dim(2) * kernels.dim(3), kernels.dim(4), dw.device_data<float>(), dw.numel());
}

void weighted_sum(const Tensor& kernels, const Tensor& alpha, const Tensor& sum) {
  launch(weighted_sum_kernel, blocks_for(sum.numel()), kBlock, kernels.device_data<float>(),
         alpha.device_data<float>(), kernels.dim(0), sum.device_data<float>(), sum.numel());
}

void weighted_sum_backward_kernels(const Tensor& dy, const Tensor& alpha, const Tensor& dw) {
  launch(outer_product_kernel, blocks_for(dw.numel()), kBlock, dy.device_data<float>(),
         alpha.device_data<float>(), dy.numel(), dw.device_data<float>(), dw.numel());
}

void weighted_sum_backward_alpha(const Tensor& dy, const Tensor& kernels, const Tensor& da) {
  sum_axis(LoadDot{kernels.device_data<float>(), dy.device_data<float>(), dy.numel()}, da.numel(), dy.numel(),
           1, 1, da.device_data<float>());
}

}  // namespace dgp::cuda
