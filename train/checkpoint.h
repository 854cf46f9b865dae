// Checkpoints: one safetensors file holds everything that a run's future depends on, with a checksum over all
// of it: weights, their average, the optimisers' state, counters, the configuration. Random numbers need no
// saving, nor does the place in the data: they are functions of the iteration. Which device the tensors are
// on is no part of it: a run saved on one goes on on the other.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tensor/safetensors.h"
#include "train/loss_scale.h"
#include "train/optimizer.h"

namespace dgp {

struct Counters {
  int64_t iteration = 0;  // steps done, skipped ones too
  int64_t skipped = 0, skipped_in_row = 0;
  int64_t returns = 0;          // to an earlier state, after divergence
  double rate_scale = 1;        // the learning rate's factor since then
  bool calm = true;             // nothing unusual in the last steps: a state to return to
  bool validation_due = false;  // stopped between a step and its validation
  double best = -std::numeric_limits<double>::infinity();
  int64_t best_iteration = 0;
  double window_loss = 0;                 // sum of losses since the last line of the log, and how many
  std::vector<double> window_parts = {};  // the same of each weighted term of the loss
  int64_t window_steps = 0;
  double seconds = 0;              // of training so far
  uint32_t config = 0;             // config_hash
  std::string configuration = {};  // its text
};

// What a checkpoint keeps beside the counters, in place: saving reads it, loading overwrites it.
struct TrainState {
  std::vector<std::pair<std::string, Tensor>> tensors;
  std::vector<std::pair<std::string, Optimizer*>> optimizers;
  LossScale* loss_scale = nullptr;  // kept where it is dynamic

  // An optimiser of parameters with these names; its tensors become "<name>.<slot>.<parameter>".
  void add(const std::string& name, Optimizer& optimizer, const std::vector<std::string>& parameters);
};

// Throws Error(numeric) rather than write a value that is not finite. The file appears whole or not at all.
void save_checkpoint(const std::string& path, const TrainState& state, const Counters& counters);

// Throws Error(bad_file) when the file is damaged or of another network or optimiser; nothing is changed
// then.
Counters load_checkpoint(const std::string& path, const TrainState& state);

// The same to and from the bytes of such a file; `name` is what errors call them.
std::string checkpoint_bytes(const TrainState& state, const Counters& counters);
Counters read_checkpoint(const std::string& bytes, const std::string& name, const TrainState& state);

// Checkpoints of a folder, newest first; the name of the one after `iteration` steps, and back.
std::vector<std::string> list_checkpoints(const std::string& folder);
std::string checkpoint_path(const std::string& folder, int64_t iteration);
int64_t checkpoint_iteration(const std::string& path);

// The newest checkpoint that is sound; each damaged one is told through `message`. Throws Error(bad_file)
// when there are checkpoints and none is sound; nothing when there is none.
std::optional<Counters> load_newest(const std::string& folder, const TrainState& state,
                                    const std::function<void(const std::string&)>& message);

// The newest sound one that was calm and saved every `every` iterations, not where a run was stopped: what a
// divergence returns to must not depend on stops. Nothing when there is none; the state is as before then, or
// an older one's.
std::optional<Counters> load_newest_calm(const std::string& folder, const TrainState& state, int64_t every);

void remove_checkpoints_after(const std::string& folder, int64_t iteration);

// Keeps the newest, whatever it is, and the newest `keep` of those saved every `every` iterations.
void remove_old_checkpoints(const std::string& folder, int64_t keep, int64_t every);

}  // namespace dgp
