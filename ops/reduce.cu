#include "ops/reduce.h"
#include "ops/reduce_cuda.h"
#include "tensor/storage.h"

namespace dgp::cuda {

void sum_axis(const Tensor& x, int64_t outer, int64_t rows, int64_t inner, double scale, const Tensor& y) {
  auto from = [&](auto load) {
    if (y.dtype() == DType::f64)
      sum_axis(load, outer, rows, inner, scale, y.device_data<double>());
    else
      sum_axis(load, outer, rows, inner, scale, y.device_data<float>());
  };
  if (x.dtype() == DType::f64) return from(LoadF64{x.device_data<double>()});
  dispatch_storage(x.dtype(), "sum", [&](auto zero) {
    using T = decltype(zero);
    from(LoadStored<T>{x.device_data<T>()});
  });
}

}  // namespace dgp::cuda
