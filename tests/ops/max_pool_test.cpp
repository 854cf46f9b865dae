#include "ops/max_pool.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

// This op has no kernel for the GPU.
void check_on_cpu(const OpUnderTest& f, const std::vector<Tensor>& inputs) {
  check_gradient(f, inputs);
  check_f32(f, inputs);
  check_threads(f, inputs);
}

// No two alike, in a scattered order: central differences must not change which one is largest.
Tensor distinct(const Shape& shape) {
  Tensor t(shape, DType::f64);
  const int64_t n = t.numel();
  for (int64_t i = 0; i < n; ++i)
    t.data<double>()[i] = 2 * static_cast<double>(i * 7919 % n) / static_cast<double>(n) - 1;
  return t;
}

}  // namespace

TEST_CASE("max_pool: gradients, f32, threads", "[max_pool]") {
  OpUnderTest pool = [](const std::vector<Var>& v) { return max_pool(v[0]); };
  for (int64_t c : {1, 3, 17}) {
    check_on_cpu(pool, {distinct({1, 2, 2, c})});
    check_on_cpu(pool, {distinct({3, 5, 4, c})});
    check_f32(pool, {random_tensor({2, 60, 61, c}, 3)});
    check_threads(pool, {random_tensor({2, 60, 61, c}, 3)});
  }
}

TEST_CASE("max_pool: values, equal ones, errors", "[max_pool]") {
  Var x(tensor({1, 2, 5, 1}, {1, 7, 2, 2, 9, 3, 4, 2, 2, 9}), true);
  Var y = max_pool(x);
  check_values(y.value(), {1, 1, 2, 1}, {7, 2});
  backward(y, tensor({1, 1, 2, 1}, {10, 20}));
  check_values(x.grad(), {1, 2, 5, 1}, {0, 10, 20, 0, 0, 0, 0, 0, 0, 0});
  CHECK_THROWS_WITH(max_pool(random_tensor({1, 1, 4, 3}, 1)),
                    ContainsSubstring("max_pool: expects at least 2x2 pixels, input is [1,1,4,3]"));
  CHECK_THROWS_WITH(max_pool(random_tensor({4, 3}, 1)), ContainsSubstring("max_pool: input"));
}
