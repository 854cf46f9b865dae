// What a run would be like, from a few seconds of it: its speed, its memory and how long it would take.
#pragma once

#include <atomic>
#include <string>

#include "train/config.h"

namespace dgp {

struct DryRun {
  int64_t parameters = 0, steps = 0;   // steps: that were measured
  double rate = 0, waiting = 0;        // iterations a second; share of the time without data
  int64_t memory = 0, gpu_memory = 0;  // the most bytes held: by the process, on the GPU
  double seconds() const {
    return rate > 0 ? static_cast<double>(iterations) / rate : 0;
  }                        // of the whole run
  int64_t iterations = 0;  // of it
};

// Loads the pictures and trains a fresh network for about `seconds`, after two steps that are not measured;
// at least one step is. Nothing is written. `stop` ends it early. Throws what training would: Error(bad_file)
// for pictures, Error(limit) when memory runs out.
DryRun dry_run(const TrainConfig& config, double seconds = 5, const std::atomic<bool>* stop = nullptr);

std::string to_text(const DryRun& found, const TrainConfig& config);  // a few lines

}  // namespace dgp
