#include "models/unfuse.h"

#include <cmath>
#include <map>

namespace dgp {

namespace {

using Tensors = std::vector<Tensor>;  // of f64

double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.numel(); ++i) sum += a.data<double>()[i] * b.data<double>()[i];
  return sum;
}

double squared_norm(const Tensors& all) {
  double sum = 0;
  for (const Tensor& t : all) sum += dot(t, t);
  return sum;
}

// y += a x
void add_scaled(const Tensor& y, double a, const Tensor& x) {
  for (int64_t i = 0; i < y.numel(); ++i) y.data<double>()[i] += a * x.data<double>()[i];
}

// The linear map A from raw kernels to their sum sum_o W_o(w_o), and its adjoint by backpropagation.
class KernelMap {
 public:
  explicit KernelMap(const DGConv& conv)
      : conv_(conv), ones_(Tensor::full({static_cast<int64_t>(conv.raw.size())}, 1.0, DType::f64)) {}

  Tensor apply(const Tensors& raw) const {
    NoGrad no_grad;
    return sum({raw.begin(), raw.end()}).value();
  }
  Tensors adjoint(const Tensor& y) const {
    std::vector<Var> raw;
    for (const Var& w : conv_.raw) raw.emplace_back(Tensor::zeros(w.shape(), DType::f64), true);
    backward(sum(raw), y);
    Tensors gradients;
    for (const Var& w : raw) gradients.push_back(w.grad().clone());
    return gradients;
  }

 private:
  Var sum(const std::vector<Var>& raw) const {
    return weighted_sum(operator_kernels(raw, conv_.operators, conv_.idg_location.value()), ones_);
  }
  const DGConv& conv_;
  const Tensor ones_;
};

constexpr int kIterations = 500;       // the six operators of a 3x3 kernel need about forty
constexpr double kConverged = 1e-12;   // of the gradient's norm, to that of the first
constexpr double kUnreachable = 1e-4;  // relative; f32 kernels that were fused are within 1e-6

}  // namespace

// Conjugate gradients on the normal equations (CGLS; Björck, Numerical Methods for Least Squares Problems,
// 1996, section 7.4): started at zero it never leaves the range of the adjoint, which makes its solution the
// one of the least norm.
void set_fused_weight(DGConv& conv, const Tensor& weight) {
  check(!conv.deploy(), "set_fused_weight: expects a convolution in training form");
  check(weight.shape() == conv.raw.front().shape(), "set_fused_weight: expects a kernel ",
        to_string(conv.raw.front().shape()), ", got ", to_string(weight.shape()));
  const KernelMap map(conv);
  Tensors raw;
  for (const Var& w : conv.raw) raw.push_back(Tensor::zeros(w.shape(), DType::f64));
  Tensor residual = weight.to(DType::f64).clone();
  const double size = dot(residual, residual);
  Tensors gradient = map.adjoint(residual), direction = gradient;
  double slope = squared_norm(gradient);
  const double end = slope * kConverged * kConverged;
  for (int i = 0; i < kIterations && slope > end; ++i) {
    const Tensor change = map.apply(direction);
    const double step = slope / dot(change, change);
    for (size_t j = 0; j < raw.size(); ++j) add_scaled(raw[j], step, direction[j]);
    add_scaled(residual, -step, change);
    gradient = map.adjoint(residual);
    const double next = squared_norm(gradient);
    for (size_t j = 0; j < raw.size(); ++j) {
      Tensor turned = gradient[j].clone();
      add_scaled(turned, next / slope, direction[j]);
      direction[j] = turned;
    }
    slope = next;
  }
  check(std::sqrt(dot(residual, residual)) <= kUnreachable * std::sqrt(size),
        "the operators cannot make this fused kernel");
  for (size_t j = 0; j < raw.size(); ++j) conv.raw[j].value().copy_from(raw[j].to(conv.raw[j].dtype()));
  if (!conv.balanced()) return;
  conv.fc2_weight.value().fill(0);  // 2 sigmoid(0): balance factors of one
  conv.fc2_bias.value().fill(0);
}

void set_fused(DGPNet& net, DGPNet& fused) {
  check(!net.deploy && fused.deploy,
        "set_fused: expects the training form, and the deploy form to start from");
  check(net.config == fused.config, "set_fused: expects one configuration of both networks");
  std::map<std::string, Tensor> rest;
  fused.visit([&](const std::string& name, Var& v) { rest.emplace(name, v.value()); });
  const std::vector<NamedDGConv> into = dgconvs(net);
  for (const NamedDGConv& layer : into) {
    auto weight = rest.extract(layer.name + ".weight");
    try {
      set_fused_weight(*layer.conv, weight.mapped());
    } catch (const Error& error) {
      fail(error.code(), layer.name, ": ", error.what());
    }
  }
  net.visit([&](const std::string& name, Var& v) {
    if (auto at = rest.find(name); at != rest.end()) v.value().copy_from(at->second);
  });
}

}  // namespace dgp
