#include "infer/gpu_plan.h"

#include <algorithm>

#include "infer/bands.h"
#include "infer/gpu_pixels.h"
#include "infer/plan.h"
#include "infer/row_window.h"
#include "models/initialise.h"
#include "ops/conv2d.h"
#include "ops/window_means.h"
#include "tensor/cuda_memory.h"

namespace dgp {
namespace {

// The first rows of a band's memory, as [1,n,W,C].
Tensor top(const Tensor& rows, int64_t count) {
  return rows.slab(0, count).reshape({1, count, rows.dim(1), rows.dim(2)});
}

// Rows of a convolution that keeps its images' size: x holds rows from x_first of `height`, y receives those
// from y_first. The residual may be y itself.
void convolve(const cuda::PreparedWeights& weights, const Tensor& bias, float slope, const Tensor& x,
              int64_t x_first, int64_t height, const Tensor& residual, const Tensor& y, int64_t y_first) {
  Shape whole = x.shape();
  whole[1] = height;
  ConvGeometry g = conv_geometry(whole, weights.shape, {.padding = weights.shape[1] / 2});
  g.x_first = x_first, g.x_rows = x.dim(1), g.y_first = y_first, g.y_rows = y.dim(1);
  cuda::conv2d_rows(g, slope, x, weights, bias, residual, y);
}

}  // namespace

GpuPlan::GpuPlan(const DGPNet& net) : config_(net.config) {
  cuda::require();
  const int64_t before = cuda::memory_in_use();
  DGPNet fused = net.deploy ? net : fuse(net);
  check_weights(fused);
  auto layer = [](const Var& weight, const Var& bias) {
    Tensor memory({cuda::prepared_numel(weight.shape())}, DType::f32, Device::cuda);
    return Layer{.weight = weight.value().clone(), .bias = bias.value().to(Device::cuda), .memory = memory};
  };
  head_ = layer(fused.head.weight, fused.head.bias);
  upsample_ = layer(fused.upsample_weight, fused.upsample_bias);
  tail_ = layer(fused.tail.weight, fused.tail.bias);
  NoGrad no_grad;
  for (const AIIBlock& block : fused.body) {
    ConvWeights first = block.first();
    body_.push_back({layer(first.weight, first.bias), FoldWeights(block)});
    body_.back().first.slope = static_cast<float>(kLeakySlope);
  }
  bytes_ = cuda::memory_in_use() - before;
}

void GpuPlan::prepare(DType storage) {
  if (storage_ == storage && factors_ == cuda::factors()) return;
  auto make = [](Layer& layer, DType read, DType written) {
    layer.prepared = cuda::prepare_weights(layer.weight.to(Device::cuda), read, written, {}, layer.memory);
  };
  make(head_, DType::f32, storage);
  for (Block& block : body_) make(block.first, storage, storage);
  make(upsample_, storage, DType::f32);
  make(tail_, DType::f32, DType::f32);
  factors_ = cuda::factors(), storage_ = storage;
}

void GpuPlan::run_body(GpuWorkspace& space, const std::function<void(double)>& tick) {
  prepare(space.storage);
  run_head(space);
  for (size_t i = 0; i < body_.size(); ++i) {
    run_block(body_[i], space);
    if (space.tiling.keep || !tick) continue;
    cuda::synchronize();  // an image in tiles takes its time: let it be seen, and stopped
    tick(static_cast<double>(i + 1) / static_cast<double>(body_.size()));
  }
}

void GpuPlan::run_head(GpuWorkspace& space) const {
  const int64_t u = config_.unshuffle, height = space.extent.height, lr_height = space.lr_extent.height;
  check_reflected(space.lr_extent, u);
  for_each_band(height, space.tiling.rows, [&](int64_t begin, int64_t end) {
    RowRange rows = with_halo(begin, end, config_.kernel / 2, height);
    RowRange reads = unshuffle_reads(rows.begin, rows.end, u, lr_height);
    Tensor x = space.lr.read(reads.begin, reads.end);
    if (u > 1) {
      Tensor folded = top(space.head_x, rows.end - rows.begin);
      cuda::unshuffle_rows(x, reads.begin, lr_height, u, folded, rows.begin);
      x = folded;
    }
    convolve(head_.prepared, head_.bias, head_.slope, x, rows.begin, height, {}, space.f.place(begin, end),
             begin);
    space.f.write();
  });
  space.f.flush();
}

void GpuPlan::run_block(const Block& block, GpuWorkspace& space) const {
  const Tiling& tiling = space.tiling;
  const int64_t height = space.extent.height, width = space.extent.width, k = config_.kernel, halo = k / 2;
  RowWindow h(space.h);
  auto append = [&](int64_t begin, int64_t end) {
    Tensor rows = h.append(end - begin);
    RowRange reads = with_halo(begin, end, halo, height);
    convolve(block.first.prepared, block.first.bias, block.first.slope, space.f.read(reads.begin, reads.end),
             reads.begin, height, {}, rows, begin);
    return rows;
  };

  for_each_band(height, tiling.rows, [&](int64_t begin, int64_t end) {
    cuda::window_row_sums(append(begin, end), k, space.row_sums.slab(begin, end - begin));
    if (!tiling.keep) h.drop_before(end);
  });
  cuda::means_of_row_sums(space.row_sums, width, space.fold.means);
  cuda::fold(block.fold, space.fold);
  const cuda::PreparedWeights folded =
      cuda::prepare_weights(space.fold.weight, space.storage, space.storage, {}, space.fold_prepared);

  // As in plan.cpp: rows of f up to `ready` are overwritten, h of the next band looks at those below.
  if (!tiling.keep) h.restart();
  int64_t done = 0;
  for_each_band(height, tiling.rows, [&](int64_t begin, int64_t end) {
    if (!tiling.keep) append(begin, end);
    int64_t ready = end == height ? height : round_down(end - halo, kRowGrid);
    if (ready == done) return;
    Tensor residual = space.f.read(done, ready), y = space.f.place(done, ready);
    convolve(folded, space.fold.bias, 1, h.rows(), h.first(), height, residual, y, done);
    space.f.write();
    done = ready;
    if (!tiling.keep) h.drop_before(done - halo);
  });
  space.f.flush();
}

void GpuPlan::run_finish(GpuWorkspace& space, RowRange range, const Tensor& rows, const Tensor& not_finite) {
  prepare(space.storage);
  const int64_t scale = config_.scale, su = scale * config_.unshuffle, height = space.extent.height;
  const int64_t lr_height = space.lr_extent.height, hr_height = lr_height * scale;
  RowRange hr = with_halo(range.begin, range.end, config_.kernel / 2, hr_height);
  RowRange up{round_down(hr.begin / su, kRowGrid), (hr.end + su - 1) / su};
  RowRange f = with_halo(up.begin, up.end, 1, height),
           lr = bilinear_reads(hr.begin, hr.end, scale, lr_height);
  Tensor shuffled = top(space.up, up.end - up.begin), base = top(space.hr, hr.end - hr.begin);
  convolve(upsample_.prepared, upsample_.bias, upsample_.slope, space.f.read(f.begin, f.end), f.begin, height,
           {}, shuffled, up.begin);
  cuda::shuffle_add_bilinear(shuffled, up.begin, su, space.lr.read(lr.begin, lr.end), lr.begin, lr_height,
                             scale, base, hr.begin);
  convolve(tail_.prepared, tail_.bias, tail_.slope, base, hr.begin, hr_height, {},
           rows.reshape({1, rows.dim(0), rows.dim(1), rows.dim(2)}), range.begin);
  cuda::find_not_finite(rows, not_finite);
}

}  // namespace dgp
