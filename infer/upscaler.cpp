#include "infer/upscaler.h"

#include <algorithm>
#include <mutex>
#include <optional>

#include "infer/gpu.h"
#include "infer/memory.h"
#include "infer/picture.h"
#include "infer/plan.h"
#include "tensor/allocator.h"
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
  Plan plan;
  UpscalerOptions options;
  std::optional<DGPNet> on_gpu;  // fused, its parameters in device memory
  mutable std::mutex mutex;
  mutable std::unique_ptr<Workspace> spare;  // of the image before

  Impl(Plan p, UpscalerOptions o) : plan(std::move(p)), options(std::move(o)) {}

  // Bytes that a workspace and its surroundings may take, when `coming` more will be taken by others.
  int64_t budget(const Extent& lr, int64_t coming) const {
    if (options.max_memory == 0) return available_memory() / 2;
    release_cached_memory();
    return options.max_memory - resident_memory() - coming -
           reserve_bytes(plan.config(), lr.width * plan.config().scale);
  }

  Tiling choose(const Extent& lr, int64_t budget, const Surroundings& around) const {
    {
      std::lock_guard lock(mutex);
      if (spare && spare->lr == lr) return spare->tiling;
    }
    Tiling tiling = choose_tiling(plan.config(), lr, options.tile_rows, budget, around);
    int64_t need = bytes_of(plan.config(), lr, tiling, around);
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
    return std::make_unique<Workspace>(plan.config(), lr, tiling);
  }

  // One image of `count`.
  void run(const RowStore& lr, const Tiling& tiling, int64_t index, int64_t count,
           const RowSink& sink) const {
    Extent extent{lr.height(), lr.width()};
    std::unique_ptr<Workspace> space = workspace(extent, tiling);
    double all = plan.work(extent, tiling), done = 0;
    plan.run(
        lr, *space, sink,
        [&](double part) {
          done += part;
          double share =
              (static_cast<double>(index) + std::min(1.0, done / all)) / static_cast<double>(count);
          if (options.progress && !options.progress(share)) throw Cancelled();
        },
        options.observe);
    if (options.max_memory > 0) {  // what comes next is nobody's to foresee
      space.reset();
      return release_cached_memory();
    }
    std::lock_guard lock(mutex);
    spare = std::move(space);
  }

  void run_on_gpu(const Tensor& lr, int64_t index, int64_t count, const RowSink& sink) const {
    sink(upscale_on_gpu(*on_gpu, lr), 0);
    double share = static_cast<double>(index + 1) / static_cast<double>(count);
    if (options.progress && !options.progress(share)) throw Cancelled();
  }
};

Upscaler::Upscaler(const DGPNet& net, UpscalerOptions options) {
  if (options.precision == Precision::fast && (options.device != Device::cpu || !has_bf16()))
    fail(ErrorCode::limit, "precision fast: needs a CPU with AVX512-BF16 instructions",
         options.device != Device::cpu ? ", and runs there alone" : "", "; use precision full");
  Plan plan(net, options.precision);
  auto impl = std::make_shared<Impl>(std::move(plan), std::move(options));
  check(impl->options.max_memory >= 0, "upscale: max_memory expects 0 or more bytes, got ",
        impl->options.max_memory);
  if (impl->options.device == Device::cuda) {
    check(impl->options.max_memory == 0, "upscale: a memory limit holds for the CPU alone");
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
  int64_t count = lr.dim(0), height = lr.dim(1), width = lr.dim(2);
  Extent extent{height, width};
  int64_t result_bytes = lr.numel() * scale() * scale() * 4;
  auto run = [&](auto&& one) {
    Tensor hr({count, height * scale(), width * scale(), 3});
    for (int64_t n = 0; n < count; ++n) {
      Tensor image = hr.slab(n, 1).reshape({hr.dim(1), hr.dim(2), 3});
      one(lr.slab(n, 1), n,
          [&](const Tensor& rows, int64_t first) { image.slab(first, rows.dim(0)).copy_from(rows); });
    }
    return hr;
  };
  if (impl_->on_gpu)
    return run(
        [&](const Tensor& one, int64_t n, const RowSink& sink) { impl_->run_on_gpu(one, n, count, sink); });
  Tiling tiling = impl_->choose(extent, impl_->budget(extent, result_bytes), {});
  return run([&](const Tensor& one, int64_t n, const RowSink& sink) {
    impl_->run(RowStore(one.reshape({height, width, 3})), tiling, n, count, sink);
  });
}

void Upscaler::stream(int64_t height, int64_t width, const RowFiller& read, const RowSink& sink) const {
  check(height > 0 && width > 0, "upscale: image of ", width, "x", height, " expects at least one pixel");
  Extent extent{height, width};
  bool gpu = impl_->on_gpu.has_value();
  Surroundings around{.lr_bytes = height * width * 12, .hr_row_bytes = width * scale() * 4};
  Tiling tiling{};
  if (!gpu) tiling = impl_->choose(extent, impl_->budget(extent, 0), around);
  RowStore lr = RowStore::make(height, width, 3, tiling.spill);
  int64_t band = std::max<int64_t>(1, kMiB / (width * 12));
  for (int64_t begin = 0; begin < height; begin += band) {
    int64_t end = std::min(height, begin + band);
    Tensor rows = lr.place(begin, end);
    read(rows, begin);
    lr.write(begin, rows);
  }
  if (gpu) return impl_->run_on_gpu(lr.read(0, height), 0, 1, sink);
  impl_->run(lr, tiling, 0, 1, sink);
}

void Upscaler::stream(const Image& lr, const RowSink& sink) const {
  check_image(lr.pixels);
  ImageReader reader(lr);
  stream_beside(reader, 0, sink);
}

void Upscaler::stream(ImageReader& lr, const RowSink& sink) const { stream_beside(lr, 0, sink); }

void Upscaler::stream_beside(ImageReader& reader, int64_t coming, const RowSink& sink) const {
  const ImageInfo& info = reader.info();
  Extent extent{info.height, info.width};
  bool gpu = impl_->on_gpu.has_value();
  Tiling tiling{};
  if (!gpu) {
    Surroundings around{.lr_bytes = Picture::bytes(reader),
                        .reading_bytes = reader.working_bytes(),
                        .hr_row_bytes = Picture::finished_row_bytes(info, scale())};
    tiling = impl_->choose(extent, impl_->budget(extent, coming), around);
  }
  Picture picture(reader, tiling.spill);
  auto finish = [&](const Tensor& rows, int64_t first) {
    sink(picture.finished(rows, first, scale()), first);
  };
  if (gpu) return impl_->run_on_gpu(picture.rgb().read(0, info.height), 0, 1, finish);
  impl_->run(picture.rgb(), tiling, 0, 1, finish);
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
