// Weights laid out for the kernel of conv2d_tile.h, from [sets, O, taps, C/groups] f32: rows of K, filled
// with zeros to whole stages, of f32, f32 rounded to tf32, bf16 or f16; for the gradient in x turned round.
// Where Winograd is taken conv2d_winograd.cu lays them out.
#include "ops/conv2d_cuda.h"
#include "ops/conv2d_prepared.h"

namespace dgp::cuda {
namespace {

struct Layout {
  int kh, kw, inputs, outputs, pitch;  // inputs and outputs of a group
  bool tf32, interleave;               // see conv2d_cuda.h
  // Kernels of the gradient: inputs and outputs change places, taps go in reverse, those of a part each.
  bool turn;
  int stride, padding, dilation, groups;
};

// Where value k of a row of turned weights is from, or -1.
__device__ inline int64_t turned_from(const Layout& to, int64_t row, int64_t k) {
  int64_t rows = int64_t{to.groups} * to.outputs, parts = to.stride * to.stride;
  int64_t set = row / (parts * rows), o = row % rows;
  int part = static_cast<int>(row / rows % parts);
  Phase y = phase_of(part / to.stride, to.kh, to.stride, to.padding, to.dilation);
  Phase x = phase_of(part % to.stride, to.kw, to.stride, to.padding, to.dilation);
  int tap = static_cast<int>(k / to.inputs);
  if (tap >= y.taps * x.taps) return -1;
  int i = y.tap + (y.taps - 1 - tap / x.taps) * y.step, j = x.tap + (x.taps - 1 - tap % x.taps) * x.step;
  int64_t from = (set * to.groups + o / to.outputs) * to.inputs + k % to.inputs;
  return ((from * to.kh + i) * to.kw + j) * to.outputs + o % to.outputs;
}

template <class W>
__global__ void weights_kernel(const float* w, Layout to, W* rows, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  int64_t row = i / to.pitch, k = i % to.pitch, depth = int64_t{to.kh} * to.kw * to.inputs;
  if (to.interleave) k = k / 8 * 8 + k % 2 * 4 + k % 8 / 2;
  int64_t from = to.turn ? turned_from(to, row, k) : k < depth ? row * depth + k : -1;
  float value = from < 0 ? 0.0F : w[from];
  rows[i] = W(to.tf32 ? half_detail::float_of(to_tf32(value)) : value);
}

DType type_of(Factors factors) {
  return factors == Factors::bf16 ? DType::bf16 : factors == Factors::f16 ? DType::f16 : DType::f32;
}

// n f32 values: in this memory, if there is any.
Tensor place(int64_t n, const Tensor& memory) {
  if (!memory.defined()) return Tensor({n}, DType::f32, Device::cuda);
  check(memory.numel() >= n, "conv2d: memory of ", memory.numel(),
        " f32 values for prepared weights, expected ", n);
  return memory;
}

PreparedWeights prepare_for_winograd(const Tensor& w, const Conv2dOptions& options, const Tensor& memory,
                                     bool turn) {
  int64_t inputs = w.dim(-1), outputs = w.dim(-4) / options.groups;
  const int64_t groups = w.numel() / (9 * inputs * outputs);  // of all sets
  if (turn) std::swap(inputs, outputs);
  PreparedWeights made{w.shape(), place(winograd_numel(groups, inputs, outputs), memory)};
  made.winograd = options.groups;
  winograd_weights(w, groups, inputs, outputs, turn, made.memory);
  return made;
}

// turned: of the convolution whose gradient in x this is for, or null.
PreparedWeights prepare(const Tensor& w, DType read, DType written, const Conv2dOptions& options,
                        const Tensor& memory, const ConvGeometry* turned) {
  const Factors factors = factors_of(read, written);
  const DType x = factors == Factors::f32 ? DType::f32 : read, type = type_of(factors);
  if (factors == Factors::f32 && takes_winograd(w.shape(), options))
    return prepare_for_winograd(w, options, memory, turned != nullptr);
  auto size = [](int64_t number) { return static_cast<int>(number); };
  Layout to{};
  to.kh = size(w.dim(-3)), to.kw = size(w.dim(-2)), to.inputs = size(w.dim(-1)), to.outputs = size(w.dim(-4));
  int64_t taps = w.dim(-2) * w.dim(-3), rows = w.numel() / (taps * w.dim(-1));
  if (turned) {
    const ConvGeometry& g = *turned;
    to.turn = true, to.groups = size(g.groups), to.inputs = size(g.o / g.groups),
    to.outputs = size(w.dim(-1));
    to.stride = size(g.stride), to.padding = size(g.padding), to.dilation = size(g.dilation);
    const int step = phase_of(0, to.kh, to.stride, to.padding, to.dilation).step;
    taps = ((g.kh - 1) / step + 1) * ((g.kw - 1) / step + 1);  // most of a part
    rows = rows / g.o * g.stride * g.stride * g.c;
  }
  const int64_t depth = taps * to.inputs, stage = stage_terms(x);
  PreparedWeights made{w.shape(), w, (depth + stage - 1) / stage * stage, factors, x};
  if (factors == Factors::f32 && !turned && !memory.defined() && made.pitch == depth &&
      array(w).starts_at_multiple_of(16))
    return made;
  const int64_t n = rows * made.pitch, floats = (n * element_size(type) + 3) / 4;
  made.memory = place(floats, memory);
  to.pitch = size(made.pitch), to.tf32 = factors == Factors::tf32;
  to.interleave = x == DType::f32 && type != DType::f32;
  dispatch_storage(type, "conv2d", [&](auto zero) {
    using W = decltype(zero);
    launch(weights_kernel<W>, blocks_for(n), kBlock, w.device_data<float>(), to,
           reinterpret_cast<W*>(made.memory.device_data<float>()), n);
  });
  return made;
}

}  // namespace

Factors factors_of(DType read, DType written) {
  if (!has_tensor_cores()) return Factors::f32;
  for (DType type : {read, written})
    if (is_16_bit(type)) return type == DType::bf16 ? Factors::bf16 : Factors::f16;
  return factors();
}

PreparedWeights prepare_weights(const Tensor& w, DType read, DType written, const Conv2dOptions& options,
                                const Tensor& memory) {
  return prepare(w, read, written, options, memory, nullptr);
}

PreparedWeights prepare_turned(const Tensor& w, const ConvGeometry& g, DType read, DType written) {
  return prepare(w, read, written, options_of(g), {}, &g);
}

}  // namespace dgp::cuda
