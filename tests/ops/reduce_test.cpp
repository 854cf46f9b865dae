#include "ops/reduce.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {
OpUnderTest sum_over(const Axes& axes, bool keepdim) {
  return [=](const std::vector<Var>& v) { return sum(v[0], axes, keepdim); };
}
OpUnderTest mean_over(const Axes& axes, bool keepdim) {
  return [=](const std::vector<Var>& v) { return mean(v[0], axes, keepdim); };
}
const std::vector<Axes> kAxes = {{},     {0},    {3},       {1, 2},       {0, 3},
                                 {0, 2}, {1, 3}, {0, 1, 2}, {0, 1, 2, 3}, {-1, -3}};
}  // namespace

TEST_CASE("sum and mean: gradients, f32, threads", "[reduce]") {
  for (const Shape& shape : {Shape{1, 1, 1, 1}, {3, 5, 1, 3}, {1, 4, 3, 17}, {2, 3, 4, 2}})
    for (const Axes& axes : kAxes)
      for (bool keepdim : {false, true}) {
        check_op(sum_over(axes, keepdim), {random_tensor(shape, 1)});
        check_op(mean_over(axes, keepdim), {random_tensor(shape, 1)});
      }
  for (const Axes& axes : kAxes) check_large(mean_over(axes, false), {random_tensor({3, 50, 41, 7}, 1)});
  OpUnderTest all = [](const std::vector<Var>& v) { return sum(v[0]); };
  OpUnderTest all_mean = [](const std::vector<Var>& v) { return mean(v[0]); };
  OpUnderTest pool = [](const std::vector<Var>& v) { return global_average_pool(v[0]); };
  for (const OpUnderTest& f : {all, all_mean, pool}) {
    check_op(f, {random_tensor({3, 5, 4, 3}, 1)});
    check_large(f, {random_tensor({3, 60, 71, 5}, 1)});
  }
}

TEST_CASE("sums over axes add what a plain loop adds", "[reduce]") {
  Tensor x = random_tensor({3, 4, 5, 6}, 1);
  for (int mask = 0; mask < 16; ++mask) {
    Axes axes;
    Shape kept = x.shape();
    for (int a = 0; a < 4; ++a)
      if (mask >> a & 1) axes.push_back(a), kept[static_cast<size_t>(a)] = 1;
    std::vector<double> want(static_cast<size_t>(numel(kept)));
    for (int64_t i = 0; i < x.numel(); ++i) {
      int64_t index[4] = {i / 120, i / 30 % 4, i / 6 % 5, i % 6}, at = 0;
      for (int a = 0; a < 4; ++a) at = at * kept[static_cast<size_t>(a)] + (mask >> a & 1 ? 0 : index[a]);
      want[static_cast<size_t>(at)] += x.data<double>()[i];
    }
    check_values(sum(x, axes, true).value(), kept, want);
  }
}

TEST_CASE("f32 sums are kept in double", "[reduce]") {
  int64_t n = 3'000'000;
  Tensor x = Tensor::full({n}, 0.1);  // summed in f32, the error would be above 1
  CHECK(static_cast<double>(sum(x).value().item()) == Approx(0.1f * static_cast<double>(n)).epsilon(1e-7));
  CHECK(mean(x).value().item() == 0.1f);
  CHECK(mean(x.reshape({n / 3, 3}), {0}).value().data<float>()[2] == 0.1f);
}

TEST_CASE("shapes of reductions", "[reduce]") {
  Var x = random_tensor({2, 3, 4, 5}, 1);
  CHECK(sum(x).shape() == Shape{});
  CHECK(sum(x, {1, -1}).shape() == Shape{2, 4});
  CHECK(sum(x, {1, -1}, true).shape() == Shape{2, 1, 4, 1});
  CHECK(global_average_pool(x).shape() == Shape{2, 5});
  CHECK(sum(random_tensor({0, 3}, 1), {0}).value().data<double>()[2] == 0);
  CHECK(sum(random_tensor({0, 3}, 1), {1}).shape() == Shape{0});
}

TEST_CASE("reduce errors", "[reduce]") {
  Var x = random_tensor({2, 3}, 1);
  CHECK_THROWS_WITH(sum(x, {2}), ContainsSubstring("sum: no axis 2 in [2,3]"));
  CHECK_THROWS_WITH(mean(x, {0, -2}), ContainsSubstring("mean: axis -2 of [2,3] is named twice"));
  CHECK_THROWS_WITH(mean(random_tensor({0, 3}, 1)), ContainsSubstring("mean: [0,3]"));
  CHECK_THROWS_WITH(mean(random_tensor({2, 0}, 1), {1}), ContainsSubstring("mean: [2,0]"));
  CHECK_THROWS_WITH(global_average_pool(x),
                    ContainsSubstring("global_average_pool") && ContainsSubstring("[2,3]"));
}
