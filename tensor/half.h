// Floating-point numbers of 16 bits, as storage: arithmetic is done in f32. f16 is IEEE's binary16 (11
// significant bits, up to 65504); bf16 the upper half of an f32 (8 significant bits, its range). Conversion
// from float rounds to nearest, ties to even; what is too large becomes infinite and a NaN stays one.
#pragma once

#include <cstdint>
#include <cstring>

#include "tensor/device_function.h"

namespace dgp {

namespace half_detail {

DGP_DEVICE inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

DGP_DEVICE inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

DGP_DEVICE inline uint16_t bf16_bits(float value) {
  uint32_t bits = bits_of(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>(bits >> 16 | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

DGP_DEVICE inline uint16_t f16_bits(float value) {
#ifdef __CUDA_ARCH__
  uint16_t result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result) : "f"(value));
  return result;
#else
  uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000U, magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);  // 65520 and more
  if (magnitude < 0x38800000U) {  // below 2^-14: a multiple of 2^-24, which adding 0.5 rounds to
    float shifted = float_of(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (bits_of(shifted) - 0x3F000000U));
  }
  uint32_t rounded = magnitude + 0xFFFU + (magnitude >> 13 & 1U);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000U) >> 13);
#endif
}

DGP_DEVICE inline float from_f16_bits(uint16_t h) {
#ifdef __CUDA_ARCH__
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(h));
  return value;
#else
  uint32_t sign = uint32_t{h & 0x8000U} << 16, exponent = h >> 10 & 31U, fraction = h & 0x3FFU;
  if (exponent == 31) return float_of(sign | 0x7F800000U | fraction << 13);
  if (exponent != 0) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
  float tiny = static_cast<float>(fraction) * 0x1p-24F;  // exact in f32
  return sign ? -tiny : tiny;
#endif
}

}  // namespace half_detail

struct bf16 {
  uint16_t bits;
  bf16() = default;
  DGP_DEVICE explicit bf16(float value) : bits(half_detail::bf16_bits(value)) {}
  DGP_DEVICE operator float() const { return half_detail::float_of(uint32_t{bits} << 16); }
};

struct f16 {
  uint16_t bits;
  f16() = default;
  DGP_DEVICE explicit f16(float value) : bits(half_detail::f16_bits(value)) {}
  DGP_DEVICE operator float() const { return half_detail::from_f16_bits(bits); }
};

}  // namespace dgp
