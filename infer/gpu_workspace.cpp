#include "infer/gpu_workspace.h"

#include <algorithm>
#include <array>

#include "infer/memory.h"
#include "ops/conv2d_prepared.h"

namespace dgp {
namespace {

constexpr int64_t kTileBytes = int64_t{1} << 28;  // of h in the highest tile

constexpr int64_t kUploadBytes = int64_t{1} << 26;  // of a picture on its way

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Rows of so many bytes together, on the grid.
int64_t rows_of(int64_t bytes, int64_t row) { return round_up(std::max<int64_t>(1, bytes / row), kRowGrid); }

// Buffers of different phases share their memory; those of kAlways keep theirs.
enum Phase { kAlways, kHead, kBlock, kFinish, kPhases };

Shape row_sums_shape(const DGPNetConfig& c, const Extent& extent) {
  return {extent.height, c.kernel * c.branches() * c.channels};
}

}  // namespace

// Hands out parts of a block; without one it only counts.
struct GpuWorkspace::Block {
  Tensor memory;     // [n]
  int64_t kept = 0;  // of it kAlways; the other phases begin behind
  std::array<int64_t, kPhases> used{};

  int64_t count() const { return used[kAlways] + *std::max_element(used.begin() + kHead, used.end()); }

  Tensor part(Phase phase, const Shape& shape) {
    const int64_t at = used[phase] + (phase == kAlways ? 0 : kept), count = numel(shape);
    used[phase] += round_up(count, 128);  // every part begins at a multiple of 256 bytes or more
    return memory.defined() ? memory.slab(at, count).reshape(shape) : Tensor();
  }
  Tensor pair(int64_t count) { return part(kAlways, {2, round_up(count, 64)}); }  // for transfers
  void allocate(const Block& counted, DType dtype) {
    memory = Tensor({counted.count()}, dtype, Device::cuda);
    kept = counted.used[kAlways];
  }
};

// Feature maps of another type have a block of their own.
struct GpuWorkspace::Layout {
  DType storage;
  Block f32 = {}, others = {};
  Block& maps() { return storage == DType::f32 ? f32 : others; }

  int64_t bytes() const { return 4 * f32.count() + element_size(storage) * others.count(); }
};

void GpuWorkspace::lay_out(const DGPNetConfig& c, Layout& layout) {
  const auto [height, width] = extent;
  const int64_t u = c.unshuffle, su = c.scale * u, halo = c.kernel / 2, k = c.kernel,
                inner = c.branches() * c.channels;
  const int64_t rows = std::min(height, tiling.rows + 2 * halo);
  hr_height_ = c.scale * lr_extent.height;
  const int64_t hr_width = c.scale * lr_extent.width;
  band_rows_ = std::min(hr_height_, tiling.finish_rows * su);
  const int64_t hr_rows = std::min(hr_height_, band_rows_ + 2 * halo);
  const int64_t up_rows = std::min(height, (hr_rows + su - 1) / su + kRowGrid + 1);

  if (tiling.spill) {
    const int64_t lr_rows = std::min(lr_extent.height, std::max((rows + 1) * u, up_rows * u + 3));
    const int64_t f_rows = std::min(height, std::max(rows, up_rows + 2));
    const int64_t row = width * c.channels;
    lr = GpuRows(Uploads(layout.f32.pair(lr_rows * lr_extent.width * 3)), {});
    f = GpuRows(Uploads(layout.f32.pair(f_rows * row)),
                Downloads(layout.f32.pair(std::min(height, tiling.rows + halo + kRowGrid) * row)));
  } else {
    const int64_t band = std::min(lr_extent.height, rows_of(kUploadBytes, lr_extent.width * 12));
    lr_in = Uploads(layout.f32.pair(band * lr_extent.width * 3));
    lr_there = layout.f32.part(kAlways, {lr_extent.height, lr_extent.width, 3});
    lr = GpuRows(lr_there);
    f = GpuRows(layout.maps().part(kAlways, {height, width, c.channels}));
  }
  result = Downloads(layout.f32.pair(kHeader + band_rows_ * hr_width * 3));
  const int64_t halves = c.branches();
  const int64_t m = halves == 2 && !c.without.contains(Part::interaction) ? 2 * c.channels : c.channels;
  fold = {layout.f32.part(kAlways, {1, k, k, inner}),
          layout.f32.part(kAlways, {halves, m}),
          layout.f32.part(kAlways, {halves, m}),
          layout.f32.part(kAlways, {c.channels, halves, m}),
          layout.f32.part(kAlways, {c.channels, k, k, inner}),
          layout.f32.part(kAlways, {c.channels})};
  fold_prepared = layout.f32.part(kAlways, {cuda::prepared_numel({c.channels, k, k, inner})});
  if (u > 1) head_x = layout.f32.part(kHead, {rows, width, 3 * u * u});
  const int64_t window = tiling.keep ? height : std::min(height, tiling.rows + 2 * halo + kRowGrid);
  h = layout.maps().part(kBlock, {window, width, inner});
  up = layout.f32.part(kFinish, {up_rows, width, 3 * su * su});
  hr = layout.f32.part(kFinish, {hr_rows, hr_width, 3});
}

int64_t GpuWorkspace::bytes(const DGPNetConfig& c, const Extent& lr, const Tiling& tiling, DType storage) {
  GpuWorkspace counted;
  counted.lr_extent = lr, counted.extent = feature_extent(c, lr), counted.tiling = tiling;
  Layout layout{storage};
  counted.lay_out(c, layout);
  return layout.bytes() + 8 * numel(row_sums_shape(c, counted.extent));
}

GpuWorkspace::GpuWorkspace(const DGPNetConfig& config, const Extent& lr_, const Tiling& cut, DType storage_)
    : lr_extent(lr_), extent(feature_extent(config, lr_)), tiling(cut), storage(storage_) {
  check(!tiling.spill || storage == DType::f32, "upscale: the host keeps features in f32 alone");
  Layout counting{storage}, layout{storage};
  lay_out(config, counting);
  layout.f32.allocate(counting.f32, DType::f32);
  if (storage != DType::f32) layout.others.allocate(counting.others, storage);
  lay_out(config, layout);
  row_sums = Tensor(row_sums_shape(config, extent), DType::f64, Device::cuda);
  if (!tiling.spill) return;
  const int64_t bytes = extent.height * extent.width * config.channels * 4;
  f.attach(RowStore::make(extent.height, extent.width, config.channels, bytes > available_memory() / 2));
}

void GpuWorkspace::take(const RowStore& picture) {
  if (tiling.spill) return lr.attach(picture);
  const int64_t height = picture.height(), width = picture.width();
  const int64_t band = std::min(height, rows_of(kUploadBytes, width * 12));
  for (int64_t begin = 0; begin < height; begin += band) {
    const int64_t end = std::min(height, begin + band);
    Tensor room = lr_in.next({1, end - begin, width, 3});
    Tensor rows = picture.read(begin, end, room);
    if (rows.bytes() != room.bytes()) room.copy_from(rows);
    lr_there.slab(begin, end - begin).copy_from(lr_in.send().reshape({end - begin, width, 3}));
  }
}

RowRange GpuWorkspace::band(int64_t index) const {
  return {index * band_rows_, std::min(hr_height_, (index + 1) * band_rows_)};
}
int64_t GpuWorkspace::bands() const { return (hr_height_ + band_rows_ - 1) / band_rows_; }

std::vector<Tiling> gpu_tilings(const DGPNetConfig& c, const Extent& lr, int64_t tile_rows,
                                int64_t band_bytes, DType storage) {
  const auto [height, width] = feature_extent(c, lr);
  const int64_t su = c.scale * c.unshuffle, whole = round_up(height, kRowGrid);
  const int64_t finish = std::min(whole, rows_of(band_bytes, width * 3 * su * su * 4));
  const int64_t tile = tile_rows > 0 ? round_up((tile_rows + c.unshuffle - 1) / c.unshuffle, kRowGrid)
                                     : rows_of(kTileBytes, width * c.branches() * c.channels * 4);
  std::vector<Tiling> ways;
  if (tile_rows <= 0) ways.push_back({whole, finish, true, false});
  if (tile_rows < 0) return ways;
  for (bool spill : {false, true}) {
    if (spill && storage != DType::f32) break;
    for (int64_t rows = std::min(tile, whole), last = 0; rows != last; rows = round_up(rows / 2, kRowGrid)) {
      last = rows;
      if (spill || tile_rows > 0 || rows < whole)
        ways.push_back({rows, std::min(finish, rows), false, spill});
      if (tile_rows > 0) break;
    }
  }
  return ways;
}

}  // namespace dgp
