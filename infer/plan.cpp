#include "infer/plan.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "infer/memory.h"
#include "infer/pixels.h"
#include "infer/row_window.h"
#include "ops/window_means.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

constexpr int64_t kGrid = 4;                       // rows between which results may be cut (PreparedConv2d)
constexpr int64_t kBandPixels = int64_t{1} << 17;  // of a band when nothing asks for small ones
constexpr int64_t kTileBytes = int64_t{1} << 26;   // of h in a tile that was chosen automatically

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
int64_t round_down(int64_t n, int64_t step) { return std::max<int64_t>(0, n) / step * step; }

// body(begin, end) for bands of rows, from the top.
void for_each_band(int64_t height, int64_t band, const std::function<void(int64_t, int64_t)>& body) {
  for (int64_t begin = 0; begin < height; begin += band) body(begin, std::min(height, begin + band));
}

// Runs a layer on rows [begin, end) of an image that is in memory as a whole.
void run_rows(const PreparedConv2d& conv, const Tensor& bias, int64_t halo, const Tensor& x, const Tensor& y,
              int64_t begin, int64_t end) {
  int64_t height = x.dim(1), first = std::max<int64_t>(0, begin - halo);
  conv.run(image_rows(x, first, std::min(height, end + halo)), first, height, bias, {}, y, begin);
}

double bytes_of(const Tensor& t) { return static_cast<double>(t.nbytes()); }

// Window sums of the rows of h [1,R,W,C], written to their place in row_sums [H,k*C].
void sum_rows(const Tensor& h, int64_t first, int64_t k, const Tensor& row_sums) {
  int64_t width = h.dim(2), channels = h.dim(3);
  parallel_for(h.dim(1), 4, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      cpu::row_window_sums(h.data<float>() + r * width * channels, width, channels, k,
                           row_sums.data<double>() + (first + r) * k * channels);
  });
}

Tensor means_of(const Tensor& row_sums, int64_t width, int64_t k) {
  int64_t height = row_sums.dim(0), channels = row_sums.dim(1) / k;
  std::vector<double> sums(static_cast<size_t>(k * k * channels));
  cpu::add_row_sums(row_sums.data<double>(), height, channels, k, sums.data());
  Tensor means({1, k, k, channels});
  for (size_t i = 0; i < sums.size(); ++i)
    means.data<float>()[i] = static_cast<float>(sums[i] / static_cast<double>(height * width));
  return means;
}

}  // namespace

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
  net_.visit([](const std::string& name, Var& value) {
    if (value.dtype() == DType::f32 && !all_finite(value.value()))
      fail(ErrorCode::numeric, "the model's ", name, " holds values that are not finite");
  });
  for (const AIIBlock& block : net_.body) {
    ConvWeights first = block.first();
    first_.push_back(layer(first.weight, first.bias, Activation::leaky_relu));
  }
  double channels = static_cast<double>(net.config.channels), k = static_cast<double>(net.config.kernel);
  second_multiply_adds_ = 2 * channels * channels * k * k;
}

Tiling Plan::choose_tiling(int64_t height, int64_t width, int64_t tile_rows) const {
  const DGPNetConfig& config = net_.config;
  int64_t u = config.unshuffle, w = (width + u - 1) / u, rows = (height + u - 1) / u;
  int64_t row_bytes = 2 * config.channels * w * 4;  // of h; the feature map takes half of it
  if (tile_rows > 0) return {round_up((tile_rows + u - 1) / u, kGrid), false};
  if (tile_rows < 0 || rows * row_bytes * 3 / 2 < available_memory() / 2)
    return {round_up(std::max<int64_t>(32, kBandPixels / w), kGrid), true};
  return {round_up(std::clamp<int64_t>(kTileBytes / row_bytes, 16, 256), kGrid), false};
}

double Plan::work(int64_t height, int64_t width, const Tiling& tiling) const {
  int64_t u = net_.config.unshuffle, su = u * net_.config.scale;
  double pixels = static_cast<double>((height + u - 1) / u * ((width + u - 1) / u));
  double block = second_multiply_adds_;
  if (!first_.empty()) block += first_.front().multiply_adds * (tiling.keep ? 1 : 2);
  return pixels * (head_.multiply_adds + static_cast<double>(first_.size()) * block +
                   upsample_.multiply_adds + tail_.multiply_adds * static_cast<double>(su * su));
}

void Plan::run(const Tensor& lr, const Tiling& tiling, const RowSink& sink, const Tick& tick,
               const LayerObserver& observe) const {
  NoGrad no_grad;
  Tensor f;
  {
    Tensor x = unshuffle_padded(lr, net_.config.unshuffle);
    f = Tensor({1, x.dim(1), x.dim(2), net_.config.channels});
    for_each_band(x.dim(1), tiling.rows, [&](int64_t begin, int64_t end) {
      double pixels = static_cast<double>((end - begin) * x.dim(2));
      double bytes = 4 * pixels * static_cast<double>(x.dim(3) + f.dim(3));
      observed(observe, "head", -1, head_.multiply_adds * pixels, bytes, [&] {
        run_rows(head_.conv, head_.bias, net_.config.kernel / 2, x, image_rows(f, begin, end), begin, end);
      });
      tick(head_.multiply_adds * pixels);
    });
  }
  for (size_t i = 0; i < first_.size(); ++i) run_block(i, f, tiling, tick, observe);
  finish(f, lr, tiling.rows, sink, tick, observe);
}

void Plan::run_block(size_t index, const Tensor& f, const Tiling& tiling, const Tick& tick,
                     const LayerObserver& observe) const {
  auto block = static_cast<int64_t>(index);
  const Layer& first = first_[index];
  int64_t height = f.dim(1), width = f.dim(2), channels = f.dim(3), k = net_.config.kernel, halo = k / 2;
  RowWindow h(width, 2 * channels, tiling.keep ? height : std::min(height, tiling.rows + 2 * halo + kGrid));
  auto append = [&](int64_t begin, int64_t end) {
    Tensor rows = h.append(end - begin);
    double work = first.multiply_adds * static_cast<double>((end - begin) * width);
    observed(observe, "first", block, work, 1.5 * bytes_of(rows),
             [&] { run_rows(first.conv, first.bias, halo, f, rows, begin, end); });
    tick(work);
    return rows;
  };

  Tensor row_sums({height, k * 2 * channels}, DType::f64);
  for_each_band(height, tiling.rows, [&](int64_t begin, int64_t end) {
    Tensor rows = append(begin, end);
    observed(observe, "sums", block, 0, bytes_of(rows), [&] { sum_rows(rows, begin, k, row_sums); });
    if (!tiling.keep) h.drop_before(end);
  });
  std::optional<PreparedConv2d> second;
  Tensor bias;
  observed(observe, "fold", block, 0, 0, [&] {
    ConvWeights gated = net_.body[index].second(means_of(row_sums, width, k));
    second.emplace(gated.weight.value().reshape({channels, k, k, 2 * channels}),
                   Conv2dOptions{.padding = halo}, precision_);
    bias = gated.bias.value().reshape({channels});
  });

  // Rows of f up to `ready` are overwritten; h of the next band starts at `end` and looks at f from end -
  // halo.
  if (!tiling.keep) h.restart();
  int64_t done = 0;
  for_each_band(height, tiling.rows, [&](int64_t begin, int64_t end) {
    if (!tiling.keep) append(begin, end);
    int64_t ready = end == height ? height : round_down(end - halo, kGrid);
    if (ready == done) return;
    Tensor y = image_rows(f, done, ready);
    double work = second_multiply_adds_ * static_cast<double>((ready - done) * width);
    observed(observe, "second", block, work, 4 * bytes_of(y),
             [&] { second->run(h.rows(), h.first(), height, bias, y, y, done); });
    tick(work);
    done = ready;
    if (!tiling.keep) h.drop_before(done - halo);
  });
}

void Plan::finish(const Tensor& f, const Tensor& lr, int64_t band, const RowSink& sink, const Tick& tick,
                  const LayerObserver& observe) const {
  const DGPNetConfig& config = net_.config;
  int64_t su = config.scale * config.unshuffle, halo = config.kernel / 2;
  int64_t height = config.scale * lr.dim(1), width = config.scale * lr.dim(2);
  RowWindow hr(width, 3, std::min(height, band * su + 2 * halo + kGrid));
  int64_t done = 0;
  for_each_band(f.dim(1), band, [&](int64_t begin, int64_t end) {
    Tensor up({1, end - begin, f.dim(2), 3 * su * su});
    double pixels = static_cast<double>((end - begin) * f.dim(2));
    double upsample_bytes = bytes_of(up) + 4 * pixels * static_cast<double>(f.dim(3));
    observed(observe, "upsample", -1, upsample_.multiply_adds * pixels, upsample_bytes,
             [&] { run_rows(upsample_.conv, upsample_.bias, 1, f, up, begin, end); });
    int64_t made = hr.end(), below = std::min(height, end * su);
    Tensor fresh = hr.append(below - made);
    observed(observe, "shuffle", -1, 0, bytes_of(up) + bytes_of(fresh),
             [&] { shuffle_add_bilinear(up, begin, su, lr, config.scale, fresh, made); });
    int64_t ready = below == height ? height : round_down(below - halo, kGrid);
    if (ready > done) {
      Tensor rows({1, ready - done, width, 3});
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
