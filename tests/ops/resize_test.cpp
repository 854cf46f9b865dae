#include "ops/resize.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

TEST_CASE("resize: gradients, f32, threads", "[resize]") {
  for (ResizeMode mode : {ResizeMode::nearest, ResizeMode::bilinear, ResizeMode::bicubic}) {
    auto to = [mode](int64_t h, int64_t w) {
      return [=](const std::vector<Var>& v) { return resize(v[0], h, w, mode); };
    };
    check_op(to(1, 1), {random_tensor({1, 1, 1, 1}, 1)});
    check_op(to(5, 3), {random_tensor({3, 1, 1, 3}, 1)});
    check_op(to(10, 14), {random_tensor({1, 5, 7, 3}, 1)});
    check_op(to(3, 11), {random_tensor({2, 7, 4, 17}, 1)});
    check_op(to(1, 2), {random_tensor({1, 9, 8, 1}, 1)});
    check_large(to(4 * 23, 4 * 19), {random_tensor({3, 23, 19, 3}, 1)});
    check_large(to(40, 31), {random_tensor({2, 23, 19, 64}, 1)});
  }
}

TEST_CASE("resize to the same size changes nothing", "[resize]") {
  Tensor x = random_tensor({2, 5, 7, 3}, 1);
  for (ResizeMode mode : {ResizeMode::nearest, ResizeMode::bilinear, ResizeMode::bicubic})
    CHECK(same_bits(resize(x, 5, 7, mode).value(), x));
}

TEST_CASE("resize in bands has the bits of the whole", "[resize]") {
  Tensor x = random_tensor({2, 13, 9, 3}, 1).to(DType::f32);
  for (ResizeMode mode : {ResizeMode::nearest, ResizeMode::bilinear, ResizeMode::bicubic}) {
    Tensor whole = resize(x, 39, 27, mode).value();
    for (int64_t n : {0, 1})
      for (int64_t first = 0; first < 39; first += 5) {
        int64_t rows = std::min<int64_t>(5, 39 - first), low = std::max<int64_t>(0, first / 3 - 2);
        int64_t high = std::min<int64_t>(13, (first + rows) / 3 + 3);
        Tensor band = x.slab(n, 1).reshape({13, 9, 3}).slab(low, high - low).reshape({1, high - low, 9, 3});
        Tensor part = cpu::resize_rows(band, low, 13, 39, 27, mode, first, rows);
        Tensor want = whole.slab(n, 1).reshape({39, 27, 3}).slab(first, rows);
        CHECK(same_bits(part.reshape(want.shape()), want));
      }
    CHECK_THROWS_WITH(cpu::resize_rows(x, 8, 21, 39, 27, mode, 0, 5), ContainsSubstring("[2,13,9,3]"));
  }
}

TEST_CASE("resize errors", "[resize]") {
  CHECK_THROWS_WITH(resize(random_tensor({2, 3}, 1), 4, 4),
                    ContainsSubstring("resize") && ContainsSubstring("[2,3]"));
  CHECK_THROWS_WITH(resize(random_tensor({1, 2, 3, 1}, 1), 0, 4), ContainsSubstring("resize") &&
                                                                      ContainsSubstring("[1,2,3,1]") &&
                                                                      ContainsSubstring("0x4"));
}
