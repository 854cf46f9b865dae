// Batches that the GPU makes. The CPU's workers choose: which crops, which degradations, how each patch is
// cut, turned and mixed, by the same random numbers as Dataset::batch; and write it down with the crops'
// bytes. The GPU does the rest: degrades, cuts, augments. Pairs with an LR of their own, and `type: real`,
// which the workers degrade, go the same way.
#pragma once

#include "train/config.h"
#include "train/data.h"
#include "train/degrade_plan.h"

namespace dgp {

// Samples [first, first + count) of each batch: the part of it that one of several processes takes.
struct BatchPart {
  int64_t first, count;
};

// What the samples of a run's batch `number` split their random numbers from.
inline Rng batch_rng(const TrainConfig& config, int64_t number) {
  return Rng(static_cast<uint64_t>(config.seed), 0xda7a).split(static_cast<uint64_t>(number));
}

struct BatchPlan {
  DegradePlan plan = {};
  int64_t count = 0, patch = 0, scale = 0;
  int64_t samples = 0;  // with those that are mixed into others
};

// Dataset::batch as a plan. Any thread may make it; nothing is asked of the GPU.
BatchPlan plan_batch(const Dataset& data, const Rng& rng, int64_t count, const AugmentConfig& augment,
                     int64_t first = 0);

// Where a pool's pairs lie in the GPU's memory: number n in slot n % slots, LR before HR, f32 [h,w,3] each;
// behind them is room for what a batch takes beside.
struct PoolRoom {
  int64_t slots, lr, pair, floats;  // floats: of an LR, of a pair, of all
  // size: of a pair at most, LR pixels a side; samples: of a batch.
  PoolRoom(const Dataset& data, int64_t slots, int64_t size, int64_t samples);
  int64_t slot(int64_t number) const { return number % slots; }
  int64_t at(int64_t number) const { return slot(number) * pair; }
};

// A pair of h x w LR pixels, made into its slot.
struct PairPlan {
  DegradePlan plan;
  int64_t height, width;
};
PairPlan plan_pair(const Dataset& data, const Recipe& recipe, const PoolRoom& room, int64_t number);

struct PooledSample {
  int64_t number, width;  // of the pair, and its width
  Placement place;
};
struct PooledMix {  // into sample `to`, which keeps `share` of itself
  int64_t to;
  double share;
  PooledSample other;
};
BatchPlan plan_from_pairs(const Dataset& data, const PoolRoom& room, const std::vector<PooledSample>& samples,
                          const std::vector<PooledMix>& mixed);

// On the GPU, queued: lr [count,p,p,3] and hr [count,sp,sp,3] as Dataset::batch makes them, up to rounding.
// data: what runner.send(plan.plan) returned; pool: that the plan cuts from, if it does.
Batch run_batch(const BatchPlan& plan, const Tensor& data, cuda::PlanRunner& runner, const Tensor& pool = {});

}  // namespace dgp
