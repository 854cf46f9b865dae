// DiffJPEG as an operation: PyTorch's numbers, forward and backward, differences, and both devices.
#include "ops/diff_jpeg.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double worst = 0;
  for (int64_t i = 0; i < a.numel(); ++i)
    worst = std::max(worst, std::abs(a.data<double>()[i] - b.data<double>()[i]));
  return worst;
}

}  // namespace

TEST_CASE("diff_jpeg is BasicSR's DiffJPEG in PyTorch, with both roundings, and so is its gradient",
          "[diff_jpeg]") {
  std::ifstream file(DGP_SOURCE_DIR "/tests/golden/ops/diff_jpeg.json");
  const nlohmann::json cases = nlohmann::json::parse(file)["cases"];
  REQUIRE(cases.size() == 3);
  for (const auto& c : cases) {
    const auto stored = [&](const char* name) {
      return tensor(c[name]["shape"].get<Shape>(), c[name]["values"].get<std::vector<double>>());
    };
    INFO("quality " << c["quality"]);
    const double quality = c["quality"];
    const Var x(stored("x"), true), same(stored("x"), true);
    const Var y = diff_jpeg(x, quality);
    CHECK(largest_difference(y.value(), stored("smooth")) < 1e-9);
    backward(y, stored("dy"));
    CHECK(largest_difference(x.grad(), stored("dx")) < 1e-9);
    const Var whole = diff_jpeg(same, quality, JpegSteps::whole);
    CHECK(largest_difference(whole.value(), stored("whole")) < 1e-9);
    backward(whole, stored("dy"));
    CHECK(largest_difference(same.grad(), Tensor::zeros(same.shape(), DType::f64)) == 0);
  }
}

// Smooth rounding jumps half way between two steps, where differences say nothing. Four fifths of the way
// from a picture of whole steps to any other, every coefficient is at least a tenth of a step away from
// there.
TEST_CASE("diff_jpeg with smooth steps has the gradient of differences, on either device", "[diff_jpeg]") {
  for (double quality : {30.5, 80.0}) {
    const OpUnderTest f = [=](const std::vector<Var>& v) { return diff_jpeg(v[0], quality); };
    const Tensor x = random_tensor({1, 16, 16, 3}, 3, 0.35, 0.65);
    const Tensor whole = diff_jpeg(x, quality, JpegSteps::whole).value();
    for (int64_t i = 0; i < x.numel(); ++i)
      x.data<double>()[i] = 0.8 * x.data<double>()[i] + 0.2 * whole.data<double>()[i];
    check_op(f, {x});
    check_large(f, {random_tensor({2, 5, 17, 3}, 4, 0, 1)});
    check_large(f, {random_tensor({1, 33, 18, 3}, 5, 0, 1)});
  }
}

TEST_CASE("diff_jpeg refuses what is no picture or no quality", "[diff_jpeg]") {
  CHECK_THROWS_WITH(diff_jpeg(Tensor({1, 4, 4, 1}), 50), ContainsSubstring("[1,4,4,1]"));
  CHECK_THROWS_AS(diff_jpeg(Tensor({4, 4, 3}), 50), Error);
  CHECK_THROWS_WITH(diff_jpeg(Tensor({1, 4, 4, 3}), 0), ContainsSubstring("above 0"));
  CHECK_THROWS_AS(diff_jpeg(Tensor({1, 4, 4, 3}), 100.5), Error);
}
