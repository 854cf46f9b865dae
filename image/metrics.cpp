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
constexpr int64_t kRowGrain = 32;  // rows a chunk

void check_pair(const char* op, const Tensor& a, const Tensor& b, int64_t border) {
  check_rank(op, "image", a, 3);
  check(a.dtype() == DType::u8 && (a.dim(2) == 1 || a.dim(2) == 3), op,
        ": expects u8 [H,W,1] or [H,W,3], got ", to_string(a.dtype()), to_string(a.shape()));
  check_same(op, a, b);
  check(border >= 0 && a.dim(0) > 2 * border && a.dim(1) > 2 * border, op, ": a border of ", border,
        " leaves nothing of ", to_string(a.shape()));
}

double luma_at(const uint8_t* rgb) {
  return 16 + (65.481 * rgb[0] + 128.553 * rgb[1] + 24.966 * rgb[2]) / 255;
}

// The inner part of an image as planes [C,H,W] of doubles, made a few rows at a time: the whole of them would
// take many times the image's memory.
class Planes {
 public:
  Planes(const Tensor& image, int64_t border, bool luma)
      : image_(image),
        border_(border),
        luma_(luma && image.dim(2) == 3),
        height_(image.dim(0) - 2 * border),
        width_(image.dim(1) - 2 * border),
        channels_(luma_ ? 1 : image.dim(2)) {}
  int64_t height() const { return height_; }
  int64_t width() const { return width_; }
  int64_t channels() const { return channels_; }

  void rows(int64_t c, int64_t first, int64_t count, double* to) const {
    for (int64_t y = first; y < first + count; ++y, to += width_) {
      const uint8_t* from =
          image_.data<uint8_t>() + ((y + border_) * image_.dim(1) + border_) * image_.dim(2) + c;
      for (int64_t x = 0; x < width_; ++x) to[x] = luma_ ? luma_at(from + 3 * x) : from[x * channels_];
    }
  }

 private:
  const Tensor& image_;
  int64_t border_;
  bool luma_;
  int64_t height_, width_, channels_;
};

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

struct SsimSums {
  double ssim = 0, structure = 0;  // of SSIM, and of its factor of contrast and structure
};

// Sums over one row of windows. The windowed sums of a, b, a^2 + b^2 and ab are taken down the columns
// first, into `column` [4, W], then along the row.
SsimSums ssim_row(const double* a, const double* b, int64_t W, std::vector<double>& column) {
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
  SsimSums sum;
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
    const double structure = (2 * covariance + c2) / (variances + c2);
    sum.structure += structure;
    sum.ssim += (2 * ma * mb + c1) / (means + c1) * structure;
  }
  return sum;
}

// The means over all windows of a plane [H,W].
SsimSums plane_ssim(const Tensor& a, const Tensor& b) {
  const int64_t W = a.dim(1), rows = a.dim(0) - kWindow + 1;
  std::vector<SsimSums> of_row(static_cast<size_t>(rows));
  parallel_for(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    std::vector<double> column(static_cast<size_t>(4 * W));
    for (int64_t i = begin; i < end; ++i)
      of_row[static_cast<size_t>(i)] =
          ssim_row(a.data<double>() + i * W, b.data<double>() + i * W, W, column);
  });
  SsimSums sum;
  for (const SsimSums& row : of_row) sum.ssim += row.ssim, sum.structure += row.structure;
  const auto windows = static_cast<double>(rows * (W - kWindow + 1));
  return {sum.ssim / windows, sum.structure / windows};
}

// [H,W] -> [ceil(H/2), ceil(W/2)], the means of 2x2 pixels; an odd last row or column counts twice.
Tensor halved(const Tensor& x) {
  const int64_t H = x.dim(0), W = x.dim(1), w = (W + 1) / 2;
  Tensor y({(H + 1) / 2, w}, DType::f64);
  const double* from = x.data<double>();
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t top = i / w * 2, left = i % w * 2;
    const int64_t bottom = std::min(top + 1, H - 1), right = std::min(left + 1, W - 1);
    y.data<double>()[i] =
        (from[top * W + left] + from[top * W + right] + from[bottom * W + left] + from[bottom * W + right]) /
        4;
  }
  return y;
}

Tensor plane(const Planes& planes, int64_t c) {
  Tensor p({planes.height(), planes.width()}, DType::f64);
  planes.rows(c, 0, planes.height(), p.data<double>());
  return p;
}

}  // namespace

Tensor luma_of(const Tensor& rgb) {
  check(rgb.rank() == 3 && rgb.dim(2) == 3 && rgb.dtype() == DType::u8, "luma_of: expects u8 [H,W,3], got ",
        to_string(rgb.dtype()), to_string(rgb.shape()));
  Tensor y({rgb.dim(0), rgb.dim(1), 1}, DType::f64);
  const uint8_t* p = rgb.data<uint8_t>();
  double* to = y.data<double>();
  for (int64_t i = 0; i < y.numel(); ++i, p += 3) to[i] = luma_at(p);
  return y;
}

double psnr(const Tensor& a, const Tensor& b, int64_t border, bool luma) {
  check_pair("psnr", a, b, border);
  Planes pa(a, border, luma), pb(b, border, luma);
  int64_t C = pa.channels(), H = pa.height(), W = pa.width();
  double sum = parallel_sum(C * H, kRowGrain, [&](int64_t begin, int64_t end) {
    std::vector<double> x(static_cast<size_t>(W)), y(x.size());
    double part = 0;
    for (int64_t i = begin; i < end; ++i) {
      pa.rows(i / H, i % H, 1, x.data());
      pb.rows(i / H, i % H, 1, y.data());
      for (size_t j = 0; j < x.size(); ++j) part += (x[j] - y[j]) * (x[j] - y[j]);
    }
    return part;
  });
  if (sum == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(C * H * W) / sum);
}

double ssim(const Tensor& a, const Tensor& b, int64_t border, bool luma) {
  check_pair("ssim", a, b, border);
  Planes pa(a, border, luma), pb(b, border, luma);
  int64_t C = pa.channels(), W = pa.width(), windows = pa.height() - kWindow + 1;  // down a plane
  check(windows > 0 && W >= kWindow, "ssim: expects at least 11x11 pixels inside the border, got ", W, "x",
        pa.height());
  int64_t chunks = (windows + kRowGrain - 1) / kRowGrain;
  double sum = parallel_sum(C * chunks, 1, [&](int64_t chunk, int64_t) {
    int64_t first = chunk % chunks * kRowGrain, count = std::min(kRowGrain, windows - first);
    auto values = static_cast<size_t>((count + kWindow - 1) * W);
    std::vector<double> x(values), y(values), column(static_cast<size_t>(4 * W));
    pa.rows(chunk / chunks, first, count + kWindow - 1, x.data());
    pb.rows(chunk / chunks, first, count + kWindow - 1, y.data());
    double part = 0;
    for (int64_t r = 0; r < count; ++r) part += ssim_row(x.data() + r * W, y.data() + r * W, W, column).ssim;
    return part;
  });
  return sum / static_cast<double>(C * windows * (W - kWindow + 1));
}

double ms_ssim(const Tensor& a, const Tensor& b, int64_t border, bool luma) {
  static constexpr std::array kPowers = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
  check_pair("ms_ssim", a, b, border);
  const Planes pa(a, border, luma), pb(b, border, luma);
  const int64_t least = (kWindow - 1) * 16 + 1;
  check(pa.height() >= least && pa.width() >= least, "ms_ssim: expects at least ", least, "x", least,
        " pixels inside the border, got ", pa.width(), "x", pa.height());
  double sum = 0;
  for (int64_t c = 0; c < pa.channels(); ++c) {
    Tensor x = plane(pa, c), y = plane(pb, c);
    double product = 1;
    for (size_t scale = 0; scale < kPowers.size(); ++scale) {
      const bool last = scale + 1 == kPowers.size();
      const SsimSums means = plane_ssim(x, y);
      product *= std::pow(std::max(0.0, last ? means.ssim : means.structure), kPowers[scale]);
      if (!last) x = halved(x), y = halved(y);
    }
    sum += product;
  }
  return sum / static_cast<double>(pa.channels());
}

}  // namespace dgp
