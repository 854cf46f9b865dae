// A pool of pairs. Degrading costs far more than cutting, so a pair larger than a patch is made once and cut
// several times, at other places, turned and mixed anew. Real-ESRGAN keeps such a pool (180 pairs, each used
// once) against batches that are too alike. Here nothing is shuffled: sample number i may come from the
// `pairs` pairs that are newest at i, a window that moves on by one pair every `reuse` samples; which one,
// and what each pair is, are functions of the seed and of numbers alone. What is kept in memory only saves
// work.
#pragma once

#include <future>
#include <map>
#include <memory>
#include <mutex>

#include "train/data.h"

namespace dgp {

class PairPool {
 public:
  PairPool(const Dataset& data, const PoolConfig& config, uint64_t seed);

  // Sample number `index` of a run, its own choices drawn from `rng`. Several threads may call it.
  void sample(int64_t index, const Rng& rng, const AugmentConfig& augment, float* lr, float* hr);

  // Of the pairs in the window at `index`, one; each sample draws it from random numbers of its own.
  static int64_t number(const PoolConfig& config, int64_t index, Rng rng);

 private:
  using Made = std::shared_ptr<const Pair>;
  Made pair(int64_t number);
  void forget(int64_t index);

  const Dataset& data_;
  PoolConfig config_;
  Rng rng_;
  std::mutex mutex_;
  std::map<int64_t, std::shared_future<Made>> pairs_;
};

}  // namespace dgp
