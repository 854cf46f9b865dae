// DGConv's kernel space (ops/fused_kernels.h), the kernels of one output at a time: an operator's kernel
// W = L w and its gradient are made and used in the innermost cache and never stored. Loops run along the
// input channels, which are as many vectors. Written for float and double alike.
#include "ops/kernels/kernels.h"

namespace dgp::DGP_ISA {
namespace {

// Sum of a_i b_i. Sixteen or eight sums side by side; in double once they are added.
template <class T>
double dot(const T* a, const T* b, int64_t n) {
  typedef T Wide __attribute__((vector_size(64), aligned(alignof(T)), may_alias));
  constexpr int64_t kWidth = 64 / sizeof(T);
  Wide sums{};
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth)
    sums += *reinterpret_cast<const Wide*>(a + i) * *reinterpret_cast<const Wide*>(b + i);
  double sum = 0;
  for (; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  for (int64_t j = 0; j < kWidth; ++j) sum += static_cast<double>(sums[j]);
  return sum;
}

// total[i] = sum over taps of w[tap, i].
template <class T>
void sum_taps(const OutputKernels<T>& s, const T* w, T* total) {
  for (int64_t i = 0; i < s.inputs; ++i) total[i] = w[i];
  for (int64_t t = 1; t < s.k * s.k; ++t)
    for (int64_t i = 0; i < s.inputs; ++i) total[i] += w[t * s.inputs + i];
}

// out = w + sign * mean over taps; its own adjoint. total: room for the channels.
template <class T>
void add_mean(const OutputKernels<T>& s, const T* w, T sign, T* total, T* out) {
  int64_t taps = s.k * s.k;
  sum_taps(s, w, total);
  for (int64_t i = 0; i < s.inputs; ++i) total[i] *= sign / static_cast<T>(taps);
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t i = 0; i < s.inputs; ++i) out[t * s.inputs + i] = w[t * s.inputs + i] + total[i];
}

// out = w - mirrored w; its own adjoint.
template <class T>
void subtract_mirror(const OutputKernels<T>& s, const T* w, bool columns, T* out) {
  for (int64_t r = 0; r < s.k; ++r) {
    for (int64_t c = 0; c < s.k; ++c) {
      int64_t mirrored = columns ? r * s.k + s.k - 1 - c : (s.k - 1 - r) * s.k + c;
      const T *a = w + (r * s.k + c) * s.inputs, *b = w + mirrored * s.inputs;
      T* to = out + (r * s.k + c) * s.inputs;
      for (int64_t i = 0; i < s.inputs; ++i) to[i] = a[i] - b[i];
    }
  }
}

// out = w - [tap = L] sum(w); its adjoint, out = w - w_L.
template <class T>
void subtract_at(const OutputKernels<T>& s, const T* w, bool adjoint, T* total, T* out) {
  int64_t taps = s.k * s.k;
  if (adjoint) {
    for (int64_t i = 0; i < s.inputs; ++i) total[i] = w[s.location[i] * s.inputs + i];
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t i = 0; i < s.inputs; ++i) out[t * s.inputs + i] = w[t * s.inputs + i] - total[i];
    return;
  }
  sum_taps(s, w, total);
  for (int64_t i = 0; i < taps * s.inputs; ++i) out[i] = w[i];
  for (int64_t i = 0; i < s.inputs; ++i) out[s.location[i] * s.inputs + i] -= total[i];
}

// out = L w or, adjoint, L^T w, of operator j; out and w are two slabs [k*k, I].
template <class T>
void apply(const OutputKernels<T>& s, int64_t j, const T* w, bool adjoint, T* total, T* out) {
  switch (s.maps[j]) {
    case TapMap::subtract_mean:
      return add_mean(s, w, T{-1}, total, out);
    case TapMap::add_mean:
      return add_mean(s, w, T{1}, total, out);
    case TapMap::subtract_columns:
      return subtract_mirror(s, w, true, out);
    case TapMap::subtract_rows:
      return subtract_mirror(s, w, false, out);
    case TapMap::identity:
      for (int64_t i = 0; i < s.k * s.k * s.inputs; ++i) out[i] = w[i];
      return;
    case TapMap::subtract_at:
      return subtract_at(s, w, adjoint, total, out);
  }
}

template <class T>
void squares(const OutputKernels<T>& s, double* sums, T* scratch) {
  T* w = scratch + s.inputs;
  for (int64_t j = 0; j < s.n; ++j) {
    apply(s, j, s.raw[j], false, scratch, w);
    for (int64_t t = 0; t < s.k * s.k; ++t, w += s.inputs) *sums++ = dot(w, w, s.inputs);
    w = scratch + s.inputs;
  }
}

template <class T>
void weighted_sum(const OutputKernels<T>& s, const double* alpha, T* sum, T* scratch) {
  T* w = scratch + s.inputs;
  int64_t slab = s.k * s.k * s.inputs;
  for (int64_t j = 0; j < s.n; ++j) {
    apply(s, j, s.raw[j], false, scratch, w);
    T a = static_cast<T>(alpha[j]);
    if (j == 0)
      for (int64_t i = 0; i < slab; ++i) sum[i] = a * w[i];
    else
      for (int64_t i = 0; i < slab; ++i) sum[i] += a * w[i];
  }
}

template <class T>
void dots(const OutputKernels<T>& s, const T* dy, double* sums, T* scratch) {
  T* w = scratch + s.inputs;
  for (int64_t j = 0; j < s.n; ++j) {
    apply(s, j, s.raw[j], false, scratch, w);
    sums[j] = dot(w, dy, s.k * s.k * s.inputs);
  }
}

template <class T>
void gradient(const OutputKernels<T>& s, const double* alpha, const double* scale, const T* dy,
              T* const* draw, T* scratch) {
  T* w = scratch + s.inputs;
  int64_t taps = s.k * s.k;
  for (int64_t j = 0; j < s.n; ++j) {
    if (!draw[j]) continue;
    apply(s, j, s.raw[j], false, scratch, w);
    T a = static_cast<T>(alpha[j]);
    for (int64_t t = 0; t < taps; ++t) {
      T b = static_cast<T>(scale[j * taps + t]);
      T* row = w + t * s.inputs;
      const T* d = dy + t * s.inputs;
      for (int64_t i = 0; i < s.inputs; ++i) row[i] = a * d[i] + b * row[i];
    }
    apply(s, j, w, true, scratch, draw[j]);
  }
}

}  // namespace

extern const KernelSpace<float> kernel_space_f32 = {squares, weighted_sum, dots, gradient};
extern const KernelSpace<double> kernel_space_f64 = {squares, weighted_sum, dots, gradient};

}  // namespace dgp::DGP_ISA
