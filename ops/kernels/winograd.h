// The transforms of Winograd's F(4x4, 3x3): 4x4 outputs of a 3x3 convolution from 6x6 inputs with 36
// multiplications instead of 144 (S. Winograd 1980; A. Lavin, S. Gray, arXiv:1509.09308).
//
//   y = A^T [ (G g G^T) . (B^T d B) ] A      g [3,3] kernel, d [6,6] inputs, y [4,4] outputs, . elementwise
//
// B^T evaluates at the points 0, a, -a, b, -b, infinity. Row p of B^T holds the coefficients of
// prod_{q != p} (x - q), of the last row those of prod_q (x - q); G holds powers of p over N_p =
// prod_{q != p} (p - q), A^T powers of p. a = 3/4, b = 3/2 halve the error of the usual 1, 2, and every
// constant in B and A is exact in f32. Transposed, the same matrices give the gradient of the weights:
//   dg = G^T [ sum over tiles (A dy A^T) . (B^T d B) ] G
//
// Each transform works on kLanes channels at once, two result rows at a time, so that all its values stay in
// registers.
#pragma once

#include "tensor/simd.h"

#ifndef DGP_ISA
#define DGP_ISA portable
#endif

namespace dgp::DGP_ISA {

inline constexpr float kA = 0.75f, kB = 1.5f;
inline constexpr float kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;
inline constexpr float kSum = kA2 + kB2, kProduct = kA2 * kB2;
// 1 / N_p
inline constexpr float kN0 = static_cast<float>(1 / (0.5625 * 2.25));
inline constexpr float kNa = static_cast<float>(1 / (2 * 0.5625 * (0.5625 - 2.25)));
inline constexpr float kNb = static_cast<float>(1 / (2 * 2.25 * (2.25 - 0.5625)));

// Two results of B^T d: those at points 0 and infinity, at +-a, at +-b.
DGP_INLINE void input_ends(V d0, V d1, V d2, V d3, V d4, V d5, V& zero, V& infinity) {
  zero = d4 + kProduct * d0 - kSum * d2;
  infinity = d5 + kProduct * d1 - kSum * d3;
}
DGP_INLINE void input_pair(V d1, V d2, V d3, V d4, float point, float other2, V& plus, V& minus) {
  V even = d4 - other2 * d2, odd = d3 - other2 * d1;
  plus = even + point * odd;
  minus = even - point * odd;
}

DGP_INLINE void store_input_row(const V (&d)[6], float* out, int64_t plane) {
  V t[6];
  input_ends(d[0], d[1], d[2], d[3], d[4], d[5], t[0], t[5]);
  input_pair(d[1], d[2], d[3], d[4], kA, kB2, t[1], t[2]);
  input_pair(d[1], d[2], d[3], d[4], kB, kA2, t[3], t[4]);
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) store<kLanes>(out + j * plane, t[j]);
}

// v[36] = B^T d B; d at `row` and `pixel` strides, v at stride `plane`.
DGP_INLINE void input_transform(const float* d, int64_t row, int64_t pixel, float* v, int64_t plane) {
  V plus[6], minus[6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    const float* p = d + j * pixel;
    input_ends(load<kLanes>(p), load<kLanes>(p + row), load<kLanes>(p + 2 * row), load<kLanes>(p + 3 * row),
               load<kLanes>(p + 4 * row), load<kLanes>(p + 5 * row), plus[j], minus[j]);
  }
  store_input_row(plus, v, plane);
  store_input_row(minus, v + 30 * plane, plane);
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    const float* p = d + j * pixel;
    input_pair(load<kLanes>(p + row), load<kLanes>(p + 2 * row), load<kLanes>(p + 3 * row),
               load<kLanes>(p + 4 * row), kA, kB2, plus[j], minus[j]);
  }
  store_input_row(plus, v + 6 * plane, plane);
  store_input_row(minus, v + 12 * plane, plane);
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    const float* p = d + j * pixel;
    input_pair(load<kLanes>(p + row), load<kLanes>(p + 2 * row), load<kLanes>(p + 3 * row),
               load<kLanes>(p + 4 * row), kB, kA2, plus[j], minus[j]);
  }
  store_input_row(plus, v + 18 * plane, plane);
  store_input_row(minus, v + 24 * plane, plane);
}

// Rows 0 and 2 of A^T m need sums over +-, rows 1 and 3 differences.
DGP_INLINE void output_even(V m0, V m1, V m2, V m3, V m4, V& y0, V& y2) {
  V a = m1 + m2, b = m3 + m4;
  y0 = m0 + a + b;
  y2 = kA2 * a + kB2 * b;
}
DGP_INLINE void output_odd(V m1, V m2, V m3, V m4, V m5, V& y1, V& y3) {
  V a = m1 - m2, b = m3 - m4;
  y1 = kA * a + kB * b;
  y3 = m5 + kA3 * a + kB3 * b;
}
DGP_INLINE void output_row(const V (&m)[6], V (&y)[4]) {
  output_even(m[0], m[1], m[2], m[3], m[4], y[0], y[2]);
  output_odd(m[1], m[2], m[3], m[4], m[5], y[1], y[3]);
}

// y = A^T m A; m at stride `plane`.
DGP_INLINE void output_transform(const float* m, int64_t plane, V (&y)[4][4]) {
  V first[6], second[6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    const float* p = m + j * plane;
    output_even(load<kLanes>(p), load<kLanes>(p + 6 * plane), load<kLanes>(p + 12 * plane),
                load<kLanes>(p + 18 * plane), load<kLanes>(p + 24 * plane), first[j], second[j]);
  }
  output_row(first, y[0]);
  output_row(second, y[2]);
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    const float* p = m + j * plane;
    output_odd(load<kLanes>(p + 6 * plane), load<kLanes>(p + 12 * plane), load<kLanes>(p + 18 * plane),
               load<kLanes>(p + 24 * plane), load<kLanes>(p + 30 * plane), first[j], second[j]);
  }
  output_row(first, y[1]);
  output_row(second, y[3]);
}

DGP_INLINE void gradient_pair(V y0, V y1, V y2, V y3, float point, float point2, V& plus, V& minus) {
  V even = y0 + point2 * y2, odd = y1 + point2 * y3;
  plus = even + point * odd;
  minus = even - point * odd;
}
DGP_INLINE void store_gradient_row(const V (&y)[4], float* out, int64_t plane) {
  V plus, minus;
  store<kLanes>(out, y[0]);
  gradient_pair(y[0], y[1], y[2], y[3], kA, kA2, plus, minus);
  store<kLanes>(out + plane, plus);
  store<kLanes>(out + 2 * plane, minus);
  gradient_pair(y[0], y[1], y[2], y[3], kB, kB2, plus, minus);
  store<kLanes>(out + 3 * plane, plus);
  store<kLanes>(out + 4 * plane, minus);
  store<kLanes>(out + 5 * plane, y[3]);
}

// z[36] = A dy A^T; dy [4,4] at `row` and `pixel` strides, z at stride `plane`.
DGP_INLINE void gradient_transform(const float* dy, int64_t row, int64_t pixel, float* z, int64_t plane) {
  V y[4][4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) y[i][j] = load<kLanes>(dy + i * row + j * pixel);
  }
  store_gradient_row(y[0], z, plane);
  store_gradient_row(y[3], z + 30 * plane, plane);
  V plus[4], minus[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) gradient_pair(y[0][j], y[1][j], y[2][j], y[3][j], kA, kA2, plus[j], minus[j]);
  store_gradient_row(plus, z + 6 * plane, plane);
  store_gradient_row(minus, z + 12 * plane, plane);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) gradient_pair(y[0][j], y[1][j], y[2][j], y[3][j], kB, kB2, plus[j], minus[j]);
  store_gradient_row(plus, z + 18 * plane, plane);
  store_gradient_row(minus, z + 24 * plane, plane);
}

// t = G g
DGP_INLINE void weight_points(V g0, V g1, V g2, V (&t)[6]) {
  V even_a = kNa * (g0 + kA2 * g2), odd_a = (kNa * kA) * g1;
  V even_b = kNb * (g0 + kB2 * g2), odd_b = (kNb * kB) * g1;
  t[0] = kN0 * g0;
  t[1] = even_a + odd_a;
  t[2] = even_a - odd_a;
  t[3] = even_b + odd_b;
  t[4] = even_b - odd_b;
  t[5] = g2;
}

// u[36] = G g G^T, at stride `plane`.
DGP_INLINE void weight_transform(const V (&g)[9], float* u, int64_t plane) {
  V rows[3][6];
  for (int j = 0; j < 3; ++j) weight_points(g[j], g[3 + j], g[6 + j], rows[j]);
  for (int i = 0; i < 6; ++i) {
    V t[6];
    weight_points(rows[0][i], rows[1][i], rows[2][i], t);
    for (int j = 0; j < 6; ++j) store<kLanes>(u + (i * 6 + j) * plane, t[j]);
  }
}

// g = G^T t
DGP_INLINE void weight_taps(const V (&t)[6], V& g0, V& g1, V& g2) {
  V even_a = kNa * (t[1] + t[2]), even_b = kNb * (t[3] + t[4]);
  g0 = kN0 * t[0] + even_a + even_b;
  g1 = (kNa * kA) * (t[1] - t[2]) + (kNb * kB) * (t[3] - t[4]);
  g2 = kA2 * even_a + kB2 * even_b + t[5];
}

// dg = G^T du G; du at stride `plane`.
DGP_INLINE void weight_gradient(const float* du, int64_t plane, V (&dg)[9]) {
  V rows[3][6];
  for (int j = 0; j < 6; ++j) {
    V t[6];
    for (int i = 0; i < 6; ++i) t[i] = load<kLanes>(du + (i * 6 + j) * plane);
    weight_taps(t, rows[0][j], rows[1][j], rows[2][j]);
  }
  for (int i = 0; i < 3; ++i) weight_taps(rows[i], dg[i * 3], dg[i * 3 + 1], dg[i * 3 + 2]);
}

}  // namespace dgp::DGP_ISA
