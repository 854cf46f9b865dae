#include "models/lpips.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "models/state.h"
#include "ops/conv2d.h"
#include "tensor/parallel.h"
#include "tensor/safetensors.h"

namespace dgp {
namespace {

constexpr int64_t kLeast = 32;  // pixels a side, so that every layer has one

// Of a convolution: how many come before the next pooling are the stages; features are taken at a stage's
// end.
constexpr std::array kAlexStages = {1, 1, 1, 1, 1}, kVggStages = {2, 2, 3, 3, 3};

// "net.slice2.3.weight" of package lpips, "features.3.weight" of torchvision: the number that orders
// convolutions.
int64_t convolution_number(const std::string& name, const std::string& kind) {
  if ((!name.starts_with("net.slice") && !name.starts_with("features.")) || !name.ends_with(kind)) return -1;
  const size_t end = name.size() - kind.size(), dot = name.rfind('.', end - 1);
  const std::string digits = name.substr(dot + 1, end - dot - 1);
  const bool number =
      !digits.empty() && digits.size() < 4 && digits.find_first_not_of("0123456789") == digits.npos;
  return number ? std::stoll(digits) : -1;
}

// Largest value of each window x window, every second pixel: y[i,j] over x[2i .. 2i+window-1, ...].
Tensor max_pooled(const Tensor& x, int64_t window) {
  const int64_t H = (x.dim(1) - window) / 2 + 1, W = (x.dim(2) - window) / 2 + 1, C = x.dim(3);
  Tensor y({1, H, W, C});
  parallel_for(H, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * W; i < end * W; ++i) {
      float* to = y.data<float>() + i * C;
      for (int64_t k = 0; k < window * window; ++k) {
        const float* from =
            x.data<float>() + ((i / W * 2 + k / window) * x.dim(2) + i % W * 2 + k % window) * C;
        for (int64_t c = 0; c < C; ++c) to[c] = k == 0 ? from[c] : std::max(to[c], from[c]);
      }
    }
  });
  return y;
}

// Mean over pixels of sum_c w_c (a_c / |a| - b_c / |b|)^2.
double distance(const Tensor& a, const Tensor& b, const Tensor& w) {
  const int64_t pixels = a.dim(1) * a.dim(2), C = a.dim(3);
  auto length = [&](const float* f) {
    double sum = 0;
    for (int64_t c = 0; c < C; ++c) sum += double{f[c]} * double{f[c]};
    return std::sqrt(sum) + 1e-10;
  };
  double all = 0;
  for (int64_t i = 0; i < pixels; ++i) {
    const float *fa = a.data<float>() + i * C, *fb = b.data<float>() + i * C;
    const double la = length(fa), lb = length(fb);
    for (int64_t c = 0; c < C; ++c) {
      const double d = double{fa[c]} / la - double{fb[c]} / lb;
      all += double{w.data<float>()[c]} * d * d;
    }
  }
  return all / static_cast<double>(pixels);
}

}  // namespace

Lpips::Lpips(const std::string& path) {
  std::map<int64_t, Tensor> weights, biases;
  for (const auto& [name, tensor] : read_safetensors(path).tensors) {
    if (const int64_t n = convolution_number(name, ".weight"); n >= 0 && tensor.rank() == 4)
      weights[n] = from_file_layout(tensor.to(DType::f32));
    if (const int64_t n = convolution_number(name, ".bias"); n >= 0 && tensor.rank() == 1)
      biases[n] = tensor.to(DType::f32);
    for (size_t l = 0; l < importance_.size(); ++l)
      if (name == "lin" + std::to_string(l) + ".model.1.weight")
        importance_[l] = tensor.to(DType::f32).reshape({tensor.numel()});
  }
  auto require = [&](bool ok, const auto&... what) {
    if (!ok)
      fail(ErrorCode::bad_file, path, ": ", what...,
           "; expected the state_dict of lpips.LPIPS(net=\"alex\") or (net=\"vgg\"), net.slice1.0.weight to "
           "lin4.model.1.weight");
  };
  require(!weights.empty() && weights.size() == biases.size(), "has ", weights.size(), " convolutions and ",
          biases.size(), " biases");
  alexnet_ = weights.begin()->second.dim(1) == 11;
  const auto& stages = alexnet_ ? kAlexStages : kVggStages;
  int64_t channels = 3;
  size_t layer = 0;
  int in_stage = 0;
  for (const auto& [n, w] : weights) {
    const int64_t k = alexnet_ && layer == 0 ? 11 : alexnet_ && layer == 1 ? 5 : 3;
    require(layer < stages.size(), "has ", weights.size(), " convolutions");
    require(w.dim(1) == k && w.dim(2) == k && w.dim(3) == channels, "convolution ", n, " is ",
            to_string(w.shape()), ", not [.,", k, ",", k, ",", channels, "]");
    channels = w.dim(0);
    require(biases.count(n) && biases[n].dim(0) == channels, "convolution ", n, " has no bias that fits");
    weights_.push_back(w), biases_.push_back(biases[n]);
    if (++in_stage < stages[layer]) continue;
    require(importance_[layer].defined() && importance_[layer].numel() == channels, "lin", layer,
            ".model.1.weight does not have ", channels, " values");
    ++layer, in_stage = 0;
  }
  require(layer == stages.size(), "has ", weights.size(), " convolutions");
}

std::array<Tensor, 5> Lpips::features(const Tensor& image) const {
  static constexpr double kShift[] = {-0.030, -0.088, -0.188}, kScale[] = {0.458, 0.448, 0.450};
  Tensor x({1, image.dim(0), image.dim(1), 3});
  for (int64_t i = 0; i < x.numel(); ++i)
    x.data<float>()[i] =
        static_cast<float>((2 * double{image.data<float>()[i]} - 1 - kShift[i % 3]) / kScale[i % 3]);
  std::array<Tensor, 5> found;
  const auto& stages = alexnet_ ? kAlexStages : kVggStages;
  size_t conv = 0;
  for (size_t layer = 0; layer < stages.size(); ++layer) {
    // AlexNet pools before its second and third layer alone.
    if (layer > 0 && (!alexnet_ || layer < 3)) x = max_pooled(x, alexnet_ ? 3 : 2);
    for (int i = 0; i < stages[layer]; ++i, ++conv) {
      const bool first = alexnet_ && conv == 0;
      x = conv2d(x, weights_[conv], biases_[conv],
                 {.stride = first ? 4 : 1,
                  .padding = first ? 2 : weights_[conv].dim(1) / 2,
                  .activation = Activation::relu})
              .value();
    }
    found[layer] = x;
  }
  return found;
}

double Lpips::operator()(const Tensor& a, const Tensor& b) const {
  check_rank("lpips", "image", a, 3);
  check_same("lpips", a, b);
  check(a.dtype() == DType::f32 && a.dim(2) == 3 && a.dim(0) >= kLeast && a.dim(1) >= kLeast,
        "lpips: expects f32 [H,W,3] of at least 32x32 pixels, got ", to_string(a.dtype()),
        to_string(a.shape()));
  NoGrad no_grad;
  const auto fa = features(a), fb = features(b);
  double sum = 0;
  for (size_t l = 0; l < fa.size(); ++l) sum += distance(fa[l], fb[l], importance_[l]);
  return sum;
}

}  // namespace dgp
