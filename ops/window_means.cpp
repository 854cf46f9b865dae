#include "ops/window_means.h"

#include <algorithm>
#include <type_traits>

#include "autograd/take_sum.h"
#include "ops/kernels/active.h"
#include "tensor/parallel.h"
#include "tensor/storage.h"

namespace dgp {
namespace {

// With shift j a window of a line of n pixels covers [begin, end); what it covers beyond is zero.
struct Range {
  int64_t begin, end;
  bool holds(int64_t i) const { return begin <= i && i < end; }
};
Range covered(int64_t j, int64_t k, int64_t n) {
  return {std::clamp<int64_t>(j - k / 2, 0, n), std::clamp<int64_t>(n + j - k / 2, 0, n)};
}

int64_t row_grain(int64_t row) { return std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, row)); }

// One row of dx: dx[y,x,c] = sum of dm over the windows that cover (y, x), divided by H W, one vector for all
// inner pixels; added to what dx holds, if so asked. dm [k,k,C], dx [W,C].
template <class T>
void backward_row(const T* dm, int64_t y, int64_t height, int64_t width, int64_t channels, int64_t k,
                  bool add, T* dx) {
  T scale = T{1} / static_cast<T>(height * width);
  int64_t line = k * channels, edge = k / 2;
  std::vector<T> by_shift(static_cast<size_t>(line)), sum(static_cast<size_t>(channels));
  for (int64_t i = 0; i < k; ++i)
    if (covered(i, k, height).holds(y))
      for (int64_t c = 0; c < line; ++c) by_shift[static_cast<size_t>(c)] += scale * dm[i * line + c];
  for (int64_t x = 0; x < width; ++x) {
    if (x <= edge || x >= width - edge) {  // between them the sum stays the same
      std::fill(sum.begin(), sum.end(), T{0});
      for (int64_t j = 0; j < k; ++j)
        if (covered(j, k, width).holds(x))
          for (int64_t c = 0; c < channels; ++c)
            sum[static_cast<size_t>(c)] += by_shift[static_cast<size_t>(j * channels + c)];
    }
    const T* from = sum.data();
    T* to = dx + x * channels;
    if (add)
      for (int64_t c = 0; c < channels; ++c) to[c] += from[c];
    else
      for (int64_t c = 0; c < channels; ++c) to[c] = from[c];
  }
}

}  // namespace

namespace cpu {
namespace {

// Subtracts from `sum` [C] the pixels of a row that shift j of the window has not.
template <class T>
void leave_out(const T* row, int64_t width, int64_t channels, int64_t j, int64_t k, double* sum) {
  Range range = covered(j, k, width);
  for (int64_t x = 0; x < width; ++x) {
    if (range.begin < range.end && x == range.begin) x = range.end;
    if (x >= width) break;
    for (int64_t c = 0; c < channels; ++c) sum[c] -= static_cast<double>(row[x * channels + c]);
  }
}

// Sums of one image row for each horizontal shift: row [W,C] -> sums [k,C]. f32 rows are summed in segments
// of 16 pixels counted from the left, the segments in double.
template <class T>
void row_window_sums(const T* row, int64_t width, int64_t channels, int64_t k, double* sums) {
  double* middle = sums + k / 2 * channels;
  if constexpr (std::is_same_v<T, float>) {
    active_kernels().row_sums(row, width, channels, middle);
  } else {
    std::fill(middle, middle + channels, 0.0);
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < channels; ++c) middle[c] += row[x * channels + c];
  }
  for (int64_t j = 0; j < k; ++j) {  // the other shifts lose a few pixels at one end
    if (j == k / 2) continue;
    double* shifted = sums + j * channels;
    std::copy(middle, middle + channels, shifted);
    leave_out(row, width, channels, j, k, shifted);
  }
}
// The sums of an image's rows, [height,k,C], added up to its window sums [k,k,C], row after row: each
// vertical shift takes those of its rows.
void add_row_sums(const double* row_sums, int64_t height, int64_t channels, int64_t k, double* sums) {
  int64_t line = k * channels;
  for (int64_t i = 0; i < k; ++i) {
    Range range = covered(i, k, height);
    for (int64_t y = range.begin; y < range.end; ++y)
      for (int64_t c = 0; c < line; ++c) sums[i * line + c] += row_sums[y * line + c];
  }
}

}  // namespace

WindowSums::WindowSums(int64_t height, int64_t width, int64_t channels, int64_t k)
    : height_(height),
      width_(width),
      channels_(channels),
      k_(k),
      sums_(static_cast<size_t>(k * k * channels)) {}

void WindowSums::add(const float* x, int64_t first, int64_t rows, const float* tiles) {
  int64_t line = k_ * channels_, row = width_ * channels_, across = (width_ + 3) / 4, edge = k_ / 2;
  int64_t tile_rows = (rows + 3) / 4;
  of_tile_rows_.resize(static_cast<size_t>(tile_rows * line));
  // Of each tile row for each horizontal shift: all of it, less the pixels that the window has not at its
  // ends.
  parallel_for(tile_rows, 4, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      double* sums = of_tile_rows_.data() + t * line;
      active_kernels().row_sums(tiles + t * across * channels_, across, channels_, sums + edge * channels_);
      for (int64_t j = 0; j < k_; ++j)
        if (j != edge) std::copy_n(sums + edge * channels_, channels_, sums + j * channels_);
      for (int64_t y = t * 4; y < std::min(rows, t * 4 + 4); ++y)
        for (int64_t j = 0; j < k_; ++j)
          leave_out(x + y * row, width_, channels_, j, k_, sums + j * channels_);
    }
  });
  // For each vertical shift: all tile rows, less the rows that the window has not.
  std::vector<double> border(static_cast<size_t>(line));
  for (int64_t t = 0; t < tile_rows; ++t) {
    for (int64_t i = 0; i < k_; ++i)
      for (int64_t c = 0; c < line; ++c)
        sums_[static_cast<size_t>(i * line + c)] += of_tile_rows_[static_cast<size_t>(t * line + c)];
    for (int64_t r = t * 4; r < std::min(rows, t * 4 + 4); ++r) {
      if (first + r >= edge && first + r < height_ - edge) continue;
      row_window_sums(x + r * row, width_, channels_, k_, border.data());
      for (int64_t i = 0; i < k_; ++i)
        if (!covered(i, k_, height_).holds(first + r))
          for (int64_t c = 0; c < line; ++c)
            sums_[static_cast<size_t>(i * line + c)] -= border[static_cast<size_t>(c)];
    }
  }
}

void WindowSums::means(float* to) const {
  for (size_t i = 0; i < sums_.size(); ++i)
    to[i] = static_cast<float>(sums_[i] / static_cast<double>(height_ * width_));
}

Tensor window_means_of_tiles(const Tensor& x, const Tensor& tiles, int64_t k) {
  int64_t height = x.dim(1), width = x.dim(2), channels = x.dim(3);
  Tensor means({x.dim(0), k, k, channels});
  parallel_for(x.dim(0), 1, [&](int64_t n, int64_t) {
    WindowSums sums(height, width, channels, k);
    sums.add(x.data<float>() + n * height * width * channels, 0, height,
             tiles.data<float>() + n * tiles.dim(1) * tiles.dim(2) * channels);
    sums.means(means.data<float>() + n * k * k * channels);
  });
  return means;
}

Tensor window_means_gradient(const Tensor& dm, int64_t k, const Shape& x, Tensor sum) {
  bool in_place = sum.defined() && sum.sole_owner();
  Tensor dx = in_place ? sum : Tensor(x, dm.dtype());
  int64_t height = x[1], width = x[2], channels = x[3], row = width * channels;
  dispatch_float(dm.dtype(), "window_means", [&](auto zero) {
    using T = decltype(zero);
    parallel_for(x[0] * height, row_grain(row), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        backward_row(dm.data<T>() + r / height * k * k * channels, r % height, height, width, channels, k,
                     in_place, dx.data<T>() + r * row);
    });
  });
  if (!in_place) accumulate(dx, sum);
  return dx;
}

WindowGradientRows::WindowGradientRows(const float* dm, int64_t height, int64_t width, int64_t channels,
                                       int64_t k)
    : dm_(dm),
      height_(height),
      width_(width),
      channels_(channels),
      k_(k),
      row_(static_cast<size_t>(width * channels)) {}

const float* WindowGradientRows::row(int64_t y) {
  // The windows' rows that cover y; all inner rows of an image have the same.
  int64_t first = std::max<int64_t>(0, y + k_ / 2 - height_ + 1), last = std::min(k_ - 1, y + k_ / 2);
  if (first != first_ || last != last_)
    backward_row(dm_, y, height_, width_, channels_, k_, false, row_.data());
  first_ = first, last_ = last;
  return row_.data();
}

}  // namespace cpu

Var window_means(const Var& x, int64_t k) {
  check_rank("window_means", "x [N,H,W,C]", x.value(), 4);
  check(k >= 1 && k % 2 == 1, "window_means: expects k odd, got ", k);
  int64_t n = x.dim(0), height = x.dim(1), width = x.dim(2), channels = x.dim(3), line = k * channels;
  check(height >= 1 && width >= 1, "window_means: image ", to_string(x.shape()), " is empty");
  Tensor means({n, k, k, channels}, sum_type(x.dtype()), x.value().device());
  if (means.device() == Device::cuda)
    cuda::window_means(x.value(), k, means);
  else
    dispatch_float(x.dtype(), "window_means", [&](auto zero) {
      using T = decltype(zero);
      const T* p = x.value().data<T>();
      Tensor rows({n * height, line}, DType::f64);
      parallel_for(n * height, row_grain(width * channels), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r)
          cpu::row_window_sums(p + r * width * channels, width, channels, k, rows.data<double>() + r * line);
      });
      parallel_for(n, 1, [&](int64_t begin, int64_t end) {
        std::vector<double> sums(static_cast<size_t>(k * line));
        for (int64_t i = begin; i < end; ++i) {
          std::fill(sums.begin(), sums.end(), 0.0);
          cpu::add_row_sums(rows.data<double>() + i * height * line, height, channels, k, sums.data());
          T* m = means.data<T>() + i * k * line;
          for (size_t c = 0; c < sums.size(); ++c)
            m[c] = static_cast<T>(sums[c] / static_cast<double>(height * width));
        }
      });
    });

  return record(means, {x}, [k, shape = x.shape(), dtype = x.dtype()](const Tensor& dy, const Wanted&) {
    if (dy.device() == Device::cuda) {
      Tensor dx(shape, dtype, Device::cuda);
      cuda::window_means_backward(dy, k, dx);
      return std::vector<Tensor>{dx};
    }
    return std::vector<Tensor>{cpu::window_means_gradient(dy, k, shape, take_sum(0))};
  });
}

}  // namespace dgp
