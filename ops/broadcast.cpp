#include "ops/broadcast.h"

namespace dgp {

Shape broadcast_shape(const char* op, const Shape& a, const Shape& b) {
  Shape y(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < y.size(); ++i) {
    int64_t p = i < a.size() ? a[a.size() - 1 - i] : 1, q = i < b.size() ? b[b.size() - 1 - i] : 1;
    check(p == q || p == 1 || q == 1, op, ": shapes ", to_string(a), " and ", to_string(b),
          " do not broadcast: axis ", y.size() - 1 - i, " has ", p, " and ", q);
    y[y.size() - 1 - i] = p == 1 ? q : p;
  }
  return y;
}

BroadcastLoop::BroadcastLoop(const Shape& shape, const Shape& a, const Shape& b) : numel_(dgp::numel(shape)) {
  auto operand_size = [&](const Shape& s, size_t axis) {
    size_t missing = shape.size() - s.size();
    return axis < missing ? 1 : s[axis - missing];
  };
  int64_t next_a = 1, next_b = 1;  // strides, from the innermost axis out
  for (size_t axis = shape.size(); axis-- > 0;) {
    int64_t size = shape[axis];
    if (size == 1) continue;
    bool wide_a = operand_size(a, axis) != 1, wide_b = operand_size(b, axis) != 1;
    Axis here{size, wide_a ? next_a : 0, wide_b ? next_b : 0};
    if (wide_a) next_a *= size;
    if (wide_b) next_b *= size;
    auto merges = [](int64_t step, const Axis& inner, int64_t inner_step) {
      return step == inner.size * inner_step;  // both 0, or contiguous over both axes
    };
    if (!axes_.empty() && merges(here.step_a, axes_.back(), axes_.back().step_a) &&
        merges(here.step_b, axes_.back(), axes_.back().step_b))
      axes_.back().size *= size;
    else
      axes_.push_back(here);
  }
  if (axes_.empty()) axes_.push_back({1, 1, 1});
  std::reverse(axes_.begin(), axes_.end());
}

BroadcastLoop::Position BroadcastLoop::at(int64_t i) const {
  Position p{std::vector<int64_t>(axes_.size()), 0, 0};
  for (size_t axis = axes_.size(); axis-- > 0;) {
    int64_t index = i % axes_[axis].size;
    i /= axes_[axis].size;
    p.index[axis] = index;
    p.a += index * axes_[axis].step_a;
    p.b += index * axes_[axis].step_b;
  }
  return p;
}

void BroadcastLoop::advance(Position& p, int64_t count) const {
  size_t axis = axes_.size() - 1;
  p.index[axis] += count;
  p.a += count * axes_[axis].step_a;
  p.b += count * axes_[axis].step_b;
  while (axis > 0 && p.index[axis] == axes_[axis].size) {
    p.a -= axes_[axis].size * axes_[axis].step_a;
    p.b -= axes_[axis].size * axes_[axis].step_b;
    p.index[axis--] = 0;
    ++p.index[axis];
    p.a += axes_[axis].step_a;
    p.b += axes_[axis].step_b;
  }
}

Tensor broadcast_to(const Tensor& x, const Shape& shape, DType dtype) {
  if (x.shape() == shape) return x.to(dtype);
  Tensor y(shape, dtype, x.device());
  broadcast_into(x, y);
  return y;
}

void broadcast_into(const Tensor& x, const Tensor& y) {
  const Shape& shape = y.shape();
  check(broadcast_shape("broadcast_to", x.shape(), shape) == shape, "broadcast_to: ", to_string(x.shape()),
        " does not broadcast to ", to_string(shape));
  if (y.device() == Device::cuda) return cuda::broadcast_into(x, y);
  dispatch_float(x.dtype(), "broadcast_to", [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    T* to = y.data<T>();
    BroadcastLoop(shape, x.shape(), x.shape())
        .run([&](int64_t i, int64_t ix, int64_t step, int64_t, int64_t, int64_t count) {
          if (step == 0)
            std::fill_n(to + i, count, from[ix]);
          else
            std::copy_n(from + ix, count, to + i);
        });
  });
}

}  // namespace dgp
