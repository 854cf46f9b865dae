// The ops on the GPU, here the emulated one: against the CPU's f64 and f32, in every order of threads, with
// buffers at either edge of their pages. Two runs give equal bits because every order does.
#include <cstring>
#include <emulator.h>

#include "models/aiiblock.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/linear.h"
#include "ops/matmul.h"
#include "ops/pad.h"
#include "ops/pixel_shuffle.h"
#include "ops/pointwise.h"
#include "ops/resize.h"
#include "ops/slice.h"
#include "ops/window_means.h"
#include "tensor/cuda_gemm.h"
#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

using Inputs = std::vector<Tensor>;

// f on the GPU against f in f64 on the CPU, by normalised mean squared error; nothing is left allocated.
void check_gpu(const OpUnderTest& f, const Inputs& inputs, double limit = 1e-12) {
  NoGrad no_grad;
  std::vector<Var> exact;
  for (const Tensor& t : inputs) exact.emplace_back(t.defined() ? t.to(DType::f32).to(DType::f64) : t);
  Tensor want = f(exact).value();
  for (emulator::Placement placement : {emulator::Placement::end, emulator::Placement::begin}) {
    emulator::With with({.every_order = true, .placement = placement});
    Tensor got;
    {
      std::vector<Var> moved;
      for (const Tensor& t : inputs) moved.emplace_back(t.defined() ? t.to(DType::f32).to(Device::cuda) : t);
      got = f(moved).value().to(Device::cpu);
    }
    cuda::synchronize();
    emulator::check_leaks();
    REQUIRE(got.shape() == want.shape());
    double error = 0, power = 0;
    for (int64_t i = 0; i < want.numel(); ++i) {
      double e = want.data<double>()[i], d = static_cast<double>(got.data<float>()[i]) - e;
      error += d * d;
      power += e * e;
    }
    INFO("input " << to_string(inputs[0].shape()));
    CHECK(error <= limit * power);
  }
}

Tensor random(const Shape& shape, uint64_t seed) { return random_tensor(shape, seed); }

}  // namespace

TEST_CASE("16 bits on the GPU: the CPU's roundings") {
  emulator::With with({.every_order = true});
  Tensor x = random({3, 701}, 1).to(DType::f32);
  for (DType dtype : {DType::bf16, DType::f16}) {
    Tensor there = x.to(Device::cuda).to(dtype), back = there.to(DType::f32).to(Device::cpu);
    Tensor want = x.to(dtype), want_back = want.to(DType::f32);
    CHECK(std::memcmp(there.to(Device::cpu).bytes(), want.bytes(), static_cast<size_t>(want.nbytes())) == 0);
    CHECK(std::memcmp(back.bytes(), want_back.bytes(), static_cast<size_t>(back.nbytes())) == 0);
  }
  CHECK_THROWS_WITH(x.to(Device::cuda).to(DType::f64), ContainsSubstring("f64"));
}

TEST_CASE("conv2d on the GPU") {
  struct Case {
    Shape x, w;
    Conv2dOptions options;
  };
  for (const Case& c : std::vector<Case>{
           {{1, 5, 7, 3}, {17, 3, 3, 3}, {.padding = 1}},
           {{3, 9, 4, 17}, {3, 3, 3, 17}, {.padding = 1, .activation = Activation::leaky_relu, .slope = 0.2}},
           {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
           {{1, 8, 9, 64}, {70, 3, 3, 64}, {.padding = 1, .activation = Activation::relu}},
           {{1, 11, 13, 8}, {64, 3, 3, 8}, {.padding = 1}},
           {{2, 7, 9, 4}, {20, 5, 3, 4}, {.stride = 2, .padding = 2}},
           {{1, 9, 9, 6}, {4, 3, 3, 3}, {.padding = 2, .dilation = 2, .groups = 2}},
           {{2, 6, 5, 8}, {2, 8, 3, 3, 8}, {.padding = 1}},  // a kernel for each image
       }) {
    ConvGeometry g = conv_geometry(c.x, c.w, c.options);
    Tensor x = random(c.x, 1), w = random(c.w, 2), b = random({g.o}, 3),
           r = random({g.n, g.oh, g.ow, g.o}, 4);
    auto conv = [&](const std::vector<Var>& v) { return conv2d(v[0], v[1], v[2], c.options, v[3]); };
    check_gpu(conv, {x, w, b, r});
    check_gpu(conv, {x, w, Tensor(), Tensor()});
    check_gpu(conv, {x, w, random({g.n, g.o}, 5), r});
  }
}

TEST_CASE("window means on the GPU") {
  for (const Shape& shape : std::vector<Shape>{{1, 5, 7, 3}, {3, 70, 4, 17}, {1, 1, 1, 1}, {2, 3, 1, 64}})
    for (int64_t k : {1, 3, 5})
      check_gpu([k](const std::vector<Var>& v) { return window_means(v[0], k); }, {random(shape, 7)});
}

TEST_CASE("moving pixels on the GPU") {
  auto with = [](auto f) { return [f](const std::vector<Var>& v) { return f(v[0]); }; };
  Tensor x = random({2, 6, 4, 27}, 1);
  check_gpu(with([](const Var& v) { return pixel_shuffle(v, 3); }), {x}, 0);
  check_gpu(with([](const Var& v) { return pixel_unshuffle(v, 2); }), {x}, 0);
  check_gpu(with([](const Var& v) { return slice(v, 1, 1, 5); }), {x}, 0);
  check_gpu(with([](const Var& v) { return slice(v, 3, 26, 27); }), {x}, 0);
  check_gpu(with([](const Var& v) { return concat({v, slice(v, 1, 2, 3), v}, 1); }), {x}, 0);
  check_gpu(with([](const Var& v) { return concat({v, v}, -1); }), {x}, 0);
  check_gpu(with([](const Var& v) { return pad2d(v, {.bottom = 3, .right = 2}, PadMode::reflect); }), {x}, 0);
  check_gpu(with([](const Var& v) { return pad2d(v, {.top = 1, .left = 2}); }), {x}, 0);
  for (ResizeMode mode : {ResizeMode::nearest, ResizeMode::bilinear, ResizeMode::bicubic})
    check_gpu(with([mode](const Var& v) { return resize(v, 23, 7, mode); }), {x});
}

TEST_CASE("pointwise functions and broadcasting on the GPU") {
  Tensor x = random({2, 3, 5, 7}, 1), positive = random_tensor({3, 70}, 2, 0.1, 2);
#define DGP_CASE(name, Function) check_gpu([](const std::vector<Var>& v) { return name(v[0]); }, {positive});
  DGP_UNARY_OPS(DGP_CASE)
#undef DGP_CASE
  check_gpu([](const std::vector<Var>& v) { return clamp(leaky_relu(v[0], 0.3), -0.2, 0.7); }, {x});
  check_gpu([](const std::vector<Var>& v) { return add(mul(v[0], -3.0), 0.5); }, {x});
  check_gpu([](const std::vector<Var>& v) { return prelu(v[0], v[1]); }, {x, random({7}, 2)});
  for (const Shape& other : std::vector<Shape>{{2, 3, 5, 7}, {7}, {2, 1, 1, 7}, {1}, {3, 1, 1}}) {
    Tensor y = random_tensor(other, 3, 0.5, 2);
#define DGP_CASE(name, Function)                                                 \
  check_gpu([](const std::vector<Var>& v) { return name(v[0], v[1]); }, {x, y}); \
  check_gpu([](const std::vector<Var>& v) { return name(v[1], v[0]); },          \
            {random_tensor({2, 3, 5, 7}, 4, 0.5, 2), y});
    DGP_BINARY_OPS(DGP_CASE)
#undef DGP_CASE
  }
}

TEST_CASE("matrix products on the GPU") {
  for (auto [m, n, k] :
       std::vector<std::tuple<int64_t, int64_t, int64_t>>{{1, 1, 1}, {33, 65, 40}, {3, 70, 700}}) {
    check_gpu([](const std::vector<Var>& v) { return linear(v[0], v[1], v[2]); },
              {random({m, k}, 1), random({n, k}, 2), random({n}, 3)});
    for (bool ta : {false, true})
      for (bool tb : {false, true})
        check_gpu(
            [=](const std::vector<Var>& v) {
              return matmul(v[0], v[1], {.transpose_a = ta, .transpose_b = tb});
            },
            {random(ta ? Shape{2, k, m} : Shape{2, m, k}, 4), random(tb ? Shape{n, k} : Shape{k, n}, 5)});
  }
}

// C [batch,5,6] within rows of 9, of A and B within rows of 8 and 7; 40 elements a matrix at least.
TEST_CASE("matrix products within larger matrices, by cuBLAS and by the kernel") {
  const int64_t m = 5, n = 6, k = 4, lda = 8, ldb = 7, ldc = 9, batch = 3;
  for (bool ta : {false, true})
    for (bool tb : {false, true})
      for (bool shared : {false, true}) {
        Tensor a = random({batch, 60}, 1), b = random({batch, 50}, 2), c = random({batch, 50}, 3);
        int64_t a_step = shared ? 0 : 60;
        Tensor want = c.clone();
        for (int64_t s = 0; s < batch; ++s)
          for (int64_t i = 0; i < m; ++i)
            for (int64_t j = 0; j < n; ++j) {
              const double *pa = a.data<double>() + s * a_step, *pb = b.data<double>() + s * 50;
              double sum = 0;
              for (int64_t p = 0; p < k; ++p)
                sum += (ta ? pa[p * lda + i] : pa[i * lda + p]) * (tb ? pb[j * ldb + p] : pb[p * ldb + j]);
              double& out = want.data<double>()[s * 50 + i * ldc + j];
              out = 1.5 * sum - 0.5 * out;
            }
        for (bool by_blas : {false, true}) {
          emulator::With with({.every_order = true});
          auto move = [](const Tensor& t) { return t.to(DType::f32).to(Device::cuda); };
          Tensor da = move(a), db = move(b), dc = move(c);
          cuda::Product product{ta,     tb,
                                m,      n,
                                k,      da.device_data<float>(),
                                lda,    db.device_data<float>(),
                                ldb,    dc.device_data<float>(),
                                ldc,    1.5F,
                                -0.5F,  batch,
                                a_step, 50,
                                50};
          if (by_blas)
            CHECK(cuda::gemm_by_blas(product));
          else
            cuda::gemm_by_kernel(product);
          Tensor got = dc.to(Device::cpu);
          for (int64_t i = 0; i < got.numel(); ++i)
            CHECK(static_cast<double>(got.data<float>()[i]) == Approx(want.data<double>()[i]).margin(1e-6));
        }
      }
  CHECK(cuda::blas_name() == "cuBLAS 13.0");
  Tensor small = Tensor::zeros({4, 4}, DType::f32, Device::cuda);
  float* p = small.device_data<float>();
  cuda::gemm_by_blas({false, false, 4, 4, 5, p, 5, p, 4, p, 4});
  CHECK_THROWS_WITH(cuda::synchronize(), ContainsSubstring("gemm: ") && ContainsSubstring("which has 64"));
}

TEST_CASE("tensors on the GPU: moved, filled, and refused by what has no kernel") {
  Tensor t = Tensor::full({2, 3}, 1.5).to(Device::cuda), moved = t.slab(1, 1).to(Device::cpu);
  CHECK(moved.data<float>()[2] == 1.5F);
  t.fill(2);
  CHECK(t.clone().to(Device::cpu).data<float>()[5] == 2);
  CHECK(Tensor::zeros({1}, DType::f32, Device::cuda).item() == 0);
  CHECK_THROWS_WITH(t.data<float>(),
                    ContainsSubstring("is on device cuda: this operation does not run there"));
  CHECK_THROWS_WITH(mul(t, Tensor::full({2, 3}, 1)), ContainsSubstring("is on device cpu"));
  CHECK_THROWS_WITH(Tensor({2, 3}, DType::f64, Device::cuda).to(DType::f32), ContainsSubstring("not f64"));
}
