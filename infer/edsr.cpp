#include "infer/edsr.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "infer/row_window.h"
#include "tensor/parallel.h"
#include "tensor/row_store.h"

namespace dgp {
namespace {

constexpr int64_t kGrid = 4;                       // rows between which results may be cut (PreparedConv2d)
constexpr int64_t kBandPixels = int64_t{1} << 17;  // of the largest feature map in a band

int64_t round_down(int64_t n, int64_t step) { return std::max<int64_t>(0, n) / step * step; }

// Output channels c r r + i r + j (PyTorch's order for a pixel shuffle by r) put into the order (i, j, c):
// then row y of the convolution's result is r rows of the shuffled image, one after another per pixel of y.
Tensor shuffled_outputs(const Tensor& t, int64_t r) {
  int64_t outputs = t.dim(0), c = outputs / (r * r), size = t.numel() / outputs;
  Tensor result(t.shape());
  for (int64_t o = 0; o < outputs; ++o) {
    int64_t channel = o / (r * r), ij = o % (r * r);
    std::copy_n(t.data<float>() + o * size, size, result.data<float>() + (ij * c + channel) * size);
  }
  return result;
}

// up [1,R,W,r*r*c], channels in the order (i, j, c) -> to [1,R*r,W*r,c]: copies of r*c values.
void spread_rows(const Tensor& up, int64_t r, const Tensor& to) {
  int64_t width = up.dim(2), run = up.dim(3) / r;
  parallel_for(up.dim(1), 1, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t i = 0; i < r; ++i) {
        const float* source = up.data<float>() + y * width * r * run + i * run;
        float* target = to.data<float>() + (y * r + i) * width * run;
        for (int64_t x = 0; x < width; ++x)
          std::memcpy(target + x * run, source + x * r * run, static_cast<size_t>(run) * sizeof(float));
      }
  });
}

// to = gain (from + before) + after, before and after per colour.
void map_colours(const Tensor& from, float gain, float before, float after, const Tensor& to) {
  const float* source = from.data<float>();
  float* target = to.data<float>();
  parallel_for(from.numel() / 3, kPointwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t c = 0; c < 3; ++c) {
        float mean = kDiv2kMean[static_cast<size_t>(c)];
        target[i * 3 + c] = gain * (source[i * 3 + c] + before * mean) + after * mean;
      }
  });
}

double bytes_of(const Tensor& t) { return static_cast<double>(t.nbytes()); }

}  // namespace

struct EDSRUpscaler::Impl {
  struct Layer {
    PreparedConv2d conv;
    Tensor bias;
    double multiply_adds;  // a pixel of its result
  };

  EDSRConfig config;
  int64_t factor;
  Precision precision;
  LayerObserver observe;
  Layer head;
  std::vector<Layer> body;  // conv1 and conv2 of each block, in turn
  Layer body_end;
  std::vector<Layer> upsample;
  Layer tail;

  Impl(const EDSR& net, Precision precision_, LayerObserver observe_)
      : config(net.config),
        factor(net.factor),
        precision(precision_),
        observe(std::move(observe_)),
        head(layer(net.head)),
        body_end(layer(net.body_end)),
        tail(layer(net.tail)) {
    for (const EDSR::Block& block : net.body) {
      body.push_back(layer(block.first, Activation::relu));
      body.push_back(layer(block.second));
    }
    for (const EDSR::Conv& conv : net.upsample) {
      Var weight(shuffled_outputs(conv.weight.value(), factor)),
          bias(shuffled_outputs(conv.bias.value(), factor));
      upsample.push_back(layer({weight, bias}));
    }
  }

  Layer layer(const EDSR::Conv& conv, Activation activation = Activation::none) const {
    Conv2dOptions options{.padding = 1, .activation = activation};
    const Tensor& weight = conv.weight.value();
    return {PreparedConv2d(weight, options, precision), conv.bias.value(),
            static_cast<double>(weight.numel())};
  }

  // y = layer(x) + residual on rows [first, first + y.dim(1)) of an image of `height` rows.
  void apply(const Layer& layer, const char* name, int64_t block, const Tensor& x, int64_t x_first,
             int64_t height, const Tensor& residual, const Tensor& y, int64_t first) const {
    double pixels = static_cast<double>(y.dim(1) * y.dim(2));
    double bytes = 4 * pixels * static_cast<double>(x.dim(3)) + bytes_of(y) * (residual.defined() ? 2 : 1);
    observed(observe, name, block, layer.multiply_adds * pixels, bytes,
             [&] { layer.conv.run(x, x_first, height, layer.bias, residual, y, first); });
  }

  Tensor run_body(const Tensor& lr) const {  // lr [1,H,W,3] -> [1,H,W,C]
    int64_t height = lr.dim(1);
    Tensor x(lr.shape());
    observed(observe, "normalise", -1, 0, 2 * bytes_of(x), [&] { map_colours(lr, 255, -1, 0, x); });
    Shape shape{1, height, lr.dim(2), config.channels};
    Tensor first(shape), f = first, h(shape);
    apply(head, "conv_first", -1, x, 0, height, {}, first, 0);
    for (size_t i = 0; i < body.size(); i += 2) {
      Tensor y = i == 0 ? Tensor(shape) : f;  // the first block must leave `first` as it is
      apply(body[i], "conv1", static_cast<int64_t>(i / 2), f, 0, height, {}, h, 0);
      apply(body[i + 1], "conv2", static_cast<int64_t>(i / 2), h, 0, height, f, y, 0);
      f = y;
    }
    apply(body_end, "conv_after_body", -1, f, 0, height, first, h, 0);
    return h;
  }

  // Rows of one of the maps behind the body, and how far the layer that reads them has come.
  struct Stage {
    RowWindow rows;
    int64_t height, done = 0;
    int64_t ready() const { return rows.end() == height ? height : round_down(rows.end() - 1, kGrid); }
  };

  // Pushes everything that stage s allows through the layers behind it.
  void advance(std::vector<Stage>& stages, size_t s, const Tensor& hr) const {
    Stage& from = stages[s];
    int64_t begin = from.done, end = from.ready(), width = from.rows.rows().dim(2);
    if (end == begin) return;
    from.done = end;
    if (s == upsample.size()) {
      Tensor y = hr.slab(begin, end - begin).reshape({1, end - begin, width, 3});
      apply(tail, "conv_last", -1, from.rows.rows(), from.rows.first(), from.height, {}, y, begin);
      observed(observe, "denormalise", -1, 0, 2 * bytes_of(y), [&] { map_colours(y, 1 / 255.F, 0, 1, y); });
    } else {
      std::string number = std::to_string(2 * s);
      Tensor up({1, end - begin, width, upsample[s].bias.dim(0)});
      apply(upsample[s], ("upsample." + number).c_str(), -1, from.rows.rows(), from.rows.first(), from.height,
            {}, up, begin);
      Tensor to = stages[s + 1].rows.append((end - begin) * factor);
      observed(observe, "shuffle", -1, 0, 2 * bytes_of(up), [&] { spread_rows(up, factor, to); });
    }
    from.rows.drop_before(end - 1);
    if (s < upsample.size()) advance(stages, s + 1, hr);
  }

  void run(const Tensor& lr, const Tensor& hr) const {  // [1,H,W,3] -> [scale H, scale W, 3]
    Tensor f = run_body(lr);
    int64_t height = f.dim(1), width = f.dim(2), c = config.channels, s = config.scale;
    int64_t band = std::max<int64_t>(kGrid, kBandPixels / (width * s * s) / kGrid * kGrid);
    std::vector<Stage> stages;
    for (int64_t scale = 1, rows = band; scale <= s; scale *= factor, rows = rows * factor) {
      rows += 2 * kGrid;  // what the halo and the grid hold back
      stages.push_back(
          {RowWindow(Tensor({std::min(height * scale, rows), width * scale, c})), height * scale});
    }
    RowStore features(f.reshape({height, width, c}));
    for (int64_t begin = 0; begin < height; begin += band) {
      int64_t count = std::min(band, height - begin);
      stages[0].rows.append(count).copy_from(features.read(begin, begin + count));
      advance(stages, 0, hr);
    }
  }
};

EDSRUpscaler::EDSRUpscaler(const EDSR& net, Precision precision, LayerObserver observe) {
  NoGrad no_grad;
  impl_ = std::make_shared<Impl>(net, precision, std::move(observe));
}

int64_t EDSRUpscaler::scale() const { return impl_->config.scale; }

Tensor EDSRUpscaler::operator()(const Tensor& lr) const {
  check_rank("upscale", "image [N,H,W,3]", lr, 4);
  check(lr.dim(3) == 3 && lr.dtype() == DType::f32 && lr.numel() > 0, "upscale: expects f32 [N,H,W,3], got ",
        to_string(lr.dtype()), to_string(lr.shape()));
  Tensor hr({lr.dim(0), lr.dim(1) * scale(), lr.dim(2) * scale(), 3});
  for (int64_t n = 0; n < lr.dim(0); ++n)
    impl_->run(lr.slab(n, 1), hr.slab(n, 1).reshape({hr.dim(1), hr.dim(2), 3}));
  return hr;
}

}  // namespace dgp
