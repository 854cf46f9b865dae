// Means of a function of the difference, in double, and their gradients, one thread an element.
#include "ops/loss_functions.h"
#include "ops/reduce_cuda.h"

namespace dgp::cuda {
namespace {

template <class Function>
struct LoadDifference {
  Function fn;
  const float *x, *t;
  __device__ double operator()(int64_t i) const { return static_cast<double>(fn.f(x[i] - t[i])); }
};

template <class Function>
__global__ void gradient_kernel(Function fn, const float* x, const float* t, const float* dy, double scale,
                                float* dx, int64_t n) {
  int64_t i = element();
  if (i < n) dx[i] = static_cast<float>(static_cast<double>(dy[0]) * scale) * fn.df(x[i] - t[i]);
}

}  // namespace

template <class Function>
void mean_of(const Tensor& x, const Tensor& t, Function fn, double scale, const Tensor& y) {
  sum_axis(LoadDifference<Function>{fn, x.device_data<float>(), t.device_data<float>()}, 1, x.numel(), 1,
           scale, y.device_data<float>());
}

template <class Function>
void mean_of_gradient(const Tensor& x, const Tensor& t, const Tensor& dy, Function fn, double scale,
                      const Tensor& dx) {
  launch(gradient_kernel<Function>, blocks_for(x.numel()), kBlock, fn, x.device_data<float>(),
         t.device_data<float>(), dy.device_data<float>(), scale, dx.device_data<float>(), x.numel());
}

#define DGP_LOSS(Function)                                                                    \
  template void mean_of(const Tensor&, const Tensor&, losses_of_difference::Function, double, \
                        const Tensor&);                                                       \
  template void mean_of_gradient(const Tensor&, const Tensor&, const Tensor&,                 \
                                 losses_of_difference::Function, double, const Tensor&);
DGP_LOSS(L1)
DGP_LOSS(Charbonnier)
DGP_LOSS(Mse)
#undef DGP_LOSS

}  // namespace dgp::cuda
