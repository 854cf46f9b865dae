// Inner loops of degradations (train/degrade_ops.h).
#include "tensor/kernels/micro.h"
#include "tensor/kernels/picture_kernels.h"
#include "tensor/normals.h"
#include "tensor/philox.h"

namespace dgp::DGP_ISA {
namespace {

// A few vectors of the result stay in registers while the terms pass by, so that a term costs one load.
template <int kVectors>
DGP_INLINE void sum_terms(const float* x, const int64_t* offset, const float* weight, int64_t taps,
                          float* out) {
  V sum[kVectors] = {};
  for (int64_t t = 0; t < taps; ++t) {
    const float* from = x + offset[t];
    const V w = broadcast<kLanes>(weight[t]);
    for (int i = 0; i < kVectors; ++i) sum[i] += w * load<kLanes>(from + i * kLanes);
  }
  for (int i = 0; i < kVectors; ++i) store<kLanes>(out + i * kLanes, sum[i]);
}

void weighted_rows(const float* x, const int64_t* offset, const float* weight, int64_t taps, int64_t n,
                   float* out) {
  constexpr int kVectors = 8;
  int64_t i = 0;
  for (; i + kVectors * kLanes <= n; i += kVectors * kLanes)
    sum_terms<kVectors>(x + i, offset, weight, taps, out + i);
  for (; i + kLanes <= n; i += kLanes) sum_terms<1>(x + i, offset, weight, taps, out + i);
  if (i == n) return;
  V sum = {};
  for (int64_t t = 0; t < taps; ++t)
    sum += broadcast<kLanes>(weight[t]) * load_part<kLanes>(x + offset[t] + i, n - i);
  store_part<kLanes>(out + i, sum, n - i);
}

void random_bits(uint64_t seed, uint64_t stream, uint64_t first, int64_t blocks, uint32_t* words) {
  for (int64_t i = 0; i < blocks; ++i) {
    const PhiloxBlock b = philox_block(seed, stream, first + static_cast<uint64_t>(i));
    for (int w = 0; w < 4; ++w) words[4 * i + w] = b.word[w];
  }
}

void normals(const uint32_t* words, int64_t n, float* out) {
  for (int64_t i = 0; i < n; i += 2) {
    const NormalPair pair = two_normals(words[i], words[i + 1]);
    out[i] = pair.first;
    out[i + 1] = pair.second;
  }
}

typedef double Row __attribute__((vector_size(64)));  // 8 values
typedef double RowInMemory __attribute__((vector_size(64), aligned(8), may_alias));

// c = a b, of 8x8 values.
DGP_INLINE void product(const double* a, const double* b, double* c) {
  for (int i = 0; i < 8; ++i) {
    Row sum = {};
    for (int k = 0; k < 8; ++k) sum += a[i * 8 + k] * *reinterpret_cast<const RowInMemory*>(b + k * 8);
    *reinterpret_cast<RowInMemory*>(c + i * 8) = sum;
  }
}

void jpeg_rounding(const JpegRounding& how, int64_t height, int64_t width, double* plane) {
  constexpr double kRound =
      6755399441055744.0;  // 1.5 * 2^52: adding it rounds to whole numbers, halves to even
  for (int64_t top = 0; top < height; top += 8)
    for (int64_t left = 0; left < width; left += 8) {
      double block[64], half[64];
      for (int64_t y = 0; y < 8; ++y)
        for (int64_t x = 0; x < 8; ++x) block[y * 8 + x] = plane[(top + y) * width + left + x] - 128;
      product(how.basis, block, half);
      product(half, how.transposed, block);
      for (int i = 0; i < 64; ++i) {
        const double steps = block[i] / how.steps[i];
        block[i] = ((steps + kRound) - kRound) * how.steps[i];
      }
      product(how.transposed, block, half);
      product(half, how.basis, block);
      for (int64_t y = 0; y < 8; ++y)
        for (int64_t x = 0; x < 8; ++x) plane[(top + y) * width + left + x] = block[y * 8 + x] + 128;
    }
}

}  // namespace

const PictureKernels picture_kernels = {weighted_rows, random_bits, normals, jpeg_rounding};

}  // namespace dgp::DGP_ISA
