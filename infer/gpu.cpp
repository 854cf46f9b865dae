#include "infer/gpu.h"

#include <algorithm>
#include <utility>

#include "tensor/cuda_memory.h"

namespace dgp {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kReserve = 64 * kMiB;  // of what the GPU says is free: it hands memory out in large pages

struct Band {
  Tensor rows, not_finite;  // [R,W,3], [1]
};

Band parts_of(const Tensor& sent, int64_t width) {
  const int64_t header = GpuWorkspace::kHeader;
  return {sent.slab(header, sent.numel() - header).reshape({-1, width, 3}), sent.slab(0, 1)};
}

int64_t in_mib(int64_t bytes) { return (bytes + kMiB - 1) / kMiB; }

std::string notice_of(const Extent& lr, const Tiling& way, const DGPNetConfig& config) {
  return "the GPU's memory does not hold " + std::to_string(lr.width) + "x" + std::to_string(lr.height) +
         " pixels as a whole: they are computed in tiles of " + std::to_string(way.rows * config.unshuffle) +
         " rows" + (way.spill ? ", with features in the computer's memory" : "");
}

// Of an image's multiply-adds those behind the blocks.
double finish_share(const DGPNetConfig& c, const Extent& lr) {
  const int64_t su = c.scale * c.unshuffle, pixels = lr.height * lr.width;
  const double all = static_cast<double>(multiply_adds(c, Form::folded, lr.height, lr.width));
  const Extent f = feature_extent(c, lr);
  const int64_t up = f.height * f.width * 27 * c.channels * su * su;
  return static_cast<double>(up + pixels * c.scale * c.scale * 9 * c.kernel * c.kernel) / all;
}

}  // namespace

GpuUpscaler::GpuUpscaler(const DGPNet& net, const UpscalerOptions& options)
    : plan_(net), tile_rows_(options.tile_rows), max_memory_(options.max_memory), notice_(options.notice) {}

int64_t GpuUpscaler::budget() const {
  if (max_memory_ > 0) return max_memory_ - plan_.bytes();
  return std::max<int64_t>(0, cuda::free_memory() - kReserve);
}

GpuWorkspace& GpuUpscaler::workspace(const Extent& lr) {
  if (space_ && space_->lr_extent == lr) return *space_;
  if (std::exchange(space_, nullptr)) cuda::release_unused_memory();
  result_ = {};
  const DGPNetConfig& config = plan_.config();
  const std::vector<Tiling> ways = gpu_tilings(config, lr, tile_rows_);
  const int64_t most = budget();
  int64_t least = INT64_MAX, refused = INT64_MAX;
  for (const Tiling& way : ways) {
    const int64_t bytes = GpuWorkspace::bytes(config, lr, way);
    least = std::min(least, bytes);
    if (bytes > most || bytes >= refused) continue;
    try {
      space_ = std::make_unique<GpuWorkspace>(config, lr, way);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::limit) throw;
      refused = bytes;  // by the GPU, whatever it said was free
      continue;
    }
    if (!(way == ways.front()) && notice_) std::exchange(notice_, nullptr)(notice_of(lr, way, config));
    return *space_;
  }
  fail(ErrorCode::limit, "out of memory on the GPU: upscaling ", lr.width, "x", lr.height, " pixels ",
       tile_rows_ < 0 ? "without tiles " : "", "takes at least ", in_mib(least), " MiB of it, and ",
       std::max<int64_t>(0, std::min(most, refused)) / kMiB,
       max_memory_ > 0 ? " MiB are allowed" : " MiB are free", "; use --device cpu");
}

void GpuUpscaler::run(const RowStore& lr, const Upscaler::RowSink& sink, const Tick& tick) {
  std::lock_guard lock(mutex_);
  const DGPNetConfig& config = plan_.config();
  const int64_t width = lr.width() * config.scale;
  GpuWorkspace& space = workspace({lr.height(), lr.width()});
  const double finish = finish_share(config, space.lr_extent);
  auto report = [&](double fraction) {
    if (tick) tick(fraction);
  };
  space.take(lr);
  plan_.run_body(space, [&](double body) { report(body * (1 - finish)); });
  for (int64_t i = 0; i < space.bands(); ++i) {
    const RowRange range = space.band(i);
    Band made =
        parts_of(space.result.next({GpuWorkspace::kHeader + (range.end - range.begin) * width * 3}), width);
    plan_.run_finish(space, range, made.rows, made.not_finite);
    space.result.send();
    Band band = parts_of(space.result.take(), width);
    if (band.not_finite.item() != 0) fail(ErrorCode::numeric, "the network's result is not finite");
    sink(band.rows, range.begin);
    report(1 - finish + finish * static_cast<double>(i + 1) / static_cast<double>(space.bands()));
  }
}

Tensor GpuUpscaler::on_device(const Tensor& lr) {
  std::lock_guard lock(mutex_);
  const int64_t scale = plan_.config().scale, height = lr.dim(1), width = lr.dim(2);
  GpuWorkspace& space = workspace({height, width});
  check(!space.tiling.spill, "upscale: an image in device memory is too large for the GPU to work on there");
  if (!result_.defined())
    result_ = Tensor({GpuWorkspace::kHeader + height * width * scale * scale * 3}, DType::f32, Device::cuda);
  Band made = parts_of(result_, width * scale);
  space.lr_there.copy_from(lr.reshape({height, width, 3}));
  plan_.run_body(space);
  for (int64_t i = 0; i < space.bands(); ++i) {
    const RowRange range = space.band(i);
    plan_.run_finish(space, range, made.rows.slab(range.begin, range.end - range.begin), made.not_finite);
  }
  return made.rows.reshape({1, height * scale, width * scale, 3});
}

}  // namespace dgp
