// Training pictures: found, paired, decoded once into memory as bytes, and cut into random patches. Every
// random choice is a function of (seed, iteration, sample), so that neither resuming nor the number of
// loading threads changes anything.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"
#include "train/augment.h"
#include "train/config.h"
#include "train/pictures.h"

namespace dgp {

struct Batch {
  Tensor lr, hr;  // f32 [N,p,p,3], [N,s*p,s*p,3]
  Batch to(Device device) const { return {lr.to(device), hr.to(device)}; }
};

struct Pair {
  Tensor lr, hr;  // f32 [h,w,3], [s*h,s*w,3]
};

struct Region {
  int64_t y = 0, x = 0, height = 0, width = 0;
};

// What a pair is made of, before anything is computed: pixels, and what was drawn.
struct Recipe {
  const Picture* picture;
  Region lr, hr;                           // lr: of a picture that has an LR
  const DegradeConfig* degrade = nullptr;  // else this makes it from hr,
  Rng drawn = Rng(0);                      // with these random numbers,
  int64_t top = 0, left = 0;               // and the pair begins here, in LR pixels,
  int64_t height, width;                   // and is so large
};

// Where in a pair a patch is cut, in LR pixels, and how it is augmented.
struct Placement {
  int64_t y, x;
  Orientation turn;
  Colours colours;
};

// A second sample that is mixed into a first, which keeps this share; 1: none is.
struct Partner {
  double share;
  Rng rng;
};

class Dataset {
 public:
  // Loads the pictures as load_pictures does, and throws what it throws.
  Dataset(std::vector<SourceConfig> sources, const LoadOptions& options);
  Dataset(std::vector<SourceConfig> sources, int64_t scale, int64_t patch, int64_t cache_bytes)
      : Dataset(std::move(sources), {scale, patch, cache_bytes}) {}

  const std::vector<Picture>& pictures() const { return pictures_; }
  int64_t patch() const { return patch_; }
  int64_t scale() const { return scale_; }
  int64_t bytes() const { return bytes_; }  // decoded, in memory or in a pack

  // One patch: lr [patch,patch,3] and hr [scale*patch,scale*patch,3] in [0, 1].
  void sample(const Rng& rng, const AugmentConfig& augment, float* lr, float* hr) const;

  // `count` patches, the i-th drawn from rng.split(first + i).
  Batch batch(const Rng& rng, int64_t count, const AugmentConfig& augment = {}, int64_t first = 0) const;

  // A piece of a picture, `size` LR pixels a side where the picture has as many, and a patch at a random
  // place of one; `rng` and `augment` decide as in sample(), which is a patch of the pair of its own size.
  Pair pair(Rng rng, int64_t size) const;
  void cut(const Pair& pair, Rng rng, const AugmentConfig& augment, float* lr, float* hr) const;
  // The choices that these two make, for a patch that is made elsewhere; make(recipe()) is pair().
  Recipe recipe(Rng rng, int64_t size) const;
  Pair make(const Recipe& recipe) const;
  Placement place(const Rng& rng, const AugmentConfig& augment, int64_t height, int64_t width) const;
  Partner partner(const Rng& rng, const AugmentConfig& augment) const;
  // Mixes a second sample in where mixup is drawn: partner(rng, lr, hr) makes it.
  using MakePartner = std::function<void(const Rng& rng, float* lr, float* hr)>;
  void mix_in(const Rng& rng, const AugmentConfig& augment, float* lr, float* hr,
              const MakePartner& partner) const;

  // A whole picture's LR and HR as bytes, as validation wants them; HR is cut to a multiple of the scale.
  std::pair<Tensor, Tensor> whole(size_t index) const;

 private:
  void weigh();

  std::vector<SourceConfig> sources_;
  int64_t scale_, patch_, bytes_ = 0;
  std::vector<Picture> pictures_;
  std::vector<double> cumulative_;  // of the pictures' weights
};

}  // namespace dgp
