#include "autograd/gradcheck.h"

#include <cmath>

#include "tests/test.h"

using namespace dgp;

namespace {
// sin x with a gradient of `factor` cos x at element `wrong`, right elsewhere.
Var sine(const Var& x, double factor, int64_t wrong) {
  Tensor y(x.shape(), DType::f64);
  for (int64_t i = 0; i < y.numel(); ++i) y.data<double>()[i] = std::sin(x.value().data<double>()[i]);
  return record(y, {x}, [x = x.value(), factor, wrong](const Tensor& dy, const Wanted&) {
    Tensor dx(x.shape(), DType::f64);
    for (int64_t i = 0; i < x.numel(); ++i)
      dx.data<double>()[i] = (i == wrong ? factor : 1) * std::cos(x.data<double>()[i]) * dy.data<double>()[i];
    return std::vector<Tensor>{dx};
  });
}
const Tensor& input() {
  static Tensor x = Tensor::from<double>({2, 2}, {0.1, -0.4, 0.7, 2});
  return x;
}
}  // namespace

TEST_CASE("gradcheck passes a right gradient", "[gradcheck]") {
  CHECK(gradcheck([](const std::vector<Var>& v) { return sine(v[0], 1, 0); }, {input()}).worst < 1e-10);
}

TEST_CASE("gradcheck finds one wrong element, by one part in a million", "[gradcheck]") {
  GradcheckResult result =
      gradcheck([](const std::vector<Var>& v) { return sine(v[0], 1 + 2e-6, 2); }, {input()});
  CHECK(result.worst > 1e-6);
  CHECK(result.worst < 3e-6);
  CHECK_THAT(result.where, ContainsSubstring("input 0 element 2"));
}

TEST_CASE("gradcheck finds a gradient that is missing, or not a number", "[gradcheck]") {
  auto missing = [](const std::vector<Var>& v) {
    Var y = sine(v[0], 1, 0);
    return record(y.value(), {v[0]}, [](const Tensor&, const Wanted&) { return std::vector<Tensor>{{}}; });
  };
  CHECK(gradcheck(missing, {input()}).worst > 0.5);
  CHECK(!(gradcheck([](const std::vector<Var>& v) { return sine(v[0], NAN, 1); }, {input()}).worst <= 1e-6));
}

TEST_CASE("gradcheck wants f64 and leaves its inputs alone", "[gradcheck]") {
  Tensor x = input().clone();
  gradcheck([](const std::vector<Var>& v) { return sine(v[0], 1, 0); }, {x});
  for (int64_t i = 0; i < 4; ++i) CHECK(x.data<double>()[i] == input().data<double>()[i]);
  auto f32 = [](const std::vector<Var>& v) { return Var(v[0].value().to(DType::f32), true); };
  CHECK_THROWS_WITH(gradcheck(f32, {x}), ContainsSubstring("f32"));
}
