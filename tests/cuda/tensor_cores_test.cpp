// Convolutions and products of rounded factors, on (emulated) tensor cores: against f64 on the rounded
// factors, which leaves f32's sums to be wrong, and against f64 on the exact ones.
#include <emulator.h>

#include "infer/upscaler.h"
#include "ops/conv2d_prepared.h"
#include "ops/matmul.h"
#include "tensor/cuda_math.h"
#include "tests/cuda/nmse.h"
#include "tests/infer/networks.h"
#include "tests/ops/op_checks.h"

using namespace dgp;
using cuda::Factors;

namespace {

// To nearest, by arithmetic on doubles: `bits` significant ones, ties to even or away from zero.
double rounded(double value, int bits, bool even) {
  if (value == 0) return 0;
  int exponent = 0;
  std::frexp(value, &exponent);
  const double unit = std::ldexp(1.0, exponent - bits), in_units = value / unit;
  return (even ? std::nearbyint(in_units) : std::round(in_units)) * unit;
}

Tensor rounded(const Tensor& t, Factors factors) {
  Tensor r = t.clone();
  for (int64_t i = 0; i < r.numel(); ++i) {
    double& v = r.data<double>()[i];
    v = rounded(v, factors == Factors::bf16 ? 8 : 11, factors != Factors::tf32);
  }
  return r;
}

double least_error(Factors factors) { return factors == Factors::bf16 ? 1e-5 : 2e-7; }

struct ConvCase {
  Shape x, w;
  Conv2dOptions options;
};
const std::vector<ConvCase> kCases = {
    {{1, 5, 7, 3}, {17, 3, 3, 3}, {.padding = 1}},
    {{3, 9, 4, 17}, {3, 3, 3, 17}, {.padding = 1, .activation = Activation::leaky_relu, .slope = 0.2}},
    {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
    {{1, 8, 9, 24}, {70, 3, 3, 24}, {.padding = 1, .activation = Activation::relu}},
    {{2, 7, 9, 4}, {20, 5, 3, 4}, {.stride = 2, .padding = 2}},
    {{1, 9, 9, 6}, {4, 3, 3, 3}, {.padding = 2, .dilation = 2, .groups = 2}},
    {{2, 6, 5, 8}, {2, 8, 3, 3, 8}, {.padding = 1}},  // a kernel for each image
    {{1, 35, 37, 8}, {48, 3, 3, 8}, {.padding = 1}},  // tiles of pixels, and parts of the gradient's sum
    {{2, 7, 9, 8}, {20, 5, 3, 8}, {.stride = 2, .padding = 2}},
    {{1, 9, 9, 16}, {24, 3, 3, 8}, {.padding = 2, .dilation = 2, .groups = 2}},
    // Strides: parts of the gradient in x with several taps, with one and with none, dilation beside them.
    {{1, 8, 10, 16}, {8, 4, 4, 16}, {.stride = 2, .padding = 1}},
    {{2, 13, 17, 8}, {16, 3, 3, 4}, {.stride = 2, .padding = 3, .dilation = 2, .groups = 2}},
    {{1, 11, 9, 4}, {6, 5, 2, 4}, {.stride = 3, .padding = 1}},
    {{1, 7, 5, 3}, {8, 1, 1, 3}, {.stride = 2}},
    {{2, 9, 7, 16}, {24, 1, 1, 16}, {}},
    {{2, 13, 9, 8}, {2, 5, 3, 3, 8}, {.stride = 4, .padding = 2, .dilation = 3}},
};

// The result, and the gradients in x, w, b and the residual, each of its input's type.
std::vector<Tensor> gradients(const std::vector<Tensor>& inputs, const Tensor& dy,
                              const Conv2dOptions& options) {
  std::vector<Var> leaves;
  for (const Tensor& t : inputs) leaves.emplace_back(t, true);
  const Var y = conv2d(leaves[0], leaves[1], leaves[2], options, leaves[3]);
  REQUIRE(y.dtype() == dy.dtype());
  backward(y, dy);
  std::vector<Tensor> all = {y.value()};
  for (const Var& leaf : leaves) {
    REQUIRE(leaf.grad().dtype() == leaf.dtype());
    all.push_back(leaf.grad());
  }
  return all;
}

Tensor single(const Tensor& t) { return t.to(DType::f32).to(DType::f64); }

}  // namespace

TEST_CASE("convolutions on tensor cores") {
  for (const ConvCase& c : kCases)
    for (Factors factors : {Factors::tf32, Factors::bf16, Factors::f16}) {
      INFO("weight " << to_string(c.w) << ", factors " << static_cast<int>(factors));
      const ConvGeometry g = conv_geometry(c.x, c.w, c.options);
      const Shape result = {g.n, g.oh, g.ow, g.o};
      const Tensor x = single(dgp::random_tensor(c.x, 1)), w = single(dgp::random_tensor(c.w, 2)),
                   b = single(dgp::random_tensor({g.o}, 3)), r = single(dgp::random_tensor(result, 4)),
                   dy = single(dgp::random_tensor(result, 5));
      const std::vector<Tensor> want = gradients({x, w, b, r}, dy, c.options);
      const Tensor want_of_rounded =
          gradients({rounded(x, factors), rounded(w, factors), b, r}, dy, c.options)[0];
      for (auto placement : {emulator::Placement::end, emulator::Placement::begin}) {
        emulator::With with({.every_order = true, .placement = placement});
        cuda::Using in_use(factors);
        auto moved = [](const Tensor& t) { return t.to(DType::f32).to(Device::cuda); };
        const std::vector<Tensor> got =
            gradients({moved(x), moved(w), moved(b), moved(r)}, moved(dy), c.options);
        CHECK(nmse(got[0], want_of_rounded) <= 1e-12);
        if (want[0].numel() == 1) continue;  // a mean over one value is as large as a rounding may be
        CHECK(nmse(got[0], want[0]) <= least_error(factors));
        // A rounding that changes the sign of z changes a gradient by all of it.
        if (c.options.activation != Activation::none) continue;
        CHECK(nmse(got[1], want[1]) <= least_error(factors));
        CHECK(nmse(got[2], want[2]) <= least_error(Factors::tf32));
        CHECK(nmse(got[2], want[2]) > 1e-10);  // it is not computed in full
        CHECK(nmse(got[3], want[3]) <= 1e-11);
      }
    }
  CHECK(cuda::factors() == Factors::f32);
}

TEST_CASE("convolutions of feature maps in 16 bits, and their gradients") {
  struct Stored {
    DType x, residual, y;
    int capability = 9;
  };
  const DType f32 = DType::f32, bf16 = DType::bf16, f16 = DType::f16;
  auto bound = [](DType type) { return type == DType::f32 ? 1e-12 : type == DType::f16 ? 2e-7 : 1e-5; };
  for (const ConvCase& c : kCases) {
    const ConvGeometry g = conv_geometry(c.x, c.w, c.options);
    const Shape result = {g.n, g.oh, g.ow, g.o};
    // What every type can hold, so that only the rounding of what is stored in 16 bits is left.
    auto simple = [](const Shape& shape, uint64_t seed) {
      return dgp::random_tensor(shape, seed).to(DType::bf16).to(DType::f16).to(DType::f64);
    };
    const Tensor x = simple(c.x, 1), w = simple(c.w, 2), b = simple({g.o}, 3), r = simple(result, 4),
                 dy = simple(result, 5), any_x = dgp::random_tensor(c.x, 6),
                 any_w = dgp::random_tensor(c.w, 7);
    const std::vector<Tensor> want = gradients({x, w, b, r}, dy, c.options);
    const Tensor any_want = gradients({any_x, any_w, b, r}, dy, c.options)[0];
    for (const Stored& s : std::vector<Stored>{{bf16, bf16, bf16},
                                               {f16, f16, f16},
                                               {f32, bf16, bf16},
                                               {f32, f32, f16},
                                               {bf16, f32, f32},
                                               {f16, f16, f32},
                                               {f16, f32, bf16},
                                               {bf16, bf16, bf16, 7},
                                               {f32, f16, f16, 7}}) {
      INFO("weight " << to_string(c.w) << ", x " << to_string(s.x) << ", residual " << to_string(s.residual)
                     << ", y " << to_string(s.y) << ", sm_" << s.capability << 0);
      auto moved = [](const Tensor& t, DType type) { return t.to(DType::f32).to(type).to(Device::cuda); };
      Conv2dOptions options = c.options;
      options.result = s.y;
      for (auto placement : {emulator::Placement::end, emulator::Placement::begin}) {
        const bool orders =
            placement == emulator::Placement::end;  // in one of the two: they take three times
        emulator::With with({.every_order = orders, .placement = placement, .capability = s.capability});
        const std::vector<Tensor> got = gradients(
            {moved(x, s.x), moved(w, f32), moved(b, f32), moved(r, s.residual)}, moved(dy, s.y), options);
        const double of_y = bound(s.y),
                     // dz, rounded when it is stored or multiplied, where it is neither dy nor 0
            of_dz = c.options.slope == 0.2 ? std::max(bound(s.x), of_y) : 1e-11;
        CHECK(nmse(got[0], want[0]) <= of_y);
        CHECK(nmse(got[1], want[1]) <= std::max({1e-11, bound(s.x), of_dz}));
        CHECK(nmse(got[2], want[2]) <= of_dz);
        CHECK(nmse(got[3], want[3]) <= of_dz);
        CHECK(nmse(got[4], want[4]) == 0);
        if (result == Shape{1, 1, 1, 1}) continue;  // a mean over one value is as large as a rounding may be
        NoGrad no_grad;
        const Tensor any =
            conv2d(moved(any_x, s.x), moved(any_w, f32), moved(b, f32), options, moved(r, s.residual))
                .value();
        CHECK(nmse(any, any_want) <= (s.x == bf16 || s.y == bf16 ? 1e-5 : 2e-7));
      }
    }
  }
}

TEST_CASE("weights that were prepared once give the bits of those that each call prepares") {
  emulator::With quick({.every_order = false});
  auto moved = [](const Tensor& t, DType type) { return t.to(DType::f32).to(type).to(Device::cuda); };
  for (const ConvCase& c : kCases)
    for (auto [factors, read, written] : {std::tuple{Factors::f32, DType::f32, DType::f32},
                                          {Factors::tf32, DType::f32, DType::f32},
                                          {Factors::bf16, DType::f32, DType::f32},
                                          {Factors::f32, DType::f16, DType::f16},
                                          {Factors::f32, DType::f32, DType::bf16},
                                          {Factors::f32, DType::bf16, DType::f32}}) {
      const cuda::Using in_use(factors);
      const ConvGeometry g = conv_geometry(c.x, c.w, c.options);
      const Tensor x = moved(dgp::random_tensor(c.x, 1), read),
                   w = moved(dgp::random_tensor(c.w, 2), DType::f32);
      const Tensor want({g.n, g.oh, g.ow, g.o}, written, Device::cuda);
      cuda::conv2d_rows(g, 1, x, w, {}, {}, want);
      const Tensor memory({cuda::prepared_numel(c.w, c.options)}, DType::f32, Device::cuda);
      for (const Tensor& place : {Tensor(), memory}) {
        const cuda::PreparedWeights prepared = cuda::prepare_weights(w, read, written, c.options, place);
        const Tensor got(want.shape(), written, Device::cuda);
        for (int i = 0; i < 2; ++i) {
          cuda::conv2d_rows(g, 1, x, prepared, {}, {}, got);
          CHECK(dgp::same_bits(got.to(DType::f32).to(Device::cpu), want.to(DType::f32).to(Device::cpu)));
        }
        const cuda::Using others(Factors::f16);
        if (read == DType::f32 && written == DType::f32)
          CHECK_THROWS_WITH(cuda::conv2d_rows(g, 1, x, prepared, {}, {}, got),
                            ContainsSubstring("prepared for other factors"));
      }
      const Tensor less = memory.slab(0, 7);
      CHECK_THROWS_WITH(cuda::prepare_weights(w, read, written, c.options, less),
                        ContainsSubstring("f32 values for"));
    }
}

TEST_CASE("16 bits where a convolution cannot have them are refused with the type expected") {
  const Tensor x = Tensor::zeros({1, 4, 4, 2}), w = Tensor::zeros({3, 3, 3, 2});
  CHECK_THROWS_WITH(conv2d(x.to(DType::bf16), w), ContainsSubstring("bf16") && ContainsSubstring("GPU only"));
  CHECK_THROWS_WITH(conv2d(x, w, {}, {.result = DType::f16}),
                    ContainsSubstring("f16") && ContainsSubstring("GPU only"));
  CHECK_THROWS_WITH(conv2d(x.to(Device::cuda), w.to(DType::bf16).to(Device::cuda)),
                    ContainsSubstring("weight is bf16, expected f32"));
  CHECK_THROWS_WITH(conv2d(x.to(Device::cuda), w.to(Device::cuda), {}, {.result = DType::u8}),
                    ContainsSubstring("not u8"));
}

TEST_CASE("cuBLAS takes tf32 where it is asked for, and not elsewhere") {
  const Tensor a = single(dgp::random_tensor({33, 70}, 1)), b = single(dgp::random_tensor({70, 20}, 2));
  NoGrad no_grad;
  auto product = [&](Factors factors) {
    cuda::Using in_use(factors);
    auto moved = [](const Tensor& t) { return t.to(DType::f32).to(Device::cuda); };
    return matmul(moved(a), moved(b)).value().to(Device::cpu);
  };
  const Tensor exact = matmul(a, b).value();
  CHECK(nmse(product(Factors::tf32), matmul(rounded(a, Factors::tf32), rounded(b, Factors::tf32)).value()) <=
        1e-12);
  CHECK(nmse(product(Factors::tf32), exact) > 1e-9);
  for (Factors factors : {Factors::f32, Factors::bf16}) CHECK(nmse(product(factors), exact) <= 1e-12);
}

TEST_CASE("a network on tensor cores is the network within their rounding, with equal bits in any order") {
  DGPNet net = random_net({2, 16, 1, 3, 1}, 3);
  const Tensor lr = dgp::random_tensor({1, 9, 11, 3}, 5).to(DType::f32);
  const Tensor want = Upscaler(net)(lr).to(DType::f64);
  for (Factors factors : {Factors::tf32, Factors::bf16}) {
    cuda::Using in_use(factors);
    Upscaler upscale(net, {.device = Device::cuda});
    Tensor results[2];
    for (auto order : {emulator::Order::forward, emulator::Order::shuffled}) {
      emulator::With with({.order = order});
      results[order == emulator::Order::shuffled] = upscale(lr);
    }
    CHECK(dgp::same_bits(results[0], results[1]));
    CHECK(nmse(results[0], want) <= 10 * least_error(factors));
    CHECK(nmse(results[0], want) > 1e-10);
  }
}

TEST_CASE("a GPU without such tensor cores says so") {
  emulator::With with({.capability = 7});
  CHECK_THROWS_WITH(cuda::Using(Factors::tf32),
                    ContainsSubstring("compute capability 8.0") && ContainsSubstring("has 7.0"));
  CHECK_NOTHROW(cuda::Using(Factors::f32));
  emulator::With compiled({.compiled = 7});  // a newer GPU runs the PTX of an older one
  CHECK(!cuda::has_tensor_cores());
  CHECK_THROWS_WITH(cuda::Using(Factors::tf32),
                    ContainsSubstring("has 9.0, and this build's kernels are for 7.0"));
}
