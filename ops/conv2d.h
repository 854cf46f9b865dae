// Two-dimensional convolution (cross-correlation, as every deep learning framework means it), with bias,
// activation and residual in one pass:
//
//   z[n,y,x,o] = b[o] + sum_{i,j,c} w[o,i,j,c] * x[n, y*stride - padding + i*dilation, x*stride - ..., c]
//   y          = activation(z) + residual                        (x is zero outside the image)
//   dz = dy * activation'(z);  db = sum dz;  dw = correlation of x with dz;  dx = dz convolved with w
//
// Group g of `groups` maps input channels [g*C/groups, ...) to output channels [g*O/groups, ...).
// f32 takes the fastest kernel of this machine (ops/kernels), f64 the plain loops of conv2d_reference.h. On
// the GPU feature maps (x, residual, y and their gradients) may be stored in bf16 or f16, each on its own;
// kernels, bias and their gradients stay f32. A convolution multiplies factors of that 16-bit type, of what
// it reads before what it writes, else those that tensor/cuda_math.h has in use; sums are f32.
#pragma once

#include <memory>
#include <optional>

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

enum class Activation { none, relu, leaky_relu };

// fast: 3x3 convolutions of inference multiply in bf16 and add in f32, where the machine can (has_bf16() of
// tensor/isa.h; elsewhere it is full). One layer's relative error is about 1e-2; full: 1e-6.
enum class Precision { full, fast };

struct Conv2dOptions {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
  Activation activation = Activation::none;
  double slope = 0.1;                // of leaky_relu below zero; >= 0
  std::optional<DType> result = {};  // what y is stored in; x's type unless said. Another on the GPU only
};

// x [N,H,W,C]; w [O,KH,KW,C/groups], or one kernel per image [N,O,KH,KW,C/groups]; b [O] or [N,O] or
// undefined; residual shaped like the result [N,OH,OW,O] or undefined. Differentiable in all four.
Var conv2d(const Var& x, const Var& w, const Var& b = {}, const Conv2dOptions& options = {},
           const Var& residual = {});

// y = conv2d(x, w, b, options) and means = window_means(y, k) (ops/window_means.h). In f32 on the CPU with
// fewer passes over y: the pixels are summed as they are stored, and the means' gradient is added where that
// of the activation is taken.
struct Conv2dMeans {
  Var y, means;
};
Conv2dMeans conv2d_window_means(const Var& x, const Var& w, const Var& b, const Conv2dOptions& options,
                                int64_t k);

// Sizes of one convolution, and which rows of its images are in memory: x holds input rows
// [x_first, x_first + x_rows) of h, y output rows [y_first, y_first + y_rows) of oh.
struct ConvGeometry {
  int64_t n, h, w, c, oh, ow, o, kh, kw, stride, padding, dilation, groups;
  bool w_per_image, b_per_image;
  int64_t x_first, x_rows, y_first, y_rows;
};

// Checks shapes and options; throws Error(invalid) that names the shape expected and the one that came.
ConvGeometry conv_geometry(const Shape& x, const Shape& w, const Conv2dOptions& options);

namespace cpu {

// y = activation(conv(x, w) + b) + residual; b and residual may be undefined.
// sums: null, or for f32 on the CPU, receives those of the pixels of each 4x4 tile of y, [N,OH/4,OW/4,O],
// both rounded up.
Tensor conv2d_forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options,
                      const Tensor& residual = {}, float* sums = nullptr);
// Gradients of the convolution alone; dy is what the activation lets through. stride, padding, dilation and
// groups of the options are read.
Tensor conv2d_backward_data(const Tensor& dy, const Tensor& w, const Shape& x, const Conv2dOptions& options);
Tensor conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Shape& w,
                              const Conv2dOptions& options);

}  // namespace cpu

namespace cuda {
// y = activation(conv(x, w) + b) + residual for the rows that g names; slope: of z below zero, 1 for no
// activation. a, where defined: receives activation(conv(x, w) + b).
DGP_CUDA_FUNCTION void conv2d_rows(const ConvGeometry& g, float slope, const Tensor& x, const Tensor& w,
                                   const Tensor& b, const Tensor& residual, const Tensor& y,
                                   const Tensor& a = {});
// dx = the gradient + sum, which may be undefined, or dx itself.
DGP_CUDA_FUNCTION void conv2d_backward_data(const ConvGeometry& g, const Tensor& dy, const Tensor& w,
                                            const Tensor& sum, const Tensor& dx);
DGP_CUDA_FUNCTION void conv2d_backward_weight(const ConvGeometry& g, const Tensor& dy, const Tensor& x,
                                              const Tensor& dw);
// dz = dy activation'(z), where a = activation(z), all three of one type; db [O] or [N,O], f32: the sum of dz
// over pixels.
DGP_CUDA_FUNCTION void activation_gradient(const Tensor& dy, const Tensor& a, float slope, const Tensor& dz);
DGP_CUDA_FUNCTION void bias_gradient(const Tensor& dz, const Tensor& db);
}  // namespace cuda

// Inference: weights made ready once, run on bands of rows. Stride 1 and "same" padding only. The bits of a
// result do not depend on how an image is cut into bands.
class PreparedConv2d {
 public:
  PreparedConv2d(const Tensor& w, const Conv2dOptions& options, Precision precision = Precision::full);

  // x holds rows [x_first, x_first + x.dim(1)) of images of `height` rows, and at least every row inside the
  // image that the result needs; y receives rows [y_first, y_first + y.dim(1)), y_first a multiple of 4.
  // residual: rows as y, or undefined. sums, or undefined: f32 [N,R/4,W/4,O], both rounded up, receives those
  // of the pixels of each 4x4 tile of y's R rows.
  void run(const Tensor& x, int64_t x_first, int64_t height, const Tensor& b, const Tensor& residual,
           const Tensor& y, int64_t y_first, const Tensor& sums = {}) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace dgp
