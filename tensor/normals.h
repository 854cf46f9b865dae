// Standard normals of random bits by Box and Muller's method, in f32 and without a branch or a library's
// function: the same on the CPU, in vectors, and in kernels of the GPU. Logarithm, sine and cosine are
// polynomials (Moshier's Cephes), right to 2 units in the last place.
#pragma once

#include <cstdint>
#include <math.h>
#include <string.h>

#include "tensor/device_function.h"

namespace dgp {
namespace {  // of each file its own: these are compiled for different instruction sets

struct NormalPair {
  float first, second;
};

// The natural logarithm of a float in [2^-24, 1].
DGP_DEVICE inline float log_of(float u) {
  int32_t bits;
  memcpy(&bits, &u, sizeof bits);
  int32_t exponent = (bits >> 23) - 126;
  bits = (bits & 0x7fffff) | 0x3f000000;
  float m;  // u = m 2^exponent, m in [1/2, 1)
  memcpy(&m, &bits, sizeof m);
  const bool low = m < 0.70710678f;
  exponent -= low ? 1 : 0;
  m = (low ? m + m : m) - 1;
  const float z = m * m, e = static_cast<float>(exponent);
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  return m + (p * m * z - 2.12194440e-4f * e - 0.5f * z) + 0.693359375f * e;
}

// Of two draws of 32 bits: the radius comes from a, the angle from b.
DGP_DEVICE inline NormalPair two_normals(uint32_t a, uint32_t b) {
  const float u = static_cast<float>(static_cast<int32_t>(a >> 8) + 1) * 0x1p-24f;  // (0, 1]
  const float radius = sqrtf(-2 * log_of(u));
  // The nearest quarter of the circle, and the angle from there, in [-pi/4, pi/4].
  const uint32_t quarter = (b + 0x20000000u) >> 30;
  const float x = static_cast<float>(static_cast<int32_t>(b - (quarter << 30))) * 1.4629180792671596e-9f;
  const float z = x * x;
  const float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * x + x;
  const float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z -
                  0.5f * z + 1;
  const float cosine = quarter & 1 ? s : c, sine = quarter & 1 ? c : s;
  const bool turned = quarter == 1 || quarter == 2, below = quarter >= 2;
  return {radius * (turned ? -cosine : cosine), radius * (below ? -sine : sine)};
}

}  // namespace
}  // namespace dgp
