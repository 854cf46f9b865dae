#include "ops/resize.h"

#include <algorithm>
#include <cmath>

namespace dgp {
namespace {

double cubic(double d) {  // Keys (1981), a = -0.75
  constexpr double a = -0.75;
  d = std::abs(d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

}  // namespace

AxisMap resize_map(int64_t in, int64_t out, ResizeMode mode) {
  AxisMap map;
  map.in = in;
  double ratio = static_cast<double>(in) / static_cast<double>(out);
  for (int64_t i = 0; i < out; ++i) {
    double s = (static_cast<double>(i) + 0.5) * ratio - 0.5;
    if (mode == ResizeMode::nearest) {
      map.entry(i * in / out, 1);
    } else if (mode == ResizeMode::bilinear) {
      s = std::max(s, 0.0);
      int64_t p = std::min(static_cast<int64_t>(s), in - 1);
      double t = s - static_cast<double>(p);
      if (t > 0 && p + 1 < in)
        map.entry(p, 1 - t), map.entry(p + 1, t);
      else
        map.entry(p, 1);
    } else {
      auto p = static_cast<int64_t>(std::floor(s));
      for (int64_t q = p - 1; q <= p + 2; ++q)
        map.entry(std::clamp<int64_t>(q, 0, in - 1), cubic(s - static_cast<double>(q)));
    }
    map.end_row();
  }
  return map;
}

Var resize(const Var& x, int64_t out_h, int64_t out_w, ResizeMode mode) {
  check_rank("resize", "input", x.value(), 4);
  check(x.dim(1) >= 1 && x.dim(2) >= 1 && out_h >= 1 && out_w >= 1, "resize: input ", to_string(x.shape()),
        " to ", out_h, "x", out_w, " has an empty side");
  return separable(x, resize_map(x.dim(1), out_h, mode), resize_map(x.dim(2), out_w, mode));
}

namespace cpu {

Tensor resize_rows(const Tensor& x, int64_t x_first, int64_t height, int64_t out_h, int64_t out_w,
                   ResizeMode mode, int64_t y_first, int64_t y_rows) {
  check_rank("resize", "input", x, 4);
  check(y_first >= 0 && y_rows >= 0 && y_first + y_rows <= out_h, "resize: rows ", y_first, "..",
        y_first + y_rows, " of a result of ", out_h, " rows");
  AxisMap whole = resize_map(height, out_h, mode), rows;
  rows.in = x.dim(1);
  for (int64_t i = y_first; i < y_first + y_rows; ++i) {
    auto row = static_cast<size_t>(i);
    for (auto e = static_cast<size_t>(whole.first[row]); e < static_cast<size_t>(whole.first[row + 1]); ++e) {
      int64_t p = whole.index[e] - x_first;
      check(p >= 0 && p < rows.in, "resize: result row ", i, " needs row ", whole.index[e], ", input ",
            to_string(x.shape()), " begins at row ", x_first);
      rows.entry(p, whole.weight[e]);
    }
    rows.end_row();
  }
  return separable(x, rows, resize_map(x.dim(2), out_w, mode));
}

}  // namespace cpu

}  // namespace dgp
