// Vectors of floats over the compiler's vector extensions: Vec<8> a, b; a * b + c are eight lanes at once on
// any machine, and a 16-lane program runs (slower) where registers hold four. The only file with intrinsics:
// what the language cannot say (streaming stores, prefetch). Everything here has internal linkage, because
// files that include it are compiled for different instruction sets.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // wide vectors as arguments: every function here is inlined
#endif
#define DGP_INLINE [[gnu::always_inline]] inline

namespace dgp {
namespace {

template <int lanes>
struct VecOf {
  typedef float Type __attribute__((vector_size(lanes * sizeof(float))));
  typedef float Unaligned __attribute__((vector_size(lanes * sizeof(float)), aligned(4), may_alias));
  typedef int32_t Index __attribute__((vector_size(lanes * sizeof(int32_t))));
};
template <int lanes>
using Vec = typename VecOf<lanes>::Type;

template <int lanes>
DGP_INLINE Vec<lanes> load(const float* p) {
  return *reinterpret_cast<const typename VecOf<lanes>::Unaligned*>(p);
}

template <int lanes>
DGP_INLINE void store(float* p, Vec<lanes> v) {
  *reinterpret_cast<typename VecOf<lanes>::Unaligned*>(p) = v;
}

template <int lanes>
DGP_INLINE Vec<lanes> broadcast(float value) {
  return value - Vec<lanes>{};  // x - 0 is x for every x, so that this is one instruction
}

// Hides from the compiler how a number or an address came about, so that it keeps it and does not derive
// others.
template <class T>
DGP_INLINE void forget_origin(T& number) {
  asm("" : "+r"(number));
}

// Places 0..count-1, so many floats apart. An x86 address is a pointer plus an index times 1, 2, 4 or 8, so
// the odd places' offsets reach all of them: 12 take six registers and one pointer to advance, where the
// compiler by itself would keep 12 pointers, or 11 offsets, and spill what else there is. For loops: keep()
// in each turn, lest it takes the multiples out of them.
template <int count>
struct Steps {
  int64_t odd[(count + 1) / 2];  // bytes

  DGP_INLINE explicit Steps(int64_t floats) {
#pragma GCC unroll 8
    for (int i = 0; i < count / 2; ++i) {
      odd[i] = (2 * i + 1) * floats * static_cast<int64_t>(sizeof(float));
    }
    keep();
  }
  DGP_INLINE void keep() {
#pragma GCC unroll 8
    for (int i = 0; i < count / 2; ++i) forget_origin(odd[i]);
  }
  DGP_INLINE int64_t bytes(int place) const {
    int shift = place ? __builtin_ctz(static_cast<unsigned>(place)) : 0;
    return place ? odd[place >> shift >> 1] << shift : 0;
  }
  DGP_INLINE const float* at(const float* first, int place) const {
    return reinterpret_cast<const float*>(reinterpret_cast<const char*>(first) + bytes(place));
  }
  DGP_INLINE float* at(float* first, int place) const {
    return reinterpret_cast<float*>(reinterpret_cast<char*>(first) + bytes(place));
  }
};

// The first `count` < lanes floats; the other lanes are 0. Nothing behind them is touched.
template <int lanes>
DGP_INLINE Vec<lanes> load_part(const float* p, int64_t count) {
#if defined(__AVX512F__)
  if constexpr (lanes == 16)
    return reinterpret_cast<Vec<lanes>>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1), p));
#endif
  float lane[lanes] = {};
  std::memcpy(lane, p, static_cast<size_t>(count) * sizeof(float));
  return load<lanes>(lane);
}

template <int lanes>
DGP_INLINE void store_part(float* p, Vec<lanes> v, int64_t count) {
#if defined(__AVX512F__)
  if constexpr (lanes == 16)
    return _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1U << count) - 1), reinterpret_cast<__m512>(v));
#endif
  float lane[lanes];
  store<lanes>(lane, v);
  std::memcpy(p, lane, static_cast<size_t>(count) * sizeof(float));
}

// v where v > 0, slope * v elsewhere.
template <int lanes>
DGP_INLINE Vec<lanes> leaky(Vec<lanes> v, float slope) {
  return v > 0.0f ? v : v * slope;
}

// rows[i][j] <-> rows[j][i], in log2(lanes) rounds of exchanging blocks of 1, 2, 4... lanes.
template <int lanes>
DGP_INLINE void transpose(Vec<lanes> (&rows)[lanes]) {
  using Index = typename VecOf<lanes>::Index;
#pragma GCC unroll 4
  for (int block = 1; block < lanes; block *= 2) {
    Index low{}, high{};
#pragma GCC unroll 16
    for (int j = 0; j < lanes; ++j) {
      low[j] = j & block ? lanes + j - block : j;
      high[j] = j & block ? lanes + j : j + block;
    }
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      if (i & block) continue;
      Vec<lanes> a = rows[i], b = rows[i + block];
#if defined(__clang__)
      for (int j = 0; j < lanes; ++j) {
        rows[i][j] = j & block ? b[j - block] : a[j];
        rows[i + block][j] = j & block ? b[j] : a[j + block];
      }
#else
      rows[i] = __builtin_shuffle(a, b, low);
      rows[i + block] = __builtin_shuffle(a, b, high);
#endif
    }
  }
}

// Stores past the caches; p aligned to the vector. Call stream_fence() before another thread reads.
template <int lanes>
DGP_INLINE void stream(float* p, Vec<lanes> v) {
#if defined(__AVX512F__)
  if constexpr (lanes == 16) return _mm512_stream_ps(p, reinterpret_cast<__m512>(v));
#endif
#if defined(__AVX__)
  if constexpr (lanes == 8) return _mm256_stream_ps(p, reinterpret_cast<__m256>(v));
#endif
#if defined(__SSE2__)
  if constexpr (lanes == 4) return _mm_stream_ps(p, reinterpret_cast<__m128>(v));
#endif
  store<lanes>(p, v);
}

DGP_INLINE void stream_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

#if defined(__AVX512BF16__)
// Pairs of bf16 in the 32 bits of a float, the lower half first: sum + a.low * b.low + a.high * b.high.
DGP_INLINE Vec<16> dot_bf16(Vec<16> sum, Vec<16> a, Vec<16> b) {
  auto pairs = [](Vec<16> v) { return reinterpret_cast<__m512bh>(v); };
  return reinterpret_cast<Vec<16>>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), pairs(a), pairs(b)));
}

// Sixteen floats rounded to bf16: eight pairs of neighbours at p.
DGP_INLINE void store_bf16(float* p, Vec<16> v) {
  __m256bh rounded = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(v));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(rounded));
}

// Pairs (low, high), lane by lane.
DGP_INLINE Vec<16> pair_bf16(Vec<16> low, Vec<16> high) {
  typedef uint16_t Halves __attribute__((vector_size(32)));
  typedef uint32_t Words __attribute__((vector_size(64)));
  auto widened = [](Vec<16> v) {
    __m256bh rounded = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(v));
    return __builtin_convertvector(reinterpret_cast<Halves>(rounded), Words);
  };
  return reinterpret_cast<Vec<16>>(widened(low) | widened(high) << 16);
}
#endif

DGP_INLINE void prefetch_l2(const float* p) { __builtin_prefetch(p, 0, 2); }

// The vector width of the instruction set this file is compiled for.
#if defined(DGP_LANES)
inline constexpr int kLanes = DGP_LANES;
#elif defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif
using V = Vec<kLanes>;

}  // namespace
}  // namespace dgp
