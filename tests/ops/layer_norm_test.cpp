#include "ops/layer_norm.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

TEST_CASE("layer_norm: gradients, f32, threads", "[layer_norm]") {
  OpUnderTest plain = [](const std::vector<Var>& v) { return layer_norm(v[0]); };
  OpUnderTest full = [](const std::vector<Var>& v) { return layer_norm(v[0], v[1], v[2], 1e-3); };
  for (const Shape& shape : {Shape{4}, {3, 5}, {2, 3, 1, 17}, {1, 2, 3, 64}}) {
    Tensor x = random_tensor(shape, 1), gamma = random_tensor({shape.back()}, 2),
           beta = random_tensor({shape.back()}, 3);
    check_op(plain, {x});
    check_op(full, {x, gamma, beta});
  }
  check_large(full, {random_tensor({2, 30, 31, 17}, 1), random_tensor({17}, 2), random_tensor({17}, 3)});
}

TEST_CASE("layer_norm of one channel is its bias", "[layer_norm]") {
  Var x = random_tensor({3, 1}, 1), gamma = tensor({1}, {2}), beta = tensor({1}, {0.5});
  check_values(layer_norm(x, gamma, beta).value(), {3, 1}, {0.5, 0.5, 0.5});
}

TEST_CASE("layer_norm keeps its accuracy far from zero", "[layer_norm]") {
  Var x(tensor({1, 4}, {1e4 + 1, 1e4 + 2, 1e4 + 3, 1e4 + 4}).to(DType::f32));
  check_values(layer_norm(x, {}, {}, 1e-12).value(), {1, 4},
               {-1.3416407864998738, -0.4472135954999579, 0.4472135954999579, 1.3416407864998738}, 1e-6);
}

TEST_CASE("layer_norm computes only the gradients asked for, and saves nothing otherwise", "[layer_norm]") {
  Var x(random_tensor({3, 5}, 1)), gamma(random_tensor({5}, 2), true), beta(random_tensor({5}, 3));
  backward(layer_norm(x, gamma, beta));
  CHECK(gamma.grad().shape() == Shape{5});
  NoGrad no_grad;
  CHECK(!layer_norm(x, gamma, beta).requires_grad());
}

TEST_CASE("layer_norm errors", "[layer_norm]") {
  CHECK_THROWS_WITH(layer_norm(random_tensor({3, 5}, 1), random_tensor({4}, 1)),
                    ContainsSubstring("layer_norm: gamma f64[4]") && ContainsSubstring("[3,5]"));
  CHECK_THROWS_WITH(layer_norm(random_tensor({3, 5}, 1), {}, random_tensor({1, 5}, 1)),
                    ContainsSubstring("layer_norm: beta f64[1,5]") && ContainsSubstring("[3,5]"));
  CHECK_THROWS_WITH(layer_norm(random_tensor({3, 5}, 1), {}, {}, 0), ContainsSubstring("layer_norm"));
}
