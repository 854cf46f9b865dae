// What optimisers and averages do to one element, shared by CPU and GPU; train/optimizers.cpp has the
// formulas and works out the coefficients. An update is a small struct of coefficients, called with the
// gradient g, the weight w and kSlots values of state, all of the same element.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "tensor/cuda.h"
#include "tensor/device_function.h"

namespace dgp {

// A piece of a parameter, and of its gradient and state: n elements, on the CPU or on the GPU.
struct UpdatePiece {
  float* w;
  const float* g;
  float* slot[4];
  int64_t n;
  size_t parameter;
  int64_t begin;  // of the piece in the parameter
};

struct AdamStep {
  static constexpr int kSlots = 2;
  float rate, root, b1, c1, b2, c2, eps, scale, shrink, decay;
  DGP_DEVICE void operator()(float g, float& w, float& m, float& v) const {
    float wi = w * shrink, gi = g * scale + decay * wi;
    m = b1 * m + c1 * gi, v = b2 * v + c2 * gi * gi;
    w = wi - rate * m / (std::sqrt(v) / root + eps);
  }
};

struct SgdStep {
  static constexpr int kSlots = 1;
  float rate, momentum, gradient, average, scale, decay;  // w -= rate (gradient g + average m)
  DGP_DEVICE void operator()(float g, float& w, float& m) const {
    float gi = g * scale + decay * w;
    m = momentum * m + gi;
    w -= rate * (gradient * gi + average * m);
  }
};

struct AdanStep {
  static constexpr int kSlots = 4;
  float rate1, rate2, root, b1, c1, b2, c2, b3, c3, eps, scale, shrink, first;
  DGP_DEVICE void operator()(float g, float& w, float& m, float& v, float& s, float& before) const {
    float gi = g * scale, d = (gi - before) * first, u = gi + b2 * d;
    m = b1 * m + c1 * gi, v = b2 * v + c2 * d, s = b3 * s + c3 * u * u, before = gi;
    w = (w - (rate1 * m + rate2 * v) / (std::sqrt(s) / root + eps)) * shrink;
  }
};

struct FreeStep {  // schedule-free; the weight is y
  static constexpr int kSlots = 3;
  float toward, rate_y, rate_z, root, b2, c2, eps, scale, decay, out;
  DGP_DEVICE void operator()(float g, float& y, float& z, float& v, float& x) const {
    float gi = g * scale;
    v = b2 * v + c2 * gi * gi;
    float u = gi / (std::sqrt(v) / root + eps) + decay * y;
    y += toward * (z - y) + rate_y * u;
    z -= rate_z * u;
    x = y + out * (z - y);
  }
};

struct AverageStep {  // g is the weight, w the average of it; a share of 1 copies
  static constexpr int kSlots = 0;
  float share;
  DGP_DEVICE void operator()(float g, float& w) const { w = share == 1 ? g : w + share * (g - w); }
};

// Elements begin, begin + step, ... before n. Arrays come by __restrict and are met only here, coefficients
// by value: a store to one could else change another, and the compiler would have to go element by element.
template <class Step>
DGP_DEVICE inline void update_elements(const Step k, int64_t begin, int64_t step, int64_t n,
                                       const float* __restrict g, float* __restrict w, float* __restrict a,
                                       float* __restrict b, float* __restrict c, float* __restrict d) {
  for (int64_t i = begin; i < n; i += step) {
    float wi = w[i];
    if constexpr (Step::kSlots == 0) {
      k(g[i], wi);
    } else if constexpr (Step::kSlots == 1) {
      float ai = a[i];
      k(g[i], wi, ai);
      a[i] = ai;
    } else if constexpr (Step::kSlots == 2) {
      float ai = a[i], bi = b[i];
      k(g[i], wi, ai, bi);
      a[i] = ai, b[i] = bi;
    } else if constexpr (Step::kSlots == 3) {
      float ai = a[i], bi = b[i], ci = c[i];
      k(g[i], wi, ai, bi, ci);
      a[i] = ai, b[i] = bi, c[i] = ci;
    } else {
      float ai = a[i], bi = b[i], ci = c[i], di = d[i];
      k(g[i], wi, ai, bi, ci, di);
      a[i] = ai, b[i] = bi, c[i] = ci, d[i] = di;
    }
    w[i] = wi;
  }
}

namespace cpu {
template <class Step>
void update(const Step& k, const UpdatePiece& p) {
  update_elements(k, 0, 1, p.n, p.g, p.w, p.slot[0], p.slot[1], p.slot[2], p.slot[3]);
}
}  // namespace cpu

namespace cuda {
// All pieces in one launch, a block each.
template <class Step>
DGP_CUDA_FUNCTION void update(const Step& k, const std::vector<UpdatePiece>& pieces);
// The sum of the squares of every g, in double, in an order that the pieces fix.
DGP_CUDA_FUNCTION double sum_of_squares(const std::vector<UpdatePiece>& pieces);
}  // namespace cuda

}  // namespace dgp
