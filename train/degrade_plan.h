// A batch of degradations worked out for the GPU, on the CPU and without touching the GPU: which kernels run
// in which order, and one block of bytes with all that they read, pixels too, so that one copy takes it
// there. Pictures of a batch go side by side: each launch does one step of every picture whose turn it is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <tuple>
#include <vector>

#include "tensor/cuda.h"
#include "tensor/transfers.h"
#include "train/degradation.h"
#include "train/degrade_jobs.h"

namespace dgp {

struct DegradePlan {
  enum class Target { workspace, lr, hr, pool };  // what cut, paste and mix write to
  struct Launch {
    DegradeKernel kernel;
    Target target;
    int64_t jobs, count, blocks;  // jobs: offset in `data`; blocks of the largest job
  };
  std::vector<Launch> launches = {};
  std::vector<std::byte> data = {};
  int64_t workspace = 0;       // floats
  bool in_pool = false;        // the workspace is the pool, which holds pictures already
  int64_t poisson_noises = 0;  // each with 256 flags
};

class DegradePlanner {
 public:
  using Id = size_t;

  // Room for a picture of height x width that `steps` may be applied to.
  Id add(int64_t height, int64_t width, Degradation steps = {});
  int64_t reserve(int64_t floats);  // further room; its offset
  // Where a picture lies and what its size is, after what has been planned so far.
  int64_t at(Id id) const { return pictures_[id].buffer[pictures_[id].current]; }
  int64_t height(Id id) const { return pictures_[id].height; }
  int64_t width(Id id) const { return pictures_[id].width; }

  BytesJob bytes(Id id, const uint8_t* pixels, int64_t rows, int64_t row_bytes, int64_t stride);
  void sharpen(const std::vector<Id>& ids);
  void degrade(const std::vector<Id>& ids);  // the steps of these pictures
  void round(const std::vector<Id>& ids);    // to multiples of 1/255
  // in [outer,from,inner] -> out, by MATLAB's bicubic kernel.
  ResampleJob bicubic(int64_t in, int64_t out, int64_t outer, int64_t from, int64_t to, int64_t inner);

  template <class Job>
  void launch(DegradeKernel kernel, const std::vector<Job>& jobs,
              DegradePlan::Target target = DegradePlan::Target::workspace) {
    if (jobs.empty()) return;
    int64_t blocks = 0;
    for (const Job& job : jobs) blocks = std::max(blocks, job.blocks());
    const int64_t at = append(jobs.data(), jobs.size() * sizeof(Job));
    plan_.launches.push_back({kernel, target, at, static_cast<int64_t>(jobs.size()), blocks});
  }
  DegradePlan take() { return std::move(plan_); }

 private:
  struct Picture {
    int64_t height, width;
    int64_t buffer[3];
    Degradation steps;
    int current = 0;
    int64_t other(int i) const { return buffer[(current + i) % 3]; }
  };
  struct Round;  // one step of every picture
  struct Placed {
    int64_t taps, index, weight;
  };
  int64_t append(const void* values, size_t bytes);
  template <class T>
  int64_t append(const std::vector<T>& values) {
    return append(values.data(), values.size() * sizeof(T));
  }
  Placed taps(int64_t in, int64_t out, const DegradeStep& step);
  void plan_step(Picture& picture, const DegradeStep& step, Round& round);
  void plan_resize(Picture& picture, const DegradeStep& step, Round& round);

  DegradePlan plan_;
  std::vector<Picture> pictures_;
  std::map<std::tuple<int64_t, int64_t, int, double>, Placed> taps_;
};

namespace cuda {

// What cut, paste and mix write to, f32, undefined where a plan has none.
struct PlanTargets {
  Tensor lr = {}, hr = {}, pool = {};
};

// Runs plans. Keeps on the GPU what all of them read, and room there and in page-locked memory for what two
// of them bring.
class PlanRunner {
 public:
  // Begins to take a plan's data to the GPU, beside the kernels that are queued, and returns the data there:
  // f32 that stands for bytes, for a run() that is queued before the next send().
  Tensor send(const DegradePlan& plan);

  // Queues the plan and returns its workspace, f32. data: what send() returned of it. `before` is called
  // before the first kernel, to fill the workspace.
  Tensor run(const DegradePlan& plan, const Tensor& data, const PlanTargets& targets = {},
             const std::function<void(const Tensor& workspace)>& before = nullptr);

 private:
  Uploads uploads_;
  int64_t room_ = 0;  // of each of the two, in floats
  Tensor poisson_, poisson_first_;
};

// In train/degrade_patches.cu: every launch of a plan, in order. Tensors on the GPU: the plan's data as
// send() gives it; flags f32 [poisson_noises, 256] of 0; PoissonTables.
struct PlanMemory {
  Tensor workspace, data, flags, poisson, poisson_first, lr, hr, pool;
};
DGP_CUDA_FUNCTION void launch_plan(const DegradePlan& plan, const PlanMemory& memory);

}  // namespace cuda

// apply_degradation of pictures f32 [H,W,3] on the GPU, each by its own degradation.
std::vector<Tensor> apply_degradations(const std::vector<Degradation>& degradations,
                                       const std::vector<Tensor>& pictures);

}  // namespace dgp
