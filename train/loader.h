// Batches ahead of time, and advice where they come too late.
#pragma once

#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "train/gpu_batches.h"

namespace dgp {

inline constexpr int64_t kBatchesAhead = 4;  // ready or in the making, besides one a worker

class PairPool;

// Makes batches ahead of the trainer on threads of its own. Where training is on the GPU, they only work out
// what is to be done; send() takes that there, and next() has the GPU do it (train/gpu_batches.h).
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
  // Where the GPU makes batches: begins to take the next one there, beside the kernels that are queued, if
  // the workers have it. Called by the thread that calls next(), while the GPU has work.
  void send();
  double waited_seconds() const { return waited_; }  // by the trainer, in next(), so far

 private:
  void work();
  struct Made {
    Batch batch;
    GpuBatches::Plan plan;  // where the GPU makes the batch
  };
  Made take(std::unique_lock<std::mutex>& lock);  // the next, which is ready
  Made make(int64_t number) const;
  Batch make_from_pool(const Rng& rng, int64_t number) const;

  const Dataset& data_;
  const TrainConfig& config_;
  const BatchPart part_;
  std::unique_ptr<PairPool> pool_;   // of the CPU
  std::unique_ptr<GpuBatches> gpu_;  // where training is there
  std::optional<Made> sent_;
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
