// Where a run on the GPU has its memory: laid out before the first image of a size and used again for every
// further one, and how an image is cut where it does not fit. infer/workspace.h is the CPU's.
#pragma once

#include "infer/gpu_fold.h"
#include "infer/gpu_rows.h"
#include "infer/pixels.h"
#include "infer/workspace.h"

namespace dgp {

// In a tiling of the GPU `rows` is the whole height where h is kept, and the result is made in bands of
// finish_rows * scale * unshuffle rows.
class GpuWorkspace {
 public:
  // Throws Error(limit) when the GPU has not as much memory.
  // storage: of feature maps, f32, bf16 or f16.
  GpuWorkspace(const DGPNetConfig& config, const Extent& lr, const Tiling& tiling,
               DType storage = DType::f32);

  static int64_t bytes(const DGPNetConfig& config, const Extent& lr, const Tiling& tiling,
                       DType storage = DType::f32);

  void take(const RowStore& picture);  // f32 [H,W,3], the next image; it must live until the run is over

  Extent lr_extent, extent;  // of the picture, and of the feature maps
  Tiling tiling;
  DType storage = DType::f32;
  GpuRows lr, f;                       // the picture and its features
  Tensor head_x, h, row_sums, up, hr;  // bands; f64 [H,k*2C]
  FoldSpace fold;
  Tensor fold_prepared;  // fold.weight as it is multiplied, see cuda::PreparedWeights
  Tensor lr_there;       // the picture, where it is resident
  Uploads lr_in;         // and its way there
  Downloads result;      // f32 [kHeader + R*W*3]: a flag, see find_not_finite, and rows

  static constexpr int64_t kHeader = 16;

  // Result rows of band `index`, and how many bands there are.
  RowRange band(int64_t index) const;
  int64_t bands() const;

 private:
  struct Block;
  struct Layout;
  GpuWorkspace() = default;
  void lay_out(const DGPNetConfig& config, Layout& layout);

  int64_t hr_height_ = 0, band_rows_ = 0;
};

// Ways to cut an image for the GPU, the fastest first: as a whole; tiles, ever lower; tiles with f in the
// host's memory. tile_rows as in UpscalerOptions; band_bytes: of what is made of a band behind the blocks.
// The host keeps features in f32 alone.
constexpr int64_t kBandBytes = int64_t{1} << 26;
std::vector<Tiling> gpu_tilings(const DGPNetConfig& config, const Extent& lr, int64_t tile_rows,
                                int64_t band_bytes = kBandBytes, DType storage = DType::f32);

}  // namespace dgp
