// Products with u and v as sums in double (reduce_cuda.h); the singular value stays on the device.
#include <cmath>

#include "ops/reduce_cuda.h"
#include "ops/spectral_norm.h"

namespace dgp::cuda {
namespace {

struct LoadColumn {  // of W^T u: rows are summed
  const float *w, *u;
  int64_t columns;
  __device__ double operator()(int64_t i) const {
    return static_cast<double>(w[i]) * static_cast<double>(u[i / columns]);
  }
};
struct LoadRow {  // of W v
  const float *w, *v;
  int64_t columns;
  __device__ double operator()(int64_t i) const {
    return static_cast<double>(w[i]) * static_cast<double>(v[i % columns]);
  }
};
struct LoadForm {  // of u^T W v
  const float *w, *u, *v;
  int64_t columns;
  __device__ double operator()(int64_t i) const {
    return static_cast<double>(w[i]) * static_cast<double>(u[i / columns]) *
           static_cast<double>(v[i % columns]);
  }
};
struct LoadSquare {
  const double* x;
  __device__ double operator()(int64_t i) const { return x[i] * x[i]; }
};
struct LoadProduct {
  const float *a, *b;
  __device__ double operator()(int64_t i) const {
    return static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
};

__global__ void normalise_kernel(const double* from, const double* square, float* x, int64_t n) {
  int64_t i = element();
  double norm = std::sqrt(square[0]);
  if (i < n) x[i] = static_cast<float>(from[i] / (norm > 1e-12 ? norm : 1e-12));
}

__global__ void divide_kernel(const float* w, const double* s, float* y, int64_t n) {
  int64_t i = element();
  if (i < n) y[i] = static_cast<float>(static_cast<double>(w[i]) / s[0]);
}

__global__ void gradient_kernel(const float* dy, const float* u, const float* v, const double* s,
                                const double* along, int64_t columns, float* dw, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  double uv = static_cast<double>(u[i / columns]) * static_cast<double>(v[i % columns]);
  dw[i] = static_cast<float>(static_cast<double>(dy[i]) / s[0] - along[0] / (s[0] * s[0]) * uv);
}

// x <- `product` / its norm.
template <class Load>
void iterate_vector(Load product, int64_t outer, int64_t rows, int64_t inner, const Tensor& x) {
  Tensor sums({x.numel()}, DType::f64, Device::cuda), square({1}, DType::f64, Device::cuda);
  sum_axis(product, outer, rows, inner, 1, sums.device_data<double>());
  sum_axis(LoadSquare{sums.device_data<double>()}, 1, x.numel(), 1, 1, square.device_data<double>());
  launch(normalise_kernel, blocks_for(x.numel()), kBlock, sums.device_data<double>(),
         square.device_data<double>(), x.device_data<float>(), x.numel());
}

}  // namespace

void spectral_norm(const Tensor& w, const Tensor& u, const Tensor& v, bool iterate, const Tensor& s,
                   const Tensor& y) {
  const float *p = w.device_data<float>(), *pu = u.device_data<float>(), *pv = v.device_data<float>();
  int64_t rows = u.numel(), columns = v.numel();
  if (iterate) {
    iterate_vector(LoadColumn{p, pu, columns}, 1, rows, columns, v);
    iterate_vector(LoadRow{p, pv, columns}, rows, columns, 1, u);
  }
  sum_axis(LoadForm{p, pu, pv, columns}, 1, w.numel(), 1, 1, s.device_data<double>());
  launch(divide_kernel, blocks_for(w.numel()), kBlock, p, s.device_data<double>(), y.device_data<float>(),
         w.numel());
}

void spectral_norm_backward(const Tensor& w, const Tensor& u, const Tensor& v, const Tensor& s,
                            const Tensor& dy, const Tensor& dw) {
  Tensor along({1}, DType::f64, Device::cuda);
  sum_axis(LoadProduct{dy.device_data<float>(), w.device_data<float>()}, 1, w.numel(), 1, 1,
           along.device_data<double>());
  launch(gradient_kernel, blocks_for(w.numel()), kBlock, dy.device_data<float>(), u.device_data<float>(),
         v.device_data<float>(), s.device_data<double>(), along.device_data<double>(), v.numel(),
         dw.device_data<float>(), w.numel());
}

}  // namespace dgp::cuda
