#include "ops/reduce.h"

#include <algorithm>

#include "ops/broadcast.h"
#include "ops/pointwise_cuda.h"
#include "tensor/parallel.h"
#include "tensor/storage.h"

namespace dgp {

namespace cpu {
namespace {

constexpr int64_t kLanes = 8;

template <class T>
double sum_run(const T* x, int64_t n) {  // eight sums side by side, so that additions need not wait
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(x[i + j]);
  double sum = 0;
  for (; i < n; ++i) sum += static_cast<double>(x[i]);
  for (double lane : lanes) sum += lane;
  return sum;
}

// x [rows, width], rows `stride` apart -> y [width]
template <class T>
void sum_rows(const T* x, int64_t rows, int64_t stride, int64_t width, double* y) {
  if (stride == 1) {
    *y = sum_run(x, rows);
    return;
  }
  std::fill_n(y, width, 0.0);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < width; ++k) y[k] += static_cast<double>(x[r * stride + k]);
}

// x [outer, rows, inner] -> [outer, inner] in f64. Work is cut into blocks of at most kWidth columns and
// `part` rows, sizes that the shape alone fixes; sums of parts are then summed in the same way.
template <class T>
Tensor sum_axis(const T* x, int64_t outer, int64_t rows, int64_t inner) {
  constexpr int64_t kWidth = 512;
  int64_t width = std::min(kWidth, inner), blocks = inner > 0 ? (inner + width - 1) / width : 0;
  int64_t part = std::max<int64_t>(32, kPointwiseGrain / std::max<int64_t>(1, width));
  int64_t parts = std::max<int64_t>(1, (rows + part - 1) / part);
  Tensor partial({outer, parts, inner}, DType::f64);
  double* p = partial.data<double>();
  int64_t work = std::max<int64_t>(1, std::min(part, rows) * width);
  int64_t grain = std::max<int64_t>(1, kPointwiseGrain / work);
  parallel_for(outer * parts * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t k = i % blocks * width, row = i / blocks, first = row % parts * part;
      sum_rows(x + (row / parts * rows + first) * inner + k, std::min(part, rows - first), inner,
               std::min(width, inner - k), p + row * inner + k);
    }
  });
  if (parts == 1) return partial.reshape({outer, inner});
  return sum_axis(p, outer, parts, inner);
}

// An axis to be summed over, as [outer, rows, inner]; runs of neighbouring axes are one.
struct Run {
  int64_t outer, rows, inner;
};

// From the last to the first; each finds those after it summed up already.
std::vector<Run> runs_of(Shape shape, const std::vector<bool>& reduced) {
  std::vector<Run> runs;
  for (size_t axis = shape.size(); axis-- > 0;) {
    if (!reduced[axis]) continue;
    size_t first = axis;
    while (first > 0 && reduced[first - 1]) --first;
    Run run{1, 1, 1};
    for (size_t i = 0; i < shape.size(); ++i)
      (i < first ? run.outer : i <= axis ? run.rows : run.inner) *= shape[i];
    for (size_t i = first; i <= axis; ++i) shape[i] = 1;
    runs.push_back(run);
    axis = first;
  }
  return runs;
}

// Intermediate sums are kept in double; the last launch scales and rounds.
void sum_on_gpu(Tensor x, std::vector<Run> runs, double scale, const Tensor& y) {
  if (runs.empty()) runs.push_back({x.numel(), 1, 1});
  for (size_t i = 0; i < runs.size(); ++i) {
    auto [outer, rows, inner] = runs[i];
    bool last = i + 1 == runs.size();
    Tensor sums = last ? y : Tensor({outer, inner}, DType::f64, Device::cuda);
    cuda::sum_axis(x, outer, rows, inner, last ? scale : 1, sums);
    x = sums;
  }
}

}  // namespace

Tensor sum(const Tensor& x, const std::vector<bool>& reduced, double scale) {
  Shape kept = x.shape();
  for (size_t i = 0; i < kept.size(); ++i)
    if (reduced[i]) kept[i] = 1;
  Tensor y(kept, sum_type(x.dtype()), x.device()), sums = x;
  std::vector<Run> runs = runs_of(x.shape(), reduced);
  if (x.device() == Device::cuda) return sum_on_gpu(x, std::move(runs), scale, y), y;
  for (const auto& [outer, rows, inner] : runs)
    dispatch_float(sums.dtype(), "sum", [&](auto zero) {
      using T = decltype(zero);
      sums = sum_axis(sums.data<T>(), outer, rows, inner);
    });
  dispatch_float(x.dtype(), "sum", [&](auto zero) {
    using T = decltype(zero);
    T* to = y.data<T>();
    auto convert = [&](const auto* from) {
      for (int64_t i = 0; i < y.numel(); ++i) to[i] = static_cast<T>(scale * static_cast<double>(from[i]));
    };
    if (sums.dtype() == DType::f64)
      convert(sums.data<double>());
    else
      convert(sums.data<T>());
  });
  return y;
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  std::vector<bool> reduced(x.shape().size());
  size_t missing = reduced.size() - shape.size();
  for (size_t i = 0; i < reduced.size(); ++i)
    reduced[i] = i < missing || (shape[i - missing] == 1 && x.shape()[i] != 1);
  return sum(x, reduced).reshape(shape);
}

}  // namespace cpu

namespace {

std::vector<bool> axis_mask(const char* op, const Shape& shape, const Axes& axes) {
  std::vector<bool> mask(shape.size());
  int rank = static_cast<int>(shape.size());
  for (int axis : axes) {
    int a = axis < 0 ? axis + rank : axis;
    check(a >= 0 && a < rank, op, ": no axis ", axis, " in ", to_string(shape));
    check(!mask[static_cast<size_t>(a)], op, ": axis ", axis, " of ", to_string(shape), " is named twice");
    mask[static_cast<size_t>(a)] = true;
  }
  return mask;
}

Var reduce(const Var& x, const std::vector<bool>& mask, bool keepdim, double scale) {
  Tensor y = cpu::sum(x.value(), mask, scale);
  Shape kept = y.shape(), shape;
  for (size_t i = 0; i < mask.size(); ++i)
    if (keepdim || !mask[i]) shape.push_back(kept[i]);
  return record(y.reshape(shape), {x},
                [kept, full = x.shape(), dtype = x.dtype(), scale](const Tensor& dy, const Wanted&) {
                  Tensor one = dy;
                  if (scale != 1 && dy.device() == Device::cuda) {
                    one = cuda::unary(dy, pointwise::MulConstant{{}, scale});
                  } else if (scale != 1) {  // before repeating: it is the smaller tensor
                    one = Tensor(dy.shape(), dy.dtype());
                    dispatch_float(dy.dtype(), "mean", [&](auto zero) {
                      using T = decltype(zero);
                      const T* d = dy.data<T>();
                      for (int64_t i = 0; i < dy.numel(); ++i)
                        one.data<T>()[i] = static_cast<T>(scale * static_cast<double>(d[i]));
                    });
                  }
                  return std::vector<Tensor>{broadcast_to(one.reshape(kept), full, dtype)};
                });
}

double one_over_count(const char* op, const Shape& shape, const std::vector<bool>& mask) {
  int64_t count = 1;
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i]) count *= shape[i];
  check(count > 0, op, ": ", to_string(shape), " has nothing to take the mean of");
  return 1.0 / static_cast<double>(count);
}

}  // namespace

Var sum(const Var& x) { return reduce(x, std::vector<bool>(x.shape().size(), true), false, 1); }

Var mean(const Var& x) {
  std::vector<bool> mask(x.shape().size(), true);
  return reduce(x, mask, false, one_over_count("mean", x.shape(), mask));
}

Var sum(const Var& x, const Axes& axes, bool keepdim) {
  return reduce(x, axis_mask("sum", x.shape(), axes), keepdim, 1);
}

Var mean(const Var& x, const Axes& axes, bool keepdim) {
  std::vector<bool> mask = axis_mask("mean", x.shape(), axes);
  return reduce(x, mask, keepdim, one_over_count("mean", x.shape(), mask));
}

Var global_average_pool(const Var& x) {
  check_rank("global_average_pool", "input", x.value(), 4);
  return mean(x, {1, 2});
}

}  // namespace dgp
