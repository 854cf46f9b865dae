// One thread an element of the result; neighbours write side by side. Bits are moved, whatever they mean.
#include "ops/permute.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

constexpr int kAxes = 6;

struct Axes {
  int count;
  int64_t size[kAxes], stride[kAxes];  // innermost first
};

template <class Word>
__global__ void permute_kernel(Axes axes, const Word* x, Word* y, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  int64_t rest = i, from = 0;
  for (int axis = 0; axis < axes.count; ++axis) {
    from += rest % axes.size[axis] * axes.stride[axis];
    rest /= axes.size[axis];
  }
  y[i] = x[from];
}

template <class Word, class T>
void run(const Axes& axes, const Tensor& x, const Tensor& y) {
  launch(permute_kernel<Word>, blocks_for(y.numel()), kBlock, axes,
         reinterpret_cast<const Word*>(x.device_data<T>()), reinterpret_cast<Word*>(y.device_data<T>()),
         y.numel());
}

}  // namespace

void permute(const Tensor& x, const std::vector<int64_t>& strides, const Tensor& y) {
  check(strides.size() <= kAxes, "permute on the GPU: ", to_string(x.shape()), " has more than ", kAxes,
        " axes");
  if (y.numel() == 0) return;
  Axes axes{y.rank(), {}, {}};
  for (size_t i = 0; i < strides.size(); ++i) {
    axes.size[i] = y.shape()[strides.size() - 1 - i];
    axes.stride[i] = strides[strides.size() - 1 - i];
  }
  if (x.dtype() == DType::bf16) return run<uint16_t, bf16>(axes, x, y);
  if (x.dtype() == DType::f16) return run<uint16_t, f16>(axes, x, y);
  if (x.dtype() == DType::f32) return run<uint32_t, float>(axes, x, y);
  if (x.dtype() == DType::f64) return run<uint64_t, double>(axes, x, y);
  run<uint64_t, int64_t>(axes, x, y);
}

}  // namespace dgp::cuda
