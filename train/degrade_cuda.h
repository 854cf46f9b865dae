// What train/degrade*.cu share: the jobs of a launch, and who launches which kernels.
#pragma once

#include "tensor/cuda_kernel.h"
#include "train/degrade_plan.h"

namespace dgp::cuda {

using PlanLaunch = DegradePlan::Launch;

inline const uint8_t* data_of(const PlanMemory& m) {
  return reinterpret_cast<const uint8_t*>(m.data.device_data<float>());
}
template <class Job>
const Job* jobs_of(const PlanLaunch& l, const PlanMemory& m) {
  return reinterpret_cast<const Job*>(data_of(m) + l.jobs);
}
inline dim3 grid_of(const PlanLaunch& l) {
  check(l.blocks <= 0x7fffffff && l.count <= 0xffff, "degradation on the GPU: ", l.count, " pictures of ",
        l.blocks, " blocks are too many for one launch");
  return {static_cast<unsigned>(l.blocks), static_cast<unsigned>(l.count)};
}

// The element that this thread does of its job.
__device__ inline int64_t job_element() { return int64_t{blockIdx.x} * kJobBlock + threadIdx.x; }

void launch_filters(const PlanLaunch& l, const PlanMemory& m);
void launch_noise(const PlanLaunch& l, const PlanMemory& m);
void launch_jpeg(const PlanLaunch& l, const PlanMemory& m);
void launch_patches(const PlanLaunch& l, const PlanMemory& m);

}  // namespace dgp::cuda
