#include "image/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/parallel.h"

namespace dgp {
namespace {

constexpr int64_t kWindow = 11;
constexpr int64_t kRowGrain = 16;  // rows a chunk

void check_pair(const char* op, const Tensor& a, const Tensor& b, int64_t border) {
  check_rank(op, "image", a, 3);
  check(a.dtype() == DType::u8 && (a.dim(2) == 1 || a.dim(2) == 3), op,
        ": expects u8 [H,W,1] or [H,W,3], got ", to_string(a.dtype()), to_string(a.shape()));
  check_same(op, a, b);
  check(border >= 0 && a.dim(0) > 2 * border && a.dim(1) > 2 * border, op, ": a border of ", border,
        " leaves nothing of ", to_string(a.shape()));
}

// The inner part of an image as planes, f64 [C,H,W].
Tensor planes(const Tensor& image, int64_t border, bool luma) {
  Tensor source = luma && image.dim(2) == 3 ? luma_of(image) : image.to(DType::f64);
  int64_t H = source.dim(0) - 2 * border, W = source.dim(1) - 2 * border, C = source.dim(2);
  Tensor p({C, H, W}, DType::f64);
  for (int64_t c = 0; c < C; ++c)
    for (int64_t y = 0; y < H; ++y) {
      const double* from = source.data<double>() + ((y + border) * source.dim(1) + border) * C + c;
      double* to = p.data<double>() + (c * H + y) * W;
      for (int64_t x = 0; x < W; ++x) to[x] = from[x * C];
    }
  return p;
}

std::array<double, kWindow> gaussian() {
  std::array<double, kWindow> g{};
  double sum = 0;
  for (int64_t i = 0; i < kWindow; ++i) {
    double d = static_cast<double>(i - kWindow / 2);
    sum += g[static_cast<size_t>(i)] = std::exp(-d * d / (2 * 1.5 * 1.5));
  }
  for (double& v : g) v /= sum;
  return g;
}

// Sum of SSIM over one row of windows. The windowed sums of a, b, a^2 + b^2 and ab are taken down the columns
// first, into `column` [4, W], then along the row.
double ssim_row(const double* a, const double* b, int64_t W, std::vector<double>& column) {
  static const std::array<double, kWindow> g = gaussian();
  const double c1 = 0.01 * 255 * 0.01 * 255, c2 = 0.03 * 255 * 0.03 * 255;
  std::fill(column.begin(), column.end(), 0.0);
  double *sa = column.data(), *sb = sa + W, *squares = sb + W, *products = squares + W;
  for (size_t i = 0; i < kWindow; ++i) {
    const double *pa = a + static_cast<int64_t>(i) * W, *pb = b + static_cast<int64_t>(i) * W;
    for (int64_t x = 0; x < W; ++x) {
      sa[x] += g[i] * pa[x];
      sb[x] += g[i] * pb[x];
      squares[x] += g[i] * (pa[x] * pa[x] + pb[x] * pb[x]);
      products[x] += g[i] * (pa[x] * pb[x]);
    }
  }
  double sum = 0;
  for (int64_t x = 0; x + kWindow <= W; ++x) {
    double ma = 0, mb = 0, square = 0, product = 0;
    for (size_t i = 0; i < kWindow; ++i) {
      int64_t at = x + static_cast<int64_t>(i);
      ma += g[i] * sa[at];
      mb += g[i] * sb[at];
      square += g[i] * squares[at];
      product += g[i] * products[at];
    }
    double means = ma * ma + mb * mb, variances = square - means, covariance = product - ma * mb;
    sum += (2 * ma * mb + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2));
  }
  return sum;
}

}  // namespace

Tensor luma_of(const Tensor& rgb) {
  check(rgb.rank() == 3 && rgb.dim(2) == 3 && rgb.dtype() == DType::u8, "luma_of: expects u8 [H,W,3], got ",
        to_string(rgb.dtype()), to_string(rgb.shape()));
  Tensor y({rgb.dim(0), rgb.dim(1), 1}, DType::f64);
  const uint8_t* p = rgb.data<uint8_t>();
  double* to = y.data<double>();
  for (int64_t i = 0; i < y.numel(); ++i, p += 3)
    to[i] = 16 + (65.481 * p[0] + 128.553 * p[1] + 24.966 * p[2]) / 255;
  return y;
}

double psnr(const Tensor& a, const Tensor& b, int64_t border, bool luma) {
  check_pair("psnr", a, b, border);
  Tensor pa = planes(a, border, luma), pb = planes(b, border, luma);
  const double *x = pa.data<double>(), *y = pb.data<double>();
  double sum = parallel_sum(pa.numel(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
    double part = 0;
    for (int64_t i = begin; i < end; ++i) part += (x[i] - y[i]) * (x[i] - y[i]);
    return part;
  });
  if (sum == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(pa.numel()) / sum);
}

double ssim(const Tensor& a, const Tensor& b, int64_t border, bool luma) {
  check_pair("ssim", a, b, border);
  Tensor pa = planes(a, border, luma), pb = planes(b, border, luma);
  int64_t C = pa.dim(0), H = pa.dim(1), W = pa.dim(2), rows = H - kWindow + 1;
  check(rows > 0 && W >= kWindow, "ssim: expects at least 11x11 pixels inside the border, got ", W, "x", H);
  double sum = parallel_sum(C * rows, kRowGrain, [&](int64_t begin, int64_t end) {
    std::vector<double> column(static_cast<size_t>(4 * W));
    double part = 0;
    for (int64_t i = begin; i < end; ++i) {
      int64_t first = (i / rows * H + i % rows) * W;
      part += ssim_row(pa.data<double>() + first, pb.data<double>() + first, W, column);
    }
    return part;
  });
  return sum / static_cast<double>(C * rows * (W - kWindow + 1));
}

}  // namespace dgp
