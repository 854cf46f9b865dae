#include "ops/pixel_shuffle.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

TEST_CASE("pixel_shuffle and pixel_unshuffle: gradients, f32, threads", "[pixel_shuffle]") {
  for (int64_t r : {1, 2, 3, 4})
    for (int64_t c : {1, 3}) {
      OpUnderTest spread = [r](const std::vector<Var>& v) { return pixel_shuffle(v[0], r); };
      OpUnderTest pack = [r](const std::vector<Var>& v) { return pixel_unshuffle(v[0], r); };
      check_op(spread, {random_tensor({1, 1, 1, c * r * r}, 1)});
      check_op(spread, {random_tensor({3, 2, 3, c * r * r}, 1)});
      check_op(pack, {random_tensor({2, 2 * r, r, c}, 1)});
      check_large(spread, {random_tensor({2, 40, 41, c * r * r}, 1)});
      check_large(pack, {random_tensor({2, 20 * r, 21 * r, c}, 1)});
    }
}

TEST_CASE("pixel_shuffle: channel order, and its inverse", "[pixel_shuffle]") {
  Var x = tensor({1, 1, 1, 8}, {0, 1, 2, 3, 10, 11, 12, 13});
  check_values(pixel_shuffle(x, 2).value(), {1, 2, 2, 2}, {0, 10, 1, 11, 2, 12, 3, 13});
  Tensor y = random_tensor({2, 6, 9, 5}, 1);
  CHECK(same_bits(pixel_shuffle(pixel_unshuffle(y, 3), 3).value(), y));
}

TEST_CASE("pixel_shuffle errors", "[pixel_shuffle]") {
  CHECK_THROWS_WITH(pixel_shuffle(random_tensor({1, 2, 3, 6}, 1), 2),
                    ContainsSubstring("pixel_shuffle: factor 2") && ContainsSubstring("[1,2,3,6] has 6"));
  CHECK_THROWS_WITH(pixel_shuffle(random_tensor({1, 2, 3, 6}, 1), 0),
                    ContainsSubstring("pixel_shuffle: factor 0"));
  CHECK_THROWS_WITH(pixel_unshuffle(random_tensor({1, 2, 3, 6}, 1), 2),
                    ContainsSubstring("pixel_unshuffle: factor 2") && ContainsSubstring("[1,2,3,6]"));
  CHECK_THROWS_WITH(pixel_unshuffle(random_tensor({2, 3}, 1), 2),
                    ContainsSubstring("pixel_unshuffle: input"));
}
