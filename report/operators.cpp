#include "report/operators.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include "ops/conv2d.h"
#include "report/colour.h"
#include "report/html.h"

namespace dgp {
namespace {

// The j-th of stacked kernels [n,O,k,k,I], times `factor`: [O,k,k,I].
Tensor weighted_kernel(const OperatorKernels& layer, size_t j, double factor) {
  const Shape& s = layer.kernels.shape();
  Tensor w = layer.kernels.slab(static_cast<int64_t>(j), 1).reshape({s[1], s[2], s[3], s[4]}).clone();
  for (int64_t i = 0; i < w.numel(); ++i) w.data<float>()[i] *= static_cast<float>(factor);
  return w;
}

double root_mean_square(const Tensor& x) {
  double sum = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    const auto v = static_cast<double>(x.data<float>()[i]);
    sum += v * v;
  }
  return std::sqrt(sum / static_cast<double>(x.numel()));
}

Tensor single(const Tensor& x) { return x.reshape({x.dim(1), x.dim(2), x.dim(3)}); }

OperatorKernels kernels_of(const NamedDGConv& layer) {
  const Var w = layer.conv->kernels();
  const Tensor alpha = layer.conv->balance_factors(w).value().to(Device::cpu);
  return {layer.name, layer.conv->operators, w.value().to(Device::cpu),
          std::vector<double>(alpha.data<float>(), alpha.data<float>() + alpha.numel())};
}

}  // namespace

void check_has_operators(const DGPNet& net, const std::string& name) {
  check(
      !net.deploy, name,
      ": is fused, one kernel a DGConv, and no longer knows its operators; expected weights of the training "
      "form, such as best.safetensors or last.safetensors of a run folder");
}

std::vector<OperatorKernels> operator_kernels(DGPNet& net) {
  NoGrad no_grad;
  std::vector<OperatorKernels> all;
  for (const NamedDGConv& layer : dgconvs(net)) all.push_back(kernels_of(layer));
  return all;
}

std::string kernel_table(const std::vector<OperatorKernels>& layers) {
  std::ostringstream html;
  html << "<div class=\"wide\"><table class=\"kernels\"><thead><tr><th>DGConv";
  for (Operator op : kAllOperators) html << "<th class=\"op " << to_string(op) << "\">" << to_string(op);
  html << "</tr></thead><tbody>\n";
  for (const OperatorKernels& layer : layers) {
    std::vector<Tensor> weighted;
    double limit = 0;
    for (size_t j = 0; j < layer.operators.size(); ++j) {
      weighted.push_back(weighted_kernel(layer, j, layer.alpha[j]));
      const Limits found = limits_of(weighted.back(), 0.995);
      limit = std::max({limit, -found.low, found.high});
    }
    html << "<tr><td>" << escaped(layer.name) << "<br><span class=\"note\">±" << number(limit, 2)
         << "</span>";
    for (Operator op : kAllOperators) {
      html << "<td>";
      const auto at = std::find(layer.operators.begin(), layer.operators.end(), op) - layer.operators.begin();
      if (at == static_cast<std::ptrdiff_t>(layer.operators.size())) continue;
      const auto j = static_cast<size_t>(at);
      html << "<img alt=\"kernels of " << to_string(op) << " in " << escaped(layer.name) << "\" src=\""
           << png_uri(kernel_mosaic(weighted[j], limit)) << "\">α " << decimals(layer.alpha[j], 3);
    }
    html << "</tr>\n";
  }
  html << "</tbody></table></div>\n";
  return html.str();
}

LayerFeatures layer_features(DGPNet& net, const Tensor& image, const std::string& layer) {
  check_rank("layer_features", "image", image, 3);
  NoGrad no_grad;
  LayerFeatures found{layer, {}, {}, {}};
  const NamedDGConv* chosen = nullptr;
  const std::vector<NamedDGConv> layers = dgconvs(net);
  std::string names;
  for (const NamedDGConv& candidate : layers) {
    names += (names.empty() ? "" : ", ") + candidate.name;
    if (candidate.name == layer) chosen = &candidate;
  }
  check(chosen, "no DGConv is called '", layer, "'; there are ", names);

  Var x;
  chosen->conv->on_input = [&](const Var& input) { x = input; };
  net(image.reshape({1, image.dim(0), image.dim(1), image.dim(2)}), Form::fused);
  chosen->conv->on_input = {};

  const OperatorKernels kernels = kernels_of(*chosen);
  const int64_t padding = kernels.kernels.dim(2) / 2;
  found.input = single(x.value());
  found.output = single((*chosen->conv)(x).value());
  for (size_t j = 0; j < kernels.operators.size(); ++j) {
    const Var w = weighted_kernel(kernels, j, kernels.alpha[j]);
    const Tensor features = single(conv2d(x, w, {}, {.padding = padding}).value());
    found.operators.push_back({kernels.operators[j], kernels.alpha[j], features, root_mean_square(features)});
  }
  return found;
}

std::vector<int64_t> strongest_channels(const Tensor& features, int64_t count) {
  const int64_t C = features.dim(2), pixels = features.dim(0) * features.dim(1);
  std::vector<double> sum(static_cast<size_t>(C)), squares(static_cast<size_t>(C));
  for (int64_t i = 0; i < features.numel(); ++i) {
    const auto v = static_cast<double>(features.data<float>()[i]);
    sum[static_cast<size_t>(i % C)] += v, squares[static_cast<size_t>(i % C)] += v * v;
  }
  auto variance = [&](int64_t c) {
    const auto i = static_cast<size_t>(c);
    return squares[i] - sum[i] * sum[i] / static_cast<double>(pixels);
  };
  std::vector<int64_t> order(static_cast<size_t>(C));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return variance(a) > variance(b); });
  order.resize(static_cast<size_t>(std::min(count, C)));
  return order;
}

Tensor channel(const Tensor& x, int64_t c) {
  Tensor y({x.dim(0), x.dim(1)});
  for (int64_t i = 0; i < y.numel(); ++i) y.data<float>()[i] = x.data<float>()[i * x.dim(2) + c];
  return y;
}

}  // namespace dgp
