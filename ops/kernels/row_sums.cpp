// Sums of a row's pixels, channel by channel: segments of 16 pixels in float, the segments in double, so that
// neither the instruction set nor the number of channels taken together changes a bit.
#include "ops/kernels/kernels.h"
#include "tensor/simd.h"

namespace dgp::DGP_ISA {
namespace {

constexpr int64_t kSegment = 16;

// `vectors` vectors of channels, side by side: several additions are under way at a time.
template <int vectors>
void sum_vectors(const float* row, int64_t width, int64_t channels, double* sums) {
  for (int64_t begin = 0; begin < width; begin += kSegment) {
    int64_t end = begin + kSegment < width ? begin + kSegment : width;
    Vec<kLanes> part[vectors] = {};
    for (int64_t x = begin; x < end; ++x)
      for (int v = 0; v < vectors; ++v) part[v] = part[v] + load<kLanes>(row + x * channels + v * kLanes);
    float lanes[vectors * kLanes];
    for (int v = 0; v < vectors; ++v) store<kLanes>(lanes + v * kLanes, part[v]);
    for (int c = 0; c < vectors * kLanes; ++c) sums[c] += static_cast<double>(lanes[c]);
  }
}

}  // namespace

void row_sums(const float* row, int64_t width, int64_t channels, double* sums) {
  for (int64_t c = 0; c < channels; ++c) sums[c] = 0;
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) sum_vectors<4>(row + c, width, channels, sums + c);
  for (; c + kLanes <= channels; c += kLanes) sum_vectors<1>(row + c, width, channels, sums + c);
  for (; c < channels; ++c)
    for (int64_t begin = 0; begin < width; begin += kSegment) {
      float part = 0;
      for (int64_t x = begin; x < begin + kSegment && x < width; ++x) part += row[x * channels + c];
      sums[c] += static_cast<double>(part);
    }
}

}  // namespace dgp::DGP_ISA
