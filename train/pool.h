// A pool of pairs. Degrading costs far more than cutting, so a pair larger than a patch is made once and cut
// several times, at other places, turned and mixed anew. Real-ESRGAN keeps such a pool (180 pairs, each used
// once) against batches that are too alike. Here nothing is shuffled: sample number i may come from the
// `pairs` pairs that are newest at i, a window that moves on by one pair every `reuse` samples; which one,
// and what each pair is, are functions of the seed and of numbers alone. What is kept in memory only saves
// work. On the GPU train/gpu_batches.h keeps it.
#pragma once

#include "train/data.h"
#include "train/numbered.h"

namespace dgp {

// What is drawn: of a run with this seed, and pairs of so many LR pixels a side.
class PoolDraws {
 public:
  PoolDraws(const Dataset& data, const PoolConfig& config, uint64_t seed);

  // Of the pairs in the window at sample `index`, one; each sample draws it from random numbers of its own.
  static int64_t number(const PoolConfig& config, int64_t index, Rng rng);

  // Where sample `index`, whose own choices are drawn from `rng`, comes from: a pair, and what its place in
  // it is drawn from. other(): what is mixed into it, where something is.
  struct From {
    int64_t number;
    Rng place;
  };
  From first(int64_t index, const Rng& rng) const;
  From other(int64_t index, const Rng& rng, const Partner& partner) const;

  Recipe recipe(int64_t number) const;                                   // of a pair
  int64_t oldest(int64_t index) const { return index / config_.reuse; }  // number in the window
  const PoolConfig& config() const { return config_; }

 private:
  const Dataset& data_;
  PoolConfig config_;
  Rng rng_;
};

class PairPool {
 public:
  PairPool(const Dataset& data, const PoolConfig& config, uint64_t seed);

  // Sample number `index` of a run, its own choices drawn from `rng`. Several threads may call it.
  void sample(int64_t index, const Rng& rng, const AugmentConfig& augment, float* lr, float* hr);

 private:
  const Dataset& data_;
  PoolDraws draws_;
  Numbered<Pair> pairs_;
};

constexpr int64_t kPairsBehind = 64;  // kept behind the window, for threads that are behind

}  // namespace dgp
