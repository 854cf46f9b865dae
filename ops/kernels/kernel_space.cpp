// DGConv's kernel space (ops/fused_kernels.h), the kernels of one output at a time: an operator's kernel
// W = L w and its gradient are made and used in registers and never stored. Work goes by blocks of input
// channels, as many as a vector holds, each with all its taps: of a 3x3 kernel nine vectors. Written for
// float and double alike.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "ops/kernels/kernels.h"
#include "tensor/simd.h"

namespace dgp::DGP_ISA {
namespace {

template <class T>
struct Vectors {
  typedef T Wide __attribute__((vector_size(64)));
  typedef T Unaligned __attribute__((vector_size(64), aligned(alignof(T)), may_alias));
  using Whole = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef Whole Index __attribute__((vector_size(64)));
};
template <class T>
using Wide = typename Vectors<T>::Wide;
template <class T>
using Whole = typename Vectors<T>::Whole;
template <class T>
using Index = typename Vectors<T>::Index;
template <class T>
constexpr int64_t kWidth = 64 / sizeof(T);

// n: the channels that are left; lanes beyond are 0 and are not stored.
template <class T>
DGP_INLINE Wide<T> load(const T* p, int64_t n) {
  if (n >= kWidth<T>) return *reinterpret_cast<const typename Vectors<T>::Unaligned*>(p);
  Wide<T> v{};
  std::memcpy(&v, p, static_cast<size_t>(n) * sizeof(T));
  return v;
}

template <class T>
DGP_INLINE void store(T* p, const Wide<T>& v, int64_t n) {
  if (n >= kWidth<T>)
    *reinterpret_cast<typename Vectors<T>::Unaligned*>(p) = v;
  else
    std::memcpy(p, &v, static_cast<size_t>(n) * sizeof(T));
}

// The same past the caches, where whole cache lines are written, for what is read after much else: a line
// that is stored the usual way is read first.
template <class T>
DGP_INLINE void store_past_caches(T* p, const Wide<T>& v, int64_t n) {
  if (n < kWidth<T> || reinterpret_cast<uintptr_t>(p) % 64 != 0) return store(p, v, n);
  float pieces[16];
  std::memcpy(pieces, &v, sizeof v);
  for (int i = 0; i < 16; i += kLanes)
    dgp::stream<kLanes>(reinterpret_cast<float*>(p) + i, dgp::load<kLanes>(pieces + i));
}

// The sum of the lanes in double, halves first.
DGP_INLINE double total(const Wide<double>& v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
DGP_INLINE double total(const Wide<float>& v) {
  typedef float Half __attribute__((vector_size(32)));
  Half halves[2];
  std::memcpy(halves, &v, sizeof v);
  return total(__builtin_convertvector(halves[0], Wide<double>) +
               __builtin_convertvector(halves[1], Wide<double>));
}

// A block of an operator's kernel: every tap of as many channels as there are lanes. k is the constant 3 or a
// variable; functions that take it are inlined, so that the loops over nine taps are no loops.
template <class T, int kTaps>
struct Block {
  Wide<T> tap[kTaps];
};
constexpr int kMost = kMostKernelSide * kMostKernelSide;

template <class T, int kTaps>
DGP_INLINE Wide<T> sum_taps(const Block<T, kTaps>& w, int64_t k) {
  Wide<T> sum{};
  for (int64_t t = 0; t < k * k; ++t) sum += w.tap[t];
  return sum;
}

// w + sign * mean over taps; its own adjoint.
template <class T, int kTaps>
DGP_INLINE void add_mean(Block<T, kTaps>& w, int64_t k, T sign) {
  const Wide<T> mean = sum_taps(w, k) * (sign / static_cast<T>(k * k));
  for (int64_t t = 0; t < k * k; ++t) w.tap[t] += mean;
}

// w - mirrored w, along the columns or the rows; its own adjoint. Mirrored taps come in pairs.
template <class T, int kTaps>
DGP_INLINE void subtract_mirror(Block<T, kTaps>& w, int64_t k, bool columns) {
  for (int64_t t = 0; t < k * k; ++t) {
    const int64_t r = t / k, c = t % k, mirrored = columns ? r * k + k - 1 - c : (k - 1 - r) * k + c;
    if (mirrored < t) continue;
    const Wide<T> difference = w.tap[t] - w.tap[mirrored];
    w.tap[mirrored] = -difference;
    w.tap[t] = difference;
  }
}

// w - [tap = L] sum(w); its adjoint, w - w_L.
template <class T, int kTaps>
DGP_INLINE void subtract_at(Block<T, kTaps>& w, int64_t k, const Index<T>& location, bool adjoint) {
  if (adjoint) {
    Wide<T> there{};
    for (int64_t t = 0; t < k * k; ++t) there = location == static_cast<Whole<T>>(t) ? w.tap[t] : there;
    for (int64_t t = 0; t < k * k; ++t) w.tap[t] -= there;
  } else {
    const Wide<T> sum = sum_taps(w, k);
    for (int64_t t = 0; t < k * k; ++t)
      w.tap[t] = location == static_cast<Whole<T>>(t) ? w.tap[t] - sum : w.tap[t];
  }
}

// w = L w or, adjoint, L^T w.
template <class T, int kTaps>
DGP_INLINE void apply(TapMap map, Block<T, kTaps>& w, int64_t k, const Index<T>& location, bool adjoint) {
  switch (map) {
    case TapMap::subtract_mean:
      return add_mean(w, k, T{-1});
    case TapMap::add_mean:
      return add_mean(w, k, T{1});
    case TapMap::subtract_columns:
      return subtract_mirror(w, k, true);
    case TapMap::subtract_rows:
      return subtract_mirror(w, k, false);
    case TapMap::identity:
      return;
    case TapMap::subtract_at:
      return subtract_at(w, k, location, adjoint);
  }
}

// Channels [first, first + kWidth) of one output's kernels.
template <class T, int kTaps>
struct Channels {
  const OutputKernels<T>& kernels;
  int64_t k, first;

  DGP_INLINE int64_t left() const { return kernels.inputs - first; }
  DGP_INLINE int64_t at(int64_t tap) const { return tap * kernels.inputs + first; }
  DGP_INLINE Index<T> location() const {
    typedef int64_t Stored __attribute__((vector_size(kWidth<T> * sizeof(int64_t))));
    Stored taps{};
    if (!kernels.location) return Index<T>{};
    std::memcpy(&taps, kernels.location + first,
                static_cast<size_t>(std::min(left(), kWidth<T>)) * sizeof(int64_t));
    return __builtin_convertvector(taps, Index<T>);
  }
  DGP_INLINE Block<T, kTaps> load_taps(const T* from) const {
    Block<T, kTaps> block;
    for (int64_t t = 0; t < k * k; ++t) block.tap[t] = load(from + at(t), left());
    return block;
  }
  DGP_INLINE Block<T, kTaps> kernel(int64_t j, const Index<T>& location) const {  // W_j
    Block<T, kTaps> w = load_taps(kernels.raw[j]);
    // A step's other work has driven the raw kernels out of the caches: fetch those of the output after next.
    const T* ahead = kernels.raw[j] + 2 * k * k * kernels.inputs;
    for (int64_t t = 0; t < k * k; ++t) __builtin_prefetch(ahead + at(t), 0, 2);
    apply(kernels.maps[j], w, k, location, false);
    return w;
  }
};

// body(a block's channels, where its tap L is) for one block after the other. kTaps: 9 for k = 3.
template <class T, int kTaps, class F>
DGP_INLINE void for_each_block(const OutputKernels<T>& s, const F& body) {
  for (int64_t first = 0; first < s.inputs; first += kWidth<T>) {
    const Channels<T, kTaps> block{s, kTaps == 9 ? 3 : s.k, first};
    body(block, block.location());
  }
}

template <class T, int kTaps>
void squares_of(const OutputKernels<T>& s, double* sums) {
  const int64_t k = kTaps == 9 ? 3 : s.k;
  for (int64_t j = 0; j < s.n; ++j, sums += k * k) {
    Block<T, kTaps> sum{};
    for_each_block<T, kTaps>(s, [&](const Channels<T, kTaps>& block, const Index<T>& location) {
      const Block<T, kTaps> w = block.kernel(j, location);
      for (int64_t t = 0; t < k * k; ++t) sum.tap[t] += w.tap[t] * w.tap[t];
    });
    for (int64_t t = 0; t < k * k; ++t) sums[t] = total(sum.tap[t]);
  }
}

template <class T, int kTaps>
void weighted_sum_of(const OutputKernels<T>& s, const double* alpha, T* sum) {
  const int64_t k = kTaps == 9 ? 3 : s.k;
  for_each_block<T, kTaps>(s, [&](const Channels<T, kTaps>& block, const Index<T>& location) {
    Block<T, kTaps> all{};
    for (int64_t j = 0; j < s.n; ++j) {
      const Block<T, kTaps> w = block.kernel(j, location);
      for (int64_t t = 0; t < k * k; ++t) all.tap[t] += static_cast<T>(alpha[j]) * w.tap[t];
    }
    for (int64_t t = 0; t < k * k; ++t) store(sum + block.at(t), all.tap[t], block.left());
  });
}

template <class T, int kTaps>
void dots_of(const OutputKernels<T>& s, const T* dy, double* sums) {
  const int64_t k = kTaps == 9 ? 3 : s.k;
  for (int64_t j = 0; j < s.n; ++j) {
    Wide<T> sum{};
    for_each_block<T, kTaps>(s, [&](const Channels<T, kTaps>& block, const Index<T>& location) {
      const Block<T, kTaps> w = block.kernel(j, location), d = block.load_taps(dy);
      for (int64_t t = 0; t < k * k; ++t) sum += w.tap[t] * d.tap[t];
    });
    sums[j] = total(sum);
  }
}

template <class T, int kTaps>
void gradient_of(const OutputKernels<T>& s, const double* alpha, const double* scale, const T* dy,
                 T* const* draw) {
  const int64_t k = kTaps == 9 ? 3 : s.k;
  for_each_block<T, kTaps>(s, [&](const Channels<T, kTaps>& block, const Index<T>& location) {
    const Block<T, kTaps> d = block.load_taps(dy);
    for (int64_t j = 0; j < s.n; ++j) {
      if (!draw[j]) continue;
      Block<T, kTaps> w = block.kernel(j, location);
      for (int64_t t = 0; t < k * k; ++t)
        w.tap[t] = static_cast<T>(alpha[j]) * d.tap[t] + static_cast<T>(scale[j * k * k + t]) * w.tap[t];
      apply(s.maps[j], w, k, location, true);
      for (int64_t t = 0; t < k * k; ++t) store_past_caches(draw[j] + block.at(t), w.tap[t], block.left());
    }
  });
  stream_fence();
}

template <class T>
void squares(const OutputKernels<T>& s, double* sums) {
  s.k == 3 ? squares_of<T, 9>(s, sums) : squares_of<T, kMost>(s, sums);
}

template <class T>
void weighted_sum(const OutputKernels<T>& s, const double* alpha, T* sum) {
  s.k == 3 ? weighted_sum_of<T, 9>(s, alpha, sum) : weighted_sum_of<T, kMost>(s, alpha, sum);
}

template <class T>
void dots(const OutputKernels<T>& s, const T* dy, double* sums) {
  s.k == 3 ? dots_of<T, 9>(s, dy, sums) : dots_of<T, kMost>(s, dy, sums);
}

template <class T>
void gradient(const OutputKernels<T>& s, const double* alpha, const double* scale, const T* dy,
              T* const* draw) {
  s.k == 3 ? gradient_of<T, 9>(s, alpha, scale, dy, draw) : gradient_of<T, kMost>(s, alpha, scale, dy, draw);
}

}  // namespace

extern const KernelSpace<float> kernel_space_f32 = {squares, weighted_sum, dots, gradient};
extern const KernelSpace<double> kernel_space_f64 = {squares, weighted_sum, dots, gradient};

}  // namespace dgp::DGP_ISA
