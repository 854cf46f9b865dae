#include "ops/slice.h"

#include <algorithm>
#include <cstring>

#include "tensor/parallel.h"

namespace dgp {

namespace cpu {

void copy_range(const Tensor& source, int64_t source_at, const Tensor& target, int64_t target_at, int axis,
                int64_t count) {
  if (source.device() == Device::cuda)
    return cuda::copy_range(source, source_at, target, target_at, axis, count);
  int64_t outer = 1, inner = element_size(source.dtype());
  for (int i = 0; i < axis; ++i) outer *= source.dim(i);
  for (int i = axis + 1; i < source.rank(); ++i) inner *= source.dim(i);
  int64_t from_row = source.dim(axis) * inner, to_row = target.dim(axis) * inner, bytes = count * inner;
  if (bytes == 0) return;
  const std::byte* from = source.bytes() + source_at * inner;
  std::byte* to = target.bytes() + target_at * inner;
  parallel_for(outer, std::max<int64_t>(1, 4 * kPointwiseGrain / bytes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(to + i * to_row, from + i * from_row, static_cast<size_t>(bytes));
  });
}

}  // namespace cpu

Var slice(const Var& x, int axis, int64_t begin, int64_t end) {
  int rank = x.value().rank(), a = axis < 0 ? axis + rank : axis;
  check(a >= 0 && a < rank, "slice: no axis ", axis, " in ", to_string(x.shape()));
  check(begin >= 0 && begin <= end && end <= x.dim(a), "slice: ", begin, "..", end, " of axis ", axis, " of ",
        to_string(x.shape()));
  Shape shape = x.shape();
  shape[static_cast<size_t>(a)] = end - begin;
  Tensor y(shape, x.dtype(), x.value().device());
  cpu::copy_range(x.value(), begin, y, 0, a, end - begin);
  return record(y, {x}, [from = x.shape(), a, begin](const Tensor& dy, const Wanted&) {
    Tensor dx = Tensor::zeros(from, dy.dtype(), dy.device());
    cpu::copy_range(dy, 0, dx, begin, a, dy.dim(a));
    return std::vector<Tensor>{dx};
  });
}

}  // namespace dgp
