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

// A region of a picture, to floats in [0, 1].
Tensor piece_of(const Pixels& picture, const Region& at) {
  Tensor piece({at.height, at.width, 3});
  for (int64_t r = 0; r < at.height; ++r) {
    const uint8_t* from = picture.at.get() + ((at.y + r) * picture.width + at.x) * 3;
    float* to = piece.data<float>() + r * at.width * 3;
    for (int64_t i = 0; i < at.width * 3; ++i) to[i] = static_cast<float>(from[i]) / 255;
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
  const auto [v, other_rng] = this->partner(rng, augment);
  if (v == 1) return;
  const int64_t n = 3 * patch_ * patch_, N = n * scale_ * scale_;
  std::vector<float> other(static_cast<size_t>(n + N));
  partner(other_rng, other.data(), other.data() + n);
  mix(v, other.data(), n, lr);
  mix(v, other.data() + n, N, hr);
}

Partner Dataset::partner(const Rng& rng, const AugmentConfig& augment) const {
  return {draw_mixup(augment, rng.split(kMixup)), rng.split(kPartner)};
}

Placement Dataset::place(const Rng& rng, const AugmentConfig& augment, int64_t height, int64_t width) const {
  Rng place = rng.split(kPlace);
  const int64_t y = place.below(height - patch_ + 1), x = place.below(width - patch_ + 1);
  return {y, x, draw_orientation(augment, rng.split(kOrientation)),
          draw_colours(augment, patch_, rng.split(kColours))};
}

void Dataset::cut(const Pair& pair, Rng rng, const AugmentConfig& augment, float* lr, float* hr) const {
  const int64_t s = scale_, p = patch_, W = pair.lr.dim(1);
  const Placement at = place(rng, augment, pair.lr.dim(0), W);
  copy_square(pair.lr.data<float>(), W, at.y, at.x, p, at.turn, lr);
  copy_square(pair.hr.data<float>(), W * s, at.y * s, at.x * s, p * s, at.turn, hr);
  apply_colours(at.colours, s, p, lr, hr);
}

Pair Dataset::pair(Rng rng, int64_t size) const { return make(recipe(rng, size)); }

Recipe Dataset::recipe(Rng rng, int64_t size) const {
  auto chosen = std::upper_bound(cumulative_.begin(), cumulative_.end(), rng.uniform() * cumulative_.back());
  const Picture& picture =
      pictures_[std::min(static_cast<size_t>(chosen - cumulative_.begin()), pictures_.size() - 1)];
  const int64_t s = scale_;
  if (picture.lr.defined()) {
    const int64_t h = std::min(size, picture.lr.height), w = std::min(size, picture.lr.width);
    const int64_t y = rng.below(picture.lr.height - h + 1), x = rng.below(picture.lr.width - w + 1);
    return {
        .picture = &picture, .lr = {y, x, h, w}, .hr = {y * s, x * s, h * s, w * s}, .height = h, .width = w};
  }
  // The HR piece is degraded with a margin around it, so that its borders come out as in the whole picture.
  const DegradeConfig& config = sources_[picture.source].degrade;
  const int64_t H = picture.hr.height, W = picture.hr.width, margin = margin_of(config, s);
  const int64_t h = std::min(size, H / s), w = std::min(size, W / s);
  const int64_t y = rng.below(H - h * s + 1), x = rng.below(W - w * s + 1);
  const int64_t top = std::min(margin, y / s), left = std::min(margin, x / s);
  const int64_t rows = top + h + std::min(margin, (H - y) / s - h);
  const int64_t columns = left + w + std::min(margin, (W - x) / s - w);
  return {.picture = &picture,
          .lr = {},
          .hr = {y - top * s, x - left * s, rows * s, columns * s},
          .degrade = &config,
          .drawn = rng.split(kDegrade),
          .top = top,
          .left = left,
          .height = h,
          .width = w};
}

Pair Dataset::make(const Recipe& r) const {
  const int64_t s = scale_, h = r.height, w = r.width;
  if (!r.degrade) return {piece_of(r.picture->lr, r.lr), piece_of(r.picture->hr, r.hr)};
  Tensor region = piece_of(r.picture->hr, r.hr);
  Tensor small;
  if (sharpens(*r.degrade)) {  // once, to start from and to aim at
    Degradation steps = draw_degradation(*r.degrade, s, r.hr.height, r.hr.width, r.drawn);
    region = sharpen_usm(region);
    steps.erase(steps.begin());
    small = apply_degradation(steps, region);
  } else {
    small = degrade(region, s, *r.degrade, r.drawn);
  }
  return {inner(small, r.top, r.left, h, w), inner(region, r.top * s, r.left * s, h * s, w * s)};
}

std::pair<Tensor, Tensor> Dataset::whole(size_t index) const {
  const Picture& picture = pictures_.at(index);
  const Tensor hr = picture.hr.tensor();
  if (picture.lr.defined()) return {picture.lr.tensor(), hr};
  Tensor lr = degrade(to_float(hr), scale_, sources_[picture.source].degrade, Rng(1).split(index));
  return {to_u8(lr), hr};
}

}  // namespace dgp
