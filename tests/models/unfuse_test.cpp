// Raw kernels for a fused kernel: they fuse to it, and no smaller ones do.
#include "models/unfuse.h"

#include "models/initialise.h"
#include "tests/models/golden.h"

using namespace dgp;

namespace {

double norm_of_raw(const DGConv& conv) {
  double sum = 0;
  for (const Var& w : conv.raw)
    for (int64_t i = 0; i < w.value().numel(); ++i) {
      double x = w.value().data<float>()[i];
      sum += x * x;
    }
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE(
    "set_fused_weight: the raw kernels fuse to what was asked for, and are shorter than others that do") {
  for (int64_t k : {1, 3, 5})
    for (const auto& operators : {kAllOperators, kStatisticalOperators, kStructuralOperators}) {
      INFO("k " << k << ", " << operators.size() << " operators");
      const DGConv drawn(5, 4, k, operators, Rng(3));
      const Tensor weight = drawn.fused_weight().value();
      DGConv conv(5, 4, k, operators, Rng(3));  // of the same random taps, so that `drawn` is one solution
      conv.fc2_bias.value().fill(1);
      set_fused_weight(conv, weight);
      CHECK(largest_difference(conv.fused_weight().value(), weight) <= 1e-6);
      CHECK(norm_of_raw(conv) <= norm_of_raw(drawn));

      DGConv other(5, 4, k, operators, Rng(4));
      set_fused_weight(other, weight);
      CHECK(largest_difference(other.fused_weight().value(), weight) <= 1e-6);
    }
}

// csa is w + mean(w), vc is w. On kernels that sum to zero both are the identity, and halves are shortest; a
// constant kernel c is doubled by csa, and the shortest a, b with 2a + b = c are 2c/5 and c/5.
TEST_CASE("set_fused_weight: the shortest raw kernels of csa and vc, by hand") {
  DGConv conv(1, 1, 3, kStatisticalOperators, Rng(1));
  const std::vector<float> zero_sum = {3, -1, 0, 0, -4, 0, 2, 0, 0};
  Tensor weight({1, 3, 3, 1});
  for (size_t i = 0; i < 9; ++i) weight.data<float>()[i] = zero_sum[i] + 10;
  set_fused_weight(conv, weight);
  for (size_t i = 0; i < 9; ++i) {
    CHECK(std::abs(conv.raw[0].value().data<float>()[i] - (zero_sum[i] / 2 + 4)) <= 1e-5F);
    CHECK(std::abs(conv.raw[1].value().data<float>()[i] - (zero_sum[i] / 2 + 2)) <= 1e-5F);
  }
}

TEST_CASE("set_fused_weight: a kernel that the operators cannot make is refused") {
  DGConv structural(2, 2, 3, kStructuralOperators, Rng(1));
  CHECK_THROWS_WITH(set_fused_weight(structural, uniform_tensor({2, 3, 3, 2}, 1, Rng(2))),
                    ContainsSubstring("cannot make this fused kernel"));
  CHECK_THROWS_WITH(set_fused_weight(structural, Tensor({2, 3, 3, 1})),
                    ContainsSubstring("expects a kernel"));
}

TEST_CASE("set_fused: a network in training form computes what the fused one does") {
  DGPNet drawn({2, 8, 2, 3, 2}, Rng(7));
  for (Var& p : parameters(drawn))
    for (int64_t i = 0; i < p.value().numel(); ++i) p.value().data<float>()[i] += 0.01F * float(i % 7);
  DGPNet fused = fuse(drawn), net({2, 8, 2, 3, 2}, Rng(8));
  for (const NamedDGConv& layer : dgconvs(net)) layer.conv->fc2_bias.value().fill(1);
  set_fused(net, fused);
  const Var x(uniform_tensor({1, 10, 12, 3}, 1, Rng(9)));
  NoGrad no_grad;
  const Tensor expected = fused(x).value();
  CHECK(relative_l2(net(x).value(), expected) <= 1e-5);
  CHECK(relative_l2(net(x, Form::parallel).value(), expected) <= 1e-5);
  DGPNet wider({2, 9, 2, 3, 2}, Rng(8));
  CHECK_THROWS_WITH(set_fused(wider, fused), ContainsSubstring("one configuration"));
}
