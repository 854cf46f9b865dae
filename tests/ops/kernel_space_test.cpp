// The six operators against the sums they are defined by, pixel by pixel, and the gradients of the maps.
#include "ops/kernel_space.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

Tensor random_f64(const Shape& shape, uint64_t seed) {
  Tensor t(shape, DType::f64);
  Rng rng(seed);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] = rng.normal();
  return t;
}

Tensor locations(int64_t outputs, int64_t inputs, int64_t taps) {
  Tensor t({outputs, inputs}, DType::i64);
  Rng rng(5);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<int64_t>()[i] = rng.below(taps);
  return t;
}

const std::vector<Operator> kAll = {Operator::csg, Operator::csa, Operator::hg,
                                    Operator::vg,  Operator::vc,  Operator::idg};

// sum_i w_i (...) as the operator reads, on one k*k window x, for one (output, input) pair.
double literal(Operator op, const double* w, const double* x, int64_t k, int64_t location) {
  double sum = 0, mean = 0;
  for (int64_t i = 0; i < k * k; ++i) mean += x[i] / static_cast<double>(k * k);
  for (int64_t r = 0; r < k; ++r)
    for (int64_t c = 0; c < k; ++c) {
      int64_t i = r * k + c;
      double seen = x[i];
      if (op == Operator::csg) seen = x[i] - mean;
      if (op == Operator::csa) seen = x[i] + mean;
      if (op == Operator::hg) seen = x[i] - x[r * k + k - 1 - c];
      if (op == Operator::vg) seen = x[i] - x[(k - 1 - r) * k + c];
      if (op == Operator::idg) seen = x[i] - x[location];
      sum += w[i] * seen;
    }
  return sum;
}

}  // namespace

TEST_CASE("operator kernels compute what the operators are defined as", "[kernel_space]") {
  for (int64_t k : {1, 3, 5}) {
    int64_t outputs = 2, inputs = 3;
    std::vector<Var> raw;
    for (size_t j = 0; j < kAll.size(); ++j) raw.emplace_back(random_f64({outputs, k, k, inputs}, j + 1));
    Tensor location = locations(outputs, inputs, k * k);
    Tensor kernels = operator_kernels(raw, kAll, location).value();
    Tensor window = random_f64({k * k}, 99);
    for (size_t j = 0; j < kAll.size(); ++j)
      for (int64_t o = 0; o < outputs; ++o)
        for (int64_t i = 0; i < inputs; ++i) {
          std::vector<double> w;
          double applied = 0;
          for (int64_t t = 0; t < k * k; ++t) {
            w.push_back(raw[j].value().data<double>()[(o * k * k + t) * inputs + i]);
            int64_t at = ((static_cast<int64_t>(j) * outputs + o) * k * k + t) * inputs + i;
            applied += kernels.data<double>()[at] * window.data<double>()[t];
          }
          double expected =
              literal(kAll[j], w.data(), window.data<double>(), k, location.data<int64_t>()[o * inputs + i]);
          INFO("operator " << to_string(kAll[j]) << " k=" << k);
          CHECK(applied == Approx(expected).margin(1e-12));
        }
  }
}

TEST_CASE("gradient operators do not see a flat input", "[kernel_space]") {
  std::vector<Var> raw(kAll.size(), Var(random_f64({4, 3, 3, 5}, 3)));
  Tensor kernels = operator_kernels(raw, kAll, locations(4, 5, 9)).value();
  for (size_t j : {size_t{0}, size_t{2}, size_t{3}, size_t{5}})
    for (int64_t o = 0; o < 4; ++o)
      for (int64_t i = 0; i < 5; ++i) {
        double sum = 0;
        for (int64_t t = 0; t < 9; ++t)
          sum += kernels.data<double>()[((static_cast<int64_t>(j) * 4 + o) * 9 + t) * 5 + i];
        CHECK(sum == Approx(0).margin(1e-12));
      }
}

TEST_CASE("kernel space gradients", "[kernel_space]") {
  std::vector<Tensor> raw;
  for (uint64_t j = 0; j < kAll.size(); ++j) raw.push_back(random_f64({2, 3, 3, 3}, j + 1));
  Tensor location = locations(2, 3, 9);
  auto kernels = [&](const std::vector<Var>& w) { return operator_kernels(w, kAll, location); };
  auto rms = [&](const std::vector<Var>& w) { return kernel_rms(operator_kernels(w, kAll, location)); };
  auto sum = [](const std::vector<Var>& v) { return weighted_sum(v[0], v[1]); };
  GradcheckResult a = gradcheck(kernels, raw), b = gradcheck(rms, raw);
  GradcheckResult c = gradcheck(sum, {random_f64({3, 2, 3, 3, 4}, 8), random_f64({3}, 9)});
  INFO(a.where << "; " << b.where << "; " << c.where);
  CHECK(a.worst <= 1e-6);
  CHECK(b.worst <= 1e-6);
  CHECK(c.worst <= 1e-6);
}

TEST_CASE("kernel space in f32, on the CPU and the GPU", "[kernel_space]") {
  for (const Shape& shape : {Shape{1, 1, 1, 1}, {2, 3, 3, 3}, {17, 5, 5, 3}, {8, 3, 3, 64}}) {
    std::vector<Tensor> raw, shared;
    for (uint64_t j = 0; j < kAll.size(); ++j) raw.push_back(random_f64(shape, j + 1));
    Tensor location = locations(shape[0], shape[3], shape[1] * shape[1]);
    auto kernels = [&](const std::vector<Var>& w) {
      return operator_kernels(w, kAll, location.to(w[0].value().device()));
    };
    auto rms = [&](const std::vector<Var>& w) { return kernel_rms(kernels(w)); };
    auto sum = [](const std::vector<Var>& v) { return weighted_sum(v[0], v[1]); };
    Shape stacked = shape;
    stacked.insert(stacked.begin(), 3);
    check_large(kernels, raw);
    check_large(rms, raw);
    check_large(sum, {random_f64(stacked, 8), random_f64({3}, 9)});
  }
}

TEST_CASE("kernel space rejects what does not fit", "[kernel_space]") {
  Var w(random_f64({2, 3, 3, 3}, 1)), even(random_f64({2, 2, 2, 3}, 1));
  CHECK_THROWS_WITH(operator_kernels({even}, {Operator::vc}, {}), ContainsSubstring("k odd"));
  CHECK_THROWS_WITH(operator_kernels({w}, {Operator::idg}, {}), ContainsSubstring("location [2,3]"));
  CHECK_THROWS_WITH(operator_kernels({w}, {Operator::idg}, Tensor::full({2, 3}, 9, DType::i64)),
                    ContainsSubstring("location 9"));
  CHECK_THROWS_WITH(weighted_sum(Var(random_f64({2, 1, 3, 3, 1}, 1)), Var(random_f64({3}, 1))),
                    ContainsSubstring("alpha [2]"));
}
