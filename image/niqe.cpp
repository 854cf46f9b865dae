#include "image/niqe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "image/crop.h"
#include "image/metrics.h"
#include "image/resize.h"
#include "tensor/npz.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

constexpr int64_t kRadius = 3, kWindow = 2 * kRadius + 1;
constexpr size_t kN = static_cast<size_t>(kNiqeFeatures);
using Matrix = std::array<std::array<double, kN>, kN>;

std::array<double, kWindow> gaussian() {
  std::array<double, kWindow> g{};
  double sum = 0;
  for (int64_t i = 0; i < kWindow; ++i) {
    const auto d = static_cast<double>(i - kRadius);
    sum += g[static_cast<size_t>(i)] = std::exp(-d * d / (2 * (7.0 / 6) * (7.0 / 6)));
  }
  for (double& v : g) v /= sum;
  return g;
}

// BasicSR keeps its arrays in f32, and so is rounded here: where a picture is flat, what is left of a
// difference decides which side of zero a coefficient lies on.
double as_f32(double x) { return static_cast<double>(static_cast<float>(x)); }

// f64 [H,W] smoothed by the window, rows first as SciPy adds up, to f32; beyond the border the nearest pixel
// counts.
Tensor smoothed(const Tensor& x) {
  static const std::array<double, kWindow> g = gaussian();
  const int64_t H = x.dim(0), W = x.dim(1);
  Tensor y({H, W}, DType::f64);
  parallel_for(H, 8, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < W; ++c) {
        double sum = 0;
        for (int64_t i = 0; i < kWindow; ++i) {
          const double* row = x.data<double>() + std::clamp<int64_t>(r + i - kRadius, 0, H - 1) * W;
          for (int64_t j = 0; j < kWindow; ++j)
            sum += g[static_cast<size_t>(i)] * g[static_cast<size_t>(j)] *
                   row[std::clamp<int64_t>(c + j - kRadius, 0, W - 1)];
        }
        y.data<double>()[r * W + c] = as_f32(sum);
      }
  });
  return y;
}

// (x - local mean) / (local deviation + 1), in f32.
Tensor normalised(const Tensor& x) {
  Tensor squares = x.clone();
  for (int64_t i = 0; i < x.numel(); ++i) {
    double& v = squares.data<double>()[i];
    v = as_f32(v * v);
  }
  const Tensor mean = smoothed(x), square = smoothed(squares);
  Tensor y(x.shape(), DType::f64);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double m = mean.data<double>()[i];
    const double deviation = as_f32(std::sqrt(std::abs(as_f32(square.data<double>()[i] - as_f32(m * m)))));
    y.data<double>()[i] = as_f32(as_f32(x.data<double>()[i] - m) / as_f32(deviation + 1));
  }
  return y;
}

struct Fit {
  double alpha, left, right;  // shape, scales of the two sides
};

// Moment matching: the shape whose Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)) is nearest, of 0.2, 0.201, ..., 10.
Fit fit(const std::vector<double>& values) {
  struct Table {
    std::vector<double> shape, ratio;
    Table() {
      for (int i = 0; i <= 9800; ++i) {
        const double a = 0.2 + 0.001 * i, g = std::tgamma(2 / a);
        shape.push_back(a), ratio.push_back(g * g / (std::tgamma(1 / a) * std::tgamma(3 / a)));
      }
    }
  };
  static const Table table;
  double left = 0, right = 0, sizes = 0;
  int64_t lefts = 0, rights = 0;
  for (double v : values) {
    sizes += std::abs(v);
    if (v < 0) left += v * v, ++lefts;
    if (v > 0) right += v * v, ++rights;
  }
  const auto n = static_cast<double>(values.size());
  const double mean_square = (left + right) / n;
  left = std::sqrt(left / static_cast<double>(lefts)), right = std::sqrt(right / static_cast<double>(rights));
  if (lefts == 0 || rights == 0) return {std::nan(""), std::nan(""), std::nan("")};
  const double g = left / right, ratio = sizes / n * (sizes / n) / mean_square;
  const double wanted = ratio * (g * g * g + 1) * (g + 1) / ((g * g + 1) * (g * g + 1));
  size_t best = 0;
  for (size_t i = 1; i < table.ratio.size(); ++i)
    if (std::abs(table.ratio[i] - wanted) < std::abs(table.ratio[best] - wanted)) best = i;
  const double a = table.shape[best], spread = std::sqrt(std::tgamma(1 / a) / std::tgamma(3 / a));
  return {a, left * spread, right * spread};
}

// The 18 features of one block, its size side x side at y, x of the coefficients [H,W].
void block_features(const Tensor& z, int64_t y, int64_t x, int64_t side, double* to) {
  auto at = [&](int64_t r, int64_t c) {  // wraps around within the block
    return z.data<double>()[(y + (r + side) % side) * z.dim(1) + x + (c + side) % side];
  };
  std::vector<double> values(static_cast<size_t>(side * side));
  auto fit_of = [&](auto value) {
    for (int64_t i = 0; i < side * side; ++i) values[static_cast<size_t>(i)] = value(i / side, i % side);
    return fit(values);
  };
  const Fit own = fit_of([&](int64_t r, int64_t c) { return at(r, c); });
  *to++ = own.alpha, *to++ = (own.left + own.right) / 2;
  for (auto [down, right] : {std::pair<int64_t, int64_t>{0, 1}, {1, 0}, {1, 1}, {1, -1}}) {
    const Fit f = fit_of([&, down = down, right = right](int64_t r, int64_t c) {
      return as_f32(at(r, c) * at(r - down, c - right));
    });
    *to++ = f.alpha, *to++ = (f.right - f.left) * std::tgamma(2 / f.alpha) / std::tgamma(1 / f.alpha);
    *to++ = f.left, *to++ = f.right;
  }
}

// A = V diag(values) V^T of a symmetric matrix by Jacobi's rotations; A is left diagonal.
void diagonalise(Matrix& a, Matrix& v) {
  v = {};
  for (size_t i = 0; i < kN; ++i) v[i][i] = 1;
  for (int sweep = 0; sweep < 100; ++sweep) {
    double off = 0, all = 0;
    for (size_t i = 0; i < kN; ++i)
      for (size_t j = 0; j < kN; ++j) all += a[i][j] * a[i][j], off += i == j ? 0 : a[i][j] * a[i][j];
    if (off <= 1e-32 * all) return;
    for (size_t p = 0; p < kN; ++p)
      for (size_t q = p + 1; q < kN; ++q) {
        if (a[p][q] == 0) continue;
        const double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const double t = (theta < 0 ? -1 : 1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        auto rotate = [&](double& x, double& y) {
          const double before = x;
          x = c * before - s * y, y = s * before + c * y;
        };
        for (size_t k = 0; k < kN; ++k) rotate(a[k][p], a[k][q]);
        for (size_t k = 0; k < kN; ++k) rotate(a[p][k], a[q][k]), rotate(v[k][p], v[k][q]);
      }
  }
}

// d^T pinv(a) d; eigenvalues below 1e-15 of the largest count as zero, as in numpy.linalg.pinv.
double quadratic_form(Matrix a, const std::array<double, kN>& d) {
  Matrix v;
  diagonalise(a, v);
  double largest = 0, sum = 0;
  for (size_t i = 0; i < kN; ++i) largest = std::max(largest, std::abs(a[i][i]));
  for (size_t i = 0; i < kN; ++i) {
    if (std::abs(a[i][i]) <= 1e-15 * largest) continue;
    double along = 0;
    for (size_t k = 0; k < kN; ++k) along += v[k][i] * d[k];
    sum += along * along / a[i][i];
  }
  return sum;
}

// The mean of each feature over the blocks where it is a number.
std::array<double, kN> mean_of(const Tensor& features) {
  std::array<double, kN> mean{};
  for (size_t j = 0; j < kN; ++j) {
    int64_t count = 0;
    for (int64_t b = 0; b < features.dim(0); ++b) {
      const double v = features.data<double>()[b * kNiqeFeatures + static_cast<int64_t>(j)];
      if (!std::isnan(v)) mean[j] += v, ++count;
    }
    mean[j] /= static_cast<double>(count);
  }
  return mean;
}

// Of the blocks all of whose features are numbers.
Matrix covariance_of(const Tensor& features) {
  std::vector<const double*> rows;
  for (int64_t b = 0; b < features.dim(0); ++b) {
    const double* row = features.data<double>() + b * kNiqeFeatures;
    if (std::none_of(row, row + kN, [](double v) { return std::isnan(v); })) rows.push_back(row);
  }
  std::array<double, kN> mean{};
  for (const double* row : rows)
    for (size_t j = 0; j < kN; ++j) mean[j] += row[j] / static_cast<double>(rows.size());
  Matrix covariance{};
  for (const double* row : rows)
    for (size_t i = 0; i < kN; ++i)
      for (size_t j = 0; j < kN; ++j)
        covariance[i][j] += (row[i] - mean[i]) * (row[j] - mean[j]) / (static_cast<double>(rows.size()) - 1);
  return covariance;
}

// Rounded luma [H,W] f64, cut to whole blocks.
Tensor luma_blocks(const Tensor& image, int64_t border) {
  check_rank("niqe", "image", image, 3);
  check(image.dtype() == DType::u8 && (image.dim(2) == 1 || image.dim(2) == 3),
        "niqe: expects u8 [H,W,1] or [H,W,3], got ", to_string(image.dtype()), to_string(image.shape()));
  const int64_t down = (image.dim(0) - 2 * border) / kNiqeBlock,
                across = (image.dim(1) - 2 * border) / kNiqeBlock;
  check(border >= 0 && down > 0 && across > 0 && down * across >= 2,
        "niqe: expects room for two blocks of 96x96 pixels inside the border, got ", image.dim(1), "x",
        image.dim(0), " with a border of ", border);
  const Tensor luma = image.dim(2) == 3 ? luma_of(image) : image.to(DType::f64);
  Tensor x = cut(luma, {border, border, across * kNiqeBlock, down * kNiqeBlock});
  for (int64_t i = 0; i < x.numel(); ++i) x.data<double>()[i] = std::nearbyint(x.data<double>()[i]);
  return x.reshape({x.dim(0), x.dim(1)});
}

}  // namespace

NiqeModel read_niqe_model(const std::string& path) {
  const auto arrays = read_npz(path);
  auto take = [&](const char* name, const Shape& shape) {
    const auto found = arrays.find(name);
    if (found == arrays.end() || found->second.numel() != numel(shape) || found->second.dtype() != DType::f64)
      fail(ErrorCode::bad_file, path, ": expected ", name, ", float64, of ", to_string(shape),
           "; BasicSR's niqe_pris_params.npz has it");
    return found->second.reshape(shape);
  };
  return {take("mu_pris_param", {kNiqeFeatures}), take("cov_pris_param", {kNiqeFeatures, kNiqeFeatures})};
}

Tensor niqe_features(const Tensor& image, int64_t border) {
  Tensor x = luma_blocks(image, border);
  const int64_t down = x.dim(0) / kNiqeBlock, across = x.dim(1) / kNiqeBlock;
  Tensor features({down * across, kNiqeFeatures}, DType::f64);
  for (int64_t scale = 1; scale <= 2; ++scale) {
    const Tensor z = normalised(x);
    const int64_t side = kNiqeBlock / scale;
    parallel_for(down * across, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b)
        block_features(z, b % down * side, b / down * side, side,
                       features.data<double>() + b * kNiqeFeatures + (scale - 1) * kNiqeFeatures / 2);
    });
    if (scale == 1) {
      x = imresize(x.reshape({x.dim(0), x.dim(1), 1}), 0.5);
      x = x.reshape({x.dim(0), x.dim(1)});
      for (int64_t i = 0; i < x.numel(); ++i) x.data<double>()[i] = as_f32(x.data<double>()[i]);
    }
  }
  return features;
}

double niqe(const Tensor& image, int64_t border, const NiqeModel& model) {
  const Tensor features = niqe_features(image, border);
  std::array<double, kN> d = mean_of(features);
  Matrix s = covariance_of(features);
  for (size_t i = 0; i < kN; ++i) {
    d[i] = model.mean.data<double>()[i] - d[i];
    for (size_t j = 0; j < kN; ++j) s[i][j] = (s[i][j] + model.covariance.data<double>()[i * kN + j]) / 2;
  }
  return std::sqrt(quadratic_form(s, d));
}

}  // namespace dgp
