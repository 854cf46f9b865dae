#include "train/degrade_plan.h"

#include <cstring>

#include "image/jpeg_transform.h"
#include "ops/diff_jpeg.h"
#include "train/degrade_taps.h"
#include "train/noise_functions.h"

namespace dgp {
namespace {

constexpr int64_t kAlign = 64;  // floats: buffers begin at multiples of 256 bytes
constexpr float kSharpenAmount = 0.5f, kSharpenThreshold = 10;

int64_t aligned(int64_t floats) { return (floats + kAlign - 1) / kAlign * kAlign; }
int64_t even_mcus(int64_t side) { return (side + 15) / 16 * 16; }

// Floats that a picture takes at its largest; a file JPEG's samples lie in one of its buffers.
int64_t largest(int64_t height, int64_t width, const Degradation& steps) {
  int64_t most = 3 * height * width;
  for (const DegradeStep& s : steps) {
    if (s.kind == StepKind::resize || s.kind == StepKind::bicubic) {
      // Rows first: in between it is as high as after, and as wide as before.
      most = std::max({most, 3 * s.height * width, 3 * s.height * s.width});
      height = s.height, width = s.width;
    }
    if (s.kind == StepKind::jpeg && s.file)
      most = std::max(most, even_mcus(height) * even_mcus(width) * 3 / 2 / 4);
  }
  return most;
}

template <class T>
void add_to(std::vector<std::byte>& bytes, const T& values) {
  const auto* from = reinterpret_cast<const std::byte*>(values.data());
  bytes.insert(bytes.end(), from, from + values.size() * sizeof(values[0]));
}

std::vector<std::byte> jpeg_tables(const DegradeStep& step) {
  std::vector<std::byte> tables;
  if (step.file) {
    const int quality = static_cast<int>(step.quality);
    add_to(tables, jpeg_steps(false, quality)), add_to(tables, jpeg_steps(true, quality));
    add_to(tables, jpeg_basis());
  } else {
    const DiffJpegTables diff = diff_jpeg_tables(step.quality);
    add_to(tables, diff.luma), add_to(tables, diff.chroma), add_to(tables, diff_jpeg_basis());
  }
  return tables;
}

}  // namespace

// The launches of one step, in the order that they run in.
struct DegradePlanner::Round {
  std::vector<FilterJob> blur, blur_across;  // across: the second half of those that are separable
  std::vector<Id> sharpen;
  std::vector<ResampleJob> rows, columns;
  std::vector<NoiseJob> gaussian, values, poisson;
  std::vector<JpegJob> diff_jpeg, planes, pixels;
};

DegradePlanner::Id DegradePlanner::add(int64_t height, int64_t width, Degradation steps) {
  Picture picture{height, width, {}, std::move(steps)};
  const int64_t floats = largest(height, width, picture.steps);
  for (int64_t& at : picture.buffer) at = reserve(floats);
  pictures_.push_back(std::move(picture));
  return pictures_.size() - 1;
}

int64_t DegradePlanner::reserve(int64_t floats) {
  const int64_t at = plan_.workspace;
  plan_.workspace += aligned(floats);
  return at;
}

int64_t DegradePlanner::append(const void* values, size_t bytes) {
  const size_t at = (plan_.data.size() + 15) / 16 * 16;
  plan_.data.resize(at + bytes);
  if (bytes > 0) std::memcpy(plan_.data.data() + at, values, bytes);
  return static_cast<int64_t>(at);
}

BytesJob DegradePlanner::bytes(Id id, const uint8_t* pixels, int64_t rows, int64_t row_bytes,
                               int64_t stride) {
  const size_t at = (plan_.data.size() + 15) / 16 * 16;
  plan_.data.resize(at + static_cast<size_t>(rows * row_bytes));
  for (int64_t r = 0; r < rows; ++r)
    std::memcpy(plan_.data.data() + at + r * row_bytes, pixels + r * stride, static_cast<size_t>(row_bytes));
  return {static_cast<int64_t>(at), this->at(id), rows * row_bytes};
}

// Of equal sizes once.
DegradePlanner::Placed DegradePlanner::taps(int64_t in, int64_t out, const DegradeStep& step) {
  const bool bicubic = step.kind == StepKind::bicubic;
  const auto [at, fresh] =
      taps_.try_emplace({in, out, bicubic ? -1 : static_cast<int>(step.mode), step.ratio}, Placed{});
  if (fresh) {
    const Taps taps = bicubic ? bicubic_taps(in, out) : interpolation_taps(in, out, step.mode, step.ratio);
    at->second = {taps.n, append(std::vector<int32_t>(taps.index.begin(), taps.index.end())),
                  append(taps.weight)};
  }
  return at->second;
}

ResampleJob DegradePlanner::bicubic(int64_t in, int64_t out, int64_t outer, int64_t from, int64_t to,
                                    int64_t inner) {
  const Placed p = taps(from, to, {.kind = StepKind::bicubic});
  return {in, out, outer, from, to, inner, p.taps, p.index, p.weight};
}

void DegradePlanner::plan_resize(Picture& p, const DegradeStep& step, Round& round) {
  check(step.height >= 1 && step.width >= 1, "degradation: expects a size of at least 1x1, got ", step.width,
        "x", step.height);
  const Placed down = taps(p.height, step.height, step), across = taps(p.width, step.width, step);
  const int64_t from = p.other(0), between = p.other(1);
  round.rows.push_back(
      {from, between, 1, p.height, step.height, p.width * 3, down.taps, down.index, down.weight});
  round.columns.push_back(
      {between, from, step.height, p.width, step.width, 3, across.taps, across.index, across.weight});
  p.height = step.height, p.width = step.width;
}

void DegradePlanner::plan_step(Picture& p, const DegradeStep& step, Round& round) {
  switch (step.kind) {
    case StepKind::sharpen:
      round.sharpen.push_back(static_cast<Id>(&p - pictures_.data()));
      break;
    case StepKind::blur: {
      const std::vector<double> kernel = kernel_weights(step.blur);
      check(step.blur.size <= kFilterSide, "degradation on the GPU: expects kernels of up to ", kFilterSide,
            " pixels, got ", step.blur.size);
      FilterJob job{p.other(0), p.other(1), p.height, p.width, 0, step.blur.size, step.blur.size};
      if (const Separated lines = separated(kernel); lines.rows.empty()) {
        job.weights = append(filter_weights(kernel));
        round.blur.push_back(job);
      } else {
        job.weights = append(lines.rows), job.columns = 1;
        round.blur.push_back(job);
        job.weights = append(lines.columns), job.rows = 1, job.columns = step.blur.size;
        job.in = p.other(1), job.out = p.other(2), job.tile_rows = 1;
        round.blur_across.push_back(job);
        p.current = (p.current + 1) % 3;
      }
      p.current = (p.current + 1) % 3;
      break;
    }
    case StepKind::resize:
    case StepKind::bicubic:
      plan_resize(p, step, round);
      break;
    case StepKind::noise: {
      const Rng::State state = step.noise.state();
      check(state.position == 0, "degradation on the GPU: noise from a generator that was drawn from");
      NoiseJob job{p.other(0), p.height * p.width, step.grey, state.seed, state.stream, step.strength};
      if (!step.poisson) {
        job.strength = step.strength / 255;
        round.gaussian.push_back(job);
        break;
      }
      job.seen = 256 * plan_.poisson_noises++;
      job.per_thread = NoiseJob::kValues;
      round.values.push_back(job);
      job.per_thread = NoiseJob::kPoissons;
      round.poisson.push_back(job);
      break;
    }
    case StepKind::jpeg: {
      JpegJob job{p.other(0), p.height, p.width, append(jpeg_tables(step)), p.other(1)};
      if (!step.file) {
        round.diff_jpeg.push_back(job);
        break;
      }
      round.planes.push_back(job);
      job.by_pixel = true;
      round.pixels.push_back(job);
      break;
    }
  }
}

void DegradePlanner::sharpen(const std::vector<Id>& ids) {
  if (ids.empty()) return;
  const int64_t weights = append(sharpening_weights());
  const auto taps = static_cast<int64_t>(sharpening_weights().size());
  std::vector<FilterJob> down, across, mask, result;
  for (Id id : ids) {
    const Picture& p = pictures_[id];
    const int64_t x = p.other(0), rows = p.other(1), blurred = p.other(2);
    FilterJob vertical{x, rows, p.height, p.width, weights, taps, 1, x, blurred, 0, kSharpenThreshold};
    FilterJob horizontal{rows, blurred, p.height, p.width, weights, 1, taps, x, blurred, kSharpenAmount};
    horizontal.tile_rows = 1;
    down.push_back(vertical), mask.push_back(vertical);
    across.push_back(horizontal);
    horizontal.out = x;
    result.push_back(horizontal);
  }
  launch(DegradeKernel::filter, down);
  launch(DegradeKernel::filter_row, across);
  launch(DegradeKernel::filter_mask, mask);
  launch(DegradeKernel::sharpen_row, result);
}

void DegradePlanner::degrade(const std::vector<Id>& ids) {
  size_t rounds = 0;
  for (Id id : ids) rounds = std::max(rounds, pictures_[id].steps.size());
  for (size_t r = 0; r < rounds; ++r) {
    Round round;
    for (Id id : ids)
      if (Picture& p = pictures_[id]; r < p.steps.size()) plan_step(p, p.steps[r], round);
    sharpen(round.sharpen);
    launch(DegradeKernel::filter, round.blur);
    launch(DegradeKernel::filter_row, round.blur_across);
    launch(DegradeKernel::resample, round.rows);
    launch(DegradeKernel::resample, round.columns);
    launch(DegradeKernel::gaussian, round.gaussian);
    launch(DegradeKernel::values, round.values);
    launch(DegradeKernel::poisson, round.poisson);
    launch(DegradeKernel::diff_jpeg, round.diff_jpeg);
    launch(DegradeKernel::file_jpeg_planes, round.planes);
    launch(DegradeKernel::file_jpeg_pixels, round.pixels);
  }
}

void DegradePlanner::round(const std::vector<Id>& ids) {
  std::vector<RoundJob> rounding;
  for (Id id : ids) rounding.push_back({at(id), height(id) * width(id) * 3});
  launch(DegradeKernel::round, rounding);
}

Tensor cuda::PlanRunner::send(const DegradePlan& plan) {
  const auto floats = static_cast<int64_t>((plan.data.size() + sizeof(float) - 1) / sizeof(float));
  if (floats > room_) {  // plans of a run are of about one size
    const int64_t room = aligned(floats + floats / 4);
    uploads_ = Uploads(Tensor({2, room}, DType::f32, Device::cuda));
    room_ = room;
  }
  const Tensor host = uploads_.next({floats});
  if (floats > 0) std::memcpy(host.bytes(), plan.data.data(), plan.data.size());
  return uploads_.send();
}

Tensor cuda::PlanRunner::run(const DegradePlan& plan, const Tensor& data, const PlanTargets& targets,
                             const std::function<void(const Tensor&)>& before) {
  check(!plan.in_pool || targets.pool.numel() >= plan.workspace, "degradation on the GPU: the pool has ",
        targets.pool.numel(), " values, a plan takes ", plan.workspace);
  PlanMemory memory{plan.in_pool ? targets.pool : Tensor({plan.workspace}, DType::f32, Device::cuda),
                    data,
                    Tensor::zeros({plan.poisson_noises * 256}, DType::f32, Device::cuda),
                    {},
                    {},
                    targets.lr,
                    targets.hr,
                    targets.pool};
  if (plan.poisson_noises > 0 && !poisson_.defined()) {
    const PoissonTables& tables = poisson_tables();
    const auto values = static_cast<int64_t>(tables.cumulative.size());
    poisson_ = Tensor::from({values}, tables.cumulative).to(Device::cuda);
    poisson_first_ = Tensor::from({static_cast<int64_t>(tables.first.size())}, tables.first).to(Device::cuda);
  }
  memory.poisson = poisson_, memory.poisson_first = poisson_first_;
  if (before) before(memory.workspace);
  launch_plan(plan, memory);
  return memory.workspace;
}

std::vector<Tensor> apply_degradations(const std::vector<Degradation>& degradations,
                                       const std::vector<Tensor>& pictures) {
  check(degradations.size() == pictures.size(), "apply_degradations: ", degradations.size(),
        " degradations of ", pictures.size(), " pictures");
  DegradePlanner planner;
  std::vector<DegradePlanner::Id> ids;
  std::vector<int64_t> begin;
  for (size_t i = 0; i < pictures.size(); ++i) {
    check_rank("apply_degradations", "picture", pictures[i], 3);
    check(pictures[i].dim(2) == 3 && pictures[i].numel() > 0, "apply_degradations: expects [H,W,3], got ",
          to_string(pictures[i].shape()));
    ids.push_back(planner.add(pictures[i].dim(0), pictures[i].dim(1), degradations[i]));
    begin.push_back(planner.at(ids.back()));
  }
  planner.degrade(ids);
  planner.round(ids);
  const auto copy = [](const Tensor& to, int64_t at, const Tensor& from, int64_t from_at, int64_t count) {
    cuda::copy(to.device_data<float>() + at, from.device_data<float>() + from_at,
               count * static_cast<int64_t>(sizeof(float)));
  };
  cuda::PlanRunner runner;
  const DegradePlan plan = planner.take();
  const Tensor workspace = runner.run(plan, runner.send(plan), {}, [&](const Tensor& w) {
    for (size_t i = 0; i < pictures.size(); ++i) copy(w, begin[i], pictures[i], 0, pictures[i].numel());
  });
  std::vector<Tensor> results;
  for (DegradePlanner::Id id : ids) {
    results.emplace_back(Shape{planner.height(id), planner.width(id), 3}, DType::f32, Device::cuda);
    copy(results.back(), 0, workspace, planner.at(id), results.back().numel());
  }
  return results;
}

}  // namespace dgp
