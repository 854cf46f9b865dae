#include "models/fused_weights.h"

#include "ops/concat.h"
#include "ops/fused_kernels.h"

namespace dgp {

Var fused_weights(const std::vector<const DGConv*>& convs) {
  std::vector<KernelSet> sets;
  std::vector<Var> weights;
  for (const DGConv* conv : convs) {
    if (conv->deploy()) {
      weights.push_back(conv->weight);
    } else if (conv->balanced()) {
      sets.push_back({conv->operators, conv->raw, conv->idg_location.value(), conv->fc1_weight,
                      conv->fc1_bias, conv->fc2_weight, conv->fc2_bias});
    } else {
      Var w = conv->kernels();
      weights.push_back(weighted_sum(w, conv->balance_factors(w)));
    }
  }
  check(sets.empty() || weights.empty(), "fused_weights: expects DGConvs of one form");
  return sets.empty() ? concat(weights, 0) : fused_kernels(sets);
}

}  // namespace dgp
