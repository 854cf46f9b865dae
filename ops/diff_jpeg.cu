// DiffJPEG and its gradient; ops/diff_jpeg_cuda.h has how threads share the work.
#include "ops/diff_jpeg.h"
#include "ops/diff_jpeg_cuda.h"

namespace dgp::cuda {
namespace {

struct Picture {
  int64_t height, width;
  __device__ int64_t at(const McuPlace& place, int y, int x, int c) const {
    return ((int64_t{blockIdx.y} * height + place.y + y) * width + place.x + x) * 3 + c;
  }
};

struct Given {  // a value of the input, of 255; 0 beyond the border
  Picture picture;
  const McuPlace& at;
  const float* x;
  __device__ double operator()(int row, int column, int c) const {
    if (!at.holds(picture.height, picture.width, row, column)) return 0;
    return 255.0 * static_cast<double>(x[picture.at(at, row, column, c)]);
  }
};

struct Smooth {  // round(q) + (q - round(q))^3, and its derivative
  double value, slope;
  __device__ explicit Smooth(double q) {
    const double whole = nearbyint(q), rest = q - whole;
    value = whole + rest * rest * rest, slope = 3 * rest * rest;
  }
};

// tables: f64 luma [64], chroma [64], basis [64].
__global__ void diff_jpeg_kernel(Picture picture, const float* x, const double* tables, bool smooth,
                                 float* y) {
  DGP_SHARED(double, values, [kMcus][kMcuValues]);
  DGP_SHARED(double, basis, [64]);
  const McuPlace at(picture.height, picture.width);
  for (int i = static_cast<int>(threadIdx.x); i < 64; i += kMcus * kMcuThreads) basis[i] = tables[128 + i];
  double* mine = values[at.mcu];
  take_mcu(at.lane, Given{picture, at, x}, mine);
  const double* steps = tables + (at.block < 4 ? 0 : 64);
  transform_mcu(mine + at.block * 64, at.line, basis, 128, [&](int i, double coefficient) {
    return smooth ? Smooth(coefficient / steps[i]).value * steps[i] : whole_steps(coefficient, steps[i]);
  });
  for_mcu_pixels(at.lane, [&](int row, int column) {
    if (!at.holds(picture.height, picture.width, row, column)) return;
    for (int c = 0; c < 3; ++c) y[picture.at(at, row, column, c)] = of_255(mcu_pixel(mine, row, column, c));
  });
}

__global__ void diff_jpeg_gradient_kernel(Picture picture, const float* x, const float* dy,
                                          const double* tables, float* dx) {
  DGP_SHARED(double, values, [kMcus][kMcuValues]);
  DGP_SHARED(double, slopes, [kMcus][kMcuValues]);
  DGP_SHARED(double, basis, [64]);
  const McuPlace at(picture.height, picture.width);
  for (int i = static_cast<int>(threadIdx.x); i < 64; i += kMcus * kMcuThreads) basis[i] = tables[128 + i];
  double *mine = values[at.mcu], *slope = slopes[at.mcu] + at.block * 64;
  take_mcu(at.lane, Given{picture, at, x}, mine);
  const double* steps = tables + (at.block < 4 ? 0 : 64);
  transform_mcu(mine + at.block * 64, at.line, basis, 128, [&](int i, double coefficient) {
    const Smooth r(coefficient / steps[i]);
    slope[i] = r.slope;
    return r.value * steps[i];
  });
  for (int quad = at.lane; quad < 64; quad += kMcuThreads) {  // the result's gradient in its planes
    double blue = 0, red = 0;
    for (int i = 0; i < 4; ++i) {
      const int row = quad / 8 * 2 + i / 2, column = quad % 8 * 2 + i % 2;
      double g[3] = {};
      if (at.holds(picture.height, picture.width, row, column))
        for (int c = 0; c < 3; ++c) {
          const double v = mcu_pixel(mine, row, column, c);
          if (v >= 0 && v <= 255) g[c] = static_cast<double>(dy[picture.at(at, row, column, c)]) / 255;
        }
      mine[luma_at(row, column)] = g[0] + g[1] + g[2];
      blue += 1.772 * g[2] - 0.344136 * g[1];
      red += 1.402 * g[0] - 0.714136 * g[1];
    }
    mine[4 * 64 + quad] = blue, mine[5 * 64 + quad] = red;
  }
  transform_mcu(mine + at.block * 64, at.line, basis, 0,
                [&](int i, double coefficient) { return coefficient * slope[i]; });
  for_mcu_pixels(at.lane, [&](int row, int column) {
    if (!at.holds(picture.height, picture.width, row, column)) return;
    const int quad = row / 2 * 8 + column / 2;
    const double l = mine[luma_at(row, column)], b = mine[4 * 64 + quad] / 4, r = mine[5 * 64 + quad] / 4;
    const double rgb[3] = {0.299 * l - 0.168736 * b + 0.5 * r, 0.587 * l - 0.331264 * b - 0.418688 * r,
                           0.114 * l + 0.5 * b - 0.081312 * r};
    for (int c = 0; c < 3; ++c) dx[picture.at(at, row, column, c)] = static_cast<float>(255 * rgb[c]);
  });
}

Tensor on_device(const DiffJpegTables& tables) {
  std::vector<double> all(tables.luma.begin(), tables.luma.end());
  all.insert(all.end(), tables.chroma.begin(), tables.chroma.end());
  all.insert(all.end(), diff_jpeg_basis().begin(), diff_jpeg_basis().end());
  return Tensor::from({192}, all).to(Device::cuda);
}

dim3 grid_of(const Tensor& x) {
  const int64_t blocks = (mcus_of(x.dim(1), x.dim(2)) + kMcus - 1) / kMcus;
  check(blocks <= 0x7fffffff && x.dim(0) <= 0xffff, "diff_jpeg: ", to_string(x.shape()),
        " is too large for one launch");
  return {static_cast<unsigned>(blocks), static_cast<unsigned>(x.dim(0))};
}

}  // namespace

void diff_jpeg(const Tensor& x, const DiffJpegTables& tables, JpegSteps steps, const Tensor& y) {
  if (x.numel() == 0) return;
  const Tensor all = on_device(tables);
  launch(diff_jpeg_kernel, grid_of(x), kMcus * kMcuThreads, {x.dim(1), x.dim(2)}, x.device_data<float>(),
         all.device_data<double>(), steps == JpegSteps::smooth, y.device_data<float>());
}

void diff_jpeg_gradient(const Tensor& x, const Tensor& dy, const DiffJpegTables& tables, const Tensor& dx) {
  if (x.numel() == 0) return;
  const Tensor all = on_device(tables);
  launch(diff_jpeg_gradient_kernel, grid_of(x), kMcus * kMcuThreads, {x.dim(1), x.dim(2)},
         x.device_data<float>(), dy.device_data<float>(), all.device_data<double>(), dx.device_data<float>());
}

}  // namespace dgp::cuda
