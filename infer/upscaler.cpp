#include "infer/upscaler.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "image/alpha.h"
#include "image/resize.h"
#include "infer/gpu.h"
#include "infer/plan.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

constexpr std::array<float, 3> kLuma{0.299F, 0.587F,
                                     0.114F};  // BT.601; a grey result of grey is left as it is

// Channels [begin, begin+count) of an image [H,W,C].
Tensor channels_of(const Tensor& x, int64_t begin, int64_t count) {
  int64_t pixels = x.dim(0) * x.dim(1), c = x.dim(2);
  Tensor y({x.dim(0), x.dim(1), count});
  for (int64_t i = 0; i < pixels; ++i)
    for (int64_t j = 0; j < count; ++j) y.data<float>()[i * count + j] = x.data<float>()[i * c + begin + j];
  return y;
}

// The colour of any image as RGB [1,H,W,3].
Tensor to_rgb(const Image& image) {
  Tensor colour = bleed_colour(image);
  int64_t height = colour.dim(0), width = colour.dim(1), c = colour.dim(2);
  Tensor rgb({1, height, width, 3});
  const float* source = colour.data<float>();
  float* target = rgb.data<float>();
  parallel_for(height * width, kPointwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < 3; ++j) target[i * 3 + j] = source[i * c + (c == 3 ? j : 0)];
  });
  return rgb;
}

// Rows of the network's RGB and of the enlarged alpha (or undefined) -> rows with the image's channels.
Tensor to_channels(const Tensor& rgb, const Tensor& alpha, int64_t channels) {
  if (channels == 3) return rgb;
  Tensor rows({rgb.dim(0), rgb.dim(1), channels});
  const float* source = rgb.data<float>();
  float* target = rows.data<float>();
  parallel_for(rgb.dim(0) * rgb.dim(1), kPointwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* pixel = source + i * 3;
      float* into = target + i * channels;
      if (channels <= 2)
        into[0] = kLuma[0] * pixel[0] + kLuma[1] * pixel[1] + kLuma[2] * pixel[2];
      else
        std::copy(pixel, pixel + 3, into);
      if (alpha.defined()) into[channels - 1] = alpha.data<float>()[i];
    }
  });
  return rows;
}

}  // namespace

struct Upscaler::Impl {
  Plan plan;
  UpscalerOptions options;
  std::optional<DGPNet> on_gpu;  // fused, its parameters in device memory

  // One image of `count`; lr [1,H,W,3].
  void run(const Tensor& lr, int64_t index, int64_t count, const RowSink& sink) const {
    if (on_gpu) {
      Tensor hr = upscale_on_gpu(*on_gpu, lr);
      sink(hr, 0);
      double share = static_cast<double>(index + 1) / static_cast<double>(count);
      if (options.progress && !options.progress(share)) throw Cancelled();
      return;
    }
    Tiling tiling = plan.choose_tiling(lr.dim(1), lr.dim(2), options.tile_rows);
    double all = plan.work(lr.dim(1), lr.dim(2), tiling), done = 0;
    plan.run(
        lr, tiling, sink,
        [&](double part) {
          done += part;
          double share =
              (static_cast<double>(index) + std::min(1.0, done / all)) / static_cast<double>(count);
          if (options.progress && !options.progress(share)) throw Cancelled();
        },
        options.observe);
  }
};

Upscaler::Upscaler(const DGPNet& net, UpscalerOptions options) {
  auto impl = std::make_shared<Impl>(Impl{Plan(net), std::move(options), {}});
  if (impl->options.device == Device::cuda) {
    check(impl->options.tile_rows <= 0, "upscale: the GPU computes an image as a whole, not in tiles of ",
          impl->options.tile_rows, " rows");
    impl->on_gpu = net_on_gpu(net);
  }
  impl_ = std::move(impl);
}

int64_t Upscaler::scale() const { return impl_->plan.config().scale; }

Tensor Upscaler::operator()(const Tensor& lr) const {
  check_rank("upscale", "image [N,H,W,3]", lr, 4);
  check(lr.dim(3) == 3 && lr.dtype() == DType::f32, "upscale: expects f32 [N,H,W,3], got ",
        to_string(lr.dtype()), to_string(lr.shape()));
  check(lr.dim(1) > 0 && lr.dim(2) > 0, "upscale: image ", to_string(lr.shape()), " is empty");
  Tensor hr({lr.dim(0), lr.dim(1) * scale(), lr.dim(2) * scale(), 3});
  for (int64_t n = 0; n < lr.dim(0); ++n) {
    Tensor image = hr.slab(n, 1).reshape({hr.dim(1), hr.dim(2), 3});
    impl_->run(lr.slab(n, 1), n, lr.dim(0),
               [&](const Tensor& rows, int64_t first) { image.slab(first, rows.dim(0)).copy_from(rows); });
  }
  return hr;
}

void Upscaler::stream(const Image& lr, const RowSink& sink) const {
  const Tensor& pixels = lr.pixels;
  check_rank("upscale", "image [H,W,C]", pixels, 3);
  int64_t height = pixels.dim(0), width = pixels.dim(1), channels = pixels.dim(2);
  check(channels >= 1 && channels <= 4 && height > 0 && width > 0, "upscale: image ",
        to_string(pixels.shape()), " expects 1 to 4 channels and at least one pixel");
  Tensor alpha;
  if (channels == 2 || channels == 4) {
    alpha = channels_of(pixels, channels - 1, 1);
    if (scale() > 1) alpha = imresize(alpha, static_cast<double>(scale()));
  }
  impl_->run(to_rgb(lr), 0, 1, [&](const Tensor& rows, int64_t first) {
    Tensor alpha_rows = alpha.defined() ? alpha.slab(first, rows.dim(0)) : alpha;
    sink(to_channels(rows, alpha_rows, channels), first);
  });
}

Image Upscaler::operator()(const Image& lr) const {
  Image hr{Tensor({lr.pixels.dim(0) * scale(), lr.pixels.dim(1) * scale(), lr.pixels.dim(2)}), lr.depth};
  stream(lr, [&](const Tensor& rows, int64_t first) { hr.pixels.slab(first, rows.dim(0)).copy_from(rows); });
  return hr;
}

}  // namespace dgp
