#include "ops/separable.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace dgp {

AxisMap transposed(const AxisMap& map) {
  AxisMap t;
  t.in = map.out();
  t.first.assign(static_cast<size_t>(map.in) + 1, 0);
  t.index.resize(map.index.size());
  t.weight.resize(map.weight.size());
  for (int64_t column : map.index) ++t.first[static_cast<size_t>(column) + 1];
  for (size_t i = 1; i < t.first.size(); ++i) t.first[i] += t.first[i - 1];
  std::vector<int64_t> next = t.first;
  for (size_t row = 0; row + 1 < map.first.size(); ++row)
    for (auto e = static_cast<size_t>(map.first[row]); e < static_cast<size_t>(map.first[row + 1]); ++e) {
      auto at = static_cast<size_t>(next[static_cast<size_t>(map.index[e])]++);
      t.index[at] = static_cast<int64_t>(row);
      t.weight[at] = map.weight[e];
    }
  return t;
}

namespace cpu {
namespace {

template <class T>
struct Row {  // an AxisMap's row as plain pointers
  const int64_t* index;
  const T* weight;
  int64_t count;
};

template <class T>
struct Map {
  explicit Map(const AxisMap& m) : map(m), weight(m.weight.begin(), m.weight.end()) {}
  Row<T> row(int64_t i) const {
    const int64_t* first = map.first.data() + i;
    return {map.index.data() + first[0], weight.data() + first[0], first[1] - first[0]};
  }
  const AxisMap& map;
  std::vector<T> weight;
};

// The weighted sum of image rows; `image` has rows of n elements.
template <class T>
void mix_rows(const T* image, int64_t n, Row<T> row, T* y) {
  if (row.count == 0) std::fill_n(y, n, T(0));
  for (int64_t e = 0; e < row.count;) {
    const T* a = image + row.index[e] * n;
    T wa = row.weight[e];
    if (row.count - e == 1 || e > 0) {
      if (e == 0)
        for (int64_t i = 0; i < n; ++i) y[i] = wa * a[i];
      else
        for (int64_t i = 0; i < n; ++i) y[i] += wa * a[i];
      ++e;
    } else {  // the first two at once: bilinear's whole work
      const T* b = image + row.index[e + 1] * n;
      T wb = row.weight[e + 1];
      for (int64_t i = 0; i < n; ++i) y[i] = wa * a[i] + wb * b[i];
      e += 2;
    }
  }
}

// Along a row: y [columns.out(), C] from x [columns.in, C]. kC: channels where known when compiled, else 0.
template <int64_t kC, class T>
void mix_columns(const T* x, const Map<T>& columns, int64_t channels, T* y) {
  const int64_t c = kC > 0 ? kC : channels, out = columns.map.out();
  for (int64_t j = 0; j < out; ++j, y += c) {
    Row<T> row = columns.row(j);
    if constexpr (kC > 0) {
      T sum[kC] = {};
      if (row.count > 0)  // the first is not added to 0, which would lose the sign of -0
        for (int64_t k = 0; k < kC; ++k) sum[k] = row.weight[0] * x[row.index[0] * kC + k];
      for (int64_t e = 1; e < row.count; ++e)
        for (int64_t k = 0; k < kC; ++k) sum[k] += row.weight[e] * x[row.index[e] * kC + k];
      for (int64_t k = 0; k < kC; ++k) y[k] = sum[k];
    } else {
      mix_rows(x, c, row, y);
    }
  }
}

template <class T>
void separable_kernel(const Tensor& x, const Map<T>& rows, const Map<T>& columns, const Tensor& y) {
  int64_t h = x.dim(1), w = x.dim(2), c = x.dim(3), oh = y.dim(1), ow = y.dim(2);
  int64_t grain = std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, (w + ow) * c));
  parallel_for(x.dim(0) * oh, grain, [&](int64_t begin, int64_t end) {
    std::vector<T> mixed(static_cast<size_t>(w * c));
    for (int64_t i = begin; i < end; ++i) {
      const T* image = x.data<T>() + i / oh * h * w * c;
      T* out = y.data<T>() + i * ow * c;
      Row<T> row = rows.row(i % oh);
      const T* line = mixed.data();
      if (row.count == 1 && row.weight[0] == 1)
        line = image + row.index[0] * w * c;
      else
        mix_rows(image, w * c, row, mixed.data());
      if (c == 3)
        mix_columns<3>(line, columns, c, out);
      else if (c == 1)
        mix_columns<1>(line, columns, c, out);
      else
        mix_columns<0>(line, columns, c, out);
    }
  });
}

}  // namespace

Tensor separable(const Tensor& x, const AxisMap& rows, const AxisMap& columns) {
  check_rank("separable", "input", x, 4);
  check(x.dim(1) == rows.in && x.dim(2) == columns.in, "separable: maps of ", rows.in, " rows and ",
        columns.in, " columns, input ", to_string(x.shape()));
  Tensor y({x.dim(0), rows.out(), columns.out(), x.dim(3)}, x.dtype(), x.device());
  if (x.device() == Device::cuda) return cuda::separable(x, rows, columns, y), y;
  dispatch_float(x.dtype(), "separable", [&](auto zero) {
    using T = decltype(zero);
    separable_kernel<T>(x, Map<T>(rows), Map<T>(columns), y);
  });
  return y;
}

}  // namespace cpu

Var separable(const Var& x, const AxisMap& rows, const AxisMap& columns) {
  Tensor y = cpu::separable(x.value(), rows, columns);
  if (!recording({x})) return y;
  return record(y, {x}, [rows, columns](const Tensor& dy, const Wanted&) {
    return std::vector<Tensor>{cpu::separable(dy, transposed(rows), transposed(columns))};
  });
}

}  // namespace dgp
