#include "ops/concat.h"

#include "ops/slice.h"

namespace dgp {

Var concat(const std::vector<Var>& parts, int axis) {
  check(!parts.empty(), "concat: expects at least one tensor");
  Shape shape = parts[0].shape();
  int rank = static_cast<int>(shape.size()), a = axis < 0 ? axis + rank : axis;
  check(a >= 0 && a < rank, "concat: no axis ", axis, " in ", to_string(shape));
  int64_t& total = shape[static_cast<size_t>(a)];
  std::vector<int64_t> sizes;
  total = 0;
  for (const Var& part : parts) {
    bool same = part.value().rank() == rank && part.dtype() == parts[0].dtype() &&
                part.value().device() == parts[0].value().device();
    for (int i = 0; same && i < rank; ++i) same = i == a || part.dim(i) == parts[0].dim(i);
    check(same, "concat: ", to_string(part.dtype()), to_string(part.shape()), " does not fit beside ",
          to_string(parts[0].dtype()), to_string(parts[0].shape()), " along axis ", axis);
    sizes.push_back(part.dim(a));
    total += sizes.back();
  }
  Tensor y(shape, parts[0].dtype(), parts[0].value().device());
  int64_t at = 0;
  for (const Var& part : parts) {
    cpu::copy_range(part.value(), 0, y, at, a, part.dim(a));
    at += part.dim(a);
  }
  return record(y, parts, [sizes, a](const Tensor& dy, const Wanted& wanted) {
    std::vector<Tensor> grads(sizes.size());
    int64_t at = 0;
    for (size_t i = 0; i < sizes.size(); at += sizes[i++]) {
      if (!wanted[i]) continue;
      Shape part = dy.shape();
      part[static_cast<size_t>(a)] = sizes[i];
      grads[i] = Tensor(part, dy.dtype(), dy.device());
      cpu::copy_range(dy, at, grads[i], 0, a, sizes[i]);
    }
    return grads;
  });
}

}  // namespace dgp
