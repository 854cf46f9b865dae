// The f32 path of convolution: which kernel a convolution takes, how its work is cut into chunks, and the
// weights made ready for it. Chunks are fixed by shapes alone, partial sums are added in chunk order.
#pragma once

#include "ops/conv2d.h"
#include "ops/kernels/active.h"

namespace dgp::cpu {

// Weights packed for one direction of a convolution: forward, or (transposed) the gradient in x.
struct PackedWeights {
  const Kernels* kernels;
  Tensor u;            // one packed set, or one per image
  int64_t image_size;  // floats from an image's set to the next, 0 for a shared set
  bool winograd;
};

bool has_fast_path(const ConvGeometry& g);

PackedWeights pack_weights(const ConvGeometry& g, const Tensor& w, bool transposed);

// y = leaky(conv(x, w) + b, slope) + residual, on the rows that g names; b and residual may be null.
void run_forward(const ConvGeometry& g, const PackedWeights& weights, float slope, const float* x,
                 const float* b, const float* residual, float* y);
void run_backward_data(const ConvGeometry& g, const PackedWeights& weights, const float* dy, float* dx);
void run_backward_weight(const ConvGeometry& g, const float* dy, const float* x, float* dw);

}  // namespace dgp::cpu
