// JPEG, as DiffJPEG has it (ops/diff_jpeg_cuda.h) and as files lose it: whole numbers all the way, and the
// CPU's bits. 48 threads share 16x16 pixels: four blocks of luma, one of either colour, a thread a line of
// each.
#include "image/jpeg_transform.h"
#include "ops/diff_jpeg_cuda.h"
#include "train/degrade_cuda.h"
#include "train/picture_values.h"

namespace dgp::cuda {
namespace {

static_assert(kMcus == kJpegMcus);

__global__ void diff_jpeg_kernel(const JpegJob* jobs, float* work, const uint8_t* data) {
  DGP_SHARED(double, values, [kMcus][kMcuValues]);
  DGP_SHARED(double, basis, [64]);
  const JpegJob job = jobs[blockIdx.y];
  if (int64_t{blockIdx.x} * kMcus >= job.mcus()) return;
  const McuPlace at(job.height, job.width);
  const auto* tables = reinterpret_cast<const double*>(data + job.tables);
  for (int i = static_cast<int>(threadIdx.x); i < 64; i += kMcus * kMcuThreads) basis[i] = tables[128 + i];
  double* mine = values[at.mcu];
  float* picture = work + job.at;
  const auto offset = [&](int row, int column) { return ((at.y + row) * job.width + at.x + column) * 3; };
  const auto given = [&](int row, int column, int c) {
    if (!at.holds(job.height, job.width, row, column)) return 0.0;
    return 255.0 * static_cast<double>(clamped(picture[offset(row, column) + c]));
  };
  take_mcu(at.lane, given, mine);
  const double* steps = tables + (at.block < 4 ? 0 : 64);
  transform_mcu(mine + at.block * 64, at.line, basis, 128,
                [&](int i, double coefficient) { return whole_steps(coefficient, steps[i]); });
  for_mcu_pixels(at.lane, [&](int row, int column) {
    if (!at.holds(job.height, job.width, row, column)) return;
    for (int c = 0; c < 3; ++c) picture[offset(row, column) + c] = of_255(mcu_pixel(mine, row, column, c));
  });
}

struct Planes {  // of samples, in whole MCUs
  uint8_t* at[3];
  int64_t stride[3];
  __device__ Planes(const JpegJob& job, float* work) {
    const int64_t W = job.mcus_across() * 16, H = job.mcus() / job.mcus_across() * 16;
    at[0] = reinterpret_cast<uint8_t*>(work + job.planes);
    at[1] = at[0] + H * W, at[2] = at[1] + H * W / 4;
    stride[0] = W, stride[1] = stride[2] = W / 2;
  }
};

__global__ void file_jpeg_planes_kernel(const JpegJob* jobs, float* work, const uint8_t* data) {
  DGP_SHARED(float, values, [kMcus][kMcuValues]);
  DGP_SHARED(int, quantised, [kMcus][kMcuValues]);
  DGP_SHARED(float, basis, [64]);
  const JpegJob job = jobs[blockIdx.y];
  if (int64_t{blockIdx.x} * kMcus >= job.mcus()) return;
  const McuPlace at(job.height, job.width);
  const auto* steps = reinterpret_cast<const int*>(data + job.tables) + (at.block < 4 ? 0 : 64);
  const auto* basis_from = reinterpret_cast<const float*>(data + job.tables) + 128;
  for (int i = static_cast<int>(threadIdx.x); i < 64; i += kMcus * kMcuThreads) basis[i] = basis_from[i];
  float* mine = values[at.mcu];
  for (int quad = at.lane; at.inside && quad < 64; quad += kMcuThreads) {
    int blue = 1 + quad % 2, red = blue;  // libjpeg's bias: means are rounded up and down in turn
    for (int i = 0; i < 4; ++i) {
      const int y = quad / 8 * 2 + i / 2, x = quad % 8 * 2 + i % 2;
      const int64_t row = at.y + y < job.height ? at.y + y : job.height - 1;
      const int64_t column = at.x + x < job.width ? at.x + x : job.width - 1;
      float rgb[3];
      for (int c = 0; c < 3; ++c)
        rgb[c] = static_cast<float>(byte_of(work[job.at + (row * job.width + column) * 3 + c]));
      mine[luma_at(y, x)] = static_cast<float>(jpeg_component(0, rgb[0], rgb[1], rgb[2]) - 128);
      blue += jpeg_component(1, rgb[0], rgb[1], rgb[2]);
      red += jpeg_component(2, rgb[0], rgb[1], rgb[2]);
    }
    mine[4 * 64 + quad] = static_cast<float>(blue / 4 - 128);
    mine[5 * 64 + quad] = static_cast<float>(red / 4 - 128);
  }
  __syncthreads();
  float* block = mine + at.block * 64;
  int* whole = quantised[at.mcu] + at.block * 64;
  float in[8], out[8];
  for (int y = 0; y < 8; ++y) in[y] = at.inside ? block[y * 8 + at.line] : 0;
  jpeg_forward_line(basis, in, out);
  for (int u = 0; u < 8; ++u) block[u * 8 + at.line] = out[u];
  __syncthreads();
  for (int x = 0; x < 8; ++x) in[x] = block[at.line * 8 + x];
  jpeg_forward_line(basis, in, out);
  for (int v = 0; v < 8; ++v) {
    const int step = steps[at.line * 8 + v];
    whole[at.line * 8 + v] = jpeg_quantised(out[v], step) * step;
  }
  __syncthreads();
  int64_t line[8], back[8];
  for (int y = 0; y < 8; ++y) line[y] = whole[y * 8 + at.line];
  jpeg_inverse_line(line, back);
  for (int y = 0; y < 8; ++y)
    whole[y * 8 + at.line] = static_cast<int>(jpeg_rounded(back[y], kJpegFirstShift));
  __syncthreads();
  for (int x = 0; x < 8; ++x) line[x] = whole[at.line * 8 + x];
  jpeg_inverse_line(line, back);
  if (!at.inside) return;
  const Planes planes(job, work);
  const int c = at.block < 4 ? 0 : at.block - 3;
  const int64_t y = c == 0 ? at.y + at.block / 2 * 8 : at.y / 2,
                x = c == 0 ? at.x + at.block % 2 * 8 : at.x / 2;
  for (int i = 0; i < 8; ++i)
    planes.at[c][(y + at.line) * planes.stride[c] + x + i] =
        jpeg_byte(jpeg_rounded(back[i], kJpegSecondShift) + 128);
}

// A colour plane's value at pixel (y, x), by libjpeg's triangle filter; image/jpeg_pixels.cpp has it row by
// row.
__device__ int upsampled(const uint8_t* plane, int64_t stride, int64_t height, int64_t width, int64_t y,
                         int64_t x) {
  const int64_t h = (height + 1) / 2, w = (width + 1) / 2;
  const uint8_t* near = plane + y / 2 * stride;
  if (w <= 2) return near[x / 2];
  const int64_t other = y / 2 + (y % 2 ? 1 : -1);
  const uint8_t* far = plane + (other < 0 ? 0 : other < h ? other : h - 1) * stride;
  const int64_t neighbour = x / 2 + (x % 2 ? 1 : -1),
                aside = neighbour < 0 || neighbour >= w ? x / 2 : neighbour;
  const int here = 3 * near[x / 2] + far[x / 2], there = 3 * near[aside] + far[aside];
  return (3 * here + there + (x % 2 ? 7 : 8)) >> 4;
}

__global__ void file_jpeg_pixels_kernel(const JpegJob* jobs, float* work) {
  const JpegJob job = jobs[blockIdx.y];
  const int64_t pixel = job_element();
  if (pixel >= job.height * job.width) return;
  const int64_t y = pixel / job.width, x = pixel % job.width;
  const Planes planes(job, work);
  uint8_t rgb[3];
  jpeg_rgb(planes.at[0][y * planes.stride[0] + x],
           upsampled(planes.at[1], planes.stride[1], job.height, job.width, y, x),
           upsampled(planes.at[2], planes.stride[2], job.height, job.width, y, x), rgb);
  for (int c = 0; c < 3; ++c) work[job.at + pixel * 3 + c] = static_cast<float>(rgb[c]) / 255;
}

}  // namespace

void launch_jpeg(const PlanLaunch& l, const PlanMemory& m) {
  const auto* jobs = jobs_of<JpegJob>(l, m);
  float* work = m.workspace.device_data<float>();
  const uint8_t* data = data_of(m);
  if (l.kernel == DegradeKernel::file_jpeg_pixels)
    return launch(file_jpeg_pixels_kernel, grid_of(l), kJobBlock, jobs, work);
  launch(l.kernel == DegradeKernel::diff_jpeg ? diff_jpeg_kernel : file_jpeg_planes_kernel, grid_of(l),
         kMcus * kMcuThreads, jobs, work, data);
}

}  // namespace dgp::cuda
