#include "ops/spectral_norm.h"

#include <algorithm>
#include <cmath>

namespace dgp {
namespace {

// x <- x / max(|x|, 1e-12), taken from doubles.
template <class T>
void normalise(const std::vector<double>& from, T* x) {
  double sum = 0;
  for (double f : from) sum += f * f;
  const double scale = 1 / std::max(std::sqrt(sum), 1e-12);
  for (size_t i = 0; i < from.size(); ++i) x[i] = static_cast<T>(from[i] * scale);
}

template <class T>
std::vector<double> times(const T* w, int64_t rows, int64_t columns, const T* v) {
  std::vector<double> result(static_cast<size_t>(rows));
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t c = 0; c < columns; ++c)
      sum += static_cast<double>(w[r * columns + c]) * static_cast<double>(v[c]);
    result[static_cast<size_t>(r)] = sum;
  }
  return result;
}

template <class T>
std::vector<double> times_transposed(const T* w, int64_t rows, int64_t columns, const T* u) {
  std::vector<double> result(static_cast<size_t>(columns));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      result[static_cast<size_t>(c)] += static_cast<double>(w[r * columns + c]) * static_cast<double>(u[r]);
  return result;
}

template <class T>
double singular_value(const Tensor& w, const Tensor& u, const Tensor& v, bool iterate) {
  const int64_t rows = u.numel(), columns = v.numel();
  const T* p = w.data<T>();
  if (iterate) {
    normalise(times_transposed(p, rows, columns, u.data<T>()), v.data<T>());
    normalise(times(p, rows, columns, v.data<T>()), u.data<T>());
  }
  const std::vector<double> wv = times(p, rows, columns, v.data<T>());
  double s = 0;
  for (int64_t r = 0; r < rows; ++r) s += static_cast<double>(u.data<T>()[r]) * wv[static_cast<size_t>(r)];
  return s;
}

template <class T>
void gradient(const Tensor& w, const Tensor& u, const Tensor& v, double s, const Tensor& dy,
              const Tensor& dw) {
  const T *p = w.data<T>(), *g = dy.data<T>();
  double along = 0;
  for (int64_t i = 0; i < w.numel(); ++i) along += static_cast<double>(g[i]) * static_cast<double>(p[i]);
  const int64_t columns = v.numel();
  for (int64_t i = 0; i < w.numel(); ++i) {
    const double uv =
        static_cast<double>(u.data<T>()[i / columns]) * static_cast<double>(v.data<T>()[i % columns]);
    dw.data<T>()[i] = static_cast<T>(static_cast<double>(g[i]) / s - along / (s * s) * uv);
  }
}

Var on_gpu(const Var& w, const Tensor& u, const Tensor& v, bool iterate) {
  Tensor y(w.shape(), w.dtype(), Device::cuda), s({1}, DType::f64, Device::cuda);
  cuda::spectral_norm(w.value(), u, v, iterate, s, y);
  if (!recording({w})) return Var(y);
  return record(y, {w}, [w = w.value(), u = u.clone(), v = v.clone(), s](const Tensor& dy, const Wanted&) {
    Tensor dw(w.shape(), w.dtype(), Device::cuda);
    cuda::spectral_norm_backward(w, u, v, s, dy, dw);
    return std::vector<Tensor>{dw};
  });
}

}  // namespace

Var spectral_norm(const Var& w, const Tensor& u, const Tensor& v, bool iterate) {
  check(w.value().rank() >= 2 && u.numel() == w.dim(0) && u.numel() * v.numel() == w.value().numel() &&
            u.dtype() == w.dtype() && v.dtype() == w.dtype(),
        "spectral_norm: weight ", to_string(w.shape()), " expects u [", w.dim(0), "] and v of one row, got ",
        to_string(u.shape()), " and ", to_string(v.shape()));
  if (w.value().device() == Device::cuda) return on_gpu(w, u, v, iterate);
  double s = 0;
  Tensor y(w.shape(), w.dtype());
  dispatch_float(w.dtype(), "spectral_norm", [&](auto zero) {
    using T = decltype(zero);
    s = singular_value<T>(w.value(), u, v, iterate);
    for (int64_t i = 0; i < y.numel(); ++i)
      y.data<T>()[i] = static_cast<T>(static_cast<double>(w.value().data<T>()[i]) / s);
  });
  if (!recording({w})) return Var(y);
  return record(y, {w}, [w = w.value(), u = u.clone(), v = v.clone(), s](const Tensor& dy, const Wanted&) {
    Tensor dw(w.shape(), w.dtype());
    dispatch_float(w.dtype(), "spectral_norm",
                   [&](auto zero) { gradient<decltype(zero)>(w, u, v, s, dy, dw); });
    return std::vector<Tensor>{dw};
  });
}

}  // namespace dgp
