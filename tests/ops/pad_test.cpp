#include "ops/pad.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {
const std::vector<PadMode> kModes = {PadMode::zero, PadMode::reflect, PadMode::replicate};
OpUnderTest padded(const Padding& padding, PadMode mode) {
  return [=](const std::vector<Var>& v) { return pad2d(v[0], padding, mode); };
}
}  // namespace

TEST_CASE("pad2d: gradients, f32, threads", "[pad]") {
  for (PadMode mode : kModes) {
    check_op(padded({}, mode), {random_tensor({1, 1, 1, 1}, 1)});
    check_op(padded({0, 2, 0, 1}, mode), {random_tensor({1, 3, 2, 3}, 1)});
    check_op(padded({3, 1, 2, 4}, mode), {random_tensor({3, 4, 5, 1}, 1)});
    check_op(padded({1, 1, 1, 1}, mode), {random_tensor({1, 2, 3, 17}, 1)});
    check_large(padded({3, 0, 5, 2}, mode), {random_tensor({3, 40, 33, 8}, 1)});
  }
  check_op(padded({2, 2, 2, 2}, PadMode::replicate), {random_tensor({1, 1, 1, 2}, 1)});
}

TEST_CASE("pad2d: values", "[pad]") {
  Var x = tensor({1, 1, 3, 1}, {1, 2, 3});
  check_values(pad2d(x, {0, 0, 2, 2}).value(), {1, 1, 7, 1}, {0, 0, 1, 2, 3, 0, 0});
  check_values(pad2d(x, {0, 0, 2, 2}, PadMode::reflect).value(), {1, 1, 7, 1}, {3, 2, 1, 2, 3, 2, 1});
  check_values(pad2d(x, {0, 0, 2, 2}, PadMode::replicate).value(), {1, 1, 7, 1}, {1, 1, 1, 2, 3, 3, 3});
  check_values(pad2d(x, {1, 0, 0, 0}, PadMode::replicate).value(), {1, 2, 3, 1}, {1, 2, 3, 1, 2, 3});
}

TEST_CASE("pad2d keeps bits inside", "[pad]") {
  Tensor x = tensor({1, 1, 4, 1}, {-0.0, INFINITY, NAN, 1e-310});
  for (PadMode mode : kModes) CHECK(same_bits(pad2d(x, {}, mode).value(), x));
}

TEST_CASE("pad2d errors", "[pad]") {
  Var x = random_tensor({1, 3, 4, 2}, 1);
  CHECK_THROWS_WITH(pad2d(x, {0, -1, 0, 0}), ContainsSubstring("pad2d") && ContainsSubstring("[1,3,4,2]"));
  CHECK_THROWS_WITH(pad2d(x, {3, 0, 0, 0}, PadMode::reflect),
                    ContainsSubstring("pad2d: reflection by 3,0,0,0") && ContainsSubstring("[1,3,4,2]"));
  CHECK_THROWS_WITH(pad2d(x, {0, 0, 0, 4}, PadMode::reflect), ContainsSubstring("0,0,0,4"));
  CHECK_THROWS_WITH(pad2d(random_tensor({3, 4}, 1), {}),
                    ContainsSubstring("pad2d") && ContainsSubstring("[3,4]"));
  CHECK_THROWS_WITH(pad2d(random_tensor({1, 0, 4, 1}, 1), {}, PadMode::replicate),
                    ContainsSubstring("[1,0,4,1]"));
}
