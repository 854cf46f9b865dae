// The fused path through kernel space against the same composed of small operations, and its own gradient.
// PyTorch's values: tests/models/dgconv_test.cpp.
#include "ops/fused_kernels.h"

#include "ops/kernels/active.h"
#include "ops/reduce.h"
#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

constexpr int64_t kHidden = 5;

// DGConvs of some shape, their operators each, and all their tensors in the order of the leaves. The balance
// network has the scale that DGConv starts it with, so that its sigmoid is not at its ends.
struct Case {
  std::vector<std::vector<Operator>> sets;
  int64_t outputs, k, inputs;

  std::vector<Tensor> tensors() const {
    std::vector<Tensor> all;
    uint64_t seed = 1;
    for (const auto& operators : sets) {
      auto n = static_cast<int64_t>(operators.size());
      for (size_t j = 0; j < operators.size(); ++j)
        all.push_back(random_tensor({outputs, k, k, inputs}, seed++));
      double bound = 1 / std::sqrt(static_cast<double>(n * k * k));
      all.push_back(random_tensor({kHidden, n * k * k}, seed++, -bound, bound));
      all.push_back(random_tensor({kHidden}, seed++, 0.5, 1));  // most of the hidden layer is awake
      all.push_back(random_tensor({n, kHidden}, seed++));
      all.push_back(random_tensor({n}, seed++));
    }
    return all;
  }
  Tensor location(size_t set) const {
    Tensor t({outputs, inputs}, DType::i64);
    Rng rng(5 + set);
    for (int64_t i = 0; i < t.numel(); ++i) t.data<int64_t>()[i] = rng.below(k * k);
    return t;
  }
  std::vector<KernelSet> of(const std::vector<Var>& leaves) const {
    std::vector<KernelSet> all;
    auto leaf = leaves.begin();
    for (size_t i = 0; i < sets.size(); ++i) {
      KernelSet set{sets[i], {}, location(i).to(leaves[0].value().device()), {}, {}, {}, {}};
      for (size_t j = 0; j < sets[i].size(); ++j) set.raw.push_back(*leaf++);
      for (Var* v : {&set.fc1_weight, &set.fc1_bias, &set.fc2_weight, &set.fc2_bias}) *v = *leaf++;
      all.push_back(set);
    }
    return all;
  }
};

const std::vector<Operator> kSix = {Operator::csg, Operator::csa, Operator::hg,
                                    Operator::vg,  Operator::vc,  Operator::idg};

void check_close(const std::vector<Tensor>& got, const std::vector<Tensor>& want, double limit) {
  for (size_t i = 0; i < want.size(); ++i) {
    double error = 0, power = 0;
    for (int64_t e = 0; e < want[i].numel(); ++e) {
      double w = want[i].data<double>()[e], d = got[i].data<double>()[e] - w;
      error += d * d, power += w * w;
    }
    INFO("tensor " << i << " of " << want.size());
    CHECK(error <= limit * power);
  }
}

}  // namespace

TEST_CASE("fused kernels: gradients, single precision, threads", "[fused_kernels]") {
  Case c{{kSix, {Operator::vc, Operator::idg}}, 2, 3, 3};
  OpUnderTest fused = [&](const std::vector<Var>& v) { return fused_kernels(c.of(v)); };
  check_op(fused, c.tensors());
  Case wide{{kSix, {Operator::csa}}, 33, 5, 19};
  check_large([&](const std::vector<Var>& v) { return fused_kernels(wide.of(v)); }, wide.tensors());
}

TEST_CASE("fused kernels equal the composed operations, value and gradients", "[fused_kernels]") {
  for (const Case& c : {Case{{kSix}, 3, 1, 1}, Case{{kSix, {Operator::hg, Operator::csa}}, 5, 3, 17},
                        Case{{{Operator::vg, Operator::csg}, kSix, {Operator::idg}}, 1, 5, 64}}) {
    auto run = [&](auto f) {
      return run_op([&](const std::vector<Var>& v) { return f(c.of(v)); }, c.tensors(), DType::f64);
    };
    check_close(run(fused_kernels), run(reference::fused_kernels), 1e-24);
  }
}

TEST_CASE("fused kernels are one function on every instruction set", "[fused_kernels]") {
  struct Restored {
    ~Restored() { override_kernels(nullptr); }
  } restored;
  Case c{{kSix}, 6, 3, 21};
  std::vector<Tensor> want = run_op(
      [&](const std::vector<Var>& v) { return reference::fused_kernels(c.of(v)); }, c.tensors(), DType::f64);
  override_kernels(&portable::kernels);
  check_close(
      run_op([&](const std::vector<Var>& v) { return fused_kernels(c.of(v)); }, c.tensors(), DType::f64),
      want, 1e-24);
  check_f32([&](const std::vector<Var>& v) { return fused_kernels(c.of(v)); }, c.tensors());
}

TEST_CASE("fused kernels leave out gradients that nobody wants", "[fused_kernels]") {
  Case c{{kSix}, 2, 3, 2};
  std::vector<Var> leaves;
  for (const Tensor& t : c.tensors()) leaves.emplace_back(t, leaves.size() % 2 == 0);
  backward(sum(fused_kernels(c.of(leaves))));
  for (size_t i = 0; i < leaves.size(); i += 2) CHECK(leaves[i].grad().defined());
}

TEST_CASE("fused kernels reject what does not fit", "[fused_kernels]") {
  Case c{{kSix}, 2, 3, 3};
  std::vector<Var> leaves;
  for (const Tensor& t : c.tensors()) leaves.emplace_back(t);
  std::vector<KernelSet> sets = c.of(leaves);
  CHECK_THROWS_WITH(fused_kernels({}), ContainsSubstring("at least one"));
  sets[0].fc2_bias = sets[0].fc1_bias;
  CHECK_THROWS_WITH(fused_kernels(sets), ContainsSubstring("fc2_bias expects f64[6], got f64[5]"));
  sets = c.of(leaves);
  sets[0].location = {};
  CHECK_THROWS_WITH(fused_kernels(sets), ContainsSubstring("location [2,3]"));
}
