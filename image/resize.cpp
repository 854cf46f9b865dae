#include "image/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/parallel.h"

namespace dgp {
namespace {

double cubic(double x) {
  x = std::abs(x);
  if (x <= 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x <= 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

// The input positions and weights of every output position along one axis; `taps` a position.
struct Taps {
  int64_t taps = 0;
  std::vector<int64_t> index;  // [count, taps], mirrored into the input
  std::vector<double> weight;  // [count, taps]
};

// For output positions [first, first + count).
Taps make_taps(int64_t in, double scale, int64_t first, int64_t count) {
  double s = std::min(scale, 1.0), width = 4 / s;
  Taps t;
  t.taps = static_cast<int64_t>(std::ceil(width)) + 2;
  t.index.resize(static_cast<size_t>(count * t.taps));
  t.weight.resize(t.index.size());
  for (int64_t o = 0; o < count; ++o) {
    double centre = (static_cast<double>(first + o) + 0.5) / scale - 0.5, sum = 0;
    auto left = static_cast<int64_t>(std::floor(centre - width / 2));
    for (int64_t k = 0; k < t.taps; ++k) {
      auto at = static_cast<size_t>(o * t.taps + k);
      t.weight[at] = s * cubic(s * (centre - static_cast<double>(left + k)));
      sum += t.weight[at];
      int64_t m = ((left + k) % (2 * in) + 2 * in) % (2 * in);
      t.index[at] = m < in ? m : 2 * in - 1 - m;
    }
    for (int64_t k = 0; k < t.taps; ++k) t.weight[static_cast<size_t>(o * t.taps + k)] /= sum;
  }
  return t;
}

// line[i] = sum_k weight[k] * x[row index[k]][i] over one row of W*C values.
template <class T>
void blend_rows(const T* x, int64_t row, const Taps& t, int64_t o, double* line) {
  std::fill_n(line, row, 0.0);
  for (int64_t k = 0; k < t.taps; ++k) {
    double w = t.weight[static_cast<size_t>(o * t.taps + k)];
    if (w == 0) continue;
    const T* from = x + t.index[static_cast<size_t>(o * t.taps + k)] * row;
    for (int64_t i = 0; i < row; ++i) line[i] += w * from[i];
  }
}

template <int kChannels, class T>
void blend_columns(const double* line, const Taps& t, int64_t out_w, int64_t channels, T* y) {
  const int64_t C = kChannels > 0 ? kChannels : channels;
  for (int64_t o = 0; o < out_w; ++o) {
    const double* weight = &t.weight[static_cast<size_t>(o * t.taps)];
    const int64_t* index = &t.index[static_cast<size_t>(o * t.taps)];
    if constexpr (kChannels > 0) {
      double sum[kChannels] = {};
      for (int64_t k = 0; k < t.taps; ++k)
        for (int c = 0; c < kChannels; ++c) sum[c] += weight[k] * line[index[k] * C + c];
      for (int c = 0; c < kChannels; ++c) y[o * C + c] = static_cast<T>(sum[c]);
    } else {
      for (int64_t c = 0; c < C; ++c) {
        double sum = 0;
        for (int64_t k = 0; k < t.taps; ++k) sum += weight[k] * line[index[k] * C + c];
        y[o * C + c] = static_cast<T>(sum);
      }
    }
  }
}

Tensor blend(const Tensor& x, const Taps& rows, int64_t out_h, const Taps& columns, int64_t out_w) {
  int64_t W = x.dim(1), C = x.dim(2);
  Tensor y({out_h, out_w, C}, x.dtype());
  dispatch_float(x.dtype(), "imresize", [&](auto zero) {
    using T = decltype(zero);
    parallel_for(out_h, 8, [&](int64_t begin, int64_t end) {
      std::vector<double> line(static_cast<size_t>(W * C));
      for (int64_t o = begin; o < end; ++o) {
        blend_rows(x.data<T>(), W * C, rows, o, line.data());
        T* to = y.data<T>() + o * out_w * C;
        if (C == 1)
          blend_columns<1>(line.data(), columns, out_w, C, to);
        else if (C == 3)
          blend_columns<3>(line.data(), columns, out_w, C, to);
        else
          blend_columns<0>(line.data(), columns, out_w, C, to);
      }
    });
  });
  return y;
}

Tensor resize(const Tensor& x, int64_t out_h, int64_t out_w, double scale_h, double scale_w) {
  return blend(x, make_taps(x.dim(0), scale_h, 0, out_h), out_h, make_taps(x.dim(1), scale_w, 0, out_w),
               out_w);
}

void check_input(const Tensor& x) {
  check_rank("imresize", "x", x, 3);
  check(x.numel() > 0, "imresize: expects at least one pixel, got ", to_string(x.shape()));
}

}  // namespace

Tensor imresize(const Tensor& x, double scale) {
  check_input(x);
  check(std::isfinite(scale) && scale > 0, "imresize: scale expects a positive number, got ", scale);
  auto size = [&](int axis) { return std::ceil(static_cast<double>(x.dim(axis)) * scale); };
  check(size(0) < 1e9 && size(1) < 1e9, "imresize: scale ", scale, " of ", to_string(x.shape()),
        " is too large");
  return resize(x, static_cast<int64_t>(size(0)), static_cast<int64_t>(size(1)), scale, scale);
}

Tensor imresize_rows(const RowStore& x, double scale, int64_t first, int64_t count) {
  auto out_w = static_cast<int64_t>(std::ceil(static_cast<double>(x.width()) * scale));
  Taps rows = make_taps(x.height(), scale, first, count);
  int64_t above = x.height(), below = 0;  // rows that count
  for (size_t i = 0; i < rows.index.size(); ++i) {
    if (rows.weight[i] == 0) continue;
    above = std::min(above, rows.index[i]);
    below = std::max(below, rows.index[i] + 1);
  }
  for (int64_t& index : rows.index) index -= above;
  Tensor read = x.read(above, below).reshape({below - above, x.width(), x.channels()});
  return blend(read, rows, count, make_taps(x.width(), scale, 0, out_w), out_w);
}

Tensor imresize(const Tensor& x, int64_t out_height, int64_t out_width) {
  check_input(x);
  check(out_height > 0 && out_width > 0, "imresize: expects a positive size, got ", out_height, "x",
        out_width);
  return resize(x, out_height, out_width, static_cast<double>(out_height) / static_cast<double>(x.dim(0)),
                static_cast<double>(out_width) / static_cast<double>(x.dim(1)));
}

}  // namespace dgp
