#include "models/dgpnet.h"

#include <algorithm>
#include <utility>

#include "ops/cast.h"
#include "ops/conv2d.h"
#include "ops/pad.h"
#include "ops/pixel_shuffle.h"
#include "ops/pointwise.h"
#include "ops/resize.h"
#include "ops/slice.h"
#include "tensor/cuda_math.h"

namespace dgp {

namespace {

const DGPNetConfig& checked(const DGPNetConfig& c) {
  check(c.scale >= 1 && c.scale <= 16, "DGPNet: scale expects 1 to 16, got ", c.scale);
  check(c.channels >= 1 && c.channels <= 1024, "DGPNet: channels expects 1 to 1024, got ", c.channels);
  check(c.blocks >= 0 && c.blocks <= 1024, "DGPNet: blocks expects 0 to 1024, got ", c.blocks);
  check(c.kernel >= 1 && c.kernel <= 15 && c.kernel % 2 == 1,
        "DGPNet: kernel expects an odd size up to 15, got ", c.kernel);
  check(c.unshuffle >= 1 && c.unshuffle <= 16, "DGPNet: unshuffle expects 1 to 16, got ", c.unshuffle);
  auto lacks = [&](Part a, Part b) { return c.without.contains(a) && c.without.contains(b); };
  check(!lacks(Part::statistical, Part::structural),
        "DGPNet: expects a branch; statistical and structural cannot both be left out");
  check(!lacks(Part::vc, Part::csa),
        "DGPNet: expects vc or csa; the other operators do not see a flat picture");
  return c;
}

bool balanced(const DGPNetConfig& c) { return !c.without.contains(Part::balance); }

// vc passes the centre through, the other operators start at zero: y = x. Without vc, csa does: the kernel
// that becomes a Dirac when its mean is added is a Dirac less half of its own mean, 1 / (2 k k).
void make_identity(DGConv& conv) {
  const auto vc = std::find(conv.operators.begin(), conv.operators.end(), Operator::vc);
  const bool has_vc = vc != conv.operators.end();
  for (size_t j = 0; j < conv.raw.size(); ++j) {
    const Tensor& w = conv.raw[j].value();
    w.fill(0);
    if (conv.operators[j] != (has_vc ? Operator::vc : Operator::csa)) continue;
    const int64_t k = w.dim(1), taps = k * k, inputs = w.dim(3);
    for (int64_t o = 0; o < w.dim(0); ++o)
      for (int64_t tap = 0; tap < taps; ++tap)
        w.data<float>()[(o * taps + tap) * inputs + o] =
            (tap == taps / 2 ? 1.0F : 0.0F) - (has_vc ? 0.0F : 0.5F / static_cast<float>(taps));
  }
}

}  // namespace

DGPNet::DGPNet(const DGPNetConfig& config_, const Rng& rng, bool deploy_)
    : config(checked(config_)),
      deploy(deploy_),
      head(3 * config.unshuffle * config.unshuffle, config.channels, config.kernel,
           operators_left(kAllOperators, config.without), rng.split(0), deploy, balanced(config)),
      tail(3, 3, config.kernel, operators_left(kAllOperators, config.without), rng.split(1), deploy,
           balanced(config)) {
  for (int64_t i = 0; i < config.blocks; ++i)
    body.emplace_back(config.channels, config.kernel, rng.split(100 + static_cast<uint64_t>(i)), deploy,
                      config.without);
  int64_t factor = config.scale * config.unshuffle, outputs = 3 * factor * factor;
  upsample_weight = Var(Tensor::zeros({outputs, 3, 3, config.channels}), true);
  upsample_bias = Var(Tensor::zeros({outputs}), true);
  if (!deploy) make_identity(tail);
}

Var DGPNet::operator()(const Var& lr, Form form) const {
  check(lr.shape().size() == 4 && lr.dim(3) == 3, "DGPNet: expects an image [N,H,W,3], got ",
        to_string(lr.shape()));
  int64_t h = lr.dim(1), w = lr.dim(2), u = config.unshuffle, s = config.scale;
  auto conv = [&](const DGConv& layer, const Var& x) {
    return form == Form::parallel ? layer.parallel(x) : layer(x);
  };

  const DType stored = lr.value().device() == Device::cuda ? cuda::storage() : lr.dtype();  // by the body
  Var x = lr;
  int64_t below = (u - h % u) % u, right = (u - w % u) % u;
  if (below || right) x = pad2d(x, {.bottom = below, .right = right}, PadMode::reflect);
  if (u > 1) x = pixel_unshuffle(x, u);
  if (stored == lr.dtype() || form == Form::parallel) {
    x = cast(conv(head, x), stored);
  } else {  // the convolution itself stores 16 bits
    if (head.on_input) head.on_input(x);
    x = conv2d(x, head.fused_weight(), head.bias, {.padding = config.kernel / 2, .result = stored});
  }
  for (const AIIBlock& block : body) x = block(x, form);
  x = conv2d(x, upsample_weight, upsample_bias, {.padding = 1, .result = lr.dtype()});
  x = pixel_shuffle(x, s * u);
  if (below) x = slice(x, 1, 0, s * h);
  if (right) x = slice(x, 2, 0, s * w);
  Var base = s == 1 ? lr : resize(lr, s * h, s * w, ResizeMode::bilinear);
  return conv(tail, add(x, base));
}

void DGPNet::visit(const Visitor& visitor) {
  head.visit(visitor, "head");
  for (size_t i = 0; i < body.size(); ++i) body[i].visit(visitor, "body." + std::to_string(i));
  visitor("upsample.weight", upsample_weight);
  visitor("upsample.bias", upsample_bias);
  tail.visit(visitor, "tail");
}

void DGPNet::to(DType dtype) {
  visit([&](const std::string&, Var& v) {
    if (v.requires_grad()) v.set_value(v.value().to(dtype));
  });
}

std::vector<NamedDGConv> dgconvs(DGPNet& net) {
  std::vector<NamedDGConv> all = {{"head", &net.head}};
  for (size_t i = 0; i < net.body.size(); ++i) {
    AIIBlock& b = net.body[i];
    const std::string prefix = "body." + std::to_string(i) + ".";
    for (auto [name, conv] : std::initializer_list<std::pair<const char*, std::optional<DGConv>*>>{
             {"statistical", &b.statistical},
             {"structural", &b.structural},
             {"stat_to_stat", &b.stat_to_stat},
             {"stat_to_struct", &b.stat_to_struct},
             {"struct_to_stat", &b.struct_to_stat},
             {"struct_to_struct", &b.struct_to_struct}})
      if (*conv) all.push_back({prefix + name, &**conv});
  }
  all.push_back({"tail", &net.tail});
  return all;
}

std::vector<Var> parameters(DGPNet& net) {
  std::vector<Var> found;
  net.visit([&](const std::string&, Var& v) {
    if (v.requires_grad()) found.push_back(v);
  });
  return found;
}

int64_t parameter_count(DGPNet& net) {
  int64_t count = 0;
  for (const Var& v : parameters(net)) count += v.value().numel();
  return count;
}

DGPNet fuse(const DGPNet& net) {
  NoGrad no_grad;
  DGPNet fused = net;
  DType dtype = net.upsample_bias.dtype();
  fused.visit([](const std::string&, Var& v) { v.set_value(v.value().clone()); });  // values of its own
  fused.to(DType::f64);
  fused.deploy = true;
  for (const NamedDGConv& layer : dgconvs(fused)) layer.conv->fuse();
  fused.to(dtype);
  return fused;
}

int64_t multiply_adds(const DGPNetConfig& config, Form form, int64_t height, int64_t width) {
  int64_t u = config.unshuffle, s = config.scale, c = config.channels, k2 = config.kernel * config.kernel;
  int64_t pixels = ((height + u - 1) / u) * ((width + u - 1) / u);   // of the body
  auto convolutions = [&](const std::vector<Operator>& operators) {  // of a DGConv
    return form == Form::parallel ? static_cast<int64_t>(operators_left(operators, config.without).size())
                                  : 1;
  };
  const auto& left_out = config.without;
  int64_t first_convs = 0, all = convolutions(kAllOperators);
  if (!left_out.contains(Part::statistical)) first_convs += convolutions(kStatisticalOperators);
  if (!left_out.contains(Part::structural)) first_convs += convolutions(kStructuralOperators);
  // DGConvs of the second stage, each with a C x C part of a projection.
  int64_t second_convs = config.branches() == 1 ? 1 : left_out.contains(Part::interaction) ? 2 : 4;
  int64_t first = first_convs * c * c * k2;
  int64_t second =
      form == Form::folded ? config.branches() * c * c * k2 : second_convs * (all * c * c * k2 + c * c);
  int64_t per_image = form == Form::folded ? second_convs * (c * c * c * k2 + c * c * k2) : 0;  // of second()
  int64_t head = all * 3 * u * u * c * k2, up = 9 * c * 3 * s * s * u * u;
  return pixels * (head + config.blocks * (first + second) + up) + config.blocks * per_image +
         height * width * s * s * all * 9 * k2;
}

}  // namespace dgp
