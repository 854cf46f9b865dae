// Broadcasting as NumPy defines it: shapes are aligned at their last axis, and an axis of size 1 is repeated.
// Neighbouring axes that repeat alike are merged, so that equal shapes, a scalar, a value per channel and a
// value per image and channel all become loops over long runs with a step of 0 or 1.
#pragma once

#include <algorithm>

#include "tensor/cuda.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace dgp {

// The common shape of a and b; throws "<op>: ..." with both shapes when there is none.
Shape broadcast_shape(const char* op, const Shape& a, const Shape& b);

// x repeated to `shape`, copied; x itself when it has that shape and type already.
Tensor broadcast_to(const Tensor& x, const Shape& shape, DType dtype);
inline Tensor broadcast_to(const Tensor& x, const Shape& shape) { return broadcast_to(x, shape, x.dtype()); }
// The same into y, which has that shape; on the GPU also from f32 into 16 bits.
void broadcast_into(const Tensor& x, const Tensor& y);

namespace cuda {
DGP_CUDA_FUNCTION void broadcast_into(const Tensor& x, const Tensor& y);
}

// How to walk a result of `shape` together with operands a and b that broadcast to it.
class BroadcastLoop {
 public:
  BroadcastLoop(const Shape& shape, const Shape& a, const Shape& b);

  // f(i, ia, step_a, ib, step_b, count): results i .. i+count-1 read a[ia + j*step_a] and b[ib + j*step_b].
  // Chunks are fixed; results do not overlap.
  template <class F>
  void run(const F& f) const {
    parallel_for(numel_, kPointwiseGrain, [&](int64_t begin, int64_t end) {
      Position p = at(begin);
      const Axis& inner = axes_.back();
      for (int64_t i = begin; i < end;) {
        int64_t count = std::min(inner.size - p.index.back(), end - i);
        f(i, p.a, inner.step_a, p.b, inner.step_b, count);
        i += count;
        if (i < end) advance(p, count);
      }
    });
  }

  struct Axis {
    int64_t size, step_a, step_b;
  };
  const std::vector<Axis>& axes() const { return axes_; }  // outermost first; at least one

 private:
  struct Position {
    std::vector<int64_t> index;
    int64_t a, b;
  };
  Position at(int64_t i) const;
  void advance(Position& p, int64_t count) const;  // count elements to the end of the innermost axis

  std::vector<Axis> axes_;
  int64_t numel_;
};

}  // namespace dgp
