// Blurs, sharpening and resizing. A filter's block makes kFilterRows rows of 256 values: for each input row
// that any of them needs it lays down that row and the weights that apply to it, once for all of them, and a
// value read from shared memory serves a sum for each row. Terms are added in the CPU's order.
#include "train/degrade_cuda.h"
#include "train/picture_values.h"

namespace dgp::cuda {
namespace {

struct Plain {
  __device__ static float load(const FilterJob& job, const float* work, int64_t i) {
    return work[job.in + i];
  }
  __device__ static void store(const FilterJob& job, float* work, int64_t i, float sum) {
    work[job.out + i] = sum;
  }
};

// 1 where x differs from its blurred self by more than the threshold, of 255.
struct Mask : Plain {
  __device__ static float load(const FilterJob& job, const float* work, int64_t i) {
    return fabsf(work[job.x + i] - work[job.blurred + i]) * 255 > job.threshold ? 1.f : 0.f;
  }
};

// x is sharpened as far as the blurred mask says.
struct Sharpen : Plain {
  __device__ static void store(const FilterJob& job, float* work, int64_t i, float mask) {
    const float x = work[job.x + i], sharp = clamped(x + job.amount * (x - work[job.blurred + i]));
    work[job.out + i] = mask * sharp + (1 - mask) * x;
  }
};

template <int kRows, class Access>
__global__ void filter_kernel(const FilterJob* jobs, float* work, const uint8_t* data) {
  DGP_SHARED(float, strip, [kJobBlock + 3 * (kFilterSide - 1)]);
  DGP_SHARED(float, applies, [kFilterSide][kRows]);  // [column of the kernel][row of the result]
  const FilterJob job = jobs[blockIdx.y];
  const int64_t top = int64_t{blockIdx.x} / job.tiles_across() * kRows;
  const int64_t left = int64_t{blockIdx.x} % job.tiles_across() * kJobBlock;
  if (top >= job.height) return;
  const auto* weights = reinterpret_cast<const float*>(data + job.weights);
  const int64_t thread = threadIdx.x, values = kJobBlock + 3 * (job.columns - 1);
  float sums[kRows] = {};
  for (int64_t s = 0; s < job.rows + kRows - 1; ++s) {
    const int64_t row = reflected(top + s - job.rows / 2, job.height) * job.width;
    __syncthreads();
    for (int64_t i = thread; i < values; i += kJobBlock) {
      const int64_t column = reflected((left + i) / 3 - job.columns / 2, job.width);
      strip[i] = Access::load(job, work, (row + column) * 3 + (left + i) % 3);
    }
    for (int64_t i = thread; i < job.columns * kRows; i += kJobBlock) {
      const int64_t u = i / kRows, v = s - i % kRows;
      applies[u][i % kRows] = v >= 0 && v < job.rows ? weights[v * job.columns + u] : 0.f;
    }
    __syncthreads();
    for (int64_t u = 0; u < job.columns; ++u) {
      const float x = strip[thread + 3 * u];
      for (int r = 0; r < kRows; ++r) sums[r] += applies[u][r] * x;
    }
  }
  if (left + thread >= job.width * 3) return;
  for (int r = 0; r < kRows; ++r)
    if (top + r < job.height) Access::store(job, work, (top + r) * job.width * 3 + left + thread, sums[r]);
}

__global__ void resample_kernel(const ResampleJob* jobs, float* work, const uint8_t* data) {
  const ResampleJob job = jobs[blockIdx.y];
  const int64_t e = job_element();
  if (e >= job.outer * job.to * job.inner) return;
  const int64_t inner = e % job.inner, to = e / job.inner % job.to, outer = e / (job.inner * job.to);
  const auto* index = reinterpret_cast<const int32_t*>(data + job.index) + to * job.taps;
  const auto* weight = reinterpret_cast<const float*>(data + job.weight) + to * job.taps;
  const float* in = work + job.in + outer * job.from * job.inner + inner;
  float sum = 0;
  for (int64_t t = 0; t < job.taps; ++t) sum += weight[t] * in[index[t] * job.inner];
  work[job.out + e] = sum;
}

template <int kRows, class Access>
void run_filter(const PlanLaunch& l, const PlanMemory& m) {
  launch(filter_kernel<kRows, Access>, grid_of(l), kJobBlock, jobs_of<FilterJob>(l, m),
         m.workspace.device_data<float>(), data_of(m));
}

}  // namespace

void launch_filters(const PlanLaunch& l, const PlanMemory& m) {
  if (l.kernel == DegradeKernel::filter) return run_filter<kFilterRows, Plain>(l, m);
  if (l.kernel == DegradeKernel::filter_row) return run_filter<1, Plain>(l, m);
  if (l.kernel == DegradeKernel::filter_mask) return run_filter<kFilterRows, Mask>(l, m);
  if (l.kernel == DegradeKernel::sharpen_row) return run_filter<1, Sharpen>(l, m);
  launch(resample_kernel, grid_of(l), kJobBlock, jobs_of<ResampleJob>(l, m), m.workspace.device_data<float>(),
         data_of(m));
}

}  // namespace dgp::cuda
