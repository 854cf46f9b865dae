#include "train/perceptual.h"

#include <map>

#include "models/state.h"
#include "ops/conv2d.h"
#include "ops/loss.h"
#include "ops/max_pool.h"
#include "ops/pointwise.h"
#include "tensor/safetensors.h"

namespace dgp {
namespace {

constexpr int kStages[] = {2, 2, 4, 4, 4};  // convolutions between poolings

// The number of each convolution among torchvision's layers, where ReLU and pooling count too.
std::vector<int> torchvision_numbers() {
  std::vector<int> numbers;
  int next = 0;
  for (int count : kStages) {
    for (int i = 0; i < count; ++i, next += 2) numbers.push_back(next);
    ++next;
  }
  return numbers;
}

}  // namespace

const std::vector<std::string>& Vgg19::layer_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (int stage = 0; stage < 5; ++stage)
      for (int i = 0; i < kStages[stage]; ++i)
        all.push_back("conv" + std::to_string(stage + 1) + "_" + std::to_string(i + 1));
    return all;
  }();
  return names;
}

Vgg19::Vgg19(const std::string& path) {
  const SafeTensors file = read_safetensors(path);
  std::map<std::string, Tensor> given(file.tensors.begin(), file.tensors.end());
  auto take = [&](const std::string& name, size_t rank) {
    auto at = given.find(name);
    if (at == given.end() || at->second.shape().size() != rank || at->second.dtype() != DType::f32)
      fail(ErrorCode::bad_file, path, ": expected torchvision's vgg19 weights: no ", rank,
           "-dimensional f32 ", name, " is in it");
    return from_file_layout(at->second);
  };
  int64_t channels = 3;
  for (int number : torchvision_numbers()) {
    const std::string name = "features." + std::to_string(number);
    const Tensor w = take(name + ".weight", 4), b = take(name + ".bias", 1);
    if (w.shape() != Shape{b.dim(0), 3, 3, channels})
      fail(ErrorCode::bad_file, path, ": ", name, ".weight is [", w.dim(0), ",", w.dim(3), ",", w.dim(1), ",",
           w.dim(2), "], expected [", b.dim(0), ",", channels, ",3,3]");
    convolutions_.push_back({w, b});
    channels = w.dim(0);
  }
}

const std::vector<Vgg19::Convolution>& Vgg19::on(Device device) const {
  if (device == Device::cpu) return convolutions_;
  if (on_gpu_.empty())
    for (const Convolution& c : convolutions_) on_gpu_.push_back({c.weight.to(device), c.bias.to(device)});
  return on_gpu_;
}

std::vector<Var> Vgg19::features(const Var& x, const Options& layer_weights) const {
  const Device device = x.value().device();
  auto constant = [&](const std::vector<double>& rgb) {
    return Var(Tensor::from<double>({3}, rgb).to(x.dtype()).to(device));
  };
  const Var mean = constant({-0.485, -0.456, -0.406}), scale = constant({1 / 0.229, 1 / 0.224, 1 / 0.225});
  const std::vector<Convolution>& convolutions = on(device);
  size_t last = 0;
  for (size_t i = 0; i < convolutions.size(); ++i)
    if (layer_weights.at(layer_names()[i]) > 0) last = i;
  Var h = mul(add(x, mean), scale);
  std::vector<Var> found;
  size_t at = 0;
  for (int count : kStages) {
    for (int i = 0; i < count; ++i, ++at) {
      const Var w(convolutions[at].weight.to(x.dtype())), b(convolutions[at].bias.to(x.dtype()));
      const bool wanted = layer_weights.at(layer_names()[at]) > 0;
      h = conv2d(h, w, b, {.padding = 1, .activation = wanted ? Activation::none : Activation::relu});
      if (!wanted) continue;
      found.push_back(h);
      if (at == last) return found;
      h = relu(h);
    }
    h = max_pool(h);
  }
  return found;
}

Var Vgg19::distance(const Var& x, const Var& t, const Options& layer_weights) const {
  check_same("perceptual", x.value(), t.value());
  std::vector<Var> target;
  {
    NoGrad constant;
    target = features(t, layer_weights);
  }
  const std::vector<Var> own = features(x, layer_weights);
  Var sum;
  size_t i = 0;
  for (const std::string& layer : layer_names()) {
    const double weight = layer_weights.at(layer);
    if (weight <= 0) continue;
    Var part = mul(l1_loss(own[i], target[i]), weight);
    sum = sum.defined() ? add(sum, part) : part;
    ++i;
  }
  check(sum.defined(), "perceptual: every layer's weight is 0");
  return sum;
}

}  // namespace dgp
