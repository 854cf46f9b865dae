// Winograd's transforms of whole tiles (ops/winograd_points.h has those of lines), kLanes channels at once:
// first of columns, then of rows.
#pragma once

#include "ops/winograd_points.h"
#include "tensor/kernels/micro.h"

#ifndef DGP_ISA
#define DGP_ISA portable
#endif

namespace dgp::DGP_ISA {

using namespace winograd;

// One line of v from the same line of B^T d.
template <class Product>
DGP_INLINE void put_line(const V (&line)[6], float* v, const Steps<7>& planes) {
  V t[6];
  input_points(line, t);
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) Product::put(planes.at(v, j), t[j]);
}

// Rows 1 and 2 (far = b^2, near = a) or 3 and 4 (far = a^2, near = b) of v: they share their even and odd
// parts.
template <class Product>
DGP_INLINE void input_row_pair(const float* d, const Steps<6>& rows, int64_t pixel, float far, float near,
                               float* v, const Steps<7>& planes) {
  V plus[6], minus[6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    V even = load<kLanes>(rows.at(d, 4)) - far * load<kLanes>(rows.at(d, 2));
    V odd = load<kLanes>(rows.at(d, 3)) - far * load<kLanes>(rows.at(d, 1));
    plus[j] = even + near * odd;
    minus[j] = even - near * odd;
    d += pixel;
    forget_origin(d);
  }
  put_line<Product>(plus, v, planes);
  v = planes.at(v, 6);
  forget_origin(v);
  put_line<Product>(minus, v, planes);
}

// Row 0 or, from the next row of d, row 5 of v.
template <class Product>
DGP_INLINE void input_edge_row(const float* d, const Steps<6>& rows, int64_t pixel, float* v,
                               const Steps<7>& planes) {
  V line[6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    line[j] = load<kLanes>(rows.at(d, 4)) + kProduct * load<kLanes>(d) - kSum * load<kLanes>(rows.at(d, 2));
    d += pixel;
    forget_origin(d);
  }
  put_line<Product>(line, v, planes);
}

// v[36] = B^T d B; d at `row` and `pixel` strides, v at stride `plane`. 32 registers hold two lines and every
// constant; 16 do not, there the columns' transforms pass through the stack.
template <class Product = F32Product>
DGP_INLINE void input_transform(const float* d, int64_t row, int64_t pixel, float* v, int64_t plane) {
  Steps<6> rows(row);
  Steps<7> planes(plane);
  if constexpr (kLanes < 16) {
    V half[6][6], line[6], t[6];
#pragma GCC unroll 1
    for (int j = 0; j < 6; ++j, d += pixel) {
#pragma GCC unroll 6
      for (int i = 0; i < 6; ++i) line[i] = load<kLanes>(rows.at(d, i));
      input_points(line, t);
#pragma GCC unroll 6
      for (int i = 0; i < 6; ++i) half[i][j] = t[i];
    }
#pragma GCC unroll 1
    for (int i = 0; i < 6; ++i, v += 6 * plane) put_line<Product>(half[i], v, planes);
    return;
  }
  auto next = [&](int64_t lines) {
    v += lines * 6 * plane;
    forget_origin(v);
  };
  input_edge_row<Product>(d, rows, pixel, v, planes);
  next(1);
  input_row_pair<Product>(d, rows, pixel, kB2, kA, v, planes);
  next(2);
  input_row_pair<Product>(d, rows, pixel, kA2, kB, v, planes);
  next(2);
  input_edge_row<Product>(d + row, rows, pixel, v, planes);
}

// Rows 0 and 2, or (odd) 1 and 3, of y = A^T m A, m at stride `plane`: they share the columns' sums, or their
// differences.
template <bool odd>
DGP_INLINE void output_row_pair(const float* m, int64_t plane, V (&upper)[4], V (&lower)[4]) {
  Steps<6> lines(6 * plane);
  V first[6], second[6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    V a1 = load<kLanes>(lines.at(m, 1)), a2 = load<kLanes>(lines.at(m, 2));
    V b1 = load<kLanes>(lines.at(m, 3)), b2 = load<kLanes>(lines.at(m, 4));
    if constexpr (odd) {
      V a = a1 - a2, b = b1 - b2;
      first[j] = kA * a + kB * b;
      second[j] = load<kLanes>(lines.at(m, 5)) + kA3 * a + kB3 * b;
    } else {
      V a = a1 + a2, b = b1 + b2;
      first[j] = load<kLanes>(m) + a + b;
      second[j] = kA2 * a + kB2 * b;
    }
    m += plane;
    forget_origin(m);
  }
  output_points(first, upper);
  output_points(second, lower);
}

// z = A y
DGP_INLINE void gradient_points(const V (&y)[4], V (&z)[6]) {
  z[0] = y[0];
  V even = y[0] + kA2 * y[2], odd = y[1] + kA2 * y[3];
  z[1] = even + kA * odd;
  z[2] = even - kA * odd;
  even = y[0] + kB2 * y[2], odd = y[1] + kB2 * y[3];
  z[3] = even + kB * odd;
  z[4] = even - kB * odd;
  z[5] = y[3];
}

// One line of z from the same line of A dy.
DGP_INLINE void put_gradient_line(const V (&line)[4], float* z, const Steps<7>& planes) {
  V t[6];
  gradient_points(line, t);
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) store<kLanes>(planes.at(z, j), t[j]);
}

// Row 0 or, from the last row of dy, row 5 of z.
DGP_INLINE void gradient_edge_row(const float* dy, int64_t pixel, float* z, const Steps<7>& planes) {
  V line[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) line[j] = load<kLanes>(dy + j * pixel);
  put_gradient_line(line, z, planes);
}

// Rows 1 and 2 (point = a) or 3 and 4 (b) of z.
DGP_INLINE void gradient_row_pair(const float* dy, const Steps<4>& rows, int64_t pixel, float point, float* z,
                                  const Steps<7>& planes) {
  V plus[4], minus[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    V even = load<kLanes>(dy) + point * point * load<kLanes>(rows.at(dy, 2));
    V odd = load<kLanes>(rows.at(dy, 1)) + point * point * load<kLanes>(rows.at(dy, 3));
    plus[j] = even + point * odd;
    minus[j] = even - point * odd;
    dy += pixel;
    forget_origin(dy);
  }
  put_gradient_line(plus, z, planes);
  z = planes.at(z, 6);
  forget_origin(z);
  put_gradient_line(minus, z, planes);
}

// z[36] = A dy A^T; dy [4,4] at `row` and `pixel` strides, z at stride `plane`.
DGP_INLINE void gradient_transform(const float* dy, int64_t row, int64_t pixel, float* z, int64_t plane) {
  Steps<4> rows(row);
  Steps<7> planes(plane);
  auto next = [&](int64_t lines) {
    z += lines * 6 * plane;
    forget_origin(z);
  };
  gradient_edge_row(dy, pixel, z, planes);
  next(1);
  gradient_row_pair(dy, rows, pixel, kA, z, planes);
  next(2);
  gradient_row_pair(dy, rows, pixel, kB, z, planes);
  next(2);
  gradient_edge_row(dy + 3 * row, pixel, z, planes);
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
