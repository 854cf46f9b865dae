// DiffJPEG's numbers: what train/degrade_ops.h's diff_jpeg divides by and transforms with, for kernels too.
#pragma once

#include <array>

namespace dgp {

using JpegBlock = std::array<double, 64>;

struct DiffJpegTables {
  JpegBlock luma, chroma;  // steps, scaled by a real number and transposed, as DiffJPEG has them
};
DiffJpegTables diff_jpeg_tables(double quality);  // of (0, 100], else Error(invalid)

const JpegBlock& diff_jpeg_basis();  // orthonormal, [frequency][position]

}  // namespace dgp
