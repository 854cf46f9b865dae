#include "ops/separable.h"

#include "ops/broadcast.h"
#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {
// A matrix with rows of 0 to 4 entries in no order, one column twice.
AxisMap irregular(int64_t in) {
  AxisMap map;
  map.in = in;
  for (int64_t row = 0; row < 7; ++row) {
    for (int64_t e = 0; e < row % 5; ++e)
      map.entry((row * 3 + e * 5) % in, 0.5 + 0.25 * static_cast<double>(e - row));
    map.end_row();
  }
  return map;
}

std::vector<double> dense(const AxisMap& map) {
  std::vector<double> m(static_cast<size_t>(map.out() * map.in));
  for (int64_t row = 0; row < map.out(); ++row)
    for (auto e = static_cast<size_t>(map.first[static_cast<size_t>(row)]);
         e < static_cast<size_t>(map.first[static_cast<size_t>(row) + 1]); ++e)
      m[static_cast<size_t>(row * map.in + map.index[e])] += map.weight[e];
  return m;
}
}  // namespace

TEST_CASE("separable maps: gradients, f32, threads", "[separable]") {
  for (int64_t c : {1, 2, 3, 17}) {
    OpUnderTest f = [](const std::vector<Var>& v) { return separable(v[0], irregular(4), irregular(5)); };
    check_op(f, {random_tensor({2, 4, 5, c}, 1)});
  }
}

TEST_CASE("separable maps multiply by both matrices; the transposed map is the transposed matrix",
          "[separable]") {
  AxisMap rows = irregular(4), columns = irregular(5), flipped = transposed(columns);
  std::vector<double> a = dense(rows), b = dense(columns), t = dense(flipped);
  for (int64_t i = 0; i < 7; ++i)
    for (int64_t j = 0; j < 5; ++j)
      CHECK(t[static_cast<size_t>(j * 7 + i)] == b[static_cast<size_t>(i * 5 + j)]);
  Tensor x = random_tensor({1, 4, 5, 2}, 1);
  std::vector<double> want;
  for (size_t i = 0; i < 7; ++i)
    for (size_t j = 0; j < 7; ++j)
      for (size_t c = 0; c < 2; ++c) {
        double sum = 0;
        for (size_t p = 0; p < 4; ++p)
          for (size_t q = 0; q < 5; ++q)
            sum += a[i * 4 + p] * b[j * 5 + q] * x.data<double>()[(p * 5 + q) * 2 + c];
        want.push_back(sum);
      }
  check_values(separable(x, rows, columns).value(), {1, 7, 7, 2}, want);
  CHECK_THROWS_WITH(separable(x, columns, rows),
                    ContainsSubstring("separable") && ContainsSubstring("[1,4,5,2]"));
}

TEST_CASE("broadcast_to repeats", "[broadcast]") {
  check_values(broadcast_to(tensor({2, 1}, {1, 2}), {2, 2, 3}), {2, 2, 3},
               {1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2});
  CHECK_THROWS_WITH(broadcast_to(tensor({2}, {1, 2}), {2, 1}),
                    ContainsSubstring("[2]") && ContainsSubstring("[2,1]"));
}
