#include "infer/upscaler.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "infer/gpu.h"
#include "infer/memory.h"
#include "infer/picture.h"
#include "infer/plan.h"
#include "tensor/allocator.h"
#include "tensor/cuda_math.h"
#include "tensor/isa.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

int64_t in_mib(int64_t bytes) { return (bytes + kMiB - 1) / kMiB; }

// What a process takes beside the tensors that a tiling decides about: scratch of each thread, the folded
// second convolution of a block with what makes it, and rows on their way into a file.
int64_t reserve_bytes(const DGPNetConfig& c, int64_t hr_width) {
  int64_t second = 2 * c.channels * c.channels * c.kernel * c.kernel * 4;
  return 8 * kMiB + 2 * kMiB * num_threads() + 16 * second + 64 * hr_width;
}

void check_image(const Tensor& pixels) {
  check_rank("upscale", "image [H,W,C]", pixels, 3);
  check(pixels.dim(2) >= 1 && pixels.dim(2) <= 4 && pixels.numel() > 0, "upscale: image ",
        to_string(pixels.shape()), " expects 1 to 4 channels and at least one pixel");
}

}  // namespace

struct Upscaler::Impl {
  UpscalerOptions options;
  DGPNetConfig config;
  std::optional<Plan> plan;  // the CPU's, or
  std::unique_ptr<GpuUpscaler> gpu;
  mutable std::mutex mutex;
  mutable std::unique_ptr<Workspace> spare;  // of the image before

  Impl(const DGPNet& net, UpscalerOptions o) : options(std::move(o)), config(net.config) {
    if (options.device == Device::cuda)
      gpu = std::make_unique<GpuUpscaler>(net, options, kBandBytes, cuda::storage());
    else
      plan.emplace(net, options.precision);
  }

  // Bytes that a workspace and its surroundings may take, when `coming` more will be taken by others.
  int64_t budget(const Extent& lr, int64_t coming) const {
    if (options.max_memory == 0) return available_memory() / 2;
    release_cached_memory();
    return options.max_memory - resident_memory() - coming - reserve_bytes(config, lr.width * config.scale);
  }

  Tiling choose(const Extent& lr, int64_t budget, const Surroundings& around) const {
    {
      std::lock_guard lock(mutex);
      if (spare && spare->lr == lr) return spare->tiling;
    }
    Tiling tiling = choose_tiling(config, lr, options.tile_rows, budget, around);
    int64_t need = bytes_of(config, lr, tiling, around);
    if (options.max_memory > 0 && need > budget)
      fail(ErrorCode::limit, "upscaling ", lr.width, "x", lr.height, " pixels ",
           options.tile_rows < 0 ? "without tiles " : "", "takes at least ",
           in_mib(options.max_memory - budget + need) + 1, " MiB of memory; the limit is ",
           options.max_memory / kMiB, " MiB");
    return tiling;
  }

  std::unique_ptr<Workspace> workspace(const Extent& lr, const Tiling& tiling) const {
    std::lock_guard lock(mutex);
    std::unique_ptr<Workspace> space = std::move(spare);
    if (space && space->lr == lr && space->tiling == tiling) return space;
    if (space) {  // blocks of other sizes would only pile up
      space.reset();
      release_cached_memory();
    }
    return std::make_unique<Workspace>(config, lr, tiling);
  }

  // How the picture is kept in the host's memory, and on the CPU how it is cut.
  Tiling prepare(const Extent& lr, int64_t coming, const Surroundings& around) const {
    if (!gpu) return choose(lr, budget(lr, coming), around);
    return {0, 0, false, coming + around.lr_bytes > available_memory() / 2};
  }

  using Report = std::function<void(double share)>;

  // One image, on the CPU.
  void run(const RowStore& lr, const Tiling& tiling, const Report& report, const RowSink& sink) const {
    Extent extent{lr.height(), lr.width()};
    std::unique_ptr<Workspace> space = workspace(extent, tiling);
    double all = plan->work(extent, tiling), done = 0;
    plan->run(
        lr, *space, sink, [&](double part) { report((done += part) / all); }, options.observe);
    if (options.max_memory > 0) {  // what comes next is nobody's to foresee
      space.reset();
      return release_cached_memory();
    }
    std::lock_guard lock(mutex);
    spare = std::move(space);
  }
};

Upscaler::Upscaler(const DGPNet& net, UpscalerOptions options) {
  if (options.precision == Precision::fast && (options.device != Device::cpu || !has_bf16()))
    fail(ErrorCode::limit, "precision fast: needs a CPU with AVX512-BF16 instructions",
         options.device != Device::cpu ? ", and runs there alone" : "", "; use precision full");
  check(options.max_memory >= 0, "upscale: max_memory expects 0 or more bytes, got ", options.max_memory);
  impl_ = std::make_shared<Impl>(net, std::move(options));
}

int64_t Upscaler::scale() const { return impl_->config.scale; }

Tensor Upscaler::operator()(const Tensor& lr) const {
  check_rank("upscale", "image [N,H,W,3]", lr, 4);
  check(lr.dim(3) == 3 && lr.dtype() == DType::f32, "upscale: expects f32 [N,H,W,3], got ",
        to_string(lr.dtype()), to_string(lr.shape()));
  check(lr.dim(1) > 0 && lr.dim(2) > 0, "upscale: image ", to_string(lr.shape()), " is empty");
  int64_t count = lr.dim(0), height = lr.dim(1), width = lr.dim(2);
  Extent extent{height, width};
  Tiling tiling = impl_->prepare(extent, lr.numel() * scale() * scale() * 4, {});
  Tensor hr({count, height * scale(), width * scale(), 3});
  auto start_image = [&](int64_t n) {
    return start_rows(RowStore(lr.slab(n, 1).reshape({height, width, 3})), tiling, n, count);
  };
  std::optional<Running> next;
  if (count > 0) next = start_image(0);
  for (int64_t n = 0; n < count; ++n) {
    Running running = *std::exchange(next, std::nullopt);
    if (n + 1 < count) next = start_image(n + 1);
    Tensor image = hr.slab(n, 1).reshape({hr.dim(1), hr.dim(2), 3});
    running.finish(
        [&](const Tensor& rows, int64_t first) { image.slab(first, rows.dim(0)).copy_from(rows); });
  }
  return hr;
}

void Upscaler::Running::finish(const RowSink& sink) {
  finish_(sink);
  *this = {};
}

Upscaler::Running Upscaler::start_rows(const RowStore& lr, const Tiling& tiling, int64_t index,
                                       int64_t count) const {
  auto report = [impl = impl_, index, count](double share) {
    share = (static_cast<double>(index) + std::min(1.0, share)) / static_cast<double>(count);
    if (impl->options.progress && !impl->options.progress(share)) throw Cancelled();
  };
  Running running;
  if (impl_->gpu) {
    auto image = impl_->gpu->start(lr, report);
    running.finish_ = [impl = impl_, image](const RowSink& sink) { impl->gpu->finish(image, sink); };
    running.started_ = {image.get(), [impl = impl_, image](void*) { impl->gpu->forget(image); }};
  } else {
    running.finish_ = [=, impl = impl_](const RowSink& sink) { impl->run(lr, tiling, report, sink); };
  }
  return running;
}

Upscaler::Running Upscaler::start(const Tensor& lr) const {
  check_rank("upscale", "image [H,W,3]", lr, 3);
  check(lr.dim(2) == 3 && lr.dtype() == DType::f32 && lr.numel() > 0, "upscale: expects f32 [H,W,3], got ",
        to_string(lr.dtype()), to_string(lr.shape()));
  return start_rows(RowStore(lr), impl_->prepare({lr.dim(0), lr.dim(1)}, 0, {}), 0, 1);
}

Upscaler::Running Upscaler::start(int64_t height, int64_t width, const RowFiller& read) const {
  check(height > 0 && width > 0, "upscale: image of ", width, "x", height, " expects at least one pixel");
  auto begin = [upscaler = *this, height, width, read] {
    const Tiling tiling = upscaler.impl_->prepare(
        {height, width}, 0, {.lr_bytes = height * width * 12, .hr_row_bytes = width * upscaler.scale() * 4});
    RowStore lr = RowStore::make(height, width, 3, tiling.spill);
    const int64_t band = std::max<int64_t>(1, kMiB / (width * 12));
    for (int64_t first = 0; first < height; first += band) {
      Tensor rows = lr.place(first, std::min(height, first + band));
      read(rows, first);
      lr.write(first, rows);
    }
    return upscaler.start_rows(lr, tiling, 0, 1);
  };
  if (impl_->gpu) return begin();
  Running running;
  running.finish_ = [begin](const RowSink& sink) { begin().finish(sink); };
  return running;
}

void Upscaler::stream(int64_t height, int64_t width, const RowFiller& read, const RowSink& sink) const {
  start(height, width, read).finish(sink);
}

void Upscaler::stream(const Image& lr, const RowSink& sink) const {
  check_image(lr.pixels);
  ImageReader reader(lr);
  stream_beside(reader, 0, sink);
}

void Upscaler::stream(ImageReader& lr, const RowSink& sink) const { stream_beside(lr, 0, sink); }

Upscaler::Running Upscaler::start(ImageReader& lr) const {
  if (impl_->gpu) return start_beside(lr, 0);
  Running running;
  running.finish_ = [upscaler = *this, &lr](const RowSink& sink) { upscaler.stream(lr, sink); };
  return running;
}

void Upscaler::stream_beside(ImageReader& lr, int64_t coming, const RowSink& sink) const {
  start_beside(lr, coming).finish(sink);
}

Upscaler::Running Upscaler::start_beside(ImageReader& reader, int64_t coming) const {
  const ImageInfo& info = reader.info();
  Tiling tiling = impl_->prepare({info.height, info.width}, coming,
                                 {.lr_bytes = Picture::bytes(reader),
                                  .reading_bytes = reader.working_bytes(),
                                  .hr_row_bytes = Picture::finished_row_bytes(info, scale())});
  auto picture = std::make_shared<Picture>(reader, tiling.spill);
  Running running = start_rows(picture->rgb(), tiling, 0, 1);
  running.finish_ = [picture, scale = scale(), finish = running.finish_](const RowSink& sink) {
    finish([&](const Tensor& rows, int64_t first) { sink(picture->finished(rows, first, scale), first); });
  };
  return running;
}

Image Upscaler::operator()(const Image& lr) const {
  check_image(lr.pixels);
  Image hr{Tensor({lr.pixels.dim(0) * scale(), lr.pixels.dim(1) * scale(), lr.pixels.dim(2)}), lr.depth};
  ImageReader reader(lr);
  stream_beside(reader, hr.pixels.nbytes(), [&](const Tensor& rows, int64_t first) {
    hr.pixels.slab(first, rows.dim(0)).copy_from(rows);
  });
  return hr;
}

}  // namespace dgp
