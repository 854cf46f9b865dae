#include "infer/plan.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "infer/bands.h"
#include "infer/pixels.h"
#include "infer/row_window.h"
#include "ops/window_means.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

double bytes_of(const Tensor& t) { return static_cast<double>(t.nbytes()); }

}  // namespace

void check_weights(DGPNet& net) {
  net.visit([](const std::string& name, Var& value) {
    if (value.dtype() == DType::f32 && !all_finite(value.value()))
      fail(ErrorCode::numeric, "the model's ", name, " holds values that are not finite");
  });
}

Plan::Layer Plan::layer(const Var& weight, const Var& bias, Activation activation) const {
  const Tensor& w = weight.value();
  Conv2dOptions options{.padding = w.dim(1) / 2, .activation = activation};
  return {PreparedConv2d(w, options, precision_), bias.value(), static_cast<double>(w.numel())};
}

Plan::Plan(const DGPNet& net, Precision precision)
    : net_(net.deploy ? net : fuse(net)),
      precision_(precision),
      head_(layer(net_.head.weight, net_.head.bias)),
      upsample_(layer(net_.upsample_weight, net_.upsample_bias)),
      tail_(layer(net_.tail.weight, net_.tail.bias)) {
  NoGrad no_grad;
  check_weights(net_);
  for (const AIIBlock& block : net_.body) {
    ConvWeights first = block.first();
    first_.push_back(layer(first.weight, first.bias, Activation::leaky_relu));
  }
  double channels = static_cast<double>(net.config.channels), k = static_cast<double>(net.config.kernel);
  second_multiply_adds_ = static_cast<double>(net.config.branches()) * channels * channels * k * k;
}

double Plan::work(const Extent& lr, const Tiling& tiling) const {
  int64_t su = net_.config.unshuffle * net_.config.scale;
  auto [height, width] = feature_extent(net_.config, lr);
  double block = second_multiply_adds_;
  if (!first_.empty()) block += first_.front().multiply_adds * (tiling.keep ? 1 : 2);
  return static_cast<double>(height * width) *
         (head_.multiply_adds + static_cast<double>(first_.size()) * block + upsample_.multiply_adds +
          tail_.multiply_adds * static_cast<double>(su * su));
}

void Plan::run(const RowStore& lr, Workspace& space, const RowSink& sink, const Tick& tick,
               const LayerObserver& observe) const {
  NoGrad no_grad;
  run_head(lr, space, tick, observe);
  for (size_t i = 0; i < first_.size(); ++i) run_block(i, space, tick, observe);
  finish(lr, space, sink, tick, observe);
}

void Plan::run_head(const RowStore& lr, Workspace& space, const Tick& tick,
                    const LayerObserver& observe) const {
  int64_t u = net_.config.unshuffle, height = space.f.height(), width = space.f.width();
  check_reflected({lr.height(), lr.width()}, u);
  for_each_band(height, space.tiling.rows, [&](int64_t begin, int64_t end) {
    double pixels = static_cast<double>((end - begin) * width), work = head_.multiply_adds * pixels;
    double bytes = 4 * pixels * static_cast<double>(3 * u * u + space.f.channels());
    observed(observe, "head", -1, work, bytes, [&] {
      RowRange rows = with_halo(begin, end, net_.config.kernel / 2, height);
      RowRange reads = unshuffle_reads(rows.begin, rows.end, u, lr.height());
      Tensor x = lr.read(reads.begin, reads.end, space.head_lr);
      if (u > 1) {
        Tensor folded = RowStore(space.head_x).place(0, rows.end - rows.begin);
        unshuffle_rows(x, reads.begin, lr.height(), u, folded, rows.begin);
        x = folded;
      }
      Tensor f = space.f.place(begin, end, space.head_f);
      head_.conv.run(x, rows.begin, height, head_.bias, {}, f, begin);
      space.f.write(begin, f);
    });
    tick(work);
  });
}

void Plan::run_block(size_t index, Workspace& space, const Tick& tick, const LayerObserver& observe) const {
  auto block = static_cast<int64_t>(index);
  const Layer& first = first_[index];
  const RowStore& f = space.f;
  const Tiling& tiling = space.tiling;
  int64_t height = f.height(), width = f.width(), channels = f.channels(), k = net_.config.kernel,
          halo = k / 2;
  RowWindow h(space.block_h);
  auto append = [&](int64_t begin, int64_t end, const Tensor& tiles) {
    Tensor rows = h.append(end - begin);
    double work = first.multiply_adds * static_cast<double>((end - begin) * width);
    observed(observe, "first", block, work, 1.5 * bytes_of(rows), [&] {
      RowRange reads = with_halo(begin, end, halo, height);
      first.conv.run(f.read(reads.begin, reads.end, space.block_f), reads.begin, height, first.bias, {}, rows,
                     begin, tiles);
    });
    tick(work);
    return rows;
  };

  const int64_t inner = net_.config.branches() * channels;  // channels of h
  cpu::WindowSums sums(height, width, inner, k);
  for_each_band(height, tiling.rows, [&](int64_t begin, int64_t end) {
    Tensor tiles = RowStore(space.block_tiles).place(0, (end - begin + 3) / 4);
    Tensor rows = append(begin, end, tiles);
    observed(observe, "sums", block, 0, bytes_of(tiles),
             [&] { sums.add(rows.data<float>(), begin, end - begin, tiles.data<float>()); });
    if (!tiling.keep) h.drop_before(end);
  });
  std::optional<PreparedConv2d> second;
  Tensor bias;
  observed(observe, "fold", block, 0, 0, [&] {
    Tensor means({1, k, k, inner});
    sums.means(means.data<float>());
    ConvWeights gated = net_.body[index].second(means);
    second.emplace(gated.weight.value().reshape({channels, k, k, inner}), Conv2dOptions{.padding = halo},
                   precision_);
    bias = gated.bias.value().reshape({channels});
  });

  // Rows of f up to `ready` are overwritten; h of the next band starts at `end` and looks at f from end -
  // halo.
  if (!tiling.keep) h.restart();
  int64_t done = 0;
  for_each_band(height, tiling.rows, [&](int64_t begin, int64_t end) {
    if (!tiling.keep) append(begin, end, {});
    int64_t ready = end == height ? height : round_down(end - halo, kRowGrid);
    if (ready == done) return;
    double pixels = static_cast<double>((ready - done) * width), work = second_multiply_adds_ * pixels;
    observed(observe, "second", block, work, 16 * pixels * static_cast<double>(channels), [&] {
      Tensor y = f.read(done, ready, space.block_y);
      second->run(h.rows(), h.first(), height, bias, y, y, done);
      f.write(done, y);
    });
    tick(work);
    done = ready;
    if (!tiling.keep) h.drop_before(done - halo);
  });
}

void Plan::finish(const RowStore& lr, Workspace& space, const RowSink& sink, const Tick& tick,
                  const LayerObserver& observe) const {
  const DGPNetConfig& config = net_.config;
  const RowStore& f = space.f;
  int64_t scale = config.scale, su = scale * config.unshuffle, halo = config.kernel / 2;
  int64_t height = scale * lr.height(), width = scale * lr.width();
  RowWindow hr(space.hr);
  int64_t done = 0;
  for_each_band(f.height(), space.tiling.finish_rows, [&](int64_t begin, int64_t end) {
    Tensor up = RowStore(space.up).place(0, end - begin);
    double pixels = static_cast<double>((end - begin) * f.width());
    double upsample_bytes = bytes_of(up) + 4 * pixels * static_cast<double>(f.channels());
    observed(observe, "upsample", -1, upsample_.multiply_adds * pixels, upsample_bytes, [&] {
      RowRange reads = with_halo(begin, end, 1, f.height());
      upsample_.conv.run(f.read(reads.begin, reads.end, space.finish_f), reads.begin, f.height(),
                         upsample_.bias, {}, up, begin);
    });
    int64_t made = hr.end(), below = std::min(height, end * su);
    Tensor fresh = hr.append(below - made);
    observed(observe, "shuffle", -1, 0, bytes_of(up) + bytes_of(fresh), [&] {
      RowRange reads = bilinear_reads(made, below, scale, lr.height());
      shuffle_add_bilinear(up, begin, su, lr.read(reads.begin, reads.end, space.finish_lr), reads.begin,
                           lr.height(), scale, fresh, made);
    });
    int64_t ready = below == height ? height : round_down(below - halo, kRowGrid);
    if (ready > done) {
      Tensor rows = RowStore(space.rows).place(0, ready - done);
      double tail_work = tail_.multiply_adds * static_cast<double>((ready - done) * width);
      observed(observe, "tail", -1, tail_work, 2 * bytes_of(rows),
               [&] { tail_.conv.run(hr.rows(), hr.first(), height, tail_.bias, {}, rows, done); });
      bool finite = false;
      observed(observe, "check", -1, 0, bytes_of(rows), [&] { finite = all_finite(rows); });
      if (!finite) fail(ErrorCode::numeric, "the network's result is not finite");
      sink(rows.reshape({ready - done, width, 3}), done);
      done = ready;
      hr.drop_before(done - halo);
    }
    tick(pixels * (upsample_.multiply_adds + tail_.multiply_adds * static_cast<double>(su * su)));
  });
}

}  // namespace dgp
