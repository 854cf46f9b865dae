#include "ops/softmax.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

TEST_CASE("softmax: gradients, f32, threads", "[softmax]") {
  OpUnderTest f = [](const std::vector<Var>& v) { return softmax(v[0]); };
  for (const Shape& shape : {Shape{1}, {5}, {3, 1}, {2, 3, 17}, {0, 4}})
    check_op(f, {random_tensor(shape, 1, -3, 3)});
  check_large(f, {random_tensor({701, 64}, 1, -3, 3)});
}

TEST_CASE("softmax: known values, shifts and large arguments", "[softmax]") {
  Var x = tensor({2, 3}, {1, 2, 3, 1001, 1002, 1003});
  std::vector<double> want = {0.09003057317038046, 0.24472847105479767, 0.6652409557748219};
  want.insert(want.end(), want.begin(), want.begin() + 3);
  check_values(softmax(x).value(), {2, 3}, want);
  check_values(softmax(Var(x.value().to(DType::f32))).value(), {2, 3}, want, 1e-7);
  CHECK_THROWS_WITH(softmax(Tensor::zeros({3, 0})),
                    ContainsSubstring("softmax") && ContainsSubstring("[3,0]"));
  CHECK_THROWS_WITH(softmax(Tensor::zeros({})), ContainsSubstring("softmax") && ContainsSubstring("[]"));
}
