// Noise: a thread makes what one block of random bits holds, four normals or two Poisson counts, the very
// numbers that the CPU draws one after the other.
#include "train/degrade_cuda.h"
#include "train/noise_functions.h"
#include "train/picture_values.h"

namespace dgp::cuda {
namespace {

// Draw i of a job is added to one value, or, grey, to a pixel's three.
__device__ void add_noise(const NoiseJob& job, float* picture, int64_t i, float noise) {
  const int64_t each = job.grey ? 3 : 1;
  for (int64_t c = i * each; c < (i + 1) * each; ++c) picture[c] = clamped(picture[c] + noise);
}

__global__ void gaussian_kernel(const NoiseJob* jobs, float* work) {
  const NoiseJob job = jobs[blockIdx.y];
  const int64_t at = job_element(), first = at * NoiseJob::kNormals;
  if (first >= job.draws()) return;
  const PhiloxBlock bits = philox_block(job.seed, job.stream, static_cast<uint64_t>(at));
  const NormalPair a = two_normals(bits.word[0], bits.word[1]), b = two_normals(bits.word[2], bits.word[3]);
  const float normals[NoiseJob::kNormals] = {a.first, a.second, b.first, b.second};
  const auto deviation = static_cast<float>(job.strength);
  for (int64_t k = 0; k < NoiseJob::kNormals && first + k < job.draws(); ++k)
    add_noise(job, work + job.at, first + k, normals[k] * deviation);
}

__device__ int level_of(const NoiseJob& job, const float* picture, int64_t i) {
  return byte_of(job.grey ? luma(picture + 3 * i) : picture[i]);
}

// Notes which of the 256 values a picture has.
__global__ void values_kernel(const NoiseJob* jobs, const float* work, float* flags) {
  DGP_SHARED(int, seen, [256]);
  const NoiseJob job = jobs[blockIdx.y];
  const int64_t thread = threadIdx.x, first = int64_t{blockIdx.x} * kJobBlock * NoiseJob::kValues;
  if (first >= job.draws()) return;
  seen[thread] = 0;
  __syncthreads();
  for (int64_t k = 0; k < NoiseJob::kValues; ++k) {
    const int64_t i = first + k * kJobBlock + thread;
    if (i < job.draws()) atomicExch(&seen[level_of(job, work + job.at, i)], 1);
  }
  __syncthreads();
  if (seen[thread]) atomicExch(&flags[job.seen + thread], 1.f);
}

__global__ void poisson_kernel(const NoiseJob* jobs, float* work, const float* flags, const double* tables,
                               const int64_t* first_of) {
  DGP_SHARED(unsigned, votes, [kJobBlock / 32]);
  const NoiseJob job = jobs[blockIdx.y];
  const unsigned thread = threadIdx.x, vote = __ballot_sync(~0u, flags[job.seen + thread] != 0);
  if (thread % 32 == 0) votes[thread / 32] = vote;
  __syncthreads();
  int count = 0, log2 = 0;  // of values; of the levels, the next power of two
  for (unsigned warp = 0; warp < kJobBlock / 32; ++warp)
    for (unsigned left = votes[warp]; left != 0; left &= left - 1) ++count;
  while (1 << log2 < count) ++log2;
  const int64_t at = job_element(), first = at * NoiseJob::kPoissons;
  if (first >= job.draws()) return;
  const PhiloxBlock bits = philox_block(job.seed, job.stream, static_cast<uint64_t>(at));
  float* picture = work + job.at;
  for (int64_t k = 0; k < NoiseJob::kPoissons && first + k < job.draws(); ++k) {
    const int level = level_of(job, picture, first + k);
    const int64_t* table = first_of + log2 * 256 + level;
    const int64_t drawn = poisson_count(tables + table[0], tables + table[1],
                                        uniform_of(bits.word[2 * k], bits.word[2 * k + 1]));
    const double noise = static_cast<double>(drawn) / (1 << log2) - level / 255.0;
    add_noise(job, picture, first + k, static_cast<float>(noise * job.strength));
  }
}

}  // namespace

void launch_noise(const PlanLaunch& l, const PlanMemory& m) {
  const auto* jobs = jobs_of<NoiseJob>(l, m);
  float* work = m.workspace.device_data<float>();
  if (l.kernel == DegradeKernel::gaussian) return launch(gaussian_kernel, grid_of(l), kJobBlock, jobs, work);
  float* flags = m.flags.device_data<float>();
  if (l.kernel == DegradeKernel::values)
    return launch(values_kernel, grid_of(l), kJobBlock, jobs, work, flags);
  launch(poisson_kernel, grid_of(l), kJobBlock, jobs, work, flags, m.poisson.device_data<double>(),
         m.poisson_first.device_data<int64_t>());
}

}  // namespace dgp::cuda
