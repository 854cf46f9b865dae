// Feature maps of 16 bits on the GPU, here the emulated one: every operation that takes them, and its
// gradients, against f64 on the CPU from the same rounded inputs, in every order of threads.
#include "tensor/storage.h"

#include <emulator.h>

#include "ops/cast.h"
#include "ops/concat.h"
#include "ops/permute.h"
#include "ops/pixel_shuffle.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/resize.h"
#include "ops/slice.h"
#include "ops/softmax.h"
#include "ops/window_means.h"
#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

// As on the CPU in f64: the result, then the gradients.
std::vector<Tensor> run(const OpUnderTest& f, const std::vector<Tensor>& inputs, DType seed_type) {
  std::vector<Var> leaves;
  for (const Tensor& input : inputs) leaves.emplace_back(input, true);
  Var y = f(leaves);
  std::vector<Tensor> out{y.value()};
  Tensor seed = random_tensor(y.shape(), 5).to(seed_type);
  if (y.value().device() == Device::cuda)
    seed = seed.to(y.dtype()).to(Device::cuda);
  else
    seed = seed.to(y.dtype());
  backward(y, seed);
  for (const Var& leaf : leaves) {
    REQUIRE(leaf.grad().dtype() == leaf.dtype());
    out.push_back(leaf.grad());
  }
  return out;
}

double error_of(const Tensor& got, const Tensor& exact) {  // normalised mean squared
  REQUIRE(got.shape() == exact.shape());
  Tensor values = got.to(Device::cpu).to(DType::f64);
  double error = 0, power = 0;
  for (int64_t i = 0; i < exact.numel(); ++i) {
    double e = exact.data<double>()[i], d = values.data<double>()[i] - e;
    error += d * d;
    power += e * e;
  }
  return power > 0 ? error / power : error;
}

// `in_f32`: the input that stays f32, if any. `result`: what y is, else the 16-bit type.
void check_storage(const OpUnderTest& f, const std::vector<Tensor>& inputs, size_t in_f32 = 99,
                   bool sums = false) {
  for (auto [dtype, limit] : {std::pair{DType::f16, 2e-7}, {DType::bf16, 1e-5}}) {
    std::vector<Tensor> there, exact_inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      there.push_back(inputs[i].to(i == in_f32 ? DType::f32 : dtype));
      exact_inputs.push_back(there.back().to(DType::f64));
    }
    const std::vector<Tensor> exact = run(f, exact_inputs, dtype);
    for (emulator::Placement placement : {emulator::Placement::end, emulator::Placement::begin}) {
      emulator::With with({.every_order = true, .placement = placement});
      {
        std::vector<Tensor> moved;
        for (const Tensor& t : there) moved.push_back(t.to(Device::cuda));
        const std::vector<Tensor> got = run(f, moved, dtype);
        CHECK(got[0].dtype() == (sums ? DType::f32 : dtype));
        for (size_t i = 0; i < got.size(); ++i) {
          INFO(to_string(dtype) << to_string(inputs[0].shape()) << (i == 0 ? ", result" : ", gradient ")
                                << i);
          CHECK(error_of(got[i], exact[i]) <= limit);
        }
      }
      cuda::synchronize();
      emulator::check_leaks();
    }
  }
}

const std::vector<Shape> kShapes = {{1, 1, 1, 1}, {3, 5, 7, 3}, {1, 3, 2, 17}, {2, 9, 4, 64}};

}  // namespace

TEST_CASE("16 bits on the GPU: pointwise functions") {
  for (const Shape& shape : kShapes) {
    Tensor x = random_away_from(shape, 1, {0}), positive = random_tensor(shape, 2, 0.1, 2);
#define DGP_CASE(name, Function) \
  check_storage([](const std::vector<Var>& v) { return name(v[0]); }, {positive});
    DGP_UNARY_OPS(DGP_CASE)
#undef DGP_CASE
    check_storage([](const std::vector<Var>& v) { return leaky_relu(v[0], 0.1); }, {x});
    check_storage([](const std::vector<Var>& v) { return clamp(v[0], -0.51, 0.7); }, {x});
    check_storage([](const std::vector<Var>& v) { return mul(v[0], -3.0); }, {x});
    check_storage([](const std::vector<Var>& v) { return add(v[0], 0.5); }, {positive});
  }
}

TEST_CASE("16 bits on the GPU: two operands, broadcast, and an f32 one beside") {
  const Tensor x = random_tensor({2, 3, 5, 7}, 1, 0.5, 2);
  for (const Shape& other : std::vector<Shape>{{2, 3, 5, 7}, {7}, {2, 1, 1, 7}, {1}, {3, 1, 1}}) {
    const Tensor y = random_tensor(other, 3, 0.5, 2);
#define DGP_CASE(name, Function)                                                        \
  check_storage([](const std::vector<Var>& v) { return name(v[0], v[1]); }, {x, y});    \
  check_storage([](const std::vector<Var>& v) { return name(v[0], v[1]); }, {x, y}, 1); \
  check_storage([](const std::vector<Var>& v) { return name(v[1], v[0]); }, {x, y});
    DGP_CASE(add, Add)
    DGP_CASE(mul, Mul)
    DGP_CASE(div, Div)
#undef DGP_CASE
    check_storage([](const std::vector<Var>& v) { return sub(v[0], v[1]); },
                  {random_tensor({2, 3, 5, 7}, 1, 1, 2), random_tensor(other, 3, -1, -0.5)}, 1);
  }
  check_storage([](const std::vector<Var>& v) { return prelu(v[0], v[1]); },
                {random_away_from({3, 5, 7}, 1, {0}), random_tensor({7}, 2)}, 1);
}

TEST_CASE("16 bits on the GPU: sums are f32, and their gradients 16 bits") {
  for (const Shape& shape : kShapes) {
    Tensor x = random_tensor(shape, 4, 0.2, 1);
    check_storage([](const std::vector<Var>& v) { return sum(v[0]); }, {x}, 99, true);
    check_storage([](const std::vector<Var>& v) { return global_average_pool(v[0]); }, {x}, 99, true);
    check_storage([](const std::vector<Var>& v) { return sum(v[0], {0, 2}); }, {x}, 99, true);
  }
  check_storage([](const std::vector<Var>& v) { return mean(v[0], {0}); }, {random_tensor({3000, 5}, 4)}, 99,
                true);
}

TEST_CASE("16 bits on the GPU: window means") {
  for (const Shape& shape : kShapes)
    for (int64_t k : {1, 3, 5})
      check_storage([k](const std::vector<Var>& v) { return window_means(v[0], k); },
                    {random_tensor(shape, 7, 0, 1)}, 99, true);
}

TEST_CASE("16 bits on the GPU: moving pixels") {
  auto with = [](auto f) { return [f](const std::vector<Var>& v) { return f(v[0]); }; };
  Tensor x = random_tensor({2, 6, 4, 27}, 1);
  check_storage(with([](const Var& v) { return pixel_shuffle(v, 3); }), {x});
  check_storage(with([](const Var& v) { return pixel_unshuffle(v, 2); }), {x});
  check_storage(with([](const Var& v) { return slice(v, 1, 1, 5); }), {x});
  check_storage(with([](const Var& v) { return slice(v, 3, 25, 26); }), {x});
  check_storage(with([](const Var& v) { return permute(v, {3, 0, 2, 1}); }), {x});
  check_storage(
      [](const std::vector<Var>& v) {
        return concat({v[0], v[1], v[0]}, 3);
      },
      {x, random_tensor({2, 6, 4, 5}, 2)});
}

TEST_CASE("16 bits on the GPU: gradients added up, and cast") {
  auto twice = [](const std::vector<Var>& v) { return add(mul(v[0], 0.5), v[0]); };
  check_storage(twice, {random_tensor({3, 5, 7}, 1)});
  auto through_f32 = [](const std::vector<Var>& v) {
    const DType dtype = v[0].dtype();
    return cast(square(cast(v[0], dtype == DType::f64 ? dtype : DType::f32)), dtype);
  };
  check_storage(through_f32, {random_tensor({3, 5, 7}, 1)});
}

TEST_CASE("16 bits: refused by what has no kernel for them") {
  const Tensor x = Tensor::zeros({1, 4, 4, 3}, DType::f16), there = x.to(Device::cuda);
  const char* remedy = "holds f16: this operation has no kernel for 16 bits; convert it to f32";
  CHECK_THROWS_WITH(softmax(there), ContainsSubstring(remedy));
  CHECK_THROWS_WITH(resize(there, 8, 8, ResizeMode::bilinear), ContainsSubstring(remedy));
  CHECK_THROWS_WITH(relu(x), ContainsSubstring("relu: expects f32 or f64, got f16"));
  CHECK_THROWS_WITH(window_means(x, 3), ContainsSubstring("window_means: expects f32 or f64, got f16"));
  CHECK_THROWS_WITH(mul(x, Tensor::zeros({3})), ContainsSubstring("differ in type"));
  CHECK_THROWS_WITH(mul(x.to(DType::f32).to(Device::cuda), there), ContainsSubstring("differ in type"));
}
