#include "ops/reshape.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

TEST_CASE("reshape: gradients, f32, threads", "[reshape]") {
  check_op([](const std::vector<Var>& v) { return reshape(v[0], {}); }, {random_tensor({1, 1}, 1)});
  check_op([](const std::vector<Var>& v) { return reshape(v[0], {3, -1}); }, {random_tensor({2, 3, 5}, 1)});
  check_op([](const std::vector<Var>& v) { return reshape(v[0], {0, 7}); }, {random_tensor({3, 0}, 1)});
}

TEST_CASE("reshape shares storage and keeps the order", "[reshape]") {
  Var x = tensor({2, 3}, {1, 2, 3, 4, 5, 6}), y = reshape(x, {3, 2});
  check_values(y.value(), {3, 2}, {1, 2, 3, 4, 5, 6});
  CHECK(y.value().bytes() == x.value().bytes());
}

TEST_CASE("reshape errors", "[reshape]") {
  Var x = random_tensor({2, 3}, 1);
  CHECK_THROWS_WITH(reshape(x, {4}), ContainsSubstring("reshape: [2,3] to [4]"));
  CHECK_THROWS_WITH(reshape(x, {4, -1}), ContainsSubstring("reshape: [2,3] to [4,1]"));
  CHECK_THROWS_WITH(reshape(x, {-1, -1}), ContainsSubstring("reshape") && ContainsSubstring("[-1,-1]"));
  CHECK_THROWS_WITH(reshape(x, {-2, -3}), ContainsSubstring("negative"));
}
