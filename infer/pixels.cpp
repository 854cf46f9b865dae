#include "infer/pixels.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/parallel.h"

namespace dgp {
namespace {

// Index of pixel i of a line of n that was reflected at its end, without repeating the last pixel.
int64_t reflected(int64_t i, int64_t n) { return i < n ? i : 2 * (n - 1) - i; }

// Where an enlarged pixel lies between two source pixels.
struct Between {
  int64_t low, high;
  float weight;  // of high
};

Between between(int64_t i, int64_t scale, int64_t n) {
  double at = std::max(0.0, (static_cast<double>(i) + 0.5) / static_cast<double>(scale) - 0.5);
  auto low = static_cast<int64_t>(at);
  return {low, std::min(low + 1, n - 1), static_cast<float>(at - static_cast<double>(low))};
}

}  // namespace

bool all_finite(const Tensor& t) {
  const float* p = t.data<float>();
  std::atomic<bool> finite{true};
  parallel_for(t.numel(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
    int bad = 0;
    for (int64_t i = begin; i < end; ++i) bad |= !(std::abs(p[i]) <= std::numeric_limits<float>::max());
    if (bad) finite = false;
  });
  return finite;
}

RowRange unshuffle_reads(int64_t first, int64_t end, int64_t u, int64_t lr_height) {
  int64_t begin = first * u;
  if (end * u > lr_height) begin = std::min(begin, reflected(end * u - 1, lr_height));
  return {begin, std::min(end * u, lr_height)};
}

void unshuffle_rows(const Tensor& lr, int64_t lr_first, int64_t lr_height, int64_t u, const Tensor& y,
                    int64_t first) {
  int64_t width = lr.dim(2), columns = y.dim(2);
  const float* source = lr.data<float>();
  float* target = y.data<float>();
  parallel_for(y.dim(1), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t i = 0; i < u; ++i) {
        const float* line = source + (reflected((first + r) * u + i, lr_height) - lr_first) * width * 3;
        for (int64_t at = 0; at < columns * u; ++at) {
          const float* pixel = line + reflected(at, width) * 3;
          float* into = target + (r * columns + at / u) * 3 * u * u + i * u + at % u;
          for (int64_t c = 0; c < 3; ++c) into[c * u * u] = pixel[c];
        }
      }
  });
}

RowRange bilinear_reads(int64_t first, int64_t end, int64_t scale, int64_t lr_height) {
  return {between(first, scale, lr_height).low, between(end - 1, scale, lr_height).high + 1};
}

void shuffle_add_bilinear(const Tensor& up, int64_t up_first, int64_t su, const Tensor& lr, int64_t lr_first,
                          int64_t lr_height, int64_t scale, const Tensor& rows, int64_t first) {
  int64_t width = rows.dim(2), lr_width = lr.dim(2), block = su * su;
  // Of a column: what it lies between, and where its pixels stand in a row of `up`. No divisions in the
  // loops.
  std::vector<Between> columns(static_cast<size_t>(width));
  std::vector<int64_t> shuffled(static_cast<size_t>(width));
  for (int64_t x = 0; x < width; ++x) {
    Between at = between(x, scale, lr_width);
    columns[static_cast<size_t>(x)] = {3 * at.low, 3 * at.high, at.weight};
    shuffled[static_cast<size_t>(x)] = x / su * up.dim(3) + x % su;
  }
  parallel_for(rows.dim(1), 4, [&](int64_t begin, int64_t end) {
    std::vector<float> line(static_cast<size_t>(lr_width * 3));  // of the picture, at the row's height
    for (int64_t r = begin; r < end; ++r) {
      int64_t y = first + r;
      Between v = between(y, scale, lr_height);
      const float* above = lr.data<float>() + (v.low - lr_first) * lr_width * 3;
      const float* below = lr.data<float>() + (v.high - lr_first) * lr_width * 3;
      for (int64_t i = 0; i < lr_width * 3; ++i)
        line[static_cast<size_t>(i)] = (1 - v.weight) * above[i] + v.weight * below[i];
      const float* from = up.data<float>() + (y / su - up_first) * up.dim(2) * up.dim(3) + y % su * su;
      float* out = rows.data<float>() + r * width * 3;
      for (int64_t x = 0; x < width; ++x) {
        const Between& h = columns[static_cast<size_t>(x)];
        const float* pixel = from + shuffled[static_cast<size_t>(x)];
        const float *low = line.data() + h.low, *high = line.data() + h.high;
        for (int64_t c = 0; c < 3; ++c)
          out[x * 3 + c] = (1 - h.weight) * low[c] + h.weight * high[c] + pixel[c * block];
      }
    }
  });
}

}  // namespace dgp
