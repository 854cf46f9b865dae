// Forward in fixed order, without atomics: first each row's sums for its horizontal shifts, one thread a row
// and channel, in f32 over 16 pixels counted from the left and in double over those; then, for each vertical
// shift, the rows it covers, in double by a block each: 32 threads a channel sum every 32nd row, and one adds
// their parts.
#include "ops/window_means.h"
#include "tensor/cuda_kernel.h"
#include "tensor/storage.h"

namespace dgp::cuda {
namespace {

constexpr int kLanes = 32, kChannels = 8, kSegment = 16;

// Shift j of a line of n covers [begin(j), end(j)): what lies beyond is zero.
__device__ inline int64_t clamped(int64_t i, int64_t n) { return i < 0 ? 0 : i > n ? n : i; }
__device__ inline int64_t begin_of(int64_t j, int64_t k, int64_t n) { return clamped(j - k / 2, n); }
__device__ inline int64_t end_of(int64_t j, int64_t k, int64_t n) { return clamped(n + j - k / 2, n); }

// The middle shift covers the whole row; the others lose pixels at one end.
template <class T>
__global__ void row_sums_kernel(const T* x, int64_t width, int64_t channels, int64_t k, double* sums,
                                int64_t n) {
  int64_t at = element();
  if (at >= n) return;
  int64_t c = at % channels, row = at / channels;
  const T* line = x + row * width * channels + c;
  double whole = 0;
  for (int64_t first = 0; first < width; first += kSegment) {
    int64_t end = first + kSegment < width ? first + kSegment : width;
    float part = 0;
    for (int64_t i = first; i < end; ++i) part += static_cast<float>(line[i * channels]);
    whole += static_cast<double>(part);
  }
  for (int64_t j = 0; j < k; ++j) {
    double sum = whole;
    for (int64_t i = 0; i < begin_of(j, k, width); ++i)
      sum -= static_cast<double>(static_cast<float>(line[i * channels]));
    for (int64_t i = end_of(j, k, width); i < width; ++i)
      sum -= static_cast<double>(static_cast<float>(line[i * channels]));
    sums[(row * k + j) * channels + c] = sum;
  }
}

// grid: (groups of kChannels of the k * C sums of a row, k vertical shifts, images)
__global__ void add_rows_kernel(const double* row_sums, int64_t height, int64_t width, int64_t line,
                                int64_t k, float* means) {
  DGP_SHARED(double, parts, [kLanes][kChannels]);
  int64_t i = blockIdx.y, image = blockIdx.z;
  int lane = static_cast<int>(threadIdx.x) / kChannels, channel = static_cast<int>(threadIdx.x) % kChannels;
  int64_t c = int64_t{blockIdx.x} * kChannels + channel;
  double sum = 0;
  if (c < line)
    for (int64_t y = begin_of(i, k, height) + lane, end = end_of(i, k, height); y < end; y += kLanes)
      sum += row_sums[(image * height + y) * line + c];
  parts[lane][channel] = sum;
  __syncthreads();
  if (lane != 0 || c >= line) return;
  for (int l = 1; l < kLanes; ++l) sum += parts[l][channel];
  means[(image * k + i) * line + c] = static_cast<float>(sum / static_cast<double>(height * width));
}

// dx: the sum over the windows that cover a pixel, one thread an element.
template <class T>
__global__ void backward_kernel(const float* dm, int64_t height, int64_t width, int64_t channels, int64_t k,
                                T* dx, int64_t n) {
  int64_t at = element();
  if (at >= n) return;
  int64_t c = at % channels, x = at / channels % width, y = at / (channels * width) % height;
  const float* windows = dm + at / (channels * width * height) * k * k * channels + c;
  float scale = 1.0F / static_cast<float>(height * width), sum = 0;
  for (int64_t j = 0; j < k; ++j) {
    if (x < begin_of(j, k, width) || x >= end_of(j, k, width)) continue;
    for (int64_t i = 0; i < k; ++i)
      if (y >= begin_of(i, k, height) && y < end_of(i, k, height))
        sum += scale * windows[(i * k + j) * channels];
  }
  dx[at] = static_cast<T>(sum);
}

}  // namespace

void window_means_backward(const Tensor& dy, int64_t k, const Tensor& dx) {
  if (dx.numel() == 0) return;
  dispatch_storage(dx.dtype(), "window_means", [&](auto zero) {
    using T = decltype(zero);
    launch(backward_kernel<T>, blocks_for(dx.numel()), kBlock, dy.device_data<float>(), dx.dim(1), dx.dim(2),
           dx.dim(3), k, dx.device_data<T>(), dx.numel());
  });
}

void window_row_sums(const Tensor& x, int64_t k, const Tensor& sums) {
  int64_t width = x.dim(2), channels = x.dim(3), n = sums.numel() / k;
  if (n == 0) return;
  dispatch_storage(x.dtype(), "window_means", [&](auto zero) {
    using T = decltype(zero);
    launch(row_sums_kernel<T>, blocks_for(n), kBlock, x.device_data<T>(), width, channels, k,
           sums.device_data<double>(), n);
  });
}

void means_of_row_sums(const Tensor& sums, int64_t width, const Tensor& means) {
  int64_t n = means.dim(0), k = means.dim(1), line = k * means.dim(3);
  if (means.numel() == 0) return;
  check(n <= 65535, "window_means: ", n, " images are too many for one kernel");
  dim3 grid(static_cast<unsigned>((line + kChannels - 1) / kChannels), static_cast<unsigned>(k),
            static_cast<unsigned>(n));
  launch(add_rows_kernel, grid, kLanes * kChannels, sums.device_data<double>(), sums.dim(0) / n, width, line,
         k, means.device_data<float>());
}

void window_means(const Tensor& x, int64_t k, const Tensor& means) {
  Tensor sums({x.dim(0) * x.dim(1), k * x.dim(3)}, DType::f64, Device::cuda);
  window_row_sums(x, k, sums);
  means_of_row_sums(sums, x.dim(2), means);
}

}  // namespace dgp::cuda
