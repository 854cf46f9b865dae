// DGConv against PyTorch, and the identities its fusion rests on.
#include "models/dgconv.h"

#include "tests/models/golden.h"

using namespace dgp;

namespace {

struct Layer {
  const char* form;
  std::vector<Operator> operators;
  int64_t k;
};
const std::vector<Layer> kLayers = {{"all", kAllOperators, 3},
                                    {"all", kAllOperators, 5},
                                    {"statistical", kStatisticalOperators, 3},
                                    {"structural", kStructuralOperators, 3}};

DGConv recorded(const Layer& layer, const Golden& golden, DType dtype) {
  DGConv conv(2, 3, layer.k, layer.operators, Rng(1));
  conv.visit(golden.loader(dtype), "");
  return conv;
}

// PyTorch's [n,O,I,k,k] as ours, [n,O,k,k,I].
Tensor channels_last(const Tensor& t) {
  const Shape& s = t.shape();
  Tensor kernels = from_file_layout(t.reshape({s[0] * s[1], s[2], s[3], s[4]}));
  return kernels.reshape({s[0], s[1], s[3], s[4], s[2]});
}

}  // namespace

TEST_CASE("DGConv: kernels, balance factors, result and gradients are PyTorch's") {
  for (const Layer& layer : kLayers) {
    Golden golden("dgconv_" + std::string(layer.form) + "_k" + std::to_string(layer.k));
    for (auto [dtype, tolerance] : {std::pair(DType::f64, 1e-10), std::pair(DType::f32, 1e-5)}) {
      for (bool parallel : {false, true}) {
        INFO(layer.form << " k " << layer.k << " " << to_string(dtype)
                        << (parallel ? " parallel" : " fused"));
        DGConv conv = recorded(layer, golden, dtype);
        Var kernels = conv.kernels();
        CHECK(relative_l2(kernels.value(), channels_last(golden["kernels"])) <= tolerance);
        CHECK(relative_l2(conv.balance_factors(kernels).value(), golden["alpha"]) <= tolerance);
        CHECK(relative_l2(conv.fused_weight().value(), golden["fused_weight"]) <= tolerance);
        Var x(golden["x"].to(dtype), true);
        Var y = parallel ? conv.parallel(x) : conv(x);
        CHECK(relative_l2(y.value(), golden["y"]) <= tolerance);
        backward(y, golden["dy"].to(dtype));
        CHECK(relative_l2(x.grad(), golden["dx"]) <= tolerance);
        conv.visit(gradient_checker(golden, tolerance), "");
      }
    }
  }
}

TEST_CASE("DGConv: the gradient operators' kernels sum to zero, hg and vg skip the middle") {
  for (int64_t k : {3, 5}) {
    DGConv conv(4, 3, k, kAllOperators, Rng(5));
    conv.visit(randomiser(7), "");
    Tensor kernels = conv.kernels().value().to(DType::f64);  // [n,O,k,k,I]
    auto at = [&](size_t op, int64_t o, int64_t y, int64_t x, int64_t i) {
      return kernels.data<double>()[(((static_cast<int64_t>(op) * 3 + o) * k + y) * k + x) * 4 + i];
    };
    for (size_t op = 0; op < kAllOperators.size(); ++op)
      for (int64_t o = 0; o < 3; ++o)
        for (int64_t i = 0; i < 4; ++i) {
          double sum = 0, column = 0, row = 0;
          for (int64_t y = 0; y < k; ++y) {
            for (int64_t x = 0; x < k; ++x) sum += at(op, o, y, x, i);
            column += std::abs(at(op, o, y, k / 2, i));
            row += std::abs(at(op, o, k / 2, y, i));
          }
          INFO(to_string(kAllOperators[op]));
          bool plain = kAllOperators[op] == Operator::csa || kAllOperators[op] == Operator::vc;
          CHECK((std::abs(sum) < 1e-6) != plain);
          CHECK((column == 0) == (kAllOperators[op] == Operator::hg));
          CHECK((row == 0) == (kAllOperators[op] == Operator::vg));
        }
  }
}

TEST_CASE("DGConv: balance factors start at one") {
  DGConv conv(5, 4, 3, kAllOperators, Rng(2));
  Tensor alpha = conv.balance_factors(conv.kernels()).value();
  REQUIRE(alpha.shape() == Shape{6});
  for (int i = 0; i < 6; ++i) CHECK(alpha.data<float>()[i] == 1.f);
}
