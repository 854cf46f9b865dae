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

// Steps that graphs are of: an image's body, all of on_device(), and every band for each place to send it
// from.
enum Step : size_t { kBody, kOnDevice, kFirstBand };

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

struct GpuUpscaler::Image {
  RowStore lr;
  Tick tick;
  bool begun = false, forgotten = false;
  int64_t queued = 0, taken = 0;  // bands of the result
  std::exception_ptr error = {};  // of queueing it
};

GpuUpscaler::GpuUpscaler(const DGPNet& net, const UpscalerOptions& options, int64_t band_bytes, DType storage)
    : plan_(net),
      tile_rows_(options.tile_rows),
      max_memory_(options.max_memory),
      band_bytes_(band_bytes),
      storage_(storage),
      notice_(options.notice) {
  plan_.prepare(storage_);
}

int64_t GpuUpscaler::budget() const {
  if (max_memory_ > 0) return max_memory_ - plan_.bytes();
  return std::max<int64_t>(0, cuda::free_memory() - kReserve);
}

void GpuUpscaler::make_workspace(const Extent& lr) {
  if (space_ && space_->lr_extent == lr) return;
  graphs_.clear();
  result_ = {};
  runs_ = 0;
  if (std::exchange(space_, nullptr)) cuda::release_unused_memory();
  const DGPNetConfig& config = plan_.config();
  const std::vector<Tiling> ways = gpu_tilings(config, lr, tile_rows_, band_bytes_, storage_);
  const int64_t most = budget();
  int64_t least = INT64_MAX, refused = INT64_MAX;
  for (const Tiling& way : ways) {
    const int64_t bytes = GpuWorkspace::bytes(config, lr, way, storage_);
    least = std::min(least, bytes);
    if (bytes > most || bytes >= refused) continue;
    try {
      space_ = std::make_unique<GpuWorkspace>(config, lr, way, storage_);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::limit) throw;
      refused = bytes;  // by the GPU, whatever it said was free
      continue;
    }
    graphs_.resize(kFirstBand + 2 * static_cast<size_t>(space_->bands()));
    if (!(way == ways.front()) && notice_) std::exchange(notice_, nullptr)(notice_of(lr, way, config));
    return;
  }
  fail(ErrorCode::limit, "out of memory on the GPU: upscaling ", lr.width, "x", lr.height, " pixels ",
       tile_rows_ < 0 ? "without tiles " : "", "takes at least ", in_mib(least), " MiB of it, and ",
       std::max<int64_t>(0, std::min(most, refused)) / kMiB,
       max_memory_ > 0 ? " MiB are allowed" : " MiB are free", "; use --device cpu");
}

std::shared_ptr<GpuUpscaler::Image> GpuUpscaler::start(const RowStore& lr, Tick tick) {
  std::lock_guard lock(mutex_);
  images_.push_back(std::make_shared<Image>(Image{lr, std::move(tick)}));
  advance(false);
  return images_.back();
}

void GpuUpscaler::finish(const std::shared_ptr<Image>& image, const RowSink& sink) {
  std::lock_guard lock(mutex_);
  check(!images_.empty() && images_.front() == image,
        "upscale: images are finished in the order in which they were started");
  try {
    do {
      advance(true);
      if (image->error) std::rethrow_exception(image->error);
      hand_out(*image, sink);
    } while (image->taken < space_->bands());
  } catch (...) {
    forget(image);
    throw;
  }
  images_.pop_front();
  drop_forgotten();
}

void GpuUpscaler::forget(const std::shared_ptr<Image>& image) {
  std::lock_guard lock(mutex_);
  image->forgotten = true;
  drop_forgotten();
}

void GpuUpscaler::drop_forgotten() {
  for (; !images_.empty() && images_.front()->forgotten; images_.pop_front()) {
    Image& image = *images_.front();
    try {
      while (image.taken++ < image.queued) space_->result.take();
    } catch (...) {  // nothing that was queued can be had any more
      for (const auto& other : images_) other->error = std::current_exception();
    }
  }
}

// Queues what can be: one image after the other, up to two bands ahead of what is handed out.
void GpuUpscaler::advance(bool finishing) {
  int64_t ahead = 0;
  for (const auto& image : images_) {
    ahead += image->queued - image->taken;
    if (image->forgotten) continue;
    if (image->error) return;
    try {
      const bool first = image == images_.front();
      if (!image->begun && !can_begin(*image, first, finishing)) return;
      if (!image->begun) begin(*image);
      for (; image->queued < space_->bands(); ++ahead) {
        if (ahead == 2) return;
        queue_band(*image);
      }
    } catch (...) {
      image->error = std::current_exception();
      return;
    }
  }
}

// Another size waits for the images before it. What goes through in tiles is queued when it is finished: that
// takes its time, and the host's memory may have a part in it.
bool GpuUpscaler::can_begin(const Image& image, bool first, bool finishing) {
  const Extent lr{image.lr.height(), image.lr.width()};
  if (first) make_workspace(lr);
  return space_ && space_->lr_extent == lr && (space_->tiling.keep || (first && finishing));
}

void GpuUpscaler::begin(Image& image) {
  image.begun = true;
  ++runs_;
  space_->take(image.lr);
  if (space_->tiling.keep) return queue(kBody, [&] { plan_.run_body(*space_); });
  const double finish = finish_share(plan_.config(), space_->lr_extent);
  try {
    plan_.run_body(*space_, [&](double share) {
      if (image.tick) image.tick(share * (1 - finish));
    });
  } catch (...) {
    space_.reset();  // bands may be on their way
    throw;
  }
}

void GpuUpscaler::queue_band(Image& image) {
  const RowRange range = space_->band(image.queued);
  const int64_t width = space_->lr_extent.width * plan_.config().scale;
  const int64_t numbers = (range.end - range.begin) * width * 3;
  Band made = parts_of(space_->result.next({GpuWorkspace::kHeader + numbers}), width);
  const size_t step = kFirstBand + 2 * static_cast<size_t>(image.queued) + space_->result.slot();
  queue(step, [&] { plan_.run_finish(*space_, range, made.rows, made.not_finite); });
  space_->result.send();
  ++image.queued;
}

void GpuUpscaler::hand_out(Image& image, const RowSink& sink) {
  const int64_t width = space_->lr_extent.width * plan_.config().scale, index = image.taken++;
  Band band = parts_of(space_->result.take(), width);
  if (band.not_finite.item() != 0) fail(ErrorCode::numeric, "the network's result is not finite");
  sink(band.rows, space_->band(index).begin);
  const double finish = finish_share(plan_.config(), space_->lr_extent);
  const double left = 1 - static_cast<double>(image.taken) / static_cast<double>(space_->bands());
  if (image.tick) image.tick(1 - finish * left);
}

// As it comes at the first image of a size; recorded at the second, and played from then on.
void GpuUpscaler::queue(size_t step, const std::function<void()>& work) {
  if (factors_ != cuda::factors()) {  // other kernels, which are loaded when they first run: not in a graph
    factors_ = cuda::factors();
    graphs_.assign(graphs_.size(), {});
    runs_ = 1;
  }
  if (!space_->tiling.keep || runs_ < 2) return work();
  if (!graphs_[step]) graphs_[step].emplace(work);
  graphs_[step]->launch();
}

Tensor GpuUpscaler::on_device(const Tensor& lr) {
  std::lock_guard lock(mutex_);
  check(images_.empty(), "upscale: images that were started are to be finished first");
  const int64_t scale = plan_.config().scale, height = lr.dim(1), width = lr.dim(2);
  make_workspace({height, width});
  check(!space_->tiling.spill,
        "upscale: an image in device memory is too large for the GPU to work on there");
  if (!result_.defined())
    result_ = Tensor({GpuWorkspace::kHeader + height * width * scale * scale * 3}, DType::f32, Device::cuda);
  Band made = parts_of(result_, width * scale);
  space_->lr_there.copy_from(lr.reshape({height, width, 3}));
  ++runs_;
  queue(kOnDevice, [&] {
    plan_.run_body(*space_);
    for (int64_t i = 0; i < space_->bands(); ++i) {
      const RowRange range = space_->band(i);
      plan_.run_finish(*space_, range, made.rows.slab(range.begin, range.end - range.begin), made.not_finite);
    }
  });
  return made.rows.reshape({1, height * scale, width * scale, 3});
}

}  // namespace dgp
