// The f32 path of convolution: which kernel a convolution takes, how its work is cut into chunks, and the
// weights made ready for it. Chunks are fixed by shapes alone, partial sums are added in chunk order.
#pragma once

#include <memory>

#include "ops/conv2d.h"
#include "ops/kernels/active.h"
#include "tensor/allocator.h"

namespace dgp::cpu {

// Scratch memory of one chunk of work.
class Scratch {
 public:
  explicit Scratch(int64_t floats) : block_(allocate(floats * 4)) {}
  float* data() const { return reinterpret_cast<float*>(block_.get()); }

 private:
  std::shared_ptr<std::byte[]> block_;
};

// Of few channels there is little to multiply: the transforms would cost more than they save.
inline bool takes_winograd(const ConvGeometry& g) {
  constexpr int64_t kFewest = 8;
  return g.c / g.groups >= kFewest && g.kh == 3 && g.kw == 3 && g.stride == 1 && g.dilation == 1 &&
         g.padding <= 2;
}

inline constexpr int64_t kBandRows = 8;  // output rows that a direct kernel takes at once

// Channels [group * n, group * n + n) of an image, n of them a group.
inline ImageRows group_of(const ImageRows& image, int64_t group, int64_t groups) {
  ImageRows part = image;
  part.channels /= groups;
  part.data += group * part.channels;
  return part;
}

inline ImageRows image_of(const float* data, int64_t n, int64_t rows, int64_t columns, int64_t channels) {
  return {data + n * rows * columns * channels, rows, 0, rows, columns, channels, channels};
}

// The taps that meet one residue of output rows and columns; one phase forward, stride^2 for the gradient in
// x.
struct Phase {
  int64_t out_y, out_x, offset;      // offset: of its weights in u, in floats
  std::vector<int64_t> ty, tx, tap;  // position relative to the pixel, index in KH*KW
};

// Weights packed for one direction of a convolution: forward, or (transposed) the gradient in x.
struct PackedWeights {
  const Kernels* kernels = nullptr;
  Tensor u;                           // one packed set, or one per image
  int64_t image_size = 0;             // floats from an image's set to the next, 0 for a shared set
  int64_t group_size = 0;             // of Winograd's: floats from a group's part of it to the next
  const Bf16Kernels* bf16 = nullptr;  // of 3x3 convolutions in Precision::fast, else null
  bool winograd = false;
  std::vector<Phase> phases;  // of the direct kernels
};

PackedWeights pack_weights(const ConvGeometry& g, const Tensor& w, bool transposed,
                           Precision precision = Precision::full);

// y = leaky(conv(x, w) + b, slope) + residual, on the rows that g names; b and residual may be null. sums, or
// null: receives those of the pixels of y's 4x4 tiles, [N, rows/4, OW/4, O], both rounded up.
void run_forward(const ConvGeometry& g, const PackedWeights& weights, float slope, const float* x,
                 const float* b, const float* residual, float* y, float* sums = nullptr);
// dx = gradient + sum; sum may be null, or dx itself.
void run_backward_data(const ConvGeometry& g, const PackedWeights& weights, const float* dy, const float* sum,
                       float* dx);
void run_backward_weight(const ConvGeometry& g, const float* dy, const float* x, float* dw);

// conv2d_backward_data, of x's type, added to sum unless that is undefined; in its place, where nobody else
// holds it.
Tensor add_backward_data(Tensor sum, const Tensor& dy, const Tensor& w, const Shape& x, DType type,
                         const Conv2dOptions& options);

// A part of dy that is known late, and all the same along a row but for the ends: the gradient [N,k,k,O] of
// window_means (ops/window_means.h). Undefined: none.
struct WindowPart {
  Tensor of_means;
  int64_t k = 0;
};

// conv2d with what it shares with the means of its result: sums of tiles to write, as run_forward, and the
// part of dy that backward() leaves there.
struct ForMeans {
  float* sums = nullptr;
  std::shared_ptr<const WindowPart> part;
};
Var conv2d_and_means(const Var& x, const Var& w, const Var& b, const Conv2dOptions& options,
                     const Var& residual, const ForMeans& means);

// dz = (dy + part) * activation'(z), where a = activation(z) has the sign of z, or dz = dy + part without a;
// db (or null) is the sum of dz over pixels, and over images unless per_image. dz may be null, or dy itself.
struct ActivationGradient {
  int64_t images, rows, columns, o;
  const float *dy, *a;
  float slope;
  float *dz, *db;
  bool per_image;
};
void run_activation_gradient(const ActivationGradient& args, const WindowPart& part = {});

}  // namespace dgp::cpu
