#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "tensor/random.h"

namespace dgp {

GradcheckResult gradcheck(const std::function<Var(const std::vector<Var>&)>& f,
                          const std::vector<Tensor>& inputs, double step, double floor) {
  std::vector<Var> leaves;
  for (const Tensor& input : inputs) leaves.emplace_back(input.clone(), input.dtype() == DType::f64);

  Var y = f(leaves);
  check(y.dtype() == DType::f64, "gradcheck: expects an f64 result, got ", to_string(y.dtype()));
  Tensor weights(y.shape(), DType::f64);
  Rng rng(20240513);
  for (int64_t i = 0; i < weights.numel(); ++i) weights.data<double>()[i] = rng.uniform(-1, 1);
  backward(y, weights);

  auto objective = [&] {
    NoGrad no_grad;
    Var out = f(leaves);
    double sum = 0;
    for (int64_t i = 0; i < weights.numel(); ++i)
      sum += weights.data<double>()[i] * out.value().data<double>()[i];
    return sum;
  };

  GradcheckResult result;
  for (size_t k = 0; k < leaves.size(); ++k) {
    if (!leaves[k].requires_grad()) continue;
    double* x = leaves[k].value().data<double>();
    const Tensor& grad = leaves[k].grad();
    for (int64_t i = 0; i < leaves[k].value().numel(); ++i) {
      double before = x[i], h = step * std::max(1.0, std::abs(before));
      auto at = [&](double offset) {
        x[i] = before + offset;
        return objective();
      };
      double numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      x[i] = before;
      double analytic = grad.defined() ? grad.data<double>()[i] : 0;
      double error = std::abs(analytic - numeric) / std::max({std::abs(analytic), std::abs(numeric), floor});
      if (!(error <= result.worst) && !std::isnan(result.worst)) {  // a NaN is worst, and stays
        result.worst = error;
        result.where = "input " + std::to_string(k) + " element " + std::to_string(i) + ": analytic " +
                       std::to_string(analytic) + ", numeric " + std::to_string(numeric);
      }
    }
  }
  return result;
}

}  // namespace dgp
