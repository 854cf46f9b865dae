#include "ops/pointwise.h"

#include <limits>

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

struct UnaryCase {
  const char* name;
  std::function<Var(const Var&)> f;
};

std::vector<UnaryCase> unary_cases() {
  std::vector<UnaryCase> cases;
#define DGP_CASE(name, Function) cases.push_back({#name, [](const Var& x) { return name(x); }});
  DGP_UNARY_OPS(DGP_CASE)
#undef DGP_CASE
  cases.push_back({"add constant", [](const Var& x) { return add(x, 0.75); }});
  cases.push_back({"mul constant", [](const Var& x) { return mul(x, -1.5); }});
  cases.push_back({"leaky_relu", [](const Var& x) { return leaky_relu(x, 0.2); }});
  cases.push_back({"clamp", [](const Var& x) { return clamp(x, 0.25, 0.75); }});
  return cases;
}

struct BinaryCase {
  const char* name;
  std::function<Var(const Var&, const Var&)> f;
};

std::vector<BinaryCase> binary_cases() {
  std::vector<BinaryCase> cases;
#define DGP_CASE(name, Function) \
  cases.push_back({#name, [](const Var& a, const Var& b) { return name(a, b); }});
  DGP_BINARY_OPS(DGP_CASE)
#undef DGP_CASE
  return cases;
}

// Inside the domain of sqrt and log, away from the kinks of clamp; the sign does not matter to the others,
// which see the negative half of the line in the second tensor.
Tensor positive(const Shape& shape) { return random_away_from(shape, 1, {0.25, 0.75}, 0.02, 0.1, 1.5); }
Tensor negative(const Shape& shape) { return random_tensor(shape, 2, -1.5, -0.1); }

Tensor gradient_of(const std::function<Var(const Var&)>& f, const std::vector<double>& x) {
  Var leaf(tensor({static_cast<int64_t>(x.size())}, x), true);
  backward(f(leaf));
  return leaf.grad();
}

}  // namespace

TEST_CASE("unary pointwise ops: gradients, f32, threads", "[pointwise]") {
  for (const UnaryCase& c : unary_cases()) {
    INFO(c.name);
    OpUnderTest f = [&](const std::vector<Var>& v) { return c.f(v[0]); };
    for (const Shape& shape : {Shape{}, {1}, {0, 3}, {3, 1, 5, 17}}) check_op(f, {positive(shape)});
    check_large(f, {positive({2, 29, 41, 17})});
    if (std::string(c.name) != "sqrt" && std::string(c.name) != "log") check_op(f, {negative({2, 3, 7})});
  }
}

TEST_CASE("binary pointwise ops: gradients, f32, threads, broadcasting", "[pointwise]") {
  std::vector<std::pair<Shape, Shape>> shapes = {
      {{2, 3, 4, 5}, {2, 3, 4, 5}}, {{2, 3, 4, 5}, {}},           {{}, {2, 3}},     {{3, 2, 5, 3}, {3}},
      {{2, 3, 4, 5}, {2, 1, 1, 5}}, {{2, 1, 1, 5}, {2, 3, 4, 5}}, {{4, 1}, {1, 6}}, {{2, 1, 3, 1}, {4, 1, 7}},
      {{1, 1, 1, 1}, {3}},          {{2, 3, 4, 1}, {2, 3, 4, 5}}, {{0, 4}, {4}}};
  for (const BinaryCase& c : binary_cases()) {
    INFO(c.name);
    OpUnderTest f = [&](const std::vector<Var>& v) { return c.f(v[0], v[1]); };
    for (const auto& [a, b] : shapes) {
      INFO(to_string(a) << " and " << to_string(b));
      check_op(f, {random_tensor(a, 3), positive(b)});
    }
    check_large(f, {random_tensor({2, 29, 31, 17}, 3), positive({2, 29, 31, 17})});
    check_large(f, {random_tensor({2, 29, 31, 17}, 3), positive({17})});
    check_large(f, {random_tensor({3, 37, 41, 8}, 3), positive({3, 1, 1, 8})});
    check_large(f, {random_tensor({40000}, 3), positive({})});
  }
}

TEST_CASE("broadcasting reads the elements NumPy reads", "[pointwise]") {
  Var column = tensor({3, 1}, {10, 20, 30}), row = tensor({4}, {1, 2, 3, 4});
  check_values(add(column, row).value(), {3, 4}, {11, 12, 13, 14, 21, 22, 23, 24, 31, 32, 33, 34});
  check_values(sub(row, column).value(), {3, 4}, {-9, -8, -7, -6, -19, -18, -17, -16, -29, -28, -27, -26});
  Tensor a = random_tensor({2, 5, 3, 1, 4}, 1), b = random_tensor({3, 7, 1}, 2);
  Tensor y = mul(a, b).value();
  REQUIRE(y.shape() == Shape{2, 5, 3, 7, 4});
  for (int64_t i = 0; i < y.numel(); ++i) {
    int64_t e = i % 4, d = i / 4 % 7, c = i / 28 % 3, front = i / 84;
    REQUIRE(y.data<double>()[i] == a.data<double>()[(front * 3 + c) * 4 + e] * b.data<double>()[c * 7 + d]);
  }
}

TEST_CASE("prelu", "[pointwise]") {
  OpUnderTest f = [](const std::vector<Var>& v) { return prelu(v[0], v[1]); };
  for (int64_t c : {1, 3, 17}) check_op(f, {random_away_from({2, 3, 2, c}, 1, {0}), random_tensor({c}, 2)});
  check_large(f, {random_away_from({2, 60, 61, 17}, 1, {0}), random_tensor({17}, 2)});
  check_values(prelu(tensor({2, 2}, {-2, -2, 3, 3}), tensor({2}, {0.5, -1})).value(), {2, 2}, {-1, 2, 3, 3});
}

TEST_CASE("pointwise derivatives at kinks are PyTorch's", "[pointwise]") {
  check_values(gradient_of([](const Var& x) { return relu(x); }, {-1, 0, 1}), {3}, {0, 0, 1});
  check_values(gradient_of([](const Var& x) { return leaky_relu(x, 0.2); }, {-1, 0, 1}), {3}, {0.2, 0.2, 1});
  check_values(gradient_of([](const Var& x) { return abs(x); }, {-1, 0, 1}), {3}, {-1, 0, 1});
  check_values(gradient_of([](const Var& x) { return clamp(x, -1, 1); }, {-2, -1, 0, 1, 2}), {5},
               {0, 1, 1, 1, 0});
  check_values(gradient_of(
                   [](const Var& x) {
                     return prelu(x, tensor({3}, {0.2, 0.3, 0.4}));
                   },
                   {-1, 0, 1}),
               {3}, {0.2, 0.3, 1});
  Tensor at_zero = gradient_of([](const Var& x) { return sqrt(x); }, {0});
  CHECK(std::isinf(at_zero.data<double>()[0]));
}

TEST_CASE("gelu, sigmoid, silu, tanh: known values", "[pointwise]") {  // torch 1.13, float64
  Var x = tensor({5}, {-3, -0.5, 0, 0.7, 2});
  check_values(gelu(x).value(), {5},
               {-0.004049694094890283, -0.15426876936299344, 0, 0.5306254434438489, 1.9544997361036416});
  check_values(sigmoid(x).value(), {5},
               {0.04742587317756678, 0.3775406687981454, 0.5, 0.6681877721681662, 0.8807970779778823});
  check_values(silu(x).value(), {5},
               {-0.14227761953270035, -0.1887703343990727, 0, 0.46773144051771634, 1.7615941559557646});
  check_values(tanh(x).value(), {5},
               {-0.9950547536867305, -0.46211715726000973, 0, 0.6043677771171636, 0.9640275800758169});
}

TEST_CASE("pointwise ops hand on what is not a number, and infinities stay finite where they should",
          "[pointwise]") {
  double nan = std::numeric_limits<double>::quiet_NaN();
  for (const UnaryCase& c : unary_cases()) {
    INFO(c.name);
    CHECK(std::isnan(c.f(tensor({1}, {nan})).value().data<double>()[0]));
  }
  Var big = tensor({2}, {-1e4, 1e4});
  check_values(sigmoid(big).value(), {2}, {0, 1});
  check_values(sigmoid(Var(big.value().to(DType::f32))).value(), {2}, {0, 1});
}

TEST_CASE("pointwise ops compute only the gradients asked for", "[pointwise]") {
  for (const BinaryCase& c : binary_cases()) {
    INFO(c.name);
    Var a(random_tensor({3, 4}, 1), true), b(positive({4}));
    backward(c.f(a, b));
    CHECK(a.grad().defined());
    CHECK(!b.requires_grad());
    Var d(random_tensor({3, 4}, 1)), e(positive({4}), true);
    backward(c.f(d, e));
    CHECK(e.grad().shape() == Shape{4});
  }
}

TEST_CASE("pointwise errors name the op and both shapes", "[pointwise]") {
  Var a = random_tensor({2, 3}, 1), b = random_tensor({4, 3}, 1);
  for (const BinaryCase& c : binary_cases()) {
    CHECK_THROWS_WITH(c.f(a, b), ContainsSubstring(std::string(c.name) + ":") && ContainsSubstring("[2,3]") &&
                                     ContainsSubstring("[4,3]"));
    CHECK_THROWS_WITH(c.f(a, Var(a.value().to(DType::f32))), ContainsSubstring(c.name) &&
                                                                 ContainsSubstring("f64[2,3]") &&
                                                                 ContainsSubstring("f32[2,3]"));
  }
  CHECK_THROWS_WITH(prelu(a, tensor({2}, {0, 0})),
                    ContainsSubstring("prelu") && ContainsSubstring("[2]") && ContainsSubstring("[2,3]"));
  CHECK_THROWS_WITH(clamp(a, 1, 0), ContainsSubstring("clamp") && ContainsSubstring("[2,3]"));
  CHECK_THROWS_WITH(relu(Tensor::zeros({2}, DType::u8)),
                    ContainsSubstring("relu") && ContainsSubstring("u8"));
}
