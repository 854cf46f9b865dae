// Where the activations of a run live: one block of memory, laid out before the first image of a size and
// used again for every further one. What it takes is known beforehand, so tiles can be chosen to fit a limit.
#pragma once

#include "models/dgpnet.h"
#include "tensor/row_store.h"

namespace dgp {

inline constexpr int64_t kRowGrid = 4;  // rows between which results may be cut (PreparedConv2d)

// How an image is cut into bands, in rows of the feature maps, multiples of kRowGrid.
struct Tiling {
  int64_t rows;         // of the head and of the blocks
  int64_t finish_rows;  // from `upsample` on
  bool keep = false;    // h stays in memory between a block's two passes
  bool spill = false;   // f lies in a temporary file
  bool operator==(const Tiling&) const = default;
};

// An LR picture, and what of it the network sees.
struct Extent {
  int64_t height, width;
  bool operator==(const Extent&) const = default;
};
Extent feature_extent(const DGPNetConfig& config, const Extent& lr);  // after unshuffling
void check_reflected(const Extent& lr, int64_t u);  // throws where a picture is too small to be unshuffled

// Memory beside a workspace that tiles decide about.
struct Surroundings {
  int64_t lr_bytes = 0;       // of the picture, in memory unless f is spilled
  int64_t reading_bytes = 0;  // that reading it takes, before the run
  int64_t hr_row_bytes = 0;   // copies that are made of a row of the result
};

class Workspace {
 public:
  Workspace(const DGPNetConfig& config, const Extent& lr, const Tiling& tiling);

  static int64_t bytes(const DGPNetConfig& config, const Extent& lr, const Tiling& tiling);

  Extent lr;
  Tiling tiling;
  RowStore f;                                     // features of the whole image
  Tensor all;                                     // f, where it is in memory
  Tensor head_lr, head_x, head_f;                 // bands of the head
  Tensor block_f, block_h, block_y, block_tiles;  // of a block; tiles: sums of those of h
  Tensor finish_f, finish_lr, up, hr, rows;       // behind the blocks
};

// The fastest tiling that takes at most `budget` bytes: h kept, else tiles, else tiles with f on disk. Where
// none does, the one that takes least. tile_rows as in UpscalerOptions.
Tiling choose_tiling(const DGPNetConfig& config, const Extent& lr, int64_t tile_rows, int64_t budget,
                     const Surroundings& around);

// What a tiling takes together with its surroundings.
int64_t bytes_of(const DGPNetConfig& config, const Extent& lr, const Tiling& tiling,
                 const Surroundings& around);

}  // namespace dgp
