#include "ops/concat.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {
OpUnderTest along(int axis) {
  return [=](const std::vector<Var>& v) { return concat(v, axis); };
}
}  // namespace

TEST_CASE("concat: gradients, f32, threads", "[concat]") {
  check_op(along(0), {random_tensor({3}, 1)});
  check_op(along(-1), {random_tensor({2, 3, 1, 4}, 1), random_tensor({2, 3, 1, 17}, 2)});
  check_op(along(1),
           {random_tensor({3, 2, 5, 1}, 1), random_tensor({3, 1, 5, 1}, 2), random_tensor({3, 4, 5, 1}, 3)});
  check_op(along(0), {random_tensor({0, 3}, 1), random_tensor({2, 3}, 2)});
  check_large(along(3), {random_tensor({2, 60, 61, 3}, 1), random_tensor({2, 60, 61, 8}, 2)});
}

TEST_CASE("concat puts parts in order", "[concat]") {
  Var a = tensor({2, 1}, {1, 2}), b = tensor({2, 2}, {3, 4, 5, 6});
  check_values(concat({a, b}, 1).value(), {2, 3}, {1, 3, 4, 2, 5, 6});
  check_values(concat({b, tensor({1, 2}, {7, 8})}, 0).value(), {3, 2}, {3, 4, 5, 6, 7, 8});
}

TEST_CASE("concat gives each part its gradient, the same part twice too", "[concat]") {
  Var a(tensor({2}, {1, 2}), true), b(tensor({1}, {3}));
  backward(concat({a, b, a}, 0), tensor({5}, {1, 2, 3, 4, 5}));
  check_values(a.grad(), {2}, {5, 7});
}

TEST_CASE("concat errors", "[concat]") {
  Var a = random_tensor({2, 3}, 1);
  CHECK_THROWS_WITH(concat({}, 0), ContainsSubstring("concat"));
  CHECK_THROWS_WITH(concat({a, random_tensor({3, 3}, 1)}, 1),
                    ContainsSubstring("concat: f64[3,3]") && ContainsSubstring("f64[2,3]"));
  CHECK_THROWS_WITH(concat({a, random_tensor({2, 3, 1}, 1)}, 1), ContainsSubstring("[2,3,1]"));
  CHECK_THROWS_WITH(concat({a, a.value().to(DType::f32)}, 1), ContainsSubstring("f32[2,3]"));
  CHECK_THROWS_WITH(concat({a}, 2), ContainsSubstring("concat: no axis 2 in [2,3]"));
}
