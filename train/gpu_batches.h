// Batches that the GPU makes, by plans that the CPU's workers work out (train/batch_plan.h): a batch at once
// or, where its memory does not hold that, in parts. The pairs of a pool (train/pool.h) are made when a batch
// first takes from them, and stay in the GPU's memory as long as others may.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "train/batch_plan.h"
#include "train/pool.h"

namespace dgp {

class GpuBatches {
 public:
  // `part` of every batch of a run. Nothing is asked of the GPU yet.
  GpuBatches(const Dataset& data, const TrainConfig& config, BatchPart part);

  struct Plan {
    int64_t number = 0;
    std::vector<BatchPlan> parts = {};  // in the order of samples
    Tensor data = {};                   // the first part's, where it has been sent
    std::vector<std::pair<int64_t, std::shared_ptr<const PairPlan>>> pairs = {};  // that it takes from a pool
  };
  Plan plan(int64_t number);  // of a batch; any thread may make it, in any order

  // The others are for one thread, and batches in order. send() begins to take a plan to the GPU, beside what
  // is queued there; make() queues the batch and may be called without it.
  void send(Plan& plan);
  Batch make(Plan plan);  // throws Error(limit) when the GPU's memory does not hold even single samples

 private:
  Plan plan_from_pool(int64_t number);
  void make_pairs(const Plan& plan);
  Batch make_parts(const Plan& plan);

  const Dataset& data_;
  const TrainConfig& config_;
  const BatchPart part_;
  std::atomic<int64_t> parts_ = 1;  // that batches are made in
  cuda::PlanRunner runner_;

  struct Pool {
    PoolDraws draws;
    PoolRoom room;
    Numbered<PairPlan> plans;
    std::vector<int64_t> held;  // the number of the pair in each slot, or -1
    Tensor memory;              // f32 [room.floats], from the first batch on
    Pool(const Dataset& data, const TrainConfig& config, const PoolDraws& draws, BatchPart part);
  };
  std::optional<Pool> pool_;
};

}  // namespace dgp
