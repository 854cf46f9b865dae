#include "infer/workspace.h"

#include <algorithm>
#include <array>
#include <vector>

#include "tensor/parallel.h"

namespace dgp {
namespace {

constexpr int64_t kBandBytes = int64_t{1} << 22;    // of h in a band, a thread
constexpr int64_t kTileBytes = int64_t{1} << 26;    // of h in a tile that was chosen automatically
constexpr int64_t kFinishBytes = int64_t{1} << 21;  // of a band behind the blocks, a thread
constexpr int64_t kDirectRows = 8;                  // HR rows that the tail hands a thread

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Buffers of different phases share their memory; those of kAlways keep theirs.
enum Phase { kAlways, kHead, kBlock, kFinish, kPhases };

struct Slot {
  Phase phase;
  Tensor Workspace::*tensor;
  Shape shape;
};

// Every buffer of a run. Those for rows read from and written to a store are needed only where it is on disk.
std::vector<Slot> slots(const DGPNetConfig& c, const Extent& lr, const Tiling& t) {
  auto [height, width] = feature_extent(c, lr);
  int64_t u = c.unshuffle, su = c.scale * u, halo = c.kernel / 2;
  int64_t rows = std::min(height, t.rows + 2 * halo), finish = std::min(height, t.finish_rows + 2);
  int64_t hr_height = c.scale * lr.height, hr_width = c.scale * lr.width;
  int64_t window = t.keep ? height : std::min(height, t.rows + 2 * halo + kRowGrid);
  std::vector<Slot> s = {
      {kBlock, &Workspace::block_h, {window, width, c.branches() * c.channels}},
      {kBlock,
       &Workspace::block_tiles,
       {(std::min(height, t.rows) + 3) / 4, (width + 3) / 4, c.branches() * c.channels}},
      {kFinish, &Workspace::up, {std::min(height, t.finish_rows), width, 3 * su * su}},
      {kFinish, &Workspace::hr, {std::min(hr_height, t.finish_rows * su + 2 * halo + kRowGrid), hr_width, 3}},
      {kFinish, &Workspace::rows, {std::min(hr_height, t.finish_rows * su + halo + kRowGrid), hr_width, 3}},
  };
  if (u > 1) s.push_back({kHead, &Workspace::head_x, {rows, width, 3 * u * u}});
  if (!t.spill) {
    s.push_back({kAlways, &Workspace::all, {height, width, c.channels}});
    return s;
  }
  s.push_back({kHead, &Workspace::head_lr, {std::min(lr.height, (rows + 1) * u), lr.width, 3}});
  s.push_back({kHead, &Workspace::head_f, {std::min(height, t.rows), width, c.channels}});
  s.push_back({kBlock, &Workspace::block_f, {rows, width, c.channels}});
  s.push_back({kBlock, &Workspace::block_y, {std::min(height, t.rows + halo + kRowGrid), width, c.channels}});
  s.push_back({kFinish, &Workspace::finish_f, {finish, width, c.channels}});
  s.push_back({kFinish, &Workspace::finish_lr, {std::min(lr.height, t.finish_rows * u + 3), lr.width, 3}});
  return s;
}

int64_t floats_of(const Slot& slot) { return round_up(numel(slot.shape), 16); }  // whole cache lines

int64_t finish_rows(const DGPNetConfig& c, const Extent& lr) {
  int64_t su = c.scale * c.unshuffle, row = 3 * 12 * c.scale * lr.width * su;  // up, hr and rows
  int64_t threads = num_threads(), share = (kDirectRows * threads + su - 1) / su;
  return round_up(std::max(share, kFinishBytes * threads / row), kRowGrid);
}

}  // namespace

Extent feature_extent(const DGPNetConfig& config, const Extent& lr) {
  int64_t u = config.unshuffle;
  return {(lr.height + u - 1) / u, (lr.width + u - 1) / u};
}

void check_reflected(const Extent& lr, int64_t u) {
  auto beyond = [u](int64_t n) { return (u - n % u) % u; };
  check(beyond(lr.width) < lr.width && beyond(lr.height) < lr.height, "unshuffle ", u, ": an image of ",
        lr.width, "x", lr.height, " is too small to be reflected to multiples of ", u);
}

int64_t Workspace::bytes(const DGPNetConfig& config, const Extent& lr, const Tiling& tiling) {
  std::array<int64_t, kPhases> floats{};
  for (const Slot& slot : slots(config, lr, tiling)) floats[slot.phase] += floats_of(slot);
  int64_t most = *std::max_element(floats.begin() + kHead, floats.end());
  return 4 * (floats[kAlways] + most);
}

Workspace::Workspace(const DGPNetConfig& config, const Extent& lr_extent, const Tiling& cut)
    : lr(lr_extent), tiling(cut) {
  Tensor block({bytes(config, lr, tiling) / 4});
  std::vector<Slot> all_slots = slots(config, lr, tiling);
  int64_t kept = 0;
  for (const Slot& slot : all_slots) kept += slot.phase == kAlways ? floats_of(slot) : 0;
  std::array<int64_t, kPhases> used{0, kept, kept, kept};
  for (const Slot& slot : all_slots) {
    this->*slot.tensor = block.slab(used[slot.phase], numel(slot.shape)).reshape(slot.shape);
    used[slot.phase] += floats_of(slot);
  }
  auto [height, width] = feature_extent(config, lr);
  f = tiling.spill ? RowStore::on_disk(height, width, config.channels) : RowStore(all);
}

int64_t bytes_of(const DGPNetConfig& config, const Extent& lr, const Tiling& tiling,
                 const Surroundings& around) {
  int64_t su = config.scale * config.unshuffle, halo = config.kernel / 2;
  int64_t handed = std::min(config.scale * lr.height, tiling.finish_rows * su + halo + kRowGrid);
  int64_t running = Workspace::bytes(config, lr, tiling) + handed * around.hr_row_bytes;
  return std::max(running, around.reading_bytes) + (tiling.spill ? 0 : around.lr_bytes);
}

Tiling choose_tiling(const DGPNetConfig& config, const Extent& lr, int64_t tile_rows, int64_t budget,
                     const Surroundings& around) {
  int64_t width = feature_extent(config, lr).width, u = config.unshuffle;
  int64_t finish = finish_rows(config, lr),
          tile_bytes = config.branches() * config.channels * width * 4;  // a row of h
  int64_t whole = round_up(std::max<int64_t>(16, kBandBytes * num_threads() / tile_bytes), kRowGrid);
  int64_t tile = round_up(
      tile_rows > 0 ? (tile_rows + u - 1) / u : std::clamp<int64_t>(kTileBytes / tile_bytes, 16, 256),
      kRowGrid);
  std::vector<Tiling> ways;
  if (tile_rows <= 0) ways.push_back({whole, finish, true, false});
  if (tile_rows >= 0) ways.insert(ways.end(), {{tile, finish, false, false}, {tile, finish, false, true}});

  auto halved = [](int64_t rows) { return round_up(rows / 2, kRowGrid); };
  Tiling smallest = ways.front();
  for (Tiling t : ways) {
    auto bytes = [&] { return bytes_of(config, lr, t, around); };
    while (bytes() > budget && t.finish_rows > kRowGrid) t.finish_rows = halved(t.finish_rows);
    while (bytes() > budget && t.rows > kRowGrid && tile_rows <= 0) t.rows = halved(t.rows);
    if (bytes() <= budget) return t;
    if (bytes() <= bytes_of(config, lr, smallest, around)) smallest = t;
  }
  return smallest;
}

}  // namespace dgp
