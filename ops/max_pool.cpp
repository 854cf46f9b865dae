#include "ops/max_pool.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace dgp {
namespace {

// f(row, o): result row `row` = n * H/2 + i begins at element o; its four sources begin at p[0..3], a pixel
// of C channels each, for j = 0, 1, ...
template <class F>
void each_pixel(const Shape& x, const F& f) {
  const int64_t H = x[1], W = x[2], C = x[3], h = H / 2, w = W / 2;
  parallel_for(x[0] * h, std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, w * C)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end; ++row)
                   for (int64_t j = 0; j < w; ++j) {
                     const int64_t top = ((row / h * H + row % h * 2) * W + 2 * j) * C;
                     f((row * w + j) * C, top, top + C, top + W * C, top + W * C + C);
                   }
               });
}

template <class T>
void forward(const Tensor& x, const Tensor& y) {
  const T* p = x.data<T>();
  T* q = y.data<T>();
  each_pixel(x.shape(), [&, C = x.dim(3)](int64_t o, int64_t a, int64_t b, int64_t c, int64_t d) {
    for (int64_t k = 0; k < C; ++k)
      q[o + k] = std::max(std::max(p[a + k], p[b + k]), std::max(p[c + k], p[d + k]));
  });
}

template <class T>
void backward_data(const Tensor& x, const Tensor& y, const Tensor& dy, const Tensor& dx) {
  const T *p = x.data<T>(), *q = y.data<T>(), *g = dy.data<T>();
  T* r = dx.data<T>();
  each_pixel(x.shape(), [&, C = x.dim(3)](int64_t o, int64_t a, int64_t b, int64_t c, int64_t d) {
    for (int64_t k = 0; k < C; ++k) {
      const T top = q[o + k];
      const int64_t at = p[a + k] == top ? a : p[b + k] == top ? b : p[c + k] == top ? c : d;
      r[at + k] = g[o + k];
    }
  });
}

}  // namespace

Var max_pool(const Var& x) {
  check_rank("max_pool", "input", x.value(), 4);
  check(x.dim(1) >= 2 && x.dim(2) >= 2, "max_pool: expects at least 2x2 pixels, input is ",
        to_string(x.shape()));
  Tensor y({x.dim(0), x.dim(1) / 2, x.dim(2) / 2, x.dim(3)}, x.dtype(), x.value().device());
  if (y.device() == Device::cuda)
    cuda::max_pool(x.value(), y);
  else
    dispatch_float(x.dtype(), "max_pool", [&](auto zero) { forward<decltype(zero)>(x.value(), y); });
  return record(y, {x}, [x = x.value(), y](const Tensor& dy, const Wanted&) {
    Tensor dx = Tensor::zeros(x.shape(), x.dtype(), x.device());
    if (dx.device() == Device::cuda) {
      cuda::max_pool_backward(x, y, dy, dx);
      return std::vector<Tensor>{dx};
    }
    dispatch_float(x.dtype(), "max_pool", [&](auto zero) { backward_data<decltype(zero)>(x, y, dy, dx); });
    return std::vector<Tensor>{dx};
  });
}

}  // namespace dgp
