// Convolution from three channels to three, the last layer of a network that makes pictures. A vector of
// output channels would be filled to three lanes; here lanes run along the row instead, over red, green and
// blue alike:
//   y[i] = sum over rows s and offsets e of x_s[i + e] * a[s, e, i mod 3],   i = 3 * column + channel
// where a is the tap 3 tx + c - o = e for channel o = i mod 3, or 0 where there is none.
#pragma once

#include "ops/kernels/tiles.h"

namespace dgp::DGP_ISA {

inline constexpr int64_t kRgbReach = 2;  // floats before the first pixel that are read, and multiplied by 0

// Rows of `run` taps side by side.
struct RgbTaps {
  int64_t rows, run;
  int64_t offsets() const { return 3 * run + kRgbReach; }
  int64_t table_size() const { return 3 * rows * offsets() * kLanes; }
};

// The coefficients of three vectors, after which i mod 3 repeats: table [3][rows][offsets][kLanes] from
// packed weights u [rows * run, 3, kLanes].
inline void rgb_table(const RgbTaps& taps, const float* u, float* table) {
  for (int64_t v = 0; v < 3; ++v)
    for (int64_t s = 0; s < taps.rows; ++s)
      for (int64_t e = 0; e < taps.offsets(); ++e)
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          int64_t o = (v * kLanes + lane) % 3, at = e - kRgbReach + o;  // 3 tx + c
          bool tap = at >= 0 && at < 3 * taps.run;
          *table++ = tap ? u[(s * taps.run * 3 + at) * kLanes + o] : 0.0f;
        }
}

// `count` vectors of one row, the first of them a multiple of three vectors from the row's beginning.
template <int count>
[[gnu::noinline]] void rgb_vectors(const RgbTaps& taps, const float* x, int64_t row, const float* table,
                                   V (&sum)[count]) {
  int64_t steps = taps.rows * taps.offsets();
  for (int q = 0; q < count; ++q) sum[q] = V{};
  for (int64_t s = 0; s < taps.rows; ++s, x += row) {
    for (int64_t e = 0; e < taps.offsets(); ++e, table += kLanes) {
#pragma GCC unroll 12
      for (int q = 0; q < count; ++q)
        sum[q] += load<kLanes>(x + q * kLanes + e - kRgbReach) * load<kLanes>(table + q % 3 * steps * kLanes);
    }
  }
}

// One row of `floats` results from x, the first tap of the first pixel; rows of x lie `row` floats apart.
// Reads up to a vector past the row's last tap.
inline void rgb_row(const RgbTaps& taps, const float* x, int64_t row, const float* table,
                    const Finish (&finish)[3], const float* residual, float* y, int64_t floats) {
  constexpr int kVectors = kLanes == 16 ? 12 : 6;
  auto put = [&](int64_t at, V sum, int q) {
    Finish last = finish[q % 3];
    if (floats - at < kLanes) last.count = floats - at;
    last(sum, residual ? residual + at : nullptr, y + at);
  };
  int64_t at = 0;
  for (; at + kVectors * kLanes <= floats; at += kVectors * kLanes) {
    V sum[kVectors];
    rgb_vectors<kVectors>(taps, x + at, row, table, sum);
    for (int q = 0; q < kVectors; ++q) put(at + q * kLanes, sum[q], q);
  }
  for (int q = 0; at < floats; at += kLanes, ++q) {
    V sum[1];
    rgb_vectors<1>(taps, x + at, row, table + q % 3 * taps.rows * taps.offsets() * kLanes, sum);
    put(at, sum[0], q);
  }
}

// Bias, activation and residual of the three vectors.
inline void rgb_finish(const Epilogue& epilogue, Finish (&finish)[3]) {
  for (int64_t v = 0; v < 3; ++v) {
    float bias[kLanes] = {};
    for (int64_t lane = 0; lane < kLanes; ++lane)
      if (epilogue.bias) bias[lane] = epilogue.bias[(v * kLanes + lane) % 3];
    finish[v] = {load<kLanes>(bias), epilogue.slope, epilogue.slope != 1.0f, false, kLanes};
  }
}

}  // namespace dgp::DGP_ISA
