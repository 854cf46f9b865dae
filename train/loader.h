// Batches ahead of time, and advice where they come too late.
#pragma once

#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "train/batch_plan.h"

namespace dgp {

inline constexpr int64_t kBatchesAhead = 4;  // ready or in the making, besides one a worker

class PairPool;

// Samples [first, first + count) of each batch: the part of it that one of several processes takes.
struct BatchPart {
  int64_t first, count;
};

// Makes batches ahead of the trainer on threads of its own. Where training is on the GPU, they only work out
// what is to be done (train/batch_plan.h), and next() has the GPU do it; unless there is a pool, whose pairs
// are kept in the CPU's memory and made there.
class Loader {
 public:
  // Batches number `first` on, or a part of each. Sample i of batch b is drawn from
  // Rng(seed).split(b).split(i).
  Loader(const Dataset& data, const TrainConfig& config, int64_t first)
      : Loader(data, config, first, {0, config.data.batch}) {}
  Loader(const Dataset& data, const TrainConfig& config, int64_t first, BatchPart part);
  ~Loader();

  // In order, on the device that made it; a worker's exception comes out here. Called by one thread.
  Batch next();
  double waited_seconds() const { return waited_; }  // by the trainer, in next(), so far

 private:
  void work();
  struct Made {
    Batch batch;
    BatchPlan plan;  // where the GPU makes the batch
  };
  bool on_gpu() const { return !pool_ && config_.computes_on() == Device::cuda; }
  Made make(int64_t number) const;
  Batch make_from_pool(const Rng& rng, int64_t number) const;

  const Dataset& data_;
  const TrainConfig& config_;
  const BatchPart part_;
  std::unique_ptr<PairPool> pool_;
  cuda::PlanRunner runner_;
  int64_t next_made_, next_taken_;
  double waited_ = 0;
  bool stop_ = false;
  std::exception_ptr failure_;
  std::map<int64_t, Made> ready_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> workers_;
};

// What to do when the trainer waits for data more than a twentieth of its time, on a machine of so many
// cores; nothing otherwise.
std::string waiting_advice(const TrainConfig& config, double waiting, int64_t cores);

}  // namespace dgp
