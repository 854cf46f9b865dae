// A warp a row, moments in double; the gradients of gamma and beta are sums over rows (reduce_cuda.h).
#include "ops/layer_norm.h"
#include "ops/reduce_cuda.h"
#include "ops/warp_cuda.h"

namespace dgp::cuda {
namespace {

__global__ void forward_kernel(const float* x, const float* gamma, const float* beta, double eps,
                               int64_t rows, int64_t n, float* y, float* z, double* scales) {
  int64_t row = warp_row();
  if (row >= rows) return;  // the whole warp
  const float* p = x + row * n;
  double mean = 0, var = 0;
  for (int64_t i = lane(); i < n; i += 32) mean += static_cast<double>(p[i]);
  mean = warp_sum(mean) / static_cast<double>(n);
  for (int64_t i = lane(); i < n; i += 32) {
    double d = static_cast<double>(p[i]) - mean;
    var += d * d;
  }
  double scale = 1 / std::sqrt(warp_sum(var) / static_cast<double>(n) + eps);
  if (scales && lane() == 0) scales[row] = scale;
  for (int64_t i = lane(); i < n; i += 32) {
    float normal = static_cast<float>((static_cast<double>(p[i]) - mean) * scale);
    if (z) z[row * n + i] = normal;
    y[row * n + i] = (gamma ? gamma[i] * normal : normal) + (beta ? beta[i] : 0.0F);
  }
}

__global__ void backward_kernel(const float* dy, const float* z, const float* gamma, const double* scales,
                                int64_t rows, int64_t n, float* dx) {
  int64_t row = warp_row();
  if (row >= rows) return;
  const float *d = dy + row * n, *q = z + row * n;
  double sum = 0, sum_z = 0;
  for (int64_t i = lane(); i < n; i += 32) {
    double g = static_cast<double>(gamma ? gamma[i] * d[i] : d[i]);
    sum += g;
    sum_z += g * static_cast<double>(q[i]);
  }
  sum = warp_sum(sum) / static_cast<double>(n);
  sum_z = warp_sum(sum_z) / static_cast<double>(n);
  for (int64_t i = lane(); i < n; i += 32) {
    double g = static_cast<double>(gamma ? gamma[i] * d[i] : d[i]);
    dx[row * n + i] = static_cast<float>((g - sum - static_cast<double>(q[i]) * sum_z) * scales[row]);
  }
}

struct LoadProduct {
  const float *a, *b;
  __device__ double operator()(int64_t i) const {
    return static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
};

template <class T>
T* data(const Tensor& t) {
  return t.defined() ? t.device_data<T>() : nullptr;
}

}  // namespace

void layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps, const Tensor& y,
                const Tensor& z, const Tensor& scales) {
  int64_t n = x.dim(-1), rows = x.numel() / n;
  if (rows == 0) return;
  launch(forward_kernel, blocks_for(rows * 32), kBlock, data<float>(x), data<float>(gamma), data<float>(beta),
         eps, rows, n, data<float>(y), data<float>(z), data<double>(scales));
}

void layer_norm_backward(const Tensor& dy, const Tensor& z, const Tensor& gamma, const Tensor& scales,
                         const Tensor& dx) {
  int64_t n = dy.dim(-1), rows = dy.numel() / n;
  if (rows == 0) return;
  launch(backward_kernel, blocks_for(rows * 32), kBlock, data<float>(dy), data<float>(z), data<float>(gamma),
         data<double>(scales), rows, n, data<float>(dx));
}

void layer_norm_backward_gamma(const Tensor& dy, const Tensor& z, const Tensor& dgamma) {
  int64_t n = dy.dim(-1);
  sum_axis(LoadProduct{data<float>(dy), data<float>(z)}, 1, dy.numel() / n, n, 1, data<float>(dgamma));
}

}  // namespace dgp::cuda
