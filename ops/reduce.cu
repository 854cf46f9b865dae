#include "ops/reduce.h"
#include "ops/reduce_cuda.h"

namespace dgp::cuda {

void sum_axis(const Tensor& x, int64_t outer, int64_t rows, int64_t inner, double scale, const Tensor& y) {
  auto from = [&](auto load) {
    if (y.dtype() == DType::f64)
      sum_axis(load, outer, rows, inner, scale, y.device_data<double>());
    else
      sum_axis(load, outer, rows, inner, scale, y.device_data<float>());
  };
  if (x.dtype() == DType::f64)
    from(LoadF64{x.device_data<double>()});
  else
    from(LoadF32{x.device_data<float>()});
}

}  // namespace dgp::cuda
