// AIIBlock against PyTorch in all three forms, values and gradients.
#include "models/aiiblock.h"

#include "tests/models/golden.h"

using namespace dgp;

TEST_CASE("AIIBlock: result and gradients are PyTorch's in every form") {
  for (auto [k, channels] : {std::pair<int64_t, int64_t>(3, 3), std::pair<int64_t, int64_t>(5, 1)}) {
    Golden golden("aiiblock_k" + std::to_string(k));
    for (auto [dtype, tolerance] : {std::pair(DType::f64, 1e-10), std::pair(DType::f32, 1e-5)}) {
      for (Form form : {Form::parallel, Form::fused, Form::folded}) {
        INFO("k " << k << " " << to_string(dtype) << " form " << static_cast<int>(form));
        AIIBlock block(channels, k, Rng(1));
        block.visit(golden.loader(dtype), "");
        Var x(golden["x"].to(dtype), true);
        Var y = block(x, form);
        CHECK(relative_l2(y.value(), golden["y"]) <= tolerance);
        backward(y, golden["dy"].to(dtype));
        CHECK(relative_l2(x.grad(), golden["dx"]) <= tolerance);
        if (k == 3) block.visit(gradient_checker(golden, tolerance), "");
      }
    }
  }
}

TEST_CASE("AIIBlock: folding is exact, on images as small as one pixel") {
  for (int64_t k : {3, 5})
    for (const Shape& shape : {Shape{1, 1, 1, 6}, Shape{2, 1, 9, 6}, Shape{1, 2, 1, 6}, Shape{3, 7, 5, 6}}) {
      AIIBlock block(6, k, Rng(3));
      block.visit(randomiser(11), "");
      block.visit(
          [](const std::string&, Var& v) {
            if (v.requires_grad()) v.set_value(v.value().to(DType::f64));
          },
          "");
      Tensor x = random_tensor(shape, 4);
      Tensor folded = block(x, Form::folded).value();
      INFO("k " << k << " input " << to_string(shape));
      CHECK(largest_difference(block(x, Form::fused).value(), folded) < 1e-12);
      CHECK(largest_difference(block(x, Form::parallel).value(), folded) < 1e-12);
    }
}
