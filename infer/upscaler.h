// Upscaling with DGPNet. The network is fused once (every DGConv one convolution) and each block runs folded,
// as two convolutions of which the second gets its weights per image (models/fold.h).
//
// An image is worked through in bands of rows. A block needs the whole image's window means before its second
// convolution, so it makes two passes over the bands:
//   pass A   h = leaky(first(f)), summed for the means
//   pass B   f += second(h), in place: a window of h slides over the rows, just ahead of what is overwritten
// Untiled, h is kept between the passes; tiled, pass B computes it again. Convolutions and sums are anchored
// to image rows, so the result has the same bits for every tile height and number of threads. Where even f
// does not fit, it lies in a temporary file, as the picture does (docs/memory.md). The GPU goes the same way:
// as a whole, in tiles, or in tiles with f in the host's memory, with the same bits (infer/gpu_plan.h).
#pragma once

#include <functional>
#include <memory>

#include "image/image.h"
#include "infer/layer_time.h"
#include "models/dgpnet.h"
#include "ops/conv2d.h"

namespace dgp {

class RowStore;
struct Tiling;

struct UpscalerOptions {
  // Rows of the input a tile, rounded up to the network's grid; 0: chosen from the memory at hand; -1: no
  // tiles.
  int64_t tile_rows = 0;
  // Bytes that the process may have in memory while an image is worked on, all of it counted; 0: no limit.
  // Tiles are chosen to keep it; TMPDIR names the folder of temporary files. Error(limit) when it is too low.
  // cuda: bytes of the GPU's memory, for weights and images; 0: what is free.
  int64_t max_memory = 0;
  // Called now and then with the share of the work done, in [0, 1]; returning false ends in Cancelled.
  std::function<bool(double fraction)> progress = {};
  // Called after every step on the CPU with what it cost; without it nothing is timed.
  LayerObserver observe = {};
  Device device = Device::cpu;
  // Called once, before the first image that the GPU's memory does not hold as tile_rows asks and that is
  // therefore cut into (lower) tiles: what is done instead, in words.
  std::function<void(const std::string&)> notice = {};
  // fast: convolutions multiply in bf16; on the CPU, where it has such instructions. What the GPU does is
  // said by cuda::Using (tensor/cuda_math.h) around the call.
  Precision precision = Precision::full;
};

struct Cancelled : std::runtime_error {
  Cancelled() : std::runtime_error("cancelled") {}
};

class Upscaler {
 public:
  // Throws Error(numeric) when a weight is not finite, Error(limit) when the device or the
  // precision is not to be had.
  explicit Upscaler(const DGPNet& net, UpscalerOptions options = {});

  // f32 [N,H,W,3] in [0,1] -> [N,H*scale,W*scale,3], not clamped. Throws Error(numeric) when a result is not
  // finite.
  Tensor operator()(const Tensor& lr) const;

  // Any image; the result has its number of channels and its depth. Grey is repeated to RGB and the result's
  // luma taken; colour under transparent pixels is bled from opaque ones and alpha resized (bicubic).
  Image operator()(const Image& lr) const;

  // The same, row bands handed out from the top as they are finished: rows f32 [R,W*scale,C], not clamped,
  // gone when the sink returns.
  using RowSink = std::function<void(const Tensor& rows, int64_t first)>;
  void stream(const Image& lr, const RowSink& sink) const;
  void stream(ImageReader& lr, const RowSink& sink) const;  // read by rows

  // f32 [H,W,3] that read() fills, rows [first, first + rows.dim(1)) of it at a time, from the top.
  using RowFiller = std::function<void(const Tensor& rows, int64_t first)>;
  void stream(int64_t height, int64_t width, const RowFiller& read, const RowSink& sink) const;

  // One of several images: start() the next before finish() of the one before, and on the GPU it is computed
  // while the rows of that are handed out. On the CPU finish() does everything. Images are finished in the
  // order of starting; destroyed instead, one is given up.
  class Running {
   public:
    void finish(const RowSink& sink);  // throws what went wrong with this image

   private:
    friend class Upscaler;
    std::function<void(const RowSink&)> finish_;
    std::shared_ptr<void> started_;  // on the GPU
  };
  Running start(ImageReader& lr) const;   // which must live until then; rows as stream() gives them
  Running start(const Tensor& lr) const;  // f32 [H,W,3]; rows f32 [R,W*scale,3]
  // f32 [H,W,3] that read() fills, on the CPU in finish().
  Running start(int64_t height, int64_t width, const RowFiller& read) const;

  int64_t scale() const;

 private:
  struct Impl;
  // `coming`: bytes that the caller has allocated and will fill meanwhile.
  void stream_beside(ImageReader& lr, int64_t coming, const RowSink& sink) const;
  Running start_beside(ImageReader& lr, int64_t coming) const;
  Running start_rows(const RowStore& lr, const Tiling& tiling, int64_t index, int64_t count) const;

  std::shared_ptr<const Impl> impl_;
};

}  // namespace dgp
