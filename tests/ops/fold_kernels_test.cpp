// Folded kernels against the sum they are defined as and against whole products put side by side.
#include "ops/fold_kernels.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

struct Case {
  int64_t n, o, groups, middle, k, c;
  std::vector<Tensor> tensors() const {
    return {random_tensor({n, o, groups, middle}, 1), random_tensor({groups, middle, k, k, c}, 2)};
  }
};

Var fold(const std::vector<Var>& v) { return fold_kernels(v[0], v[1]); }

std::vector<double> defined_as(const Case& s, const Tensor& u, const Tensor& v) {
  std::vector<double> w;
  for (int64_t row = 0; row < s.n * s.o; ++row)
    for (int64_t t = 0; t < s.k * s.k; ++t)
      for (int64_t h = 0; h < s.groups; ++h)
        for (int64_t c = 0; c < s.c; ++c) {
          double sum = 0;
          for (int64_t m = 0; m < s.middle; ++m)
            sum += u.data<double>()[(row * s.groups + h) * s.middle + m] *
                   v.data<double>()[((h * s.middle + m) * s.k * s.k + t) * s.c + c];
          w.push_back(sum);
        }
  return w;
}

}  // namespace

TEST_CASE("fold_kernels computes what it is defined as", "[fold_kernels]") {
  for (const Case& s : {Case{1, 1, 1, 1, 1, 1}, Case{2, 3, 2, 6, 3, 5}, Case{3, 4, 3, 2, 5, 17}}) {
    std::vector<Tensor> t = s.tensors();
    check_values(fold_kernels(t[0], t[1]).value(), {s.n, s.o, s.k, s.k, s.groups * s.c},
                 defined_as(s, t[0], t[1]));
    check_values(reference::fold_kernels(t[0], t[1]).value(), {s.n, s.o, s.k, s.k, s.groups * s.c},
                 defined_as(s, t[0], t[1]));
  }
}

TEST_CASE("fold_kernels: gradients, single precision, threads", "[fold_kernels]") {
  check_op(fold, Case{2, 3, 2, 4, 3, 3}.tensors());
  check_op(fold, Case{1, 2, 1, 3, 1, 5}.tensors());
  check_large(fold, Case{5, 48, 2, 96, 3, 48}.tensors());
  check_large(fold, Case{3, 17, 3, 21, 5, 7}.tensors());
}

TEST_CASE("fold_kernels adds to a gradient that is there, whoever else holds it", "[fold_kernels]") {
  Case s{2, 3, 2, 4, 3, 3};
  std::vector<Tensor> t = s.tensors();
  Var u(t[0]), v(t[1], true);
  Tensor seed = random_tensor({2, 3, 3, 3, 6}, 3);
  backward(fold_kernels(u, v), seed);
  Tensor kept = v.grad(), once = kept.clone();
  backward(fold_kernels(u, v), seed);
  CHECK(same_bits(kept, once));
  kept = {};
  Tensor before = v.grad().clone();
  backward(fold_kernels(u, v), seed);
  for (int64_t i = 0; i < once.numel(); ++i) {
    CHECK(before.data<double>()[i] == Approx(2 * once.data<double>()[i]));
    CHECK(v.grad().data<double>()[i] == Approx(3 * once.data<double>()[i]));
  }
}

TEST_CASE("fold_kernels rejects what does not fit", "[fold_kernels]") {
  Tensor u = random_tensor({1, 2, 2, 4}, 1);
  CHECK_THROWS_WITH(fold_kernels(u, random_tensor({2, 3, 3, 3, 2}, 2)),
                    ContainsSubstring("expects u [N,O,2,3], got f64[1,2,2,4]"));
}
