#include "ops/loss.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

using Loss = Var (*)(const Var&, const Var&);
Var charbonnier(const Var& x, const Var& t) { return charbonnier_loss(x, t); }
Var charbonnier_wide(const Var& x, const Var& t) { return charbonnier_loss(x, t, 0.1); }

OpUnderTest of(Loss loss) {
  return [=](const std::vector<Var>& v) { return loss(v[0], v[1]); };
}

// t differs from x by 0.1 at least: away from the kink of l1, and from charbonnier's bend.
std::vector<Tensor> pair_of(const Shape& shape) {
  Tensor x = random_tensor(shape, 1, 0, 1), t = random_away_from(shape, 2, {0}, 0.1);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] += x.data<double>()[i];
  return {x, t};
}

}  // namespace

TEST_CASE("pixel losses: gradients, f32, threads", "[loss]") {
  for (Loss loss : {&l1_loss, &charbonnier, &charbonnier_wide, &mse_loss}) {
    for (const Shape& shape : {Shape{}, {1, 1, 1, 1}, {3, 5, 2, 3}, {2, 3, 4, 17}})
      check_op(of(loss), pair_of(shape));
    check_large(of(loss), pair_of({2, 90, 91, 3}));
  }
}

TEST_CASE("ssim_loss: gradients, f32, threads", "[loss]") {
  check_op(of(ssim_loss), pair_of({1, 11, 11, 1}));
  check_op(of(ssim_loss), pair_of({2, 12, 15, 1}));
  check_op(of(ssim_loss), pair_of({1, 11, 12, 3}));
  check_threads(of(ssim_loss), pair_of({2, 60, 51, 3}));
  check_cuda(of(ssim_loss), pair_of({2, 20, 31, 3}));
}

TEST_CASE("losses: known values", "[loss]") {
  Var x = tensor({4}, {0, 1, 2, 3}), t = tensor({4}, {0, 2, 0, 3.5});
  CHECK(l1_loss(x, t).value().item<double>() == Approx(3.5 / 4));
  CHECK(mse_loss(x, t).value().item<double>() == Approx(5.25 / 4));
  CHECK(charbonnier_loss(x, x).value().item<double>() == Approx(1e-3));
  CHECK(l1_loss(x, t).shape() == Shape{});
  Var image = random_tensor({1, 16, 13, 3}, 1, 0, 1);
  CHECK(ssim_loss(image, image).value().item<double>() == Approx(0).margin(1e-12));
  Var dark = Tensor::full({1, 11, 11, 1}, 0, DType::f64),
      bright = Tensor::full({1, 11, 11, 1}, 1, DType::f64);
  CHECK(ssim_loss(dark, bright).value().item<double>() == Approx(1 - 1e-4 / (1 + 1e-4)));
}

TEST_CASE("losses at zero difference have zero gradient", "[loss]") {
  for (Loss loss : {&l1_loss, &charbonnier, &mse_loss}) {
    Var x(tensor({3}, {-1, 0, 2}), true);
    backward(loss(x, x.detach()));
    check_values(x.grad(), {3}, {0, 0, 0}, 0);
  }
}

TEST_CASE("losses: the target gets the opposite gradient, when it wants one", "[loss]") {
  for (Loss loss : {&l1_loss, &charbonnier, &mse_loss}) {
    auto in = pair_of({7});
    std::vector<Tensor> both = run_op(of(loss), in, DType::f64);
    for (int64_t i = 0; i < 7; ++i) CHECK(both[1].data<double>()[i] == -both[2].data<double>()[i]);
    Var t(in[1], true);
    backward(loss(in[0], t));
    CHECK(t.grad().defined());
  }
}

TEST_CASE("a large f32 loss is summed in double", "[loss]") {
  Tensor x = Tensor::full({1500000}, 0.1), t = Tensor::zeros({1500000});
  CHECK(l1_loss(x, t).value().item() == 0.1f);
}

TEST_CASE("loss errors", "[loss]") {
  Var a = random_tensor({2, 3}, 1), b = random_tensor({3, 2}, 1);
  CHECK_THROWS_WITH(l1_loss(a, b), ContainsSubstring("l1_loss: f64[2,3] and f64[3,2]"));
  CHECK_THROWS_WITH(mse_loss(a, b), ContainsSubstring("mse_loss: f64[2,3] and f64[3,2]"));
  CHECK_THROWS_WITH(charbonnier_loss(a, b), ContainsSubstring("charbonnier_loss: f64[2,3] and f64[3,2]"));
  CHECK_THROWS_WITH(charbonnier_loss(a, a, 0), ContainsSubstring("charbonnier_loss"));
  CHECK_THROWS_WITH(l1_loss(random_tensor({0, 2}, 1), random_tensor({0, 2}, 1)), ContainsSubstring("[0,2]"));
  CHECK_THROWS_WITH(ssim_loss(a, b), ContainsSubstring("ssim_loss: f64[2,3] and f64[3,2]"));
  Var small = random_tensor({1, 10, 20, 3}, 1);
  CHECK_THROWS_WITH(ssim_loss(small, small),
                    ContainsSubstring("ssim_loss") && ContainsSubstring("[1,10,20,3]"));
}
