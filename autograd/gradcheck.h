// Compares an op's gradient with central differences, in float64.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/var.h"

namespace dgp {

struct GradcheckResult {
  double worst = 0;   // largest |analytic - numeric| / max(|analytic|, |numeric|, floor) over every element
  std::string where;  // "input 1 element 17: analytic 0.25, numeric 0.2500004"
};

// f maps float64 leaves to one result of any shape, which is weighted by fixed random numbers before its
// gradient is taken. Every element of every input that requires a gradient is moved by four steps around it
// (fourth-order differences). Keep inputs a few steps away from kinks.
GradcheckResult gradcheck(const std::function<Var(const std::vector<Var>&)>& f,
                          const std::vector<Tensor>& inputs, double step = 1e-3, double floor = 1e-2);

}  // namespace dgp
