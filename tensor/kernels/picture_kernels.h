// What degrading pictures spends its time in, compiled once per instruction set into the namespace
// dgp::DGP_ISA and chosen at run time (tensor/isa.h). All of it runs on the calling thread.
#pragma once

#include <cstdint>

#ifndef DGP_ISA
#define DGP_ISA portable
#endif

namespace dgp {

// How a block of 8x8 values of a JPEG plane is rounded: y = B' round(B (x - 128) B' / steps) steps B + 128.
struct JpegRounding {
  const double *basis, *transposed;  // B [64], orthonormal, [frequency][position]; and B'
  const double* steps;               // [64]
};

struct PictureKernels {
  // out[i] = sum over t < taps of weight[t] x[offset[t] + i], for i < n; terms in order.
  void (*weighted_rows)(const float* x, const int64_t* offset, const float* weight, int64_t taps, int64_t n,
                        float* out);
  // Blocks [first, first + blocks) of a generator's random bits (tensor/philox.h), four words each.
  void (*random_bits)(uint64_t seed, uint64_t stream, uint64_t first, int64_t blocks, uint32_t* words);
  // Standard normals (tensor/normals.h), one a word; n even.
  void (*normals)(const uint32_t* words, int64_t n, float* out);
  // The blocks of a plane of `width` columns, both sides multiples of 8, in place.
  void (*jpeg_rounding)(const JpegRounding& how, int64_t height, int64_t width, double* plane);
};

const PictureKernels& active_picture_kernels();  // of the instruction set in use

namespace DGP_ISA {
extern const PictureKernels picture_kernels;
}

}  // namespace dgp
