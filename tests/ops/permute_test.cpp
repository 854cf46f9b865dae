#include "ops/permute.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {
OpUnderTest to(const std::vector<int>& axes) {
  return [=](const std::vector<Var>& v) { return permute(v[0], axes); };
}
}  // namespace

TEST_CASE("permute: gradients, f32, threads", "[permute]") {
  check_op(to({}), {random_tensor({}, 1)});
  check_op(to({0}), {random_tensor({5}, 1)});
  check_op(to({1, 0}), {random_tensor({3, 7}, 1)});
  check_op(to({2, 0, 1}), {random_tensor({3, 1, 5}, 1)});
  check_op(to({0, 3, 1, 2}), {random_tensor({2, 3, 5, 3}, 1)});
  check_op(to({1, 0}), {random_tensor({0, 7}, 1)});
  check_large(to({0, 3, 1, 2}), {random_tensor({2, 50, 51, 17}, 1)});
}

TEST_CASE("permute moves every element, of every type", "[permute]") {
  std::vector<int> axes = {3, 0, 2, 1};
  for (DType dtype : {DType::f32, DType::f64, DType::u8, DType::i64}) {
    Tensor x({2, 3, 4, 5}, DType::i64);
    for (int64_t i = 0; i < x.numel(); ++i) x.data<int64_t>()[i] = i;
    Tensor y = cpu::permute(x.to(dtype), axes).to(DType::i64);
    REQUIRE(y.shape() == Shape{5, 2, 4, 3});
    for (int64_t i = 0; i < y.numel(); ++i) {
      int64_t d = i / 24, a = i / 12 % 2, c = i / 3 % 4, b = i % 3;
      REQUIRE(y.data<int64_t>()[i] == ((a * 3 + b) * 4 + c) * 5 + d);
    }
  }
}

TEST_CASE("permute errors", "[permute]") {
  Var x = random_tensor({2, 3}, 1);
  CHECK_THROWS_WITH(permute(x, {0}), ContainsSubstring("permute: 1 axes named, input [2,3]"));
  CHECK_THROWS_WITH(permute(x, {0, 0}), ContainsSubstring("permute: axis 0") && ContainsSubstring("[2,3]"));
  CHECK_THROWS_WITH(permute(x, {0, 2}), ContainsSubstring("permute: axis 2"));
  CHECK_THROWS_WITH(permute(x, {0, -1}), ContainsSubstring("permute: axis -1"));
}
