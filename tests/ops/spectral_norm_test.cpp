#include "ops/spectral_norm.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

double norm(const Tensor& t) {
  double sum = 0;
  for (int64_t i = 0; i < t.numel(); ++i) sum += t.data<double>()[i] * t.data<double>()[i];
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("spectral_norm: gradients with the vectors held, f32, threads", "[spectral_norm]") {
  const Tensor u = random_tensor({4}, 1), v = random_tensor({1, 3, 3, 2}, 2);
  OpUnderTest normalised = [&](const std::vector<Var>& x) {
    auto like_x = [&](const Tensor& t) { return t.to(x[0].dtype()).to(x[0].value().device()); };
    return spectral_norm(x[0], like_x(u), like_x(v), false);
  };
  Tensor w = random_tensor({4, 3, 3, 2}, 3);  // u^T W v well away from zero
  for (int64_t r = 0; r < 4; ++r)
    for (int64_t c = 0; c < 18; ++c)
      w.data<double>()[r * 18 + c] += 2 * u.data<double>()[r] * v.data<double>()[c];
  check_op(normalised, {w});
}

TEST_CASE("spectral_norm: power iterations find the largest singular value", "[spectral_norm]") {
  Tensor w = Tensor::zeros({3, 4}, DType::f64);
  w.data<double>()[1] = 2, w.data<double>()[4] = -5, w.data<double>()[11] = 3;  // singular values 5, 3, 2
  Tensor u = random_tensor({3}, 1), v = random_tensor({1, 4}, 2);
  Var y;
  for (int i = 0; i < 60; ++i) y = spectral_norm(w, u, v, true);
  CHECK(y.value().data<double>()[4] == Approx(-1));
  CHECK(y.value().data<double>()[11] == Approx(0.6));
  CHECK(norm(u) == Approx(1));
  CHECK(norm(v) == Approx(1));
  const Tensor before = u.clone();
  spectral_norm(random_tensor({3, 4}, 5), u, v, false);
  CHECK(same_bits(u, before));
}

TEST_CASE("spectral_norm on the GPU follows the CPU's power iterations", "[spectral_norm]") {
  if (!cuda::status().empty()) return;
  const Tensor w = random_tensor({5, 3, 3, 17}, 1).to(DType::f32);
  Tensor u = random_tensor({5}, 2).to(DType::f32), v = random_tensor({1, 3, 3, 17}, 3).to(DType::f32);
  Tensor gu = u.to(Device::cuda), gv = v.to(Device::cuda);
  for (int i = 0; i < 3; ++i) {
    const Tensor want = spectral_norm(w, u, v, true).value();
    const Tensor got = spectral_norm(w.to(Device::cuda), gu, gv, true).value().to(Device::cpu);
    for (auto [a, b] : {std::pair(got, want), {gu.to(Device::cpu), u}, {gv.to(Device::cpu), v}})
      for (int64_t j = 0; j < a.numel(); ++j)
        REQUIRE(a.data<float>()[j] == Approx(b.data<float>()[j]).margin(1e-7));
  }
}

TEST_CASE("spectral_norm errors", "[spectral_norm]") {
  CHECK_THROWS_WITH(
      spectral_norm(random_tensor({3, 4}, 1), random_tensor({2}, 1), random_tensor({1, 4}, 1), true),
      ContainsSubstring("spectral_norm: weight [3,4] expects u [3]"));
}
