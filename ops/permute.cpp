#include "ops/permute.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace dgp {

namespace cpu {
namespace {

// Result elements in order, a row of the last axis at a time; strides are those of x for the result's axes.
template <class T>
void permute_rows(const T* x, T* y, const Shape& shape, const std::vector<int64_t>& strides) {
  size_t last = shape.size() - 1;
  int64_t count = shape[last], step = strides[last], rows = 1;
  for (size_t i = 0; i < last; ++i) rows *= shape[i];
  if (rows * count == 0) return;
  parallel_for(rows, std::max<int64_t>(1, kPointwiseGrain / count), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t at = 0, rest = row;
      for (size_t i = last; i-- > 0; rest /= shape[i]) at += rest % shape[i] * strides[i];
      T* out = y + row * count;
      for (int64_t j = 0; j < count; ++j) out[j] = x[at + j * step];
    }
  });
}

}  // namespace

Tensor permute(const Tensor& x, const std::vector<int>& axes) {
  size_t rank = x.shape().size();
  check(axes.size() == rank, "permute: ", axes.size(), " axes named, input ", to_string(x.shape()));
  std::vector<int64_t> x_strides(rank, 1), strides;
  for (size_t i = rank; i-- > 1;) x_strides[i - 1] = x_strides[i] * x.shape()[i];
  std::vector<bool> seen(rank);
  Shape shape;
  for (int axis : axes) {
    size_t a = static_cast<size_t>(axis);
    check(axis >= 0 && a < rank && !seen[a], "permute: axis ", axis,
          " is out of range or named twice, input ", to_string(x.shape()));
    seen[a] = true;
    shape.push_back(x.shape()[a]);
    strides.push_back(x_strides[a]);
  }
  if (rank == 0) return x.clone();
  Tensor y(shape, x.dtype(), x.device());
  if (x.device() == Device::cuda) return cuda::permute(x, strides, y), y;
  switch (element_size(x.dtype())) {  // bits are moved, whatever they mean
    case 1:
      permute_rows(reinterpret_cast<const uint8_t*>(x.bytes()), reinterpret_cast<uint8_t*>(y.bytes()), shape,
                   strides);
      break;
    case 2:
      permute_rows(reinterpret_cast<const uint16_t*>(x.bytes()), reinterpret_cast<uint16_t*>(y.bytes()),
                   shape, strides);
      break;
    case 4:
      permute_rows(reinterpret_cast<const uint32_t*>(x.bytes()), reinterpret_cast<uint32_t*>(y.bytes()),
                   shape, strides);
      break;
    default:
      permute_rows(reinterpret_cast<const uint64_t*>(x.bytes()), reinterpret_cast<uint64_t*>(y.bytes()),
                   shape, strides);
  }
  return y;
}

}  // namespace cpu

Var permute(const Var& x, const std::vector<int>& axes) {
  Tensor y = cpu::permute(x.value(), axes);
  std::vector<int> inverse(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) inverse[static_cast<size_t>(axes[i])] = static_cast<int>(i);
  return record(y, {x}, [inverse](const Tensor& dy, const Wanted&) {
    return std::vector<Tensor>{cpu::permute(dy, inverse)};
  });
}

}  // namespace dgp
