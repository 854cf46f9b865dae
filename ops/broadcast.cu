// One thread an element of the result.
#include "ops/broadcast_cuda.h"
#include "tensor/cuda_kernel.h"
#include "tensor/storage.h"

namespace dgp::cuda {
namespace {

template <class From, class To>
__global__ void broadcast_kernel(Strides s, const From* x, To* y, int64_t n) {
  int64_t i = element(), from = 0, unused = 0;
  if (i >= n) return;
  s.at(i, from, unused);
  y[i] = static_cast<To>(static_cast<float>(x[from]));
}

template <class From, class To>
void run(const Tensor& x, const Tensor& y) {
  launch(broadcast_kernel<From, To>, blocks_for(y.numel()), kBlock, strides(y.shape(), x.shape(), x.shape()),
         x.device_data<From>(), y.device_data<To>(), y.numel());
}

}  // namespace

void broadcast_into(const Tensor& x, const Tensor& y) {
  if (y.numel() == 0) return;
  dispatch_storage(y.dtype(), "broadcast_to", [&](auto zero) {
    using To = decltype(zero);
    x.dtype() == y.dtype() ? run<To, To>(x, y) : run<float, To>(x, y);
  });
}

}  // namespace dgp::cuda
