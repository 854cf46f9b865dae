// Weights laid out for the kernel of conv2d_tile.h, from [sets, O, taps, C/groups] f32: rows of K, filled
// with zeros to whole stages, of f32, f32 rounded to tf32, bf16 or f16; for the gradient in x turned round.
#include "ops/conv2d_cuda.h"
#include "ops/conv2d_prepared.h"

namespace dgp::cuda {
namespace {

struct Layout {
  int taps, inputs, outputs, pitch;  // inputs and outputs of a group
  bool turn;                         // kernels of the gradient: inputs and outputs, taps in reverse
  bool tf32, interleave;             // see conv2d_cuda.h
};

template <class W>
__global__ void weights_kernel(const float* w, Layout to, W* rows, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  int64_t row = i / to.pitch, k = i % to.pitch;
  if (to.interleave) k = k / 8 * 8 + k % 2 * 4 + k % 8 / 2;
  float value = 0;
  if (k < to.taps * to.inputs) {
    int64_t from = row * to.taps * to.inputs + k;
    if (to.turn) {
      int64_t tap = k / to.inputs, c = k % to.inputs, set_and_group = row / to.outputs;
      from = ((set_and_group * to.inputs + c) * to.taps + to.taps - 1 - tap) * to.outputs + row % to.outputs;
    }
    value = w[from];
  }
  rows[i] = W(to.tf32 ? half_detail::float_of(to_tf32(value)) : value);
}

DType type_of(Factors factors) {
  return factors == Factors::bf16 ? DType::bf16 : factors == Factors::f16 ? DType::f16 : DType::f32;
}

PreparedWeights prepare(const Tensor& w, DType read, DType written, Tensor memory, int64_t turned_groups) {
  const bool turn = turned_groups > 0;
  const Factors factors = factors_of(read, written);
  const DType x = factors == Factors::f32 ? DType::f32 : read;
  const int64_t taps = w.dim(-2) * w.dim(-3), o = w.dim(-4);
  const int64_t inputs = turn ? o / turned_groups : w.dim(-1);
  const int64_t outputs = turn ? w.dim(-1) : o, depth = taps * inputs, step = stage_terms(x);
  PreparedWeights made{w.shape(), w, (depth + step - 1) / step * step, factors, x};
  if (factors == Factors::f32 && !turn && !memory.defined() && made.pitch == depth &&
      array(w).starts_at_multiple_of(16))
    return made;
  const int64_t n = w.numel() / depth * made.pitch;
  const int64_t floats = (n * element_size(type_of(factors)) + 3) / 4;
  made.memory = memory.defined() ? memory : Tensor({floats}, DType::f32, Device::cuda);
  check(made.memory.numel() >= floats, "conv2d: memory of ", made.memory.numel(),
        " f32 values for prepared weights, expected ", prepared_numel(w.shape()));
  auto size = [](int64_t number) { return static_cast<int>(number); };
  const Layout to{size(taps),
                  size(inputs),
                  size(outputs),
                  size(made.pitch),
                  turn,
                  factors == Factors::tf32,
                  x == DType::f32 && type_of(factors) != DType::f32};
  dispatch_storage(type_of(factors), "conv2d", [&](auto zero) {
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

PreparedWeights prepare_weights(const Tensor& w, DType read, DType written, const Tensor& memory) {
  return prepare(w, read, written, memory, 0);
}

PreparedWeights prepare_turned(const Tensor& w, int64_t groups, DType read, DType written) {
  return prepare(w, read, written, {}, groups);
}

}  // namespace dgp::cuda
