#include "train/losses.h"

#include <algorithm>
#include <memory>

#include "ops/edge_loss.h"
#include "ops/frequency_loss.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "train/perceptual.h"

namespace dgp {
namespace {

LossKind plain(const char* name, Var (*f)(const Var&, const Var&)) {
  return {name, {}, [f](const Options&) { return f; }};
}

// BasicSR's PerceptualLoss with Real-ESRGAN's weights of layers.
LossKind perceptual() {
  LossKind kind{.name = "perceptual"};
  const Options usual = {{"conv1_2", 0.1}, {"conv2_2", 0.1}, {"conv3_4", 1}, {"conv4_4", 1}, {"conv5_4", 1}};
  for (const std::string& layer : Vgg19::layer_names())
    kind.options.push_back({layer, usual.count(layer) ? usual.at(layer) : 0, 0, 1e6});
  kind.make_from_file = [](const Options& options, const std::string& weights) {
    return [options, vgg = std::make_shared<const Vgg19>(weights)](const Var& x, const Var& t) {
      return vgg->distance(x, t, options);
    };
  };
  return kind;
}

std::vector<LossKind> own_losses() {
  return {
      plain("l1", l1_loss),
      {"charbonnier",
       {{"eps", 1e-3, 1e-9, 1}},
       [](const Options& o) {
         return [eps = o.at("eps")](const Var& x, const Var& t) { return charbonnier_loss(x, t, eps); };
       }},
      plain("mse", mse_loss),
      plain("ssim", ssim_loss),
      {"ms_ssim",
       {{"scales", 5, 1, 5, true}},
       [](const Options& o) {
         return [scales = static_cast<int64_t>(o.at("scales"))](const Var& x, const Var& t) {
           return ms_ssim_loss(x, t, scales);
         };
       }},
      plain("fft", fft_loss),
      plain("fft_amplitude", fft_amplitude_loss),
      {"focal_frequency",
       {{"alpha", 1, 0, 10}},
       [](const Options& o) {
         return [alpha = o.at("alpha")](const Var& x, const Var& t) {
           return focal_frequency_loss(x, t, alpha);
         };
       }},
      plain("gradient", gradient_loss),
      plain("sobel", sobel_loss),
      {"tv", {}, [](const Options&) { return [](const Var& x, const Var&) { return tv_loss(x); }; }},
      perceptual(),
  };
}

}  // namespace

Registry<LossKind>& losses() {
  static Registry<LossKind> all(own_losses());
  return all;
}

Loss::Loss(const std::vector<LossTerm>& terms) {
  check(!terms.empty(), "loss: expects at least one term");
  std::vector<std::string> types;
  for (const LossTerm& term : terms) {
    const LossKind* kind = losses().find(term.type);
    check(kind != nullptr, "loss: no loss is called \"", term.type, "\"");
    const Options options = with_defaults(*kind, term.options);
    terms_.push_back({term.weight, kind->make_from_file ? kind->make_from_file(options, term.weights)
                                                        : kind->make(options)});
    types.push_back(term.type);
    const auto count = std::count(types.begin(), types.end(), term.type);
    names_.push_back(count == 1 ? term.type : term.type + "_" + std::to_string(count));
  }
}

Var Loss::operator()(const Var& x, const Var& t, std::vector<double>& parts, double share) const {
  parts.resize(std::max(parts.size(), terms_.size()));
  Var sum;
  for (size_t i = 0; i < terms_.size(); ++i) {
    Var value = terms_[i].f(x, t);
    if (terms_[i].weight != 1) value = mul(value, terms_[i].weight);
    parts[i] += share * static_cast<double>(value.value().to(Device::cpu).to(DType::f64).item<double>());
    sum = sum.defined() ? add(sum, value) : value;
  }
  return sum;
}

}  // namespace dgp
