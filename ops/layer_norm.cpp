#include "ops/layer_norm.h"

#include <algorithm>
#include <cmath>

#include "ops/reduce.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

struct Rows {
  int64_t count, n, grain;
};

// y and, for the gradient, z and 1/sqrt(var + eps) of each row (null: not kept).
template <class T>
void forward(const Rows& rows, const T* x, const T* gamma, const T* beta, double eps, T* y, T* z,
             double* scales) {
  int64_t n = rows.n;
  parallel_for(rows.count, rows.grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* p = x + r * n;
      double mean = 0, var = 0;
      for (int64_t i = 0; i < n; ++i) mean += static_cast<double>(p[i]);
      mean /= static_cast<double>(n);
      for (int64_t i = 0; i < n; ++i)
        var += (static_cast<double>(p[i]) - mean) * (static_cast<double>(p[i]) - mean);
      double scale = 1 / std::sqrt(var / static_cast<double>(n) + eps);
      if (scales) scales[r] = scale;
      for (int64_t i = 0; i < n; ++i) {
        T normal = static_cast<T>((static_cast<double>(p[i]) - mean) * scale);
        if (z) z[r * n + i] = normal;
        y[r * n + i] = (gamma ? gamma[i] * normal : normal) + (beta ? beta[i] : T(0));
      }
    }
  });
}

template <class T>
void backward_input(const Rows& rows, const T* dy, const T* z, const T* gamma, const double* scales, T* dx) {
  int64_t n = rows.n;
  parallel_for(rows.count, rows.grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T *d = dy + r * n, *q = z + r * n;
      auto g = [&](int64_t i) { return static_cast<double>(gamma ? gamma[i] * d[i] : d[i]); };
      double mean_g = 0, mean_gz = 0;
      for (int64_t i = 0; i < n; ++i) mean_g += g(i), mean_gz += g(i) * static_cast<double>(q[i]);
      mean_g /= static_cast<double>(n), mean_gz /= static_cast<double>(n);
      for (int64_t i = 0; i < n; ++i)
        dx[r * n + i] = static_cast<T>((g(i) - mean_g - static_cast<double>(q[i]) * mean_gz) * scales[r]);
    }
  });
}

template <class T>
Tensor product(const Tensor& a, const Tensor& b) {
  Tensor y(a.shape(), a.dtype());
  parallel_for(y.numel(), kPointwiseGrain,
               [p = a.data<T>(), q = b.data<T>(), out = y.data<T>()](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) out[i] = p[i] * q[i];
               });
  return y;
}

Tensor sum_of_rows(const Tensor& x, const Rows& rows) {
  return cpu::sum(x.reshape({rows.count, rows.n}), {true, false}).reshape({rows.n});
}

std::vector<Tensor> backward_on_gpu(const Tensor& dy, const Tensor& z, const Tensor& scales,
                                    const Tensor& gamma, const Rows& rows, const Wanted& wanted) {
  std::vector<Tensor> grads(3);
  if (wanted[0]) {
    grads[0] = Tensor(dy.shape(), dy.dtype(), Device::cuda);
    cuda::layer_norm_backward(dy, z, gamma, scales, grads[0]);
  }
  if (wanted[1]) {
    grads[1] = Tensor({rows.n}, dy.dtype(), Device::cuda);
    cuda::layer_norm_backward_gamma(dy, z, grads[1]);
  }
  if (wanted[2]) grads[2] = sum_of_rows(dy, rows);
  return grads;
}

template <class T>
const T* data_or_null(const Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}

}  // namespace

Var layer_norm(const Var& x, const Var& gamma, const Var& beta, double eps) {
  check(x.value().rank() >= 1 && x.dim(-1) >= 1 && eps > 0, "layer_norm: expects [...,C] with C >= 1, input ",
        to_string(x.shape()), ", and eps > 0, got ", eps);
  int64_t n = x.dim(-1), count = x.value().numel() / n;
  for (const Var* v : {&gamma, &beta})
    check(!v->defined() || (v->shape() == Shape{n} && v->dtype() == x.dtype()),
          "layer_norm: ", v == &gamma ? "gamma " : "beta ", to_string(v->dtype()), to_string(v->shape()),
          " expects [", n, "] in the type of input ", to_string(x.dtype()), to_string(x.shape()));
  Rows rows{count, n, std::max<int64_t>(1, kPointwiseGrain / n)};
  bool keep = recording({x, gamma, beta});
  Device device = x.value().device();
  Tensor y(x.shape(), x.dtype(), device), z, scales;
  if (keep) z = Tensor(x.shape(), x.dtype(), device), scales = Tensor({count}, DType::f64, device);
  if (device == Device::cuda)
    cuda::layer_norm(x.value(), gamma.value(), beta.value(), eps, y, z, scales);
  else
    dispatch_float(x.dtype(), "layer_norm", [&](auto zero) {
      using T = decltype(zero);
      forward(rows, x.value().data<T>(), data_or_null<T>(gamma.value()), data_or_null<T>(beta.value()), eps,
              y.data<T>(), keep ? z.data<T>() : nullptr, keep ? scales.data<double>() : nullptr);
    });
  return record(y, {x, gamma, beta},
                [z, scales, gamma = gamma.value(), rows](const Tensor& dy, const Wanted& wanted) {
                  if (dy.device() == Device::cuda) return backward_on_gpu(dy, z, scales, gamma, rows, wanted);
                  std::vector<Tensor> grads(3);
                  dispatch_float(dy.dtype(), "layer_norm", [&](auto zero) {
                    using T = decltype(zero);
                    if (wanted[0]) {
                      grads[0] = Tensor(dy.shape(), dy.dtype());
                      backward_input(rows, dy.data<T>(), z.data<T>(), data_or_null<T>(gamma),
                                     scales.data<double>(), grads[0].data<T>());
                    }
                    if (wanted[1]) grads[1] = sum_of_rows(product<T>(dy, z), rows);
                  });
                  if (wanted[2]) grads[2] = sum_of_rows(dy, rows);
                  return grads;
                });
}

}  // namespace dgp
