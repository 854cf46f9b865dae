// What the kernels of train/degrade*.cu are told: a job a picture. A launch does the jobs of one kind for all
// pictures of a batch, blockIdx.y being the job. Pictures lie in one workspace of floats, and all that the
// host worked out lies in one block of bytes, the plan's data; jobs hold offsets into both.
#pragma once

#include <cstdint>

#include "tensor/device_function.h"

namespace dgp {

enum class DegradeKernel {
  bytes,             // BytesJob: u8 to floats
  filter,            // FilterJob: a correlation, 8 rows at a time
  filter_row,        //   of one row of weights, a row at a time
  filter_mask,       //   as filter, of where x differs from `blurred`
  sharpen_row,       //   as filter_row; x is sharpened by what comes out
  resample,          // ResampleJob
  gaussian,          // NoiseJob
  values,            //   which byte values there are
  poisson,           //   with as many levels
  diff_jpeg,         // JpegJob
  file_jpeg_planes,  //   to samples of Y, Cb and Cr
  file_jpeg_pixels,  //   from them
  round,             // RoundJob
  cut,               // CutJob
  paste,             // PasteJob
  mix,               // MixJob
};

constexpr int64_t kJobBlock = 256;  // threads
constexpr int64_t kFilterRows = 8, kFilterSide = 101;
constexpr int64_t kJpegMcus = 2;  // of 16x16 pixels, a block of 48 threads each

inline int64_t blocks_of(int64_t elements) { return (elements + kJobBlock - 1) / kJobBlock; }

struct BytesJob {
  int64_t data, to, count;
  int64_t blocks() const { return blocks_of(count); }
};

// out = sum over v, u of weights[v * columns + u] in(y + v - rows / 2, x + u - columns / 2), mirrored.
struct FilterJob {
  int64_t in, out, height, width, weights;  // weights: f32 in the data
  int64_t rows, columns;                    // odd
  int64_t x = 0, blurred = 0;               // for sharpening
  float amount = 0, threshold = 0;
  int64_t tile_rows = kFilterRows;
  DGP_DEVICE int64_t tiles_across() const { return (width * 3 + kJobBlock - 1) / kJobBlock; }
  int64_t blocks() const { return tiles_across() * ((height + tile_rows - 1) / tile_rows); }
};

// in [outer,from,inner] -> out [outer,to,inner], each a sum of `taps` inputs: Taps in the data.
struct ResampleJob {
  int64_t in, out, outer, from, to, inner, taps, index, weight;
  int64_t blocks() const { return blocks_of(outer * to * inner); }
};

struct NoiseJob {
  int64_t at, pixels, grey;
  uint64_t seed, stream;
  double strength;
  int64_t seen = 0;  // 256 flags in the workspace, 0 at first
  // The draws that a thread makes of one block of random bits, and the values that `values` looks at.
  static constexpr int64_t kNormals = 4, kPoissons = 2, kValues = 16;
  DGP_DEVICE int64_t draws() const { return grey ? pixels : 3 * pixels; }
  int64_t per_thread = kNormals;
  int64_t blocks() const { return blocks_of((draws() + per_thread - 1) / per_thread); }
};

// diff: tables f64 luma [64], chroma [64], basis [64]; file: i32 [64], i32 [64], f32 [64].
struct JpegJob {
  int64_t at, height, width, tables;
  int64_t planes = 0;  // file: Y, Cb, Cr, u8, from this offset in floats
  bool by_pixel = false;
  DGP_DEVICE int64_t mcus_across() const { return (width + 15) / 16; }
  DGP_DEVICE int64_t mcus() const { return mcus_across() * ((height + 15) / 16); }
  int64_t blocks() const {
    return by_pixel ? blocks_of(height * width) : (mcus() + kJpegMcus - 1) / kJpegMcus;
  }
};

struct RoundJob {
  int64_t at, count;
  int64_t blocks() const { return blocks_of(count); }
};

// A piece of a picture of so many columns, turned as Orientation says, its channels in this order, to `to` of
// the target: rows x columns there.
struct CutJob {
  int64_t from, width, y, x, rows, columns, to;
  bool hflip, vflip, transpose;
  int channel[3];
  int64_t blocks() const { return blocks_of(rows * columns); }
};

// Where (y, x) of a square of `patch` pixels lies inside the cut, or, with inside false, outside it.
struct PasteJob {
  int64_t from, to, patch, top, left, side;
  bool inside;
  int64_t blocks() const { return blocks_of(patch * patch); }
};

// Of the target: to = a to + b other.
struct MixJob {
  int64_t to, other, count;
  float a, b;
  int64_t blocks() const { return blocks_of(count); }
};

}  // namespace dgp
