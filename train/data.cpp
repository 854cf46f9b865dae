#include "train/data.h"

#include <algorithm>
#include <cmath>

#include "image/image.h"
#include "train/augment.h"
#include "train/degradation.h"
#include "train/degrade.h"
#include "train/degrade_ops.h"

namespace dgp {
namespace {

// Rows [y, y+h) and columns [x, x+w) of a picture, to floats in [0, 1].
Tensor piece_of(const Pixels& picture, int64_t y, int64_t x, int64_t h, int64_t w) {
  Tensor piece({h, w, 3});
  for (int64_t r = 0; r < h; ++r) {
    const uint8_t* from = picture.at.get() + ((y + r) * picture.width + x) * 3;
    float* to = piece.data<float>() + r * w * 3;
    for (int64_t i = 0; i < w * 3; ++i) to[i] = static_cast<float>(from[i]) / 255;
  }
  return piece;
}

Tensor inner(const Tensor& x, int64_t top, int64_t left, int64_t h, int64_t w) {
  if (h == x.dim(0) && w == x.dim(1)) return x;
  Tensor piece({h, w, 3});
  for (int64_t r = 0; r < h; ++r)
    std::copy_n(x.data<float>() + ((top + r) * x.dim(1) + left) * 3, w * 3, piece.data<float>() + r * w * 3);
  return piece;
}

// Square [y, y+n) x [x, x+n) of a picture of W columns, turned.
void copy_square(const float* picture, int64_t W, int64_t y, int64_t x, int64_t n, const Orientation& turn,
                 float* out) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j, out += 3) {
      int64_t r = turn.transpose ? j : i, c = turn.transpose ? i : j;
      if (turn.vflip) r = n - 1 - r;
      if (turn.hflip) c = n - 1 - c;
      const float* from = picture + ((y + r) * W + x + c) * 3;
      for (int k = 0; k < 3; ++k) out[k] = from[k];
    }
}

// LR pixels around a patch that are degraded with it. Two blurs of 21 pixels and sharpening reach far.
int64_t margin_of(const DegradeConfig& config, int64_t scale) {
  if (config.type == "ordered" || config.type == "shuffled") return std::max<int64_t>(64 / scale, 8);
  return scale == 1 ? 16 : 4;
}

// Each choice has random numbers of its own, so that none depends on whether another is made.
enum Stream : uint64_t { kDegrade = 1, kOrientation = 2, kColours = 3, kMixup = 4, kPartner = 5, kPlace = 6 };

}  // namespace

Dataset::Dataset(std::vector<SourceConfig> sources, const LoadOptions& options)
    : sources_(std::move(sources)),
      scale_(options.scale),
      patch_(options.patch),
      pictures_(load_pictures(sources_, options)) {
  for (const Picture& p : pictures_) bytes_ += p.hr.bytes() + p.lr.bytes();
  weigh();
}

// Roots with a share split it among their pictures; the others have what is left, by weight.
void Dataset::weigh() {
  std::vector<double> pictures(sources_.size());
  for (const Picture& p : pictures_) ++pictures[p.source];
  double shared = 0, weighed = 0;
  for (size_t s = 0; s < sources_.size(); ++s) {
    shared += sources_[s].share;
    if (sources_[s].share == 0) weighed += sources_[s].weight * pictures[s];
  }
  double sum = 0;
  for (const Picture& p : pictures_) {
    const SourceConfig& source = sources_[p.source];
    sum += source.share > 0 ? source.share / pictures[p.source]
           : shared == 0    ? source.weight
                            : (1 - shared) * source.weight / weighed;
    cumulative_.push_back(sum);
  }
  check(sum > 0 || pictures_.empty(), "every root of pictures has weight 0");
}

Batch Dataset::batch(const Rng& rng, int64_t count, const AugmentConfig& augment, int64_t first) const {
  const int64_t p = patch_, hp = patch_ * scale_;
  Batch batch{Tensor({count, p, p, 3}), Tensor({count, hp, hp, 3})};
  for (int64_t i = 0; i < count; ++i)
    sample(rng.split(static_cast<uint64_t>(first + i)), augment, batch.lr.data<float>() + i * p * p * 3,
           batch.hr.data<float>() + i * hp * hp * 3);
  return batch;
}

void Dataset::sample(const Rng& rng, const AugmentConfig& augment, float* lr, float* hr) const {
  cut(pair(rng, patch_), rng, augment, lr, hr);
  mix_in(rng, augment, lr, hr, [&](const Rng& partner, float* other_lr, float* other_hr) {
    cut(pair(partner, patch_), partner, augment, other_lr, other_hr);
  });
}

void Dataset::mix_in(const Rng& rng, const AugmentConfig& augment, float* lr, float* hr,
                     const MakePartner& partner) const {
  const double v = draw_mixup(augment, rng.split(kMixup));
  if (v == 1) return;
  const int64_t n = 3 * patch_ * patch_, N = n * scale_ * scale_;
  std::vector<float> other(static_cast<size_t>(n + N));
  partner(rng.split(kPartner), other.data(), other.data() + n);
  mix(v, other.data(), n, lr);
  mix(v, other.data() + n, N, hr);
}

void Dataset::cut(const Pair& pair, Rng rng, const AugmentConfig& augment, float* lr, float* hr) const {
  const int64_t s = scale_, p = patch_, W = pair.lr.dim(1);
  const Orientation turn = draw_orientation(augment, rng.split(kOrientation));
  Rng place = rng.split(kPlace);
  const int64_t y = place.below(pair.lr.dim(0) - p + 1), x = place.below(W - p + 1);
  copy_square(pair.lr.data<float>(), W, y, x, p, turn, lr);
  copy_square(pair.hr.data<float>(), W * s, y * s, x * s, p * s, turn, hr);
  augment_colours(augment, s, p, rng.split(kColours), lr, hr);
}

Pair Dataset::pair(Rng rng, int64_t size) const {
  auto chosen = std::upper_bound(cumulative_.begin(), cumulative_.end(), rng.uniform() * cumulative_.back());
  const Picture& picture =
      pictures_[std::min(static_cast<size_t>(chosen - cumulative_.begin()), pictures_.size() - 1)];
  const int64_t s = scale_;
  if (picture.lr.defined()) {
    const int64_t h = std::min(size, picture.lr.height), w = std::min(size, picture.lr.width);
    const int64_t y = rng.below(picture.lr.height - h + 1), x = rng.below(picture.lr.width - w + 1);
    return {piece_of(picture.lr, y, x, h, w), piece_of(picture.hr, y * s, x * s, h * s, w * s)};
  }
  // The HR piece is degraded with a margin around it, so that its borders come out as in the whole picture.
  const DegradeConfig& config = sources_[picture.source].degrade;
  const int64_t H = picture.hr.height, W = picture.hr.width, margin = margin_of(config, s);
  const int64_t h = std::min(size, H / s), w = std::min(size, W / s);
  const int64_t y = rng.below(H - h * s + 1), x = rng.below(W - w * s + 1);
  const int64_t top = std::min(margin, y / s), left = std::min(margin, x / s);
  const int64_t rows = top + h + std::min(margin, (H - y) / s - h);
  const int64_t columns = left + w + std::min(margin, (W - x) / s - w);
  Tensor region = piece_of(picture.hr, y - top * s, x - left * s, rows * s, columns * s);
  const Rng drawn = rng.split(kDegrade);
  Tensor small;
  if (config.type == "ordered" && config.usm) {  // sharpened once, to start from and to aim at
    Degradation steps = draw_degradation(config, s, rows * s, columns * s, drawn);
    region = sharpen_usm(region);
    steps.erase(steps.begin());
    small = apply_degradation(steps, region);
  } else {
    small = degrade(region, s, config, drawn);
  }
  return {inner(small, top, left, h, w), inner(region, top * s, left * s, h * s, w * s)};
}

std::pair<Tensor, Tensor> Dataset::whole(size_t index) const {
  const Picture& picture = pictures_.at(index);
  const Tensor hr = picture.hr.tensor();
  if (picture.lr.defined()) return {picture.lr.tensor(), hr};
  Tensor lr = degrade(to_float(hr), scale_, sources_[picture.source].degrade, Rng(1).split(index));
  return {to_u8(lr), hr};
}

}  // namespace dgp
