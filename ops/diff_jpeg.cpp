#include "ops/diff_jpeg.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/kernels/picture_kernels.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

// ITU-T T.81, table K.1; and the corner of K.2 that is not 99.
constexpr std::array<int, 64> kLuma = {16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
                                       14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
                                       18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
                                       49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
constexpr std::array<int, 16> kChroma = {17, 18, 24, 47, 18, 21, 26, 66, 24, 26, 56, 99, 47, 66, 99, 99};

JpegBlock table_of(bool chroma, double factor) {  // transposed, as DiffJPEG has them
  JpegBlock table;
  for (size_t v = 0; v < 8; ++v)
    for (size_t u = 0; u < 8; ++u)
      table[v * 8 + u] = factor * (!chroma ? kLuma[u * 8 + v] : u < 4 && v < 4 ? kChroma[u * 4 + v] : 99);
  return table;
}

JpegBlock transposed(const JpegBlock& a) {
  JpegBlock t;
  for (size_t i = 0; i < 64; ++i) t[i % 8 * 8 + i / 8] = a[i];
  return t;
}

// c = a b, of 8x8 values.
void product(const double* a, const double* b, double* c) {
  for (int i = 0; i < 8; ++i) {
    double sum[8] = {};
    for (int k = 0; k < 8; ++k)
      for (int j = 0; j < 8; ++j) sum[j] += a[i * 8 + k] * b[k * 8 + j];
    std::copy_n(sum, 8, c + i * 8);
  }
}

struct Basis {
  JpegBlock forward = diff_jpeg_basis(), back = transposed(diff_jpeg_basis());
};
const Basis& basis() {
  static const Basis instance;
  return instance;
}

constexpr double kToLuma[3] = {0.299, 0.587, 0.114};
constexpr double kToBlue[3] = {-0.168736, -0.331264, 0.5};
constexpr double kToRed[3] = {0.5, -0.418688, -0.081312};

struct Plane {
  int64_t height, width;
  Tensor values;
  double* at;
  Plane(int64_t h, int64_t w)
      : height(h), width(w), values(Tensor::zeros({h, w}, DType::f64)), at(values.data<double>()) {}
  double& operator()(int64_t y, int64_t x) { return at[y * width + x]; }

  // Calls f(block [64], index of its first value in `at`) for each block and puts back what it leaves.
  template <class F>
  void for_blocks(F&& f) {
    double block[64];
    for (int64_t top = 0; top < height; top += 8)
      for (int64_t left = 0; left < width; left += 8) {
        double* corner = at + top * width + left;
        for (int64_t i = 0; i < 64; ++i) block[i] = corner[i / 8 * width + i % 8];
        f(block, corner - at);
        for (int64_t i = 0; i < 64; ++i) corner[i / 8 * width + i % 8] = block[i];
      }
  }

  void round_whole(const JpegBlock& steps) {
    active_picture_kernels().jpeg_rounding({basis().forward.data(), basis().back.data(), steps.data()},
                                           height, width, at);
  }

  // With smooth steps; r'(q) of each coefficient goes into `slope`, where there is one.
  void round_smoothly(const JpegBlock& steps, Plane* slope) {
    for_blocks([&](double* block, int64_t first) {
      double half[64];
      for (int i = 0; i < 64; ++i) block[i] -= 128;
      product(basis().forward.data(), block, half);
      product(half, basis().back.data(), block);
      for (int i = 0; i < 64; ++i) {
        const double q = block[i] / steps[static_cast<size_t>(i)], whole = std::nearbyint(q),
                     rest = q - whole;
        block[i] = (whole + rest * rest * rest) * steps[static_cast<size_t>(i)];
        if (slope) slope->at[first + i / 8 * width + i % 8] = 3 * rest * rest;
      }
      product(basis().back.data(), block, half);
      product(half, basis().forward.data(), block);
      for (int i = 0; i < 64; ++i) block[i] += 128;
    });
  }

  // The gradient in what was rounded from the one in the result: by the same transforms, which are
  // orthonormal.
  void through_rounding(const Plane& slope) {
    for_blocks([&](double* block, int64_t first) {
      double half[64];
      product(basis().forward.data(), block, half);
      product(half, basis().back.data(), block);
      for (int i = 0; i < 64; ++i) block[i] *= slope.at[first + i / 8 * width + i % 8];
      product(basis().back.data(), block, half);
      product(half, basis().forward.data(), block);
    });
  }
};

struct Planes {
  int64_t height, width;  // of the picture; planes are whole blocks
  Plane luma, blue, red;
  Planes(int64_t h, int64_t w)
      : height(h),
        width(w),
        luma((h + 15) / 16 * 16, (w + 15) / 16 * 16),
        blue(luma.height / 2, luma.width / 2),
        red(luma.height / 2, luma.width / 2) {}

  template <class T>
  void take(const T* x) {
    for (int64_t i = 0; i < luma.height; ++i)
      for (int64_t j = 0; j < luma.width; ++j) {
        double rgb[3] = {};
        if (i < height && j < width)
          for (int c = 0; c < 3; ++c) rgb[c] = 255.0 * static_cast<double>(x[(i * width + j) * 3 + c]);
        const auto sum = [&](const double(&w)[3]) { return w[0] * rgb[0] + w[1] * rgb[1] + w[2] * rgb[2]; };
        luma(i, j) = sum(kToLuma);
        blue(i / 2, j / 2) += (sum(kToBlue) + 128) / 4;
        red(i / 2, j / 2) += (sum(kToRed) + 128) / 4;
      }
  }

  // Calls f(pixel, rgb of 255, not clamped).
  template <class F>
  void for_pixels(F&& f) {
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j) {
        const double l = luma(i, j), b = blue(i / 2, j / 2) - 128, r = red(i / 2, j / 2) - 128;
        f(i, j, std::array{l + 1.402 * r, l - 0.344136 * b - 0.714136 * r, l + 1.772 * b});
      }
  }
};

// dx from dy by smooth steps.
template <class T>
void gradient(const T* x, int64_t height, int64_t width, const DiffJpegTables& tables, const T* dy, T* dx) {
  Planes planes(height, width), slopes(height, width), d(height, width);
  planes.take(x);
  planes.luma.round_smoothly(tables.luma, &slopes.luma);
  planes.blue.round_smoothly(tables.chroma, &slopes.blue);
  planes.red.round_smoothly(tables.chroma, &slopes.red);
  planes.for_pixels([&](int64_t i, int64_t j, const std::array<double, 3>& rgb) {
    double g[3];
    for (size_t c = 0; c < 3; ++c)
      g[c] = rgb[c] < 0 || rgb[c] > 255
                 ? 0
                 : static_cast<double>(dy[(i * width + j) * 3 + static_cast<int64_t>(c)]) / 255;
    d.luma(i, j) = g[0] + g[1] + g[2];
    d.blue(i / 2, j / 2) += 1.772 * g[2] - 0.344136 * g[1];
    d.red(i / 2, j / 2) += 1.402 * g[0] - 0.714136 * g[1];
  });
  d.luma.through_rounding(slopes.luma);
  d.blue.through_rounding(slopes.blue);
  d.red.through_rounding(slopes.red);
  for (int64_t i = 0; i < height; ++i)
    for (int64_t j = 0; j < width; ++j)
      for (int c = 0; c < 3; ++c)
        dx[(i * width + j) * 3 + c] =
            static_cast<T>(255 * (kToLuma[c] * d.luma(i, j) +
                                  (kToBlue[c] * d.blue(i / 2, j / 2) + kToRed[c] * d.red(i / 2, j / 2)) / 4));
}

}  // namespace

DiffJpegTables diff_jpeg_tables(double quality) {
  check(quality > 0 && quality <= 100, "diff_jpeg: expects a quality above 0 and up to 100, got ", quality);
  // At 100 the tables are 0; a step so small that it rounds nothing away stands for it.
  const double factor = std::max((quality < 50 ? 5000 / quality : 200 - 2 * quality) / 100, 1e-6);
  return {table_of(false, factor), table_of(true, factor)};
}

const JpegBlock& diff_jpeg_basis() {
  static const JpegBlock basis = [] {
    JpegBlock b;
    for (size_t u = 0; u < 8; ++u)
      for (size_t x = 0; x < 8; ++x)
        b[u * 8 + x] = (u == 0 ? std::sqrt(0.125) : 0.5) *
                       std::cos(static_cast<double>((2 * x + 1) * u) * std::numbers::pi / 16);
    return b;
  }();
  return basis;
}

template <class T>
void cpu::diff_jpeg(const T* x, int64_t height, int64_t width, const DiffJpegTables& tables, JpegSteps steps,
                    T* y) {
  Planes planes(height, width);
  planes.take(x);
  for (auto [plane, table] : {std::pair{&planes.luma, &tables.luma},
                              {&planes.blue, &tables.chroma},
                              {&planes.red, &tables.chroma}}) {
    if (steps == JpegSteps::whole)
      plane->round_whole(*table);
    else
      plane->round_smoothly(*table, nullptr);
  }
  planes.for_pixels([&](int64_t, int64_t, const std::array<double, 3>& rgb) {
    for (double v : rgb) *y++ = static_cast<T>(std::clamp(v, 0.0, 255.0) / 255);
  });
}
template void cpu::diff_jpeg(const float*, int64_t, int64_t, const DiffJpegTables&, JpegSteps, float*);
template void cpu::diff_jpeg(const double*, int64_t, int64_t, const DiffJpegTables&, JpegSteps, double*);

Var diff_jpeg(const Var& input, double quality, JpegSteps steps) {
  const Tensor x = input.value();
  check_rank("diff_jpeg", "x", x, 4);
  check(x.dim(3) == 3, "diff_jpeg: expects [N,H,W,3], got ", to_string(x.shape()));
  const DiffJpegTables tables = diff_jpeg_tables(quality);
  const int64_t N = x.dim(0), H = x.dim(1), W = x.dim(2), size = H * W * 3;
  Tensor y(x.shape(), x.dtype(), x.device());
  if (x.device() == Device::cuda)
    cuda::diff_jpeg(x, tables, steps, y);
  else
    dispatch_float(x.dtype(), "diff_jpeg", [&](auto zero) {
      using T = decltype(zero);
      parallel_for(N, 1, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n)
          cpu::diff_jpeg(x.data<T>() + n * size, H, W, tables, steps, y.data<T>() + n * size);
      });
    });
  if (!recording({input})) return y;
  return record(y, {input}, [x, tables, steps, N, H, W, size](const Tensor& dy, const Wanted&) {
    if (steps == JpegSteps::whole) return std::vector{Tensor::zeros(x.shape(), x.dtype(), x.device())};
    Tensor dx(x.shape(), x.dtype(), x.device());
    if (x.device() == Device::cuda)
      cuda::diff_jpeg_gradient(x, dy, tables, dx);
    else
      dispatch_float(x.dtype(), "diff_jpeg", [&](auto zero) {
        using T = decltype(zero);
        parallel_for(N, 1, [&](int64_t begin, int64_t end) {
          for (int64_t n = begin; n < end; ++n)
            gradient(x.data<T>() + n * size, H, W, tables, dy.data<T>() + n * size, dx.data<T>() + n * size);
        });
      });
    return std::vector{dx};
  });
}

}  // namespace dgp
