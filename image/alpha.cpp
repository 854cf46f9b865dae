#include "image/alpha.h"

#include <algorithm>
#include <vector>

#include "tensor/parallel.h"

namespace dgp {
namespace {

constexpr int64_t kBandBytes = int64_t{1} << 20;
constexpr int64_t kSmallBytes = int64_t{1} << 18;  // of a level that is never worth a file

struct Level {
  RowStore colour;  // [H,W,C], weighted mean of the visible colour
  RowStore weight;  // [H,W,1], above 0 where colour is known

  int64_t height() const { return colour.height(); }
  int64_t width() const { return colour.width(); }
  int64_t band() const { return std::max<int64_t>(1, kBandBytes / (colour.channels() * width() * 4)); }
};

// Rows [begin, end) of half the size: the mean colour of each 2x2 block by weight.
void pull_rows(const Level& fine, const Level& coarse, int64_t begin, int64_t end) {
  int64_t H = fine.height(), W = fine.width(), C = fine.colour.channels(), w = coarse.width();
  int64_t above = 2 * begin, below = std::min(H, 2 * end);
  Tensor colour = fine.colour.read(above, below), weights = fine.weight.read(above, below);
  Tensor means = coarse.colour.place(begin, end), sums = coarse.weight.place(begin, end);
  means.fill(0), sums.fill(0);
  const float *from = colour.data<float>(), *weight = weights.data<float>();
  parallel_for(end - begin, 32, [&](int64_t first, int64_t last) {
    for (int64_t i = first * w; i < last * w; ++i) {
      float* to = means.data<float>() + i * C;
      float& sum = sums.data<float>()[i];
      int64_t y = i / w * 2, x = i % w * 2;
      for (int64_t fy = y; fy < std::min(y + 2, below - above); ++fy)
        for (int64_t fx = x; fx < std::min(x + 2, W); ++fx) {
          float a = weight[fy * W + fx];
          sum += a;
          for (int64_t c = 0; c < C; ++c) to[c] += a * from[(fy * W + fx) * C + c];
        }
      for (int64_t c = 0; c < C && sum > 0; ++c) to[c] /= sum;
      sum = std::min(sum, 1.0f);
    }
  });
  coarse.colour.write(begin, means);
  coarse.weight.write(begin, sums);
}

Level pull(const Level& fine) {
  int64_t h = (fine.height() + 1) / 2, w = (fine.width() + 1) / 2, C = fine.colour.channels();
  bool on_disk = fine.colour.is_on_disk() && h * w * C * 4 > kSmallBytes;
  Level coarse{RowStore::make(h, w, C, on_disk), RowStore::make(h, w, 1, on_disk)};
  for (int64_t begin = 0; begin < h; begin += coarse.band())
    pull_rows(fine, coarse, begin, std::min(h, begin + coarse.band()));
  return coarse;
}

// Rows [begin, end): unknown pixels of `fine` take the colour of `coarse`, which is known everywhere, between
// its pixels' centres.
void push_rows(const Level& coarse, const Level& fine, int64_t begin, int64_t end) {
  int64_t W = fine.width(), C = fine.colour.channels(), h = coarse.height(), w = coarse.width();
  int64_t above = std::max<int64_t>(0, begin / 2 - 1), below = std::min(h, (end - 1) / 2 + 2);
  Tensor colour = fine.colour.read(begin, end), weight = fine.weight.read(begin, end);
  Tensor coarser = coarse.colour.read(above, below);
  const float* from = coarser.data<float>() - above * w * C;
  parallel_for(end - begin, 32, [&](int64_t first, int64_t last) {
    for (int64_t i = first * W; i < last * W; ++i) {
      if (weight.data<float>()[i] > 0) continue;
      int64_t y = begin + i / W, x = i % W, y0 = y / 2, x0 = x / 2;
      int64_t y1 = std::clamp<int64_t>(y0 + (y % 2 ? 1 : -1), 0, h - 1);
      int64_t x1 = std::clamp<int64_t>(x0 + (x % 2 ? 1 : -1), 0, w - 1);
      for (int64_t c = 0; c < C; ++c) {
        float near = 0.75f * from[(y0 * w + x0) * C + c] + 0.25f * from[(y0 * w + x1) * C + c];
        float far = 0.75f * from[(y1 * w + x0) * C + c] + 0.25f * from[(y1 * w + x1) * C + c];
        colour.data<float>()[i * C + c] = 0.75f * near + 0.25f * far;
      }
    }
  });
  fine.colour.write(begin, colour);
}

bool hides(const Level& level) {
  for (int64_t begin = 0; begin < level.height(); begin += level.band()) {
    Tensor weight = level.weight.read(begin, std::min(level.height(), begin + level.band()));
    const float* a = weight.data<float>();
    if (std::any_of(a, a + weight.numel(), [](float v) { return !(v > 0); })) return true;
  }
  return false;
}

}  // namespace

void bleed_colour(const RowStore& colour, const RowStore& alpha) {
  std::vector<Level> levels{{colour, alpha}};
  if (!hides(levels[0])) return;
  while (levels.back().height() > 1 || levels.back().width() > 1) levels.push_back(pull(levels.back()));
  for (size_t i = levels.size() - 1; i > 0; --i) {
    const Level& fine = levels[i - 1];
    for (int64_t begin = 0; begin < fine.height(); begin += fine.band())
      push_rows(levels[i], fine, begin, std::min(fine.height(), begin + fine.band()));
  }
}

Tensor bleed_colour(const Image& image) {
  const Tensor& x = image.pixels;
  check_rank("bleed_colour", "image", x, 3);
  int64_t H = x.dim(0), W = x.dim(1), C = x.dim(2) - 1;
  if (C != 1 && C != 3) return x;
  Tensor colour({H, W, C}), alpha({H, W, 1});
  const float* from = x.data<float>();
  for (int64_t i = 0; i < H * W; ++i) {
    std::copy_n(from + i * (C + 1), C, colour.data<float>() + i * C);
    alpha.data<float>()[i] = from[i * (C + 1) + C];
  }
  bleed_colour(RowStore(colour), RowStore(alpha));
  return colour;
}

}  // namespace dgp
