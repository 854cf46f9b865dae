// Weights of convolutions on the GPU as its kernels read them: made once where several calls take the same,
// as in the upscaler's plan; a call that is given plain weights makes them for itself.
#pragma once

#include "ops/conv2d.h"
#include "tensor/cuda_math.h"

namespace dgp::cuda {

// Weights [O,KH,KW,C/groups], or [N,O,KH,KW,C/groups], rounded to the factors that are multiplied, each
// kernel a row that is filled up with zeros. They may be the weights themselves, which then must not change.
struct PreparedWeights {
  Shape shape;                     // of the weights
  Tensor memory;                   // of the rows, whatever the factors' type is
  int64_t pitch = 0;               // from one row to the next
  Factors factors = Factors::f32;  // what they are for: these factors, and x of this type
  DType x = DType::f32;
};

// For convolutions that read maps of the one type and write maps of the other, and with the factors in use
// when it is called. memory: f32 of prepared_numel(w) elements in device memory, where the result is to lie.
// Queued on stream().
DGP_CUDA_FUNCTION PreparedWeights prepare_weights(const Tensor& w, DType read, DType written,
                                                  const Tensor& memory = {});
inline int64_t prepared_numel(const Shape& w) {
  const int64_t depth = w.end()[-1] * w.end()[-2] * w.end()[-3];
  return numel(w) / depth * ((depth + 15) / 16 * 16);
}

// cuda::conv2d_rows (ops/conv2d.h) with such weights. Throws Error(invalid) when they are for other factors
// or another type of x.
DGP_CUDA_FUNCTION void conv2d_rows(const ConvGeometry& g, float slope, const Tensor& x,
                                   const PreparedWeights& w, const Tensor& b, const Tensor& residual,
                                   const Tensor& y, const Tensor& a = {});

}  // namespace dgp::cuda
