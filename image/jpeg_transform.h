// The arithmetic of JPEG's blocks, once for the CPU and for kernels: colour and forward transform as dgp's
// encoder has them, the inverse transform and colour as libjpeg does ("islow"). A round trip through it is
// one through a file, since what stands between, entropy coding, loses nothing.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "tensor/device_function.h"

namespace dgp {

// The encoder's quantisation table, natural order, for a quality of 1 to 100; each in 1 to 255.
std::array<int, 64> jpeg_steps(bool colour, int quality);

// [u][x] = c(u)/2 cos((2x+1) u pi/16): y = B x B^T is the 8x8 cosine transform.
const std::array<float, 64>& jpeg_basis();

// Of a product and a sum nvcc would make one instruction, rounded once: other bits than the CPU's.
DGP_DEVICE inline float add_product(float sum, float a, float b) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(sum, __fmul_rn(a, b));
#else
  return sum + a * b;
#endif
}

// Component c, Y, Cb or Cr, of a pixel, rounded as libjpeg rounds it.
DGP_DEVICE inline int jpeg_component(int c, float r, float g, float b) {
  constexpr float kWeights[3][3] = {
      {0.299f, 0.587f, 0.114f}, {-0.168735892f, -0.331264108f, 0.5f}, {0.5f, -0.418687589f, -0.081312411f}};
  const float *w = kWeights[c], zero = c == 0 ? 0.5f : 128.5f;
  const int value = static_cast<int>(add_product(add_product(add_product(zero, w[0], r), w[1], g), w[2], b));
  return value < 255 ? value : 255;
}

// One line of the forward transform: out[u] = sum_x basis[u][x] in[x].
DGP_DEVICE inline void jpeg_forward_line(const float* basis, const float (&in)[8], float (&out)[8]) {
  for (int u = 0; u < 8; ++u) {
    out[u] = 0;
    for (int x = 0; x < 8; ++x) out[u] = add_product(out[u], basis[u * 8 + x], in[x]);
  }
}

DGP_DEVICE inline int jpeg_quantised(float coefficient, int step) {
  return static_cast<int>(lroundf(coefficient / static_cast<float>(step)));
}

DGP_DEVICE constexpr int64_t jpeg_fix(double x, int bits) {
  return static_cast<int64_t>(x * (1 << bits) + 0.5);
}

// One line of the inverse transform, of Loeffler, Ligtenberg and Moschytz (1989); out keeps 13 bits more.
DGP_DEVICE inline void jpeg_inverse_line(const int64_t (&in)[8], int64_t (&out)[8]) {
  constexpr int kBits = 13;
  constexpr int64_t k0541 = jpeg_fix(0.541196100, kBits), k1847 = jpeg_fix(1.847759065, kBits),
                    k0765 = jpeg_fix(0.765366865, kBits), k1175 = jpeg_fix(1.175875602, kBits),
                    k0899 = jpeg_fix(0.899976223, kBits), k2562 = jpeg_fix(2.562915447, kBits),
                    k1961 = jpeg_fix(1.961570560, kBits), k0390 = jpeg_fix(0.390180644, kBits),
                    k1501 = jpeg_fix(1.501321110, kBits), k3072 = jpeg_fix(3.072711026, kBits),
                    k2053 = jpeg_fix(2.053119869, kBits), k0298 = jpeg_fix(0.298631336, kBits);
  const int64_t z1 = (in[2] + in[6]) * k0541;
  const int64_t even2 = z1 - in[6] * k1847, even3 = z1 + in[2] * k0765;
  const int64_t even0 = (in[0] + in[4]) * (1 << kBits), even1 = (in[0] - in[4]) * (1 << kBits);
  const int64_t e[4] = {even0 + even3, even1 + even2, even1 - even2, even0 - even3};

  const int64_t t0 = in[7], t1 = in[5], t2 = in[3], t3 = in[1];
  const int64_t z5 = (t0 + t2 + t1 + t3) * k1175;
  const int64_t a = -(t0 + t3) * k0899, b = -(t1 + t2) * k2562;
  const int64_t c = -(t0 + t2) * k1961 + z5, d = -(t1 + t3) * k0390 + z5;
  const int64_t o[4] = {t3 * k1501 + a + d, t2 * k3072 + b + c, t1 * k2053 + b + d, t0 * k0298 + a + c};
  for (int i = 0; i < 4; ++i) {
    out[i] = e[i] + o[i];
    out[7 - i] = e[i] - o[i];
  }
}

DGP_DEVICE inline int64_t jpeg_rounded(int64_t v, int shift) {
  return (v + (int64_t{1} << (shift - 1))) >> shift;
}
inline constexpr int kJpegFirstShift = 11, kJpegSecondShift = 18;  // 2 bits are kept between the passes

DGP_DEVICE inline uint8_t jpeg_byte(int64_t v) { return static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v); }

DGP_DEVICE inline void jpeg_rgb(int64_t y, int64_t blue, int64_t red, uint8_t* out) {
  constexpr int64_t kHalf = 1 << 15, k1402 = jpeg_fix(1.402, 16), k0344 = jpeg_fix(0.34414, 16),
                    k0714 = jpeg_fix(0.71414, 16), k1772 = jpeg_fix(1.772, 16);
  const int64_t cb = blue - 128, cr = red - 128;
  out[0] = jpeg_byte(y + ((k1402 * cr + kHalf) >> 16));
  out[1] = jpeg_byte(y + ((-k0344 * cb - k0714 * cr + kHalf) >> 16));
  out[2] = jpeg_byte(y + ((k1772 * cb + kHalf) >> 16));
}

}  // namespace dgp
