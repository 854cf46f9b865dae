// Winograd's F(4x4, 3x3): 4x4 outputs of a 3x3 convolution from 6x6 inputs with 36 multiplications instead of
// 144 (S. Winograd 1980; A. Lavin, S. Gray, arXiv:1509.09308).
//
//   y = A^T [ (G g G^T) . (B^T d B) ] A      g [3,3] kernel, d [6,6] inputs, y [4,4] outputs, . elementwise
//
// B^T evaluates at the points 0, a, -a, b, -b, infinity. Row p of B^T holds the coefficients of
// prod_{q != p} (x - q), of the last row those of prod_q (x - q); G holds powers of p over N_p =
// prod_{q != p} (p - q), A^T powers of p. a = 3/4, b = 3/2 halve the error of the usual 1, 2, and every
// constant in B and A is exact in f32. Transposed, the same matrices give the gradient of the weights:
//   dg = G^T [ sum over tiles (A dy A^T) . (B^T d B) ] G
//
// The transforms of one line, of whatever adds and multiplies: vectors of channels on the CPU, numbers on the
// GPU.
#pragma once

#ifdef __CUDACC__
#define DGP_POINTS __host__ __device__ __forceinline__
#else
#define DGP_POINTS [[gnu::always_inline]] inline
#endif

namespace dgp::winograd {

inline constexpr float kA = 0.75f, kB = 1.5f;
inline constexpr float kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;
inline constexpr float kSum = kA2 + kB2, kProduct = kA2 * kB2;
// 1 / N_p
inline constexpr float kN0 = static_cast<float>(1 / (0.5625 * 2.25));
inline constexpr float kNa = static_cast<float>(1 / (2 * 0.5625 * (0.5625 - 2.25)));
inline constexpr float kNb = static_cast<float>(1 / (2 * 2.25 * (2.25 - 0.5625)));

// t = B^T d, 12 multiply-adds.
template <class V>
DGP_POINTS void input_points(const V (&d)[6], V (&t)[6]) {
  t[0] = d[4] + kProduct * d[0] - kSum * d[2];
  V even = d[4] - kB2 * d[2], odd = d[3] - kB2 * d[1];
  t[1] = even + kA * odd;
  t[2] = even - kA * odd;
  even = d[4] - kA2 * d[2], odd = d[3] - kA2 * d[1];
  t[3] = even + kB * odd;
  t[4] = even - kB * odd;
  t[5] = d[5] + kProduct * d[1] - kSum * d[3];
}

// y = A^T m
template <class V>
DGP_POINTS void output_points(const V (&m)[6], V (&y)[4]) {
  V sum_a = m[1] + m[2], sum_b = m[3] + m[4], difference_a = m[1] - m[2], difference_b = m[3] - m[4];
  y[0] = m[0] + sum_a + sum_b;
  y[1] = kA * difference_a + kB * difference_b;
  y[2] = kA2 * sum_a + kB2 * sum_b;
  y[3] = m[5] + kA3 * difference_a + kB3 * difference_b;
}

// t = G g
template <class V>
DGP_POINTS void weight_points(V g0, V g1, V g2, V (&t)[6]) {
  V even_a = kNa * (g0 + kA2 * g2), odd_a = (kNa * kA) * g1;
  V even_b = kNb * (g0 + kB2 * g2), odd_b = (kNb * kB) * g1;
  t[0] = kN0 * g0;
  t[1] = even_a + odd_a;
  t[2] = even_a - odd_a;
  t[3] = even_b + odd_b;
  t[4] = even_b - odd_b;
  t[5] = g2;
}

}  // namespace dgp::winograd
