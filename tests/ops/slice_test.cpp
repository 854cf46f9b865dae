#include "ops/slice.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {
OpUnderTest part(int axis, int64_t begin, int64_t end) {
  return [=](const std::vector<Var>& v) { return slice(v[0], axis, begin, end); };
}
}  // namespace

TEST_CASE("slice: gradients, f32, threads", "[slice]") {
  check_op(part(0, 0, 1), {random_tensor({1}, 1)});
  check_op(part(0, 1, 3), {random_tensor({3, 2, 5}, 1)});
  check_op(part(1, 2, 3), {random_tensor({3, 4, 5, 1}, 1)});
  check_op(part(-1, 3, 17), {random_tensor({2, 3, 17}, 1)});
  check_op(part(1, 2, 2), {random_tensor({2, 3}, 1)});
  check_large(part(3, 1, 9), {random_tensor({2, 60, 61, 11}, 1)});
}

TEST_CASE("slice reads its range", "[slice]") {
  Var x = tensor({2, 3}, {1, 2, 3, 4, 5, 6});
  check_values(slice(x, 1, 1, 3).value(), {2, 2}, {2, 3, 5, 6});
  check_values(slice(x, -2, 1, 2).value(), {1, 3}, {4, 5, 6});
}

TEST_CASE("slice errors", "[slice]") {
  Var x = random_tensor({2, 3}, 1);
  CHECK_THROWS_WITH(slice(x, 1, 1, 4), ContainsSubstring("slice: 1..4 of axis 1 of [2,3]"));
  CHECK_THROWS_WITH(slice(x, 1, -1, 2), ContainsSubstring("slice: -1..2"));
  CHECK_THROWS_WITH(slice(x, 1, 2, 1), ContainsSubstring("slice: 2..1"));
  CHECK_THROWS_WITH(slice(x, -3, 0, 1), ContainsSubstring("slice: no axis -3 in [2,3]"));
}
