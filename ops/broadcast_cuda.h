// How kernels walk two operands that broadcast: BroadcastLoop's merged axes as plain data.
#pragma once

#include "ops/broadcast.h"
#include "tensor/device_function.h"

namespace dgp::cuda {

struct Strides {
  static constexpr int kAxes = 6;
  int axes = 0;
  int64_t size[kAxes], a[kAxes], b[kAxes];  // innermost first

  // Where result element i finds its operands.
  DGP_DEVICE void at(int64_t i, int64_t& ia, int64_t& ib) const {
    ia = ib = 0;
    for (int axis = 0; axis < axes; ++axis) {
      int64_t index = axis + 1 < axes ? i % size[axis] : i;
      if (axis + 1 < axes) i /= size[axis];
      ia += index * a[axis];
      ib += index * b[axis];
    }
  }
};

inline Strides strides(const Shape& y, const Shape& a, const Shape& b) {
  BroadcastLoop loop(y, a, b);
  const auto& axes = loop.axes();
  check(axes.size() <= Strides::kAxes, "broadcast on the GPU: ", to_string(y), " has more than ",
        Strides::kAxes, " axes");
  Strides s;
  s.axes = static_cast<int>(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto& axis = axes[axes.size() - 1 - i];
    s.size[i] = axis.size, s.a[i] = axis.step_a, s.b[i] = axis.step_b;
  }
  return s;
}

}  // namespace dgp::cuda
