// The two ends of a plan: bytes to floats, and patches cut, turned, pasted and mixed from what has been made
// of them; and which launch is whose.
#include "train/degrade_cuda.h"
#include "train/picture_values.h"

namespace dgp::cuda {
namespace {

__global__ void bytes_kernel(const BytesJob* jobs, float* work, const uint8_t* data) {
  const BytesJob job = jobs[blockIdx.y];
  const int64_t i = job_element();
  if (i < job.count) work[job.to + i] = static_cast<float>(data[job.data + i]) / 255;
}

__global__ void round_kernel(const RoundJob* jobs, float* work) {
  const RoundJob job = jobs[blockIdx.y];
  const int64_t i = job_element();
  if (i < job.count) work[job.at + i] = static_cast<float>(byte_of(work[job.at + i])) / 255;
}

__global__ void cut_kernel(const CutJob* jobs, const float* work, float* target) {
  const CutJob job = jobs[blockIdx.y];
  const int64_t pixel = job_element();
  if (pixel >= job.rows * job.columns) return;
  const int64_t i = pixel / job.columns, j = pixel % job.columns;
  int64_t row = job.transpose ? j : i, column = job.transpose ? i : j;
  if (job.vflip) row = (job.transpose ? job.columns : job.rows) - 1 - row;
  if (job.hflip) column = (job.transpose ? job.rows : job.columns) - 1 - column;
  const float* from = work + job.from + ((job.y + row) * job.width + job.x + column) * 3;
  for (int c = 0; c < 3; ++c) target[job.to + pixel * 3 + c] = from[job.channel[c]];
}

__global__ void paste_kernel(const PasteJob* jobs, const float* work, float* target) {
  const PasteJob job = jobs[blockIdx.y];
  const int64_t pixel = job_element();
  if (pixel >= job.patch * job.patch) return;
  const int64_t y = pixel / job.patch, x = pixel % job.patch;
  const bool within = y >= job.top && y < job.top + job.side && x >= job.left && x < job.left + job.side;
  if (within != job.inside) return;
  for (int c = 0; c < 3; ++c) target[job.to + pixel * 3 + c] = clamped(work[job.from + pixel * 3 + c]);
}

__global__ void mix_kernel(const MixJob* jobs, float* target) {
  const MixJob job = jobs[blockIdx.y];
  const int64_t i = job_element();
  if (i < job.count) target[job.to + i] = job.a * target[job.to + i] + job.b * target[job.other + i];
}

}  // namespace

void launch_patches(const PlanLaunch& l, const PlanMemory& m) {
  float* work = m.workspace.device_data<float>();
  const Tensor& aim = l.target == DegradePlan::Target::lr     ? m.lr
                      : l.target == DegradePlan::Target::hr   ? m.hr
                      : l.target == DegradePlan::Target::pool ? m.pool
                                                              : m.workspace;
  float* target = aim.device_data<float>();
  if (l.kernel == DegradeKernel::bytes)
    launch(bytes_kernel, grid_of(l), kJobBlock, jobs_of<BytesJob>(l, m), work, data_of(m));
  else if (l.kernel == DegradeKernel::round)
    launch(round_kernel, grid_of(l), kJobBlock, jobs_of<RoundJob>(l, m), work);
  else if (l.kernel == DegradeKernel::cut)
    launch(cut_kernel, grid_of(l), kJobBlock, jobs_of<CutJob>(l, m), work, target);
  else if (l.kernel == DegradeKernel::paste)
    launch(paste_kernel, grid_of(l), kJobBlock, jobs_of<PasteJob>(l, m), work, target);
  else
    launch(mix_kernel, grid_of(l), kJobBlock, jobs_of<MixJob>(l, m), target);
}

void launch_plan(const DegradePlan& plan, const PlanMemory& memory) {
  for (const PlanLaunch& l : plan.launches) switch (l.kernel) {
      case DegradeKernel::filter:
      case DegradeKernel::filter_row:
      case DegradeKernel::filter_mask:
      case DegradeKernel::sharpen_row:
      case DegradeKernel::resample:
        launch_filters(l, memory);
        break;
      case DegradeKernel::gaussian:
      case DegradeKernel::values:
      case DegradeKernel::poisson:
        launch_noise(l, memory);
        break;
      case DegradeKernel::diff_jpeg:
      case DegradeKernel::file_jpeg_planes:
      case DegradeKernel::file_jpeg_pixels:
        launch_jpeg(l, memory);
        break;
      default:
        launch_patches(l, memory);
    }
}

}  // namespace dgp::cuda
