// JPEG as a differentiable operation: DiffJPEG (Lomnitz, 2019, after Shin and Song, "JPEG-resistant
// Adversarial Images", 2017) as BasicSR and Real-ESRGAN have it. With B the orthonormal 8x8 cosine basis and
// M the 2x2 means of colour:
//   x -> Y, Cb, Cr = colour(255 x), M Cb, M Cr;  q = B (plane - 128) B' / steps;  back from round(q) steps
//   whole:   round(q), halves to even; its derivative is 0, and so is the gradient
//   smooth:  r(q) = round(q) + (q - round(q))^3, r'(q) = 3 (q - round(q))^2      (BasicSR:
//   differentiable=True) dx = colour' M' B' (r'(q) * B (M colour)^-1' dy B') B where the result lay in [0, 1]
// Steps are the standard's, transposed, scaled by a real number and not rounded; repeated colour, zeros
// beyond the right and bottom border. Not what a JPEG file gives.
//
// For losses and networks that look through a coder: training that must survive JPEG (watermarks, learned
// rescaling, restoration judged after saving). Degradations, which need no gradient, use the whole form.
#pragma once

#include <array>

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

enum class JpegSteps { whole, smooth };

// x [N,H,W,3] in [0, 1], f32 or f64; quality above 0 and up to 100 -> the same shape, in [0, 1].
Var diff_jpeg(const Var& x, double quality, JpegSteps steps = JpegSteps::smooth);

using JpegBlock = std::array<double, 64>;

struct DiffJpegTables {
  JpegBlock luma, chroma;  // steps
};
DiffJpegTables diff_jpeg_tables(double quality);

const JpegBlock& diff_jpeg_basis();  // B, [frequency][position]

namespace cpu {
// One picture [H,W,3] on the calling thread; x and y may be the same.
template <class T>
void diff_jpeg(const T* x, int64_t height, int64_t width, const DiffJpegTables& tables, JpegSteps steps,
               T* y);
}  // namespace cpu

namespace cuda {
DGP_CUDA_FUNCTION void diff_jpeg(const Tensor& x, const DiffJpegTables& tables, JpegSteps steps,
                                 const Tensor& y);
DGP_CUDA_FUNCTION void diff_jpeg_gradient(const Tensor& x, const Tensor& dy, const DiffJpegTables& tables,
                                          const Tensor& dx);
}  // namespace cuda

}  // namespace dgp
