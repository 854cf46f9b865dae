// Means of an image's k*k shifted, zero-padded windows: what a same-padded convolution's mean is linear in.
//   m[n,ky,kx,c] = 1/(H W) * sum over y,x of xpad[n, y+ky, x+kx, c],  xpad: x with k/2 zeros around,
// so mean(conv(x, w))[o] = sum_{ky,kx,c} w[o,ky,kx,c] m[ky,kx,c]. AIIBlock's gates come out of it before the
// convolution that they gate is computed (block folding).
#pragma once

#include <vector>

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

// x [N,H,W,C] -> [N,k,k,C], k odd, H and W at least 1; of 16 bits (on the GPU) to f32.
Var window_means(const Var& x, int64_t k);

namespace cpu {

// The same sums of one image of f32 from those of its 4x4 tiles, as its rows are made, band after band: of
// the pixels themselves only the borders are read again. The bits do not depend on how rows are cut into
// bands.
class WindowSums {
 public:
  WindowSums(int64_t height, int64_t width, int64_t channels, int64_t k);
  // Rows x [R,W,C] from row `first`, a multiple of 4, on; tiles [R/4,W/4,C], both rounded up.
  void add(const float* x, int64_t first, int64_t rows, const float* tiles);
  void means(float* to) const;  // [k,k,C]

 private:
  int64_t height_, width_, channels_, k_;
  std::vector<double> sums_, of_tile_rows_;
};

// The means of f32 x [N,H,W,C] from tiles [N,H/4,W/4,C].
Tensor window_means_of_tiles(const Tensor& x, const Tensor& tiles, int64_t k);

// The gradient in x, f32 or f64, from dm [N,k,k,C]; added to `sum`, unless that is undefined.
Tensor window_means_gradient(const Tensor& dm, int64_t k, const Shape& x, Tensor sum);

// The same, f32, row after row of one image, without a sum: dm [k,k,C].
class WindowGradientRows {
 public:
  WindowGradientRows(const float* dm, int64_t height, int64_t width, int64_t channels, int64_t k);
  const float* row(int64_t y);  // [W,C], until the next call

 private:
  const float* dm_;
  int64_t height_, width_, channels_, k_, first_ = -1, last_ = -1;  // of dm's rows, in what row_ holds
  std::vector<float> row_;
};

}  // namespace cpu

namespace cuda {
DGP_CUDA_FUNCTION void window_means(const Tensor& x, int64_t k, const Tensor& means);
// The same in two steps, for an image that comes in bands: x [1,R,W,C] -> sums of its rows, f64 [R,k*C]; then
// of all rows of n images, [n*H,k*C], `width` pixels each -> means [n,k,k,C].
DGP_CUDA_FUNCTION void window_row_sums(const Tensor& x, int64_t k, const Tensor& sums);
DGP_CUDA_FUNCTION void means_of_row_sums(const Tensor& sums, int64_t width, const Tensor& means);
DGP_CUDA_FUNCTION void window_means_backward(const Tensor& dy, int64_t k, const Tensor& dx);
}  // namespace cuda
}  // namespace dgp
