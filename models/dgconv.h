// DGConv: adaptive directional gradient convolution (Peng et al., arXiv:2405.07023; stride 1, zero padding
// k/2).
//   y = b + sum_o alpha_o (W_o * x) = b + (sum_o alpha_o W_o) * x
// over an ordered set of gradient operators o (ops/kernel_space.h). The balance factors alpha are a function
// of the kernels alone, so n convolutions fuse into one exactly, at any weights and in training too:
//   d = RMS of W_o over outputs and inputs, per operator and tap [n*k*k];  d <- d / (mean(d) + 1e-8)
//   alpha = 2 sigmoid(FC2(relu(FC1(d)))),  FC1: n*k*k -> 16,  FC2: 16 -> n, starting at zero, so alpha at one
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "ops/kernel_space.h"
#include "tensor/random.h"

namespace dgp {

// Called with every parameter and buffer of a module and its name in a weights file. Parameters require a
// gradient; buffers do not.
using Visitor = std::function<void(const std::string& name, Var& value)>;

inline const std::vector<Operator> kAllOperators = {Operator::csg, Operator::csa, Operator::hg,
                                                    Operator::vg,  Operator::vc,  Operator::idg};
inline const std::vector<Operator> kStatisticalOperators = {Operator::csa, Operator::vc};
inline const std::vector<Operator> kStructuralOperators = {Operator::csg, Operator::hg, Operator::vg,
                                                           Operator::idg};

struct DGConv {
  std::vector<Operator> operators;
  std::vector<Var> raw;                            // one [O,k,k,I] per operator; empty in the deploy form
  Var idg_location;                                // i64 [O,I], a buffer; undefined without idg
  Var fc1_weight, fc1_bias, fc2_weight, fc2_bias;  // [16, n*k*k], [16], [n, 16], [n]; undefined: alpha is 1
  Var weight;  // [O,k,k,I], the deploy form's one kernel; undefined in the training form
  Var bias;    // [O]
  // To look inside a network: hears the input of every convolution made with this layer, fused or parallel.
  std::function<void(const Var& x)> on_input = {};

  // Raw kernels uniform with He's bound divided by sqrt(n), bias zero. deploy: one kernel, zero, to be
  // loaded. balance: whether alpha is learned.
  DGConv(int64_t inputs, int64_t outputs, int64_t k, const std::vector<Operator>& operators, const Rng& rng,
         bool deploy = false, bool balance = true);

  bool deploy() const { return weight.defined(); }
  bool balanced() const { return fc1_weight.defined(); }
  Var kernels() const;                            // [n,O,k,k,I], training form only
  Var balance_factors(const Var& kernels) const;  // [n], training form only
  Var fused_weight() const;                       // [O,k,k,I], either form
  Var operator()(const Var& x) const;             // x [N,H,W,I] -> [N,H,W,O], one convolution
  Var parallel(const Var& x) const;               // the same drawn literally: n convolutions, weighted, added
  void fuse();                                    // to the deploy form
  void visit(const Visitor& visitor, const std::string& prefix);
};

}  // namespace dgp
