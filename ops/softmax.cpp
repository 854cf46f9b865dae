#include "ops/softmax.h"

#include <algorithm>
#include <cmath>

#include "tensor/parallel.h"

namespace dgp {

namespace cpu {

template <class T>
void softmax_rows(T* x, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; ++r, x += n) {
    T highest = *std::max_element(x, x + n);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      x[i] = std::exp(x[i] - highest);
      sum += static_cast<double>(x[i]);
    }
    T scale = static_cast<T>(1 / sum);
    for (int64_t i = 0; i < n; ++i) x[i] *= scale;
  }
}

template <class T>
void softmax_backward_rows(const T* y, T* dy, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; ++r, y += n, dy += n) {
    double dot = 0;
    for (int64_t i = 0; i < n; ++i) dot += static_cast<double>(y[i]) * static_cast<double>(dy[i]);
    for (int64_t i = 0; i < n; ++i) dy[i] = y[i] * (dy[i] - static_cast<T>(dot));
  }
}

template void softmax_rows(float*, int64_t, int64_t);
template void softmax_rows(double*, int64_t, int64_t);
template void softmax_backward_rows(const float*, float*, int64_t, int64_t);
template void softmax_backward_rows(const double*, double*, int64_t, int64_t);

}  // namespace cpu

Var softmax(const Var& x) {
  check(x.value().rank() >= 1 && x.dim(-1) >= 1, "softmax: expects [...,C] with C >= 1, input ",
        to_string(x.shape()));
  int64_t n = x.dim(-1), rows = x.value().numel() / n, grain = std::max<int64_t>(1, kPointwiseGrain / n);
  Tensor y = x.value().clone();
  if (y.device() == Device::cuda)
    cuda::softmax_rows(y.device_data<float>(), rows, n);
  else
    dispatch_float(x.dtype(), "softmax", [&](auto zero) {
      using T = decltype(zero);
      parallel_for(rows, grain, [&, p = y.data<T>()](int64_t begin, int64_t end) {
        cpu::softmax_rows(p + begin * n, end - begin, n);
      });
    });
  return record(y, {x}, [y, n, rows, grain](const Tensor& dy, const Wanted&) {
    Tensor dx = dy.clone();
    if (dx.device() == Device::cuda) {
      cuda::softmax_backward_rows(y.device_data<float>(), dx.device_data<float>(), rows, n);
      return std::vector<Tensor>{dx};
    }
    dispatch_float(dy.dtype(), "softmax", [&](auto zero) {
      using T = decltype(zero);
      parallel_for(rows, grain, [&, d = dx.data<T>(), p = y.data<T>()](int64_t begin, int64_t end) {
        cpu::softmax_backward_rows(p + begin * n, d + begin * n, end - begin, n);
      });
    });
    return std::vector<Tensor>{dx};
  });
}

}  // namespace dgp
