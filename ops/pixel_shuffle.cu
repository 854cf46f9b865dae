// One thread an element of the spread image [N,H*r,W*r,C]; its packed channel is c*r*r + i*r + j.
#include "ops/pixel_shuffle.h"
#include "tensor/cuda_kernel.h"
#include "tensor/storage.h"

namespace dgp::cuda {
namespace {

template <class T>
__global__ void shuffle_kernel(T* packed, T* spread, int64_t height, int64_t width, int64_t channels,
                               int64_t r, bool pack, int64_t n) {
  int64_t at = element();
  if (at >= n) return;
  int64_t c = at % channels, x = at / channels % width, y = at / (channels * width) % height;
  int64_t image = at / (channels * width * height);
  int64_t pixel = (image * (height / r) + y / r) * (width / r) + x / r;
  int64_t from = pixel * channels * r * r + c * r * r + y % r * r + x % r;
  if (pack)
    packed[from] = spread[at];
  else
    spread[at] = packed[from];
}

void run(const Tensor& packed, const Tensor& spread, int64_t r, bool pack) {
  if (spread.numel() == 0) return;
  dispatch_storage(spread.dtype(), "pixel_shuffle", [&](auto zero) {
    using T = decltype(zero);
    launch(shuffle_kernel<T>, blocks_for(spread.numel()), kBlock, packed.device_data<T>(),
           spread.device_data<T>(), spread.dim(1), spread.dim(2), spread.dim(3), r, pack, spread.numel());
  });
}

}  // namespace

void pixel_shuffle(const Tensor& x, int64_t r, const Tensor& y) { run(x, y, r, false); }
void pixel_unshuffle(const Tensor& x, int64_t r, const Tensor& y) { run(y, x, r, true); }

}  // namespace dgp::cuda
