// DiffJPEG on the GPU: what the op's kernels and the degradations' share. 48 threads do 16x16 pixels, an MCU:
// four blocks of luma, one of either colour, a thread a line of each. In double, as on the CPU, because a
// coefficient that rounds the other way changes 64 pixels.
#pragma once

#include <cmath>

#include "tensor/cuda_kernel.h"

namespace dgp::cuda {

constexpr int kMcuThreads = 48, kMcus = 2, kMcuValues = 6 * 64;  // kMcus: of a block of threads

// Which MCU of a picture a thread works on, which block of it and which line of that.
struct McuPlace {
  int64_t y, x;  // of its corner in the picture
  int mcu, lane, block, line;
  bool inside;  // else there is no such MCU
  __device__ McuPlace(int64_t height, int64_t width)
      : mcu(static_cast<int>(threadIdx.x) / kMcuThreads),
        lane(static_cast<int>(threadIdx.x) % kMcuThreads),
        block(lane / 8),
        line(lane % 8) {
    const int64_t across = (width + 15) / 16, at = int64_t{blockIdx.x} * kMcus + mcu;
    y = at / across * 16, x = at % across * 16;
    inside = at < across * ((height + 15) / 16);
  }
  __device__ bool holds(int64_t height, int64_t width, int row, int column) const {
    return inside && y + row < height && x + column < width;
  }
};
inline __host__ __device__ int64_t mcus_of(int64_t height, int64_t width) {
  return (height + 15) / 16 * ((width + 15) / 16);
}

// Where pixel (y, x) of an MCU lies among the values of luma; colour's, 2x2 pixels each, follow from 4 * 64
// and 5 * 64 on, in rows of 8.
__device__ inline int luma_at(int y, int x) { return (y / 8 * 2 + x / 8) * 64 + y % 8 * 8 + x % 8; }

// An MCU's planes from pixel(y, x, c), of 255.
template <class Pixel>
__device__ void take_mcu(int lane, const Pixel& pixel, double* values) {
  for (int quad = lane; quad < 64; quad += kMcuThreads) {
    double blue = 0, red = 0;
    for (int i = 0; i < 4; ++i) {
      const int y = quad / 8 * 2 + i / 2, x = quad % 8 * 2 + i % 2;
      const double r = pixel(y, x, 0), g = pixel(y, x, 1), b = pixel(y, x, 2);
      values[luma_at(y, x)] = 0.299 * r + 0.587 * g + 0.114 * b;
      blue += (-0.168736 * r - 0.331264 * g + 0.5 * b + 128) / 4;
      red += (0.5 * r - 0.418688 * g - 0.081312 * b + 128) / 4;
    }
    values[4 * 64 + quad] = blue, values[5 * 64 + quad] = red;
  }
}

// One of three channels, of 255, not clamped.
__device__ inline double mcu_pixel(const double* values, int y, int x, int c) {
  const int quad = y / 2 * 8 + x / 2;
  const double l = values[luma_at(y, x)], b = values[4 * 64 + quad] - 128, r = values[5 * 64 + quad] - 128;
  return c == 0 ? l + 1.402 * r : c == 1 ? l - 0.344136 * b - 0.714136 * r : l + 1.772 * b;
}

// A block goes to B (block - shift) B', each coefficient i to change(i, coefficient), and back, in place.
// Every thread calls it; what was written before is seen, and what it writes is there when it returns.
template <class Change>
__device__ void transform_mcu(double* block, int line, const double* basis, double shift,
                              const Change& change) {
  double in[8];
  __syncthreads();
  for (int k = 0; k < 8; ++k) in[k] = block[k * 8 + line] - shift;
  for (int u = 0; u < 8; ++u) {
    double sum = 0;
    for (int k = 0; k < 8; ++k) sum += basis[u * 8 + k] * in[k];
    block[u * 8 + line] = sum;
  }
  __syncthreads();
  for (int k = 0; k < 8; ++k) in[k] = block[line * 8 + k];
  for (int v = 0; v < 8; ++v) {
    double sum = 0;
    for (int k = 0; k < 8; ++k) sum += in[k] * basis[v * 8 + k];
    block[line * 8 + v] = change(line * 8 + v, sum);
  }
  __syncthreads();
  for (int k = 0; k < 8; ++k) in[k] = block[k * 8 + line];
  for (int y = 0; y < 8; ++y) {
    double sum = 0;
    for (int k = 0; k < 8; ++k) sum += basis[k * 8 + y] * in[k];
    block[y * 8 + line] = sum;
  }
  __syncthreads();
  for (int k = 0; k < 8; ++k) in[k] = block[line * 8 + k];
  for (int x = 0; x < 8; ++x) {
    double sum = 0;
    for (int k = 0; k < 8; ++k) sum += in[k] * basis[k * 8 + x];
    block[line * 8 + x] = sum + shift;
  }
  __syncthreads();
}

// The 16x16 pixels of an MCU, dealt to its threads.
template <class Use>
__device__ void for_mcu_pixels(int lane, const Use& use) {
  for (int pixel = lane; pixel < 256; pixel += kMcuThreads) use(pixel / 16, pixel % 16);
}

__device__ inline double whole_steps(double coefficient, double step) {
  return nearbyint(coefficient / step) * step;
}

__device__ inline float of_255(double v) { return static_cast<float>(fmin(fmax(v, 0.0), 255.0) / 255); }

}  // namespace dgp::cuda
