#include "models/edsr.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "models/initialise.h"
#include "models/state.h"
#include "ops/conv2d.h"
#include "ops/pixel_shuffle.h"
#include "ops/pointwise.h"
#include "tensor/cuda_math.h"

namespace dgp {
namespace {

constexpr double kRange = 255;  // of the values that the convolutions see

const EDSRConfig& checked(const EDSRConfig& c) {
  check(c.scale == 1 || c.scale == 2 || c.scale == 3 || c.scale == 4 || c.scale == 8,
        "EDSR: scale expects 1, 2, 3, 4 or 8, got ", c.scale);
  check(c.channels >= 1 && c.channels <= 1024, "EDSR: channels expects 1 to 1024, got ", c.channels);
  check(c.blocks >= 0 && c.blocks <= 1024, "EDSR: blocks expects 0 to 1024, got ", c.blocks);
  return c;
}

int64_t stages(int64_t scale) {
  if (scale == 3) return 1;
  int64_t count = 0;
  for (; scale > 1; scale /= 2) ++count;
  return count;
}

EDSR::Conv make_conv(int64_t inputs, int64_t outputs, const Rng& rng) {
  double bound = 1 / std::sqrt(static_cast<double>(9 * inputs));
  return {Var(uniform_tensor({outputs, 3, 3, inputs}, bound, rng), true),
          Var(Tensor::zeros({outputs}), true)};
}

// DIV2K's mean, to be broadcast over images [N,H,W,3].
Var mean_like(const Var& images) {
  Tensor mean({3});
  std::copy(kDiv2kMean.begin(), kDiv2kMean.end(), mean.data<float>());
  return Var(mean.to(images.dtype()).to(images.value().device()));
}

}  // namespace

Var EDSR::Conv::operator()(const Var& x, bool relu, const Var& residual) const {
  Activation activation = relu ? Activation::relu : Activation::none;
  return conv2d(x, weight, bias, {.padding = 1, .activation = activation}, residual);
}

EDSR::EDSR(const EDSRConfig& config_, const Rng& rng)
    : config(checked(config_)), factor(config.scale == 3 ? 3 : 2) {
  int64_t c = config.channels;
  uint64_t stream = 0;
  auto conv = [&](int64_t inputs, int64_t outputs) {
    return make_conv(inputs, outputs, rng.split(stream++));
  };
  head = conv(3, c);
  for (int64_t i = 0; i < config.blocks; ++i) {
    Conv first = conv(c, c);
    body.push_back({std::move(first), conv(c, c)});
  }
  body_end = conv(c, c);
  for (int64_t i = 0; i < stages(config.scale); ++i) upsample.push_back(conv(c, factor * factor * c));
  tail = conv(c, 3);
}

Var EDSR::operator()(const Var& lr) const {
  check(lr.shape().size() == 4 && lr.dim(3) == 3, "EDSR: expects an image [N,H,W,3], got ",
        to_string(lr.shape()));
  Var mean = mean_like(lr);
  const DType stored = lr.value().device() == Device::cuda ? cuda::storage() : lr.dtype();
  Var first = conv2d(mul(sub(lr, mean), kRange), head.weight, head.bias, {.padding = 1, .result = stored});
  Var x = first;
  for (const Block& block : body) x = block.second(block.first(x, true), false, x);
  x = body_end(x, false, first);
  for (const Conv& conv : upsample) x = pixel_shuffle(conv(x), factor);
  x = conv2d(x, tail.weight, tail.bias, {.padding = 1, .result = lr.dtype()});
  return add(mul(x, 1 / kRange), mean);
}

void EDSR::visit(const Visitor& visitor) {
  auto conv = [&](const std::string& name, Conv& layer) {
    visitor(name + ".weight", layer.weight);
    visitor(name + ".bias", layer.bias);
  };
  conv("conv_first", head);
  for (size_t i = 0; i < body.size(); ++i) {
    std::string name = "body." + std::to_string(i);
    conv(name + ".conv1", body[i].first);
    conv(name + ".conv2", body[i].second);
  }
  conv("conv_after_body", body_end);
  for (size_t i = 0; i < upsample.size(); ++i)  // PyTorch counts the pixel shuffles as well
    conv("upsample." + std::to_string(2 * i), upsample[i]);
  conv("conv_last", tail);
}

std::vector<Var> parameters(EDSR& net) {
  std::vector<Var> found;
  net.visit([&](const std::string&, Var& v) { found.push_back(v); });
  return found;
}

int64_t multiply_adds(const EDSRConfig& config, int64_t height, int64_t width) {
  int64_t c = config.channels, f = config.scale == 3 ? 3 : 2, pixels = height * width;
  int64_t all = pixels * 9 * (3 * c + (2 * config.blocks + 1) * c * c);
  for (int64_t i = 0; i < stages(config.scale); ++i) {
    all += pixels * 9 * c * c * f * f;
    pixels *= f * f;
  }
  return all + pixels * 9 * c * 3;
}

void save_model(const std::string& path, EDSR& net) {
  SafeTensors state;
  nlohmann::ordered_json config = {
      {"scale", net.config.scale}, {"channels", net.config.channels}, {"blocks", net.config.blocks}};
  state.metadata = {{"format", "pt"}, {"architecture", "edsr"}, {"config", config.dump()}};
  state.tensors = named_tensors([&](const Visitor& visitor) { net.visit(visitor); });
  write_safetensors(path, state);
}

EDSR edsr_from(const SafeTensors& state, const std::string& source) {
  auto at = state.metadata.find("config");
  auto json = nlohmann::json::parse(at == state.metadata.end() ? "" : at->second, nullptr, false);
  auto read = [&](const char* key) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_number_integer())
      fail(ErrorCode::bad_file, source, ": metadata \"config\" lacks the whole number \"", key, "\"");
    return json[key].get<int64_t>();
  };
  EDSRConfig config{read("scale"), read("channels"), read("blocks")};
  // A file cannot ask for a network larger than itself: the sizes are compared before anything is allocated.
  auto channels = static_cast<double>(config.channels);
  double stored = 0, cost = 9 * channels * channels * (2 * static_cast<double>(config.blocks) + 1);
  for (const auto& [name, t] : state.tensors) stored += static_cast<double>(t.numel());
  if (cost > stored || config.channels < 1 || config.blocks < 0)
    fail(ErrorCode::bad_file, source, ": its configuration ", at->second, " does not fit its tensors");
  try {
    EDSR net(config);
    load_named_tensors([&](const Visitor& visitor) { net.visit(visitor); }, state, source,
                       "EDSR " + at->second);
    return net;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid) throw;
    fail(ErrorCode::bad_file, source, ": ", error.what());
  }
}

}  // namespace dgp
