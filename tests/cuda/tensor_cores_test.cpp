// Convolutions and products of rounded factors, on (emulated) tensor cores: against f64 on the rounded
// factors, which leaves f32's sums to be wrong, and against f64 on the exact ones.
#include <emulator.h>

#include "infer/upscaler.h"
#include "ops/conv2d.h"
#include "ops/matmul.h"
#include "tensor/cuda_math.h"
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
    v = factors == Factors::tf32 ? rounded(v, 11, false) : rounded(v, 8, true);
  }
  return r;
}

double nmse(const Tensor& got, const Tensor& want) {
  double error = 0, power = 0;
  for (int64_t i = 0; i < want.numel(); ++i) {
    const double e = want.data<double>()[i], d = static_cast<double>(got.data<float>()[i]) - e;
    error += d * d, power += e * e;
  }
  return error / power;
}

double least_error(Factors factors) { return factors == Factors::tf32 ? 2e-7 : 1e-5; }

Tensor single(const Tensor& t) { return t.to(DType::f32).to(DType::f64); }

}  // namespace

TEST_CASE("convolutions on tensor cores") {
  struct Case {
    Shape x, w;
    Conv2dOptions options;
  };
  for (const Case& c : std::vector<Case>{
           {{1, 5, 7, 3}, {17, 3, 3, 3}, {.padding = 1}},
           {{3, 9, 4, 17}, {3, 3, 3, 17}, {.padding = 1, .activation = Activation::leaky_relu, .slope = 0.2}},
           {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
           {{1, 8, 9, 24}, {70, 3, 3, 24}, {.padding = 1, .activation = Activation::relu}},
           {{2, 7, 9, 4}, {20, 5, 3, 4}, {.stride = 2, .padding = 2}},
           {{1, 9, 9, 6}, {4, 3, 3, 3}, {.padding = 2, .dilation = 2, .groups = 2}},
           {{2, 6, 5, 8}, {2, 8, 3, 3, 8}, {.padding = 1}},  // a kernel for each image
       })
    for (Factors factors : {Factors::tf32, Factors::bf16}) {
      INFO("weight " << to_string(c.w) << (factors == Factors::tf32 ? ", tf32" : ", bf16"));
      const ConvGeometry g = conv_geometry(c.x, c.w, c.options);
      const Tensor x = single(dgp::random_tensor(c.x, 1)), w = single(dgp::random_tensor(c.w, 2)),
                   b = single(dgp::random_tensor({g.o}, 3)),
                   r = single(dgp::random_tensor({g.n, g.oh, g.ow, g.o}, 4));
      NoGrad no_grad;
      for (auto placement : {emulator::Placement::end, emulator::Placement::begin}) {
        emulator::With with({.every_order = true, .placement = placement});
        cuda::Using in_use(factors);
        auto moved = [](const Tensor& t) { return t.to(DType::f32).to(Device::cuda); };
        const Tensor got = conv2d(moved(x), moved(w), moved(b), c.options, moved(r)).value().to(Device::cpu);
        const Tensor want = conv2d(rounded(x, factors), rounded(w, factors), b, c.options, r).value();
        CHECK(nmse(got, want) <= 1e-12);
        if (want.numel() == 1) continue;  // a mean over one value is as large as a rounding may be
        CHECK(nmse(got, conv2d(x, w, b, c.options, r).value()) <= least_error(factors));
      }
    }
  CHECK(cuda::factors() == Factors::f32);
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
}
