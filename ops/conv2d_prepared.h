// Weights of convolutions on the GPU as its kernels read them: made once where several calls take the same,
// as in the upscaler's plan; a call that is given plain weights makes them for itself.
#pragma once

#include "ops/conv2d.h"
#include "tensor/cuda_math.h"

namespace dgp::cuda {

// Weights [O,KH,KW,C/groups], or [N,O,KH,KW,C/groups], rounded to the factors that are multiplied, each
// kernel a row that is filled up with zeros; or transformed for Winograd. They may be the weights themselves,
// which then must not change.
struct PreparedWeights {
  Shape shape;                     // of the weights
  Tensor memory;                   // of what they have become, whatever the factors' type is
  int64_t pitch = 0;               // from one row to the next
  Factors factors = Factors::f32;  // what they are for: these factors, and x of this type
  DType x = DType::f32;
  int64_t winograd = 0;  // transformed: for stride and dilation 1, and so many groups
};

// Do convolutions with such weights, of f32 factors, take Winograd (conv2d_winograd.cu)? Of fewer channels
// there is too little to multiply, and blocks of outputs would be nearly empty; sums over more channels would
// be wrong by more than 1e-12 of their power.
constexpr int64_t kWinogradInputs = 8, kWinogradOutputs = 32;  // of a block, filled up with zeros
inline bool takes_winograd(const Shape& w, const Conv2dOptions& options) {
  constexpr int64_t kFewest = 16, kMost = 256;
  const auto at = w.end();
  return at[-2] == 3 && at[-3] == 3 && options.stride == 1 && options.dilation == 1 && at[-1] >= kFewest &&
         at[-1] <= kMost && at[-4] / options.groups >= kFewest;
}
inline int64_t winograd_numel(int64_t groups, int64_t inputs, int64_t outputs) {  // of each of the groups
  auto filled = [](int64_t n, int64_t block) { return (n + block - 1) / block * block; };
  return groups * 36 * filled(inputs, kWinogradInputs) * filled(outputs, kWinogradOutputs);
}

// For convolutions that read maps of the one type and write maps of the other, and with the factors in use
// when it is called; of the options stride, dilation and groups are read. memory: f32 of prepared_numel(w)
// elements in device memory, where the result is to lie, whatever the factors are. Queued on stream().
DGP_CUDA_FUNCTION PreparedWeights prepare_weights(const Tensor& w, DType read, DType written,
                                                  const Conv2dOptions& options = {},
                                                  const Tensor& memory = {});
inline int64_t prepared_numel(const Shape& w, const Conv2dOptions& options = {}) {
  const int64_t depth = w.end()[-1] * w.end()[-2] * w.end()[-3], kernels = numel(w) / depth;
  const int64_t rows = kernels * ((depth + 15) / 16 * 16), outputs = w.end()[-4] / options.groups;
  return takes_winograd(w, options) ? winograd_numel(kernels / outputs, w.end()[-1], outputs) : rows;
}

inline Conv2dOptions options_of(const ConvGeometry& g) {  // what of them weights are prepared for
  return {.stride = g.stride, .dilation = g.dilation, .groups = g.groups};
}

// cuda::conv2d_rows (ops/conv2d.h) with such weights. Throws Error(invalid) when they are for other factors,
// another type of x or another stride, dilation or number of groups.
DGP_CUDA_FUNCTION void conv2d_rows(const ConvGeometry& g, float slope, const Tensor& x,
                                   const PreparedWeights& w, const Tensor& b, const Tensor& residual,
                                   const Tensor& y, const Tensor& a = {});

}  // namespace dgp::cuda
