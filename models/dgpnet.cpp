#include "models/dgpnet.h"

#include <utility>

#include "ops/conv2d.h"
#include "ops/pad.h"
#include "ops/pixel_shuffle.h"
#include "ops/pointwise.h"
#include "ops/resize.h"
#include "ops/slice.h"

namespace dgp {

namespace {

const DGPNetConfig& checked(const DGPNetConfig& c) {
  check(c.scale >= 1 && c.scale <= 16, "DGPNet: scale expects 1 to 16, got ", c.scale);
  check(c.channels >= 1 && c.channels <= 1024, "DGPNet: channels expects 1 to 1024, got ", c.channels);
  check(c.blocks >= 0 && c.blocks <= 1024, "DGPNet: blocks expects 0 to 1024, got ", c.blocks);
  check(c.kernel >= 1 && c.kernel <= 15 && c.kernel % 2 == 1,
        "DGPNet: kernel expects an odd size up to 15, got ", c.kernel);
  check(c.unshuffle >= 1 && c.unshuffle <= 16, "DGPNet: unshuffle expects 1 to 16, got ", c.unshuffle);
  return c;
}

// vc passes the centre through, the other operators start at zero: y = x.
void make_identity(DGConv& conv) {
  for (size_t j = 0; j < conv.raw.size(); ++j) {
    const Tensor& w = conv.raw[j].value();
    w.fill(0);
    if (conv.operators[j] != Operator::vc) continue;
    int64_t k = w.dim(1), inputs = w.dim(3);
    for (int64_t o = 0; o < w.dim(0); ++o) w.data<float>()[((o * k + k / 2) * k + k / 2) * inputs + o] = 1;
  }
}

}  // namespace

DGPNet::DGPNet(const DGPNetConfig& config_, const Rng& rng, bool deploy_)
    : config(checked(config_)),
      deploy(deploy_),
      head(3 * config.unshuffle * config.unshuffle, config.channels, config.kernel, kAllOperators,
           rng.split(0), deploy),
      tail(3, 3, config.kernel, kAllOperators, rng.split(1), deploy) {
  for (int64_t i = 0; i < config.blocks; ++i)
    body.emplace_back(config.channels, config.kernel, rng.split(100 + static_cast<uint64_t>(i)), deploy);
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

  Var x = lr;
  int64_t below = (u - h % u) % u, right = (u - w % u) % u;
  if (below || right) x = pad2d(x, {.bottom = below, .right = right}, PadMode::reflect);
  if (u > 1) x = pixel_unshuffle(x, u);
  x = conv(head, x);
  for (const AIIBlock& block : body) x = block(x, form);
  x = pixel_shuffle(conv2d(x, upsample_weight, upsample_bias, {.padding = 1}), s * u);
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
    for (auto [name, conv] :
         std::initializer_list<std::pair<const char*, DGConv*>>{{"statistical", &b.statistical},
                                                                {"structural", &b.structural},
                                                                {"stat_to_stat", &b.stat_to_stat},
                                                                {"stat_to_struct", &b.stat_to_struct},
                                                                {"struct_to_stat", &b.struct_to_stat},
                                                                {"struct_to_struct", &b.struct_to_struct}})
      all.push_back({prefix + name, conv});
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
  int64_t pixels = ((height + u - 1) / u) * ((width + u - 1) / u);  // of the body
  int64_t all = form == Form::parallel ? static_cast<int64_t>(kAllOperators.size()) : 1;
  // First stage: 2 statistical and 4 structural operators when drawn in parallel; second: four DGConvs of
  // six.
  int64_t first = form == Form::parallel ? 6 * c * c * k2 : 2 * c * c * k2;
  int64_t second = form == Form::folded ? 2 * c * c * k2 : all * 4 * c * c * k2 + 4 * c * c;
  int64_t per_image = form == Form::folded ? 4 * c * c * c * k2 + 4 * c * c * k2 : 0;  // second()'s products
  int64_t head = all * 3 * u * u * c * k2, up = 9 * c * 3 * s * s * u * u;
  return pixels * (head + config.blocks * (first + second) + up) + config.blocks * per_image +
         height * width * s * s * all * 9 * k2;
}

}  // namespace dgp
