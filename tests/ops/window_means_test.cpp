// Window means against the sum they are defined by, and against the mean of a convolution.
#include "ops/window_means.h"

#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/pointwise.h"
#include "ops/reshape.h"
#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {
Tensor random_f64(const Shape& shape, uint64_t seed) {
  Tensor t(shape, DType::f64);
  Rng rng(seed);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] = rng.normal();
  return t;
}
}  // namespace

TEST_CASE("window means are the means of shifted, zero-padded windows", "[window_means]") {
  for (auto [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {1, 7}, {6, 2}, {13, 40}})
    for (int64_t k : {1, 3, 5}) {
      int64_t channels = 70;  // more than one group of channels
      Tensor x = random_f64({2, h, w, channels}, 4), m = window_means(x, k).value();
      REQUIRE(m.shape() == Shape{2, k, k, channels});
      for (int64_t n = 0; n < 2; ++n)
        for (int64_t i = 0; i < k; ++i)
          for (int64_t j = 0; j < k; ++j)
            for (int64_t c : {int64_t{0}, channels - 1}) {
              double sum = 0;
              for (int64_t y = 0; y < h; ++y)
                for (int64_t q = 0; q < w; ++q) {
                  int64_t yy = y + i - k / 2, xx = q + j - k / 2;
                  if (yy >= 0 && yy < h && xx >= 0 && xx < w)
                    sum += x.data<double>()[((n * h + yy) * w + xx) * channels + c];
                }
              double got = m.data<double>()[((n * k + i) * k + j) * channels + c];
              CHECK(got == Approx(sum / static_cast<double>(h * w)).margin(1e-12));
            }
    }
}

TEST_CASE("window means give a convolution's mean without the convolution", "[window_means]") {
  Tensor x = random_f64({1, 9, 11, 3}, 1), w = random_f64({4, 5, 5, 3}, 2);
  Tensor y = conv2d(x, w, {}, {.padding = 2}).value(), m = window_means(x, 5).value();
  for (int64_t o = 0; o < 4; ++o) {
    double mean = 0, folded = 0;
    for (int64_t p = 0; p < 99; ++p) mean += y.data<double>()[p * 4 + o] / 99;
    for (int64_t t = 0; t < 75; ++t) folded += w.data<double>()[o * 75 + t] * m.data<double>()[t];
    CHECK(folded == Approx(mean).margin(1e-12));
  }
}

TEST_CASE("window means gradient", "[window_means]") {
  for (auto [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {2, 5}, {6, 7}})
    for (int64_t k : {3, 5}) {
      auto result = gradcheck([&](const std::vector<Var>& v) { return window_means(v[0], k); },
                              {random_f64({2, h, w, 3}, 3)});
      INFO(result.where);
      CHECK(result.worst <= 1e-6);
    }
}

TEST_CASE("window means add to a gradient that is there", "[window_means]") {
  auto beside = [](const std::vector<Var>& v) {
    Var means = reshape(window_means(v[0], 3), {-1});
    return concat({means, reshape(square(v[0]), {-1})}, 0);  // the newer op's gradient comes first
  };
  check_op(beside, {random_f64({2, 6, 7, 3}, 3)});
  check_op(beside, {random_f64({1, 2, 1, 4}, 5)});
}

TEST_CASE("window means do not depend on the number of threads", "[window_means]") {
  Tensor x = random_f64({1, 200, 61, 16}, 7).to(DType::f32);
  int before = num_threads();
  set_num_threads(1);
  Tensor one = window_means(x, 3).value();
  for (int threads : {2, 3, 4, 8}) {
    set_num_threads(threads);
    Tensor m = window_means(x, 3).value();
    for (int64_t i = 0; i < m.numel(); ++i) REQUIRE(m.data<float>()[i] == one.data<float>()[i]);
  }
  set_num_threads(before);
}

TEST_CASE("window means in f32, on the CPU and the GPU", "[window_means]") {
  for (const Shape& shape : {Shape{1, 1, 1, 1}, {3, 5, 7, 3}, {2, 3, 1, 17}, {1, 70, 4, 64}})
    for (int64_t k : {1, 3, 5}) {
      OpUnderTest f = [k](const std::vector<Var>& v) { return window_means(v[0], k); };
      check_f32(f, {random_f64(shape, 7)});
      check_cuda(f, {random_f64(shape, 7)});
    }
}

TEST_CASE("a convolution with the means of its windows is the two of them", "[window_means]") {
  struct Case {
    Shape x;
    int64_t outputs, kernel, k;
    Conv2dOptions options;
    bool bias, used;  // used: y itself as well
  };
  Conv2dOptions leaky{.padding = 1, .activation = Activation::leaky_relu}, plain{.padding = 1},
      relu{.stride = 2, .padding = 1, .activation = Activation::relu},
      groups{.padding = 1, .groups = 2, .activation = Activation::leaky_relu};
  for (const Case& c : {Case{{2, 9, 13, 8}, 20, 3, 3, leaky, true, true},
                        {{2, 9, 13, 8}, 20, 3, 3, leaky, true, false},
                        {{1, 5, 6, 8}, 3, 3, 5, leaky, true, true},
                        {{3, 2, 70, 17}, 16, 3, 3, plain, false, true},
                        {{2, 7, 2, 16}, 70, 3, 3, groups, true, true},
                        {{2, 5, 70, 3}, 3, 3, 3, plain, true, true},
                        {{1, 8, 11, 4}, 5, 3, 3, relu, false, true},
                        {{1, 1, 1, 2}, 2, 1, 1, {}, true, true}}) {
    OpUnderTest f = [c](const std::vector<Var>& v) {
      auto [y, means] = conv2d_window_means(v[0], v[1], c.bias ? v[2] : Var(), c.options, c.k);
      Var flat = reshape(means, {-1});
      return c.used ? concat({flat, reshape(square(y), {-1})}, 0) : flat;
    };
    std::vector<Tensor> inputs = {
        random_f64(c.x, 1), random_f64({c.outputs, c.kernel, c.kernel, c.x.back() / c.options.groups}, 2)};
    if (c.bias) inputs.push_back(random_f64({c.outputs}, 3));
    check_large(f, inputs);
  }
}
