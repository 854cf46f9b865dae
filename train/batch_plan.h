// Batches that the GPU makes. The CPU's workers choose: which crops, which degradations, how each patch is
// cut, turned and mixed, by the same random numbers as Dataset::batch; and write it down with the crops'
// bytes. The GPU does the rest: degrades, cuts, augments. Pairs with an LR of their own, and `type: real`,
// which the workers degrade, go the same way.
#pragma once

#include "train/data.h"
#include "train/degrade_plan.h"

namespace dgp {

struct BatchPlan {
  DegradePlan plan = {};
  int64_t count = 0, patch = 0, scale = 0;
  int64_t samples = 0;  // with those that are mixed into others
};

// Dataset::batch as a plan. Any thread may make it; nothing is asked of the GPU.
BatchPlan plan_batch(const Dataset& data, const Rng& rng, int64_t count, const AugmentConfig& augment,
                     int64_t first = 0);

// On the GPU, queued: lr [count,p,p,3] and hr [count,sp,sp,3] as Dataset::batch makes them, up to rounding.
Batch run_batch(const BatchPlan& plan, cuda::PlanRunner& runner);

}  // namespace dgp
