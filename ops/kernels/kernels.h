// What every instruction set offers: a table of plain functions with plain arguments. The files of this
// folder are compiled once per set, each time into the namespace dgp::DGP_ISA, and share nothing else: no
// library templates, so that code built for a higher set can never be picked for a lower one.
//
// All tensors are f32, [rows, columns, channels] of one image; kernels run on the calling thread and take
// their scratch memory (64-byte aligned) from the caller, who cuts the work into chunks.
#pragma once

#include <cstdint>

#ifndef DGP_ISA
#define DGP_ISA portable
#endif

namespace dgp {

// Part of an image in memory: `data` points to row `first` of the `height` rows that the image has. From a
// pixel to the next are `pixel` floats: its channels, or more where they are one group's of several.
struct ImageRows {
  const float* data;
  int64_t height, first, rows, width, channels, pixel;
};

// What follows the sum of a convolution: y = leaky(sum + bias, slope) + residual.
struct Epilogue {
  const float* bias;      // [O] or null
  const float* residual;  // rows as the output, or null
  float slope;            // 1: no activation, 0: relu
  bool stream;            // store past the caches
  float* sums =
      nullptr;  // of Winograd's kernels: the pixels of each tile of y, [tiles] y.pixel apart; or null
};

// 3x3, stride 1, dilation 1, one group at a time: Winograd F(4x4, 3x3), see winograd.h. Tiles are 4x4
// outputs, numbered along rows from the tile row of y.first, which is a multiple of 4.
struct WinogradForward {
  ImageRows x;
  int64_t padding;
  const float* u;  // from winograd_weights
  ImageRows y;     // its data is written
  Epilogue epilogue;
};

struct WinogradGradient {
  ImageRows x, dy;  // whole images
  int64_t padding;
};

// Everything else, as sums over taps: see direct.cpp.
//   y[q*out_step + out_y, p*out_step + out_x, :] = sum over taps t: x[q*in_step + ty[t], p*in_step + tx[t],
//   :] u[t]
struct DirectForward {
  ImageRows x, y;
  int64_t groups, taps;
  const int64_t *ty, *tx;  // [taps]
  const float* u;          // from direct_weights
  int64_t in_step, out_step, out_y, out_x;
  int64_t out_rows, out_columns;  // of q and p
  Epilogue epilogue;
};

// Weights of the direct kernels: w [groups*O, all_taps, C], O and C of one group; the taps chosen, in order.
struct DirectWeights {
  const float* w;
  int64_t groups, o, c, all_taps, taps;
  const int64_t* tap;  // [taps]
  bool transposed;     // K = O and columns = C
};

struct DirectGradient {
  ImageRows x, dy;
  int64_t kh, kw, stride, padding, dilation, groups;
};

// What an operator of ops/kernel_space.h does to the taps of a raw kernel.
enum class TapMap { subtract_mean, add_mean, subtract_columns, subtract_rows, identity, subtract_at };

// The raw kernels of a DGConv that belong to one output.
template <class T>
struct OutputKernels {
  int64_t n, k, inputs;
  const TapMap* maps;       // [n]
  const T* raw[6];          // of each operator: [k*k, I]
  const int64_t* location;  // [I], of idg
};

// Of one output, with W_j = L_j raw_j (ops/fused_kernels.h); k up to kMostKernelSide.
constexpr int kMostKernelSide = 15;
template <class T>
struct KernelSpace {
  // sums [n*k*k] = sum_i W_j[tap, i]^2
  void (*squares)(const OutputKernels<T>& kernels, double* sums);
  // sum [k*k, I] = sum_j alpha_j W_j
  void (*weighted_sum)(const OutputKernels<T>& kernels, const double* alpha, T* sum);
  // sums [n] = <dy, W_j>
  void (*dots)(const OutputKernels<T>& kernels, const T* dy, double* sums);
  // draw_j [k*k, I] = L_j^T (alpha_j dy + scale_j[tap] W_j), where draw_j is not null
  void (*gradient)(const OutputKernels<T>& kernels, const double* alpha, const double* scale, const T* dy,
                   T* const* draw);
};

struct Kernels {
  const char* isa;
  int64_t lanes;  // floats in a vector

  // Winograd weights: w [O,3,3,C] to 36 matrices [K, columns], packed in panels; K = C and columns = O
  // forward, K = O and columns = C with flipped taps for the gradient in x. Panels [0, winograd_panels) are
  // independent.
  int64_t (*winograd_panels)(int64_t columns);
  int64_t (*winograd_weights_size)(int64_t k, int64_t columns);  // floats
  void (*winograd_weights)(const float* w, int64_t o, int64_t c, bool transposed, int64_t panel, float* u);

  // Tiles a call of winograd_forward should take; l2_bytes: the size of a core's L2 cache, 0: not known.
  int64_t (*winograd_block)(int64_t k, int64_t columns, int64_t l2_bytes);
  int64_t (*winograd_scratch)(int64_t k, int64_t tiles);
  void (*winograd_forward)(const WinogradForward& args, int64_t tile_begin, int64_t tile_end, float* scratch);

  // du [36, O, C rounded up to lanes] += the part of tiles [begin, end), or = unless `add`; then dw [O,3,3,C]
  // = G^T du G.
  int64_t (*winograd_gradient_size)(int64_t o, int64_t c);
  int64_t (*winograd_gradient_scratch)(int64_t o, int64_t c);
  void (*winograd_gradient)(const WinogradGradient& args, int64_t tile_begin, int64_t tile_end, bool add,
                            float* du, float* scratch);
  void (*winograd_gradient_finish)(const float* du, int64_t o, int64_t c, float* dw);

  int64_t (*direct_weights_size)(int64_t groups, int64_t taps, int64_t k, int64_t columns);  // floats
  void (*direct_weights)(const DirectWeights& args, float* u);
  int64_t (*direct_scratch)(const DirectForward& args, int64_t rows);
  void (*direct_forward)(const DirectForward& args, int64_t q_begin, int64_t q_end, float* scratch);

  // dw += the part of rows [begin, end) of dy, in a layout of its own; then in order [O,KH,KW,C/groups].
  int64_t (*direct_gradient_size)(const DirectGradient& args);
  int64_t (*direct_gradient_scratch)(const DirectGradient& args, int64_t rows);
  void (*direct_gradient)(const DirectGradient& args, int64_t q_begin, int64_t q_end, float* dw,
                          float* scratch);
  void (*direct_gradient_finish)(const DirectGradient& args, const float* sums, float* dw);

  // With d = dy + part: dz = d where a > 0, slope * d elsewhere; without a, dz = d. sum[o] += dz over the
  // pixels. part, a, dz and sum may be null.
  void (*activation_gradient)(int64_t pixels, int64_t o, const float* dy, const float* part, const float* a,
                              float slope, float* dz, float* sum);

  // sums [C] of row [W,C]: see row_sums.cpp.
  void (*row_sums)(const float* row, int64_t width, int64_t channels, double* sums);

  const KernelSpace<float>* kernel_space_f32;
  const KernelSpace<double>* kernel_space_f64;
};

// The same Winograd convolution with its products in bf16 and their sums in f32: half the memory and twice
// the rate, 8 bits of each factor. Weights are those of the forward direction, packed in pairs of input
// channels.
struct Bf16Kernels {
  int64_t (*winograd_weights_size)(int64_t k, int64_t columns);  // in units of 32 bits
  void (*winograd_weights)(const float* w, int64_t o, int64_t c, int64_t panel, float* u);
  void (*winograd_forward)(const WinogradForward& args, int64_t tile_begin, int64_t tile_end, float* scratch);
};

namespace DGP_ISA {
extern const Kernels kernels;
extern const Bf16Kernels bf16_kernels;  // of avx512_bf16 alone
extern const KernelSpace<float> kernel_space_f32;
extern const KernelSpace<double> kernel_space_f64;
int64_t winograd_weights_size_bf16(int64_t k, int64_t columns);
void winograd_weights_bf16(const float* w, int64_t o, int64_t c, int64_t panel, float* u);
void winograd_forward_bf16(const WinogradForward& args, int64_t tile_begin, int64_t tile_end, float* scratch);

int64_t winograd_panels(int64_t columns);
int64_t winograd_weights_size(int64_t k, int64_t columns);
void winograd_weights(const float* w, int64_t o, int64_t c, bool transposed, int64_t panel, float* u);
int64_t winograd_block(int64_t k, int64_t columns, int64_t l2_bytes);
int64_t winograd_scratch(int64_t k, int64_t tiles);
void winograd_forward(const WinogradForward& args, int64_t tile_begin, int64_t tile_end, float* scratch);
int64_t winograd_gradient_size(int64_t o, int64_t c);
int64_t winograd_gradient_scratch(int64_t o, int64_t c);
void winograd_gradient(const WinogradGradient& args, int64_t tile_begin, int64_t tile_end, bool add,
                       float* du, float* scratch);
void winograd_gradient_finish(const float* du, int64_t o, int64_t c, float* dw);
int64_t direct_weights_size(int64_t groups, int64_t taps, int64_t k, int64_t columns);
void direct_weights(const DirectWeights& args, float* u);
int64_t direct_scratch(const DirectForward& args, int64_t rows);
void direct_forward(const DirectForward& args, int64_t q_begin, int64_t q_end, float* scratch);
int64_t direct_gradient_size(const DirectGradient& args);
int64_t direct_gradient_scratch(const DirectGradient& args, int64_t rows);
void direct_gradient(const DirectGradient& args, int64_t q_begin, int64_t q_end, float* dw, float* scratch);
void direct_gradient_finish(const DirectGradient& args, const float* sums, float* dw);
void activation_gradient(int64_t pixels, int64_t o, const float* dy, const float* part, const float* a,
                         float slope, float* dz, float* sum);
void row_sums(const float* row, int64_t width, int64_t channels, double* sums);
}  // namespace DGP_ISA

}  // namespace dgp
