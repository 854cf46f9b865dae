// Training pictures: found, paired, decoded once into memory as bytes, and cut into random patches. Every
// random choice is a function of (seed, iteration, sample), so that neither resuming nor the number of
// loading threads changes anything.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"
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

inline constexpr int64_t kBatchesAhead = 4;  // ready or in the making, besides one a worker

class PairPool;

// Samples [first, first + count) of each batch: the part of it that one of several processes takes.
struct BatchPart {
  int64_t first, count;
};

// Makes batches ahead of the trainer on threads of its own.
class Loader {
 public:
  // Batches number `first` on, or a part of each. Sample i of batch b is drawn from
  // Rng(seed).split(b).split(i).
  Loader(const Dataset& data, const TrainConfig& config, int64_t first)
      : Loader(data, config, first, {0, config.data.batch}) {}
  Loader(const Dataset& data, const TrainConfig& config, int64_t first, BatchPart part);
  ~Loader();

  Batch next();                                      // in order; a worker's exception comes out here
  double waited_seconds() const { return waited_; }  // by the trainer, in next(), so far

 private:
  void work();
  Batch make(int64_t number) const;
  Batch make_from_pool(const Rng& rng, int64_t number) const;

  const Dataset& data_;
  const TrainConfig& config_;
  const BatchPart part_;
  std::unique_ptr<PairPool> pool_;
  int64_t next_made_, next_taken_;
  double waited_ = 0;
  bool stop_ = false;
  std::exception_ptr failure_;
  std::map<int64_t, Batch> ready_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> workers_;
};

// What to do when the trainer waits for data more than a twentieth of its time, on a machine of so many
// cores; nothing otherwise.
std::string waiting_advice(const TrainConfig& config, double waiting, int64_t cores);

}  // namespace dgp
