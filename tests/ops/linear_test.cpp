#include "ops/linear.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

TEST_CASE("linear: gradients, f32, threads", "[linear]") {
  OpUnderTest biased = [](const std::vector<Var>& v) { return linear(v[0], v[1], v[2]); };
  OpUnderTest plain = [](const std::vector<Var>& v) { return linear(v[0], v[1]); };
  auto inputs = [](Shape x, int64_t o) {
    int64_t in = x.back();
    return std::vector<Tensor>{random_tensor(x, 1), random_tensor({o, in}, 2), random_tensor({o}, 3)};
  };
  for (const Shape& x : {Shape{1}, {5}, {1, 17}, {2, 3, 4}, {3, 1, 2, 3}, {0, 3}})
    for (int64_t o : {1, 3, 6}) {
      auto in = inputs(x, o);
      check_op(biased, in);
      check_op(plain, {in[0], in[1]});
    }
  check_large(biased, inputs({3, 40, 51, 17}, 33));
}

TEST_CASE("linear: values", "[linear]") {
  Var x = tensor({2, 2}, {1, 2, 3, 4}), w = tensor({3, 2}, {1, 0, 0, 1, 1, -1}),
      b = tensor({3}, {10, 20, 30});
  check_values(linear(x, w, b).value(), {2, 3}, {11, 22, 29, 13, 24, 29});
  check_values(linear(x, w).value(), {2, 3}, {1, 2, -1, 3, 4, -1});
}

TEST_CASE("linear errors", "[linear]") {
  Var x = random_tensor({2, 3}, 1), w = random_tensor({4, 5}, 1);
  CHECK_THROWS_WITH(linear(x, w), ContainsSubstring("linear: weight [4,5] expects 5 features, input [2,3]"));
  CHECK_THROWS_WITH(linear(x, random_tensor({4, 3}, 1), random_tensor({3}, 1)),
                    ContainsSubstring("linear: bias [3] expects [4], weight [4,3]"));
  CHECK_THROWS_WITH(linear(x, random_tensor({4, 3}, 1).to(DType::f32)), ContainsSubstring("f32[4,3]"));
  CHECK_THROWS_WITH(linear(x, random_tensor({3}, 1)),
                    ContainsSubstring("linear: weight") && ContainsSubstring("[3]"));
}
