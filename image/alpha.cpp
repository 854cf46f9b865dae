#include "image/alpha.h"

#include <algorithm>
#include <vector>

#include "tensor/parallel.h"

namespace dgp {
namespace {

struct Level {
  Tensor colour;  // f32 [H,W,C], weighted mean of the visible colour
  Tensor weight;  // f32 [H,W,1], above 0 where colour is known
};

// Half the size: the mean colour of each 2x2 block by weight.
Level pull(const Level& fine) {
  int64_t H = fine.colour.dim(0), W = fine.colour.dim(1), C = fine.colour.dim(2);
  int64_t h = (H + 1) / 2, w = (W + 1) / 2;
  Level coarse{Tensor::zeros({h, w, C}), Tensor::zeros({h, w, 1})};
  const float *from = fine.colour.data<float>(), *weight = fine.weight.data<float>();
  parallel_for(h, 32, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * w; i < end * w; ++i) {
      float* to = coarse.colour.data<float>() + i * C;
      float& sum = coarse.weight.data<float>()[i];
      int64_t y = i / w * 2, x = i % w * 2;
      for (int64_t fy = y; fy < std::min(y + 2, H); ++fy)
        for (int64_t fx = x; fx < std::min(x + 2, W); ++fx) {
          float a = weight[fy * W + fx];
          sum += a;
          for (int64_t c = 0; c < C; ++c) to[c] += a * from[(fy * W + fx) * C + c];
        }
      for (int64_t c = 0; c < C && sum > 0; ++c) to[c] /= sum;
      sum = std::min(sum, 1.0f);
    }
  });
  return coarse;
}

// Unknown pixels of `fine` take the colour of `coarse`, which is known everywhere, between its pixels'
// centres.
void push(const Level& coarse, Level& fine) {
  int64_t H = fine.colour.dim(0), W = fine.colour.dim(1), C = fine.colour.dim(2);
  int64_t h = coarse.colour.dim(0), w = coarse.colour.dim(1);
  const float* from = coarse.colour.data<float>();
  parallel_for(H, 32, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * W; i < end * W; ++i) {
      if (fine.weight.data<float>()[i] > 0) continue;
      int64_t y = i / W, x = i % W, y0 = y / 2, x0 = x / 2;
      int64_t y1 = std::clamp<int64_t>(y0 + (y % 2 ? 1 : -1), 0, h - 1);
      int64_t x1 = std::clamp<int64_t>(x0 + (x % 2 ? 1 : -1), 0, w - 1);
      for (int64_t c = 0; c < C; ++c) {
        float near = 0.75f * from[(y0 * w + x0) * C + c] + 0.25f * from[(y0 * w + x1) * C + c];
        float far = 0.75f * from[(y1 * w + x0) * C + c] + 0.25f * from[(y1 * w + x1) * C + c];
        fine.colour.data<float>()[i * C + c] = 0.75f * near + 0.25f * far;
      }
    }
  });
}

}  // namespace

Tensor bleed_colour(const Image& image) {
  const Tensor& x = image.pixels;
  check_rank("bleed_colour", "image", x, 3);
  int64_t H = x.dim(0), W = x.dim(1), C = x.dim(2) - 1;
  if (C != 1 && C != 3) return x;
  std::vector<Level> levels{{Tensor({H, W, C}), Tensor({H, W, 1})}};
  const float* from = x.data<float>();
  float *colour = levels[0].colour.data<float>(), *weight = levels[0].weight.data<float>();
  bool hidden = false;
  for (int64_t i = 0; i < H * W; ++i) {
    std::copy_n(from + i * (C + 1), C, colour + i * C);
    weight[i] = from[i * (C + 1) + C];
    hidden = hidden || !(weight[i] > 0);
  }
  if (!hidden) return levels[0].colour;
  while (levels.back().colour.dim(0) > 1 || levels.back().colour.dim(1) > 1)
    levels.push_back(pull(levels.back()));
  for (size_t i = levels.size() - 1; i > 0; --i) push(levels[i], levels[i - 1]);
  return levels[0].colour;
}

}  // namespace dgp
