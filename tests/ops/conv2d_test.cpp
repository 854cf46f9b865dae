// Convolution against its definition, its gradients against differences.
#include "ops/conv2d.h"

#include <cmath>
#include <cstring>

#include "ops/conv2d_cpu.h"
#include "ops/conv2d_reference.h"
#include "tensor/isa.h"
#include "tests/ops/op_checks.h"

namespace dgp {
namespace {

Tensor random_tensor(Shape shape, Rng rng, DType dtype = DType::f64) {
  Tensor t(std::move(shape), DType::f64);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] = rng.uniform(-1, 1);
  return t.to(dtype);
}

// Normalised mean squared error of f32 results against f64 ones.
double nmse(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double error = 0, power = 0;
  for (int64_t i = 0; i < b.numel(); ++i) {
    double value = b.data<double>()[i], difference = double(a.data<float>()[i]) - value;
    error += difference * difference, power += value * value;
  }
  return power > 0 ? error / power : error;
}

}  // namespace

TEST_CASE("a convolution of small integers, by hand") {
  Tensor x = Tensor::from<float>({1, 2, 3, 1}, {1, 2, 3, 4, 5, 6});
  Tensor w = Tensor::from<float>({1, 3, 3, 1}, {0, 1, 0, 2, 3, 4, 0, 5, 0});
  Tensor b = Tensor::from<float>({1}, {-10});
  Tensor y = conv2d(x, w, b, {.padding = 1}).value();
  float expected[] = {21, 35, 33, 23, 39, 21};
  for (int i = 0; i < 6; ++i) CHECK(std::abs(y.data<float>()[i] - expected[i]) < 1e-4f);
}

TEST_CASE("fast convolutions equal the plain loops in float64") {
  struct Case {
    Shape x, w;
    Conv2dOptions options;
  };
  auto leaky = Activation::leaky_relu;
  for (const Case& c :
       {Case{{1, 1, 1, 1}, {1, 3, 3, 1}, {.padding = 1}},
        Case{{1, 6, 6, 8}, {8, 3, 3, 8}, {.padding = 0, .activation = leaky}},
        Case{{3, 11, 7, 17}, {64, 3, 3, 17}, {.padding = 1, .activation = leaky}},
        Case{{3, 11, 7, 17}, {3, 33, 3, 3, 17}, {.padding = 1}},
        Case{{1, 30, 37, 64}, {48, 3, 3, 64}, {.padding = 1}},
        Case{{2, 9, 14, 96}, {2, 32, 3, 3, 96}, {.padding = 1}},
        Case{{1, 12, 17, 101}, {33, 3, 3, 101}, {.padding = 1}},
        Case{{1, 17, 22, 256}, {48, 3, 3, 256}, {.padding = 1}},
        Case{{2, 5, 5, 12}, {16, 3, 3, 12}, {.padding = 2}},
        Case{{1, 21, 18, 3}, {12, 3, 3, 3}, {.padding = 1, .activation = Activation::relu}},
        Case{{2, 9, 150, 3}, {3, 3, 3, 3}, {.padding = 1, .activation = leaky}},
        Case{{1, 12, 71, 3}, {3, 3, 3, 3}, {.padding = 0}},
        Case{{1, 7, 40, 3}, {3, 5, 5, 3}, {.padding = 2}},
        Case{{1, 7, 33, 3}, {3, 3, 3, 3}, {.padding = 2, .dilation = 2}},
        Case{{2, 13, 19, 32}, {3, 3, 3, 32}, {.padding = 1}},
        Case{{3, 23, 9, 3}, {3, 3, 3, 3}, {.padding = 1}},
        Case{{3, 9, 11, 17}, {3, 1, 1, 17}, {.activation = leaky}},
        Case{{2, 20, 7, 64}, {2, 24, 1, 1, 64}, {}},
        Case{{1, 19, 22, 5}, {17, 5, 5, 5}, {.padding = 2, .activation = leaky}},
        Case{{2, 19, 22, 8}, {16, 7, 3, 8}, {.padding = 1}},
        Case{{2, 19, 22, 16}, {9, 3, 3, 16}, {.stride = 2, .padding = 1}},
        Case{{1, 20, 17, 16}, {2, 2, 2, 16}, {.stride = 3, .padding = 1}},
        Case{{1, 11, 12, 4}, {6, 1, 1, 4}, {.stride = 2}},
        Case{{2, 40, 35, 16}, {24, 4, 4, 16}, {.stride = 2, .padding = 1}},
        Case{{2, 19, 22, 8}, {2, 12, 5, 3, 8}, {.stride = 4, .padding = 2, .dilation = 3}},
        Case{{1, 3, 2, 4}, {5, 3, 3, 4}, {.stride = 5, .padding = 1}},
        Case{{2, 17, 20, 12}, {10, 3, 5, 6}, {.stride = 6, .padding = 4, .dilation = 4, .groups = 2}},
        Case{{2, 21, 18, 12}, {20, 3, 3, 12}, {.padding = 2, .dilation = 2}},
        Case{{2, 21, 18, 12}, {21, 3, 3, 4}, {.stride = 2, .padding = 3, .dilation = 3, .groups = 3}},
        Case{{2, 13, 18, 32}, {32, 3, 3, 8}, {.padding = 1, .groups = 4}},
        Case{{2, 9, 11, 51}, {27, 3, 3, 17}, {.padding = 1, .groups = 3}},
        Case{{1, 5, 30, 64}, {64, 3, 3, 16}, {.padding = 2, .groups = 4}},
        Case{{1, 13, 18, 6}, {6, 3, 3, 1}, {.padding = 1, .groups = 6}},
        Case{{1, 9, 8, 8}, {4, 3, 3, 8}, {.padding = 4}}}) {
    Rng rng(5);
    ConvGeometry g = conv_geometry(c.x, c.w, c.options);
    Shape y_shape = {g.n, g.oh, g.ow, g.o};
    Tensor x = random_tensor(c.x, rng.split(1)), w = random_tensor(c.w, rng.split(2));
    Tensor b = random_tensor({g.n, g.o}, rng.split(3)), r = random_tensor(y_shape, rng.split(4));
    Tensor dy = random_tensor(y_shape, rng.split(5));
    auto f32 = [](const Tensor& t) { return t.to(DType::f32); };
    INFO(to_string(c.x) << to_string(c.w));
    CHECK(nmse(cpu::conv2d_forward(f32(x), f32(w), f32(b), c.options, f32(r)),
               reference::conv2d(x, w, b, c.options, r)) < 1e-12);
    CHECK(nmse(cpu::conv2d_backward_data(f32(dy), f32(w), c.x, c.options),
               reference::conv2d_backward_data(dy, w, c.x, c.options)) < 1e-11);
    Tensor so_far = random_tensor(c.x, rng.split(6)), held = f32(so_far), total = so_far.clone();
    accumulate(total, reference::conv2d_backward_data(dy, w, c.x, c.options));
    Tensor added = cpu::add_backward_data(held, f32(dy), f32(w), c.x, DType::f32, c.options);
    Tensor in_place = cpu::add_backward_data(held.clone(), f32(dy), f32(w), c.x, DType::f32, c.options);
    CHECK(nmse(added, total) < 1e-11);
    CHECK(std::memcmp(added.bytes(), in_place.bytes(), static_cast<size_t>(added.nbytes())) == 0);
    CHECK(nmse(held, so_far) < 1e-14);
    CHECK(nmse(cpu::conv2d_backward_weight(f32(dy), f32(x), c.w, c.options),
               reference::conv2d_backward_weight(dy, x, c.w, c.options)) < 1e-11);
    check_cuda([&](const std::vector<Var>& v) { return conv2d(v[0], v[1], v[2], c.options, v[3]); },
               {x, w, b, r});
  }
}

// Winograd on the GPU: odd sizes, lines, channels that fill no block, kernels and biases of each image,
// several blocks of tiles, and sums so long that they are taken in parts.
TEST_CASE("3x3 convolutions of many channels on the GPU") {
  struct Case {
    Shape x, w;
    Conv2dOptions options;
    bool per_image_bias = true;
  };
  auto leaky = Activation::leaky_relu;
  for (const Case& c : {Case{{1, 1, 77, 16}, {16, 3, 3, 16}, {.padding = 1, .activation = leaky}},
                        Case{{2, 41, 1, 17}, {19, 3, 3, 17}, {.padding = 1}},
                        Case{{1, 27, 30, 24}, {70, 3, 3, 24}, {.padding = 1}, false},
                        Case{{3, 6, 11, 20}, {3, 33, 3, 3, 20}, {.padding = 0, .activation = leaky}},
                        Case{{2, 7, 5, 16}, {16, 3, 3, 16}, {.padding = 4}, false},
                        Case{{2, 9, 7, 144}, {32, 3, 3, 72}, {.padding = 1, .groups = 2}},
                        Case{{1, 6, 9, 256}, {16, 3, 3, 256}, {.padding = 1}}}) {
    INFO(to_string(c.x) << to_string(c.w));
    Rng rng(6);
    ConvGeometry g = conv_geometry(c.x, c.w, c.options);
    check_cuda([&](const std::vector<Var>& v) { return conv2d(v[0], v[1], v[2], c.options, v[3]); },
               {random_tensor(c.x, rng.split(1)), random_tensor(c.w, rng.split(2)),
                random_tensor(c.per_image_bias ? Shape{g.n, g.o} : Shape{g.o}, rng.split(3)),
                random_tensor({g.n, g.oh, g.ow, g.o}, rng.split(4))});
  }
}

TEST_CASE("the number of threads changes no bit of a convolution") {
  Rng rng(9);
  Tensor x = random_tensor({2, 41, 37, 24}, rng.split(1), DType::f32);
  Tensor w = random_tensor({40, 3, 3, 24}, rng.split(2), DType::f32);
  Tensor b = random_tensor({40}, rng.split(3), DType::f32);
  Tensor dy = random_tensor({2, 41, 37, 40}, rng.split(4), DType::f32);
  int before = num_threads();
  std::vector<Tensor> first;
  for (int threads : {1, 2, 3, 4, 8}) {
    set_num_threads(threads);
    Var vx(x, true), vw(w, true), vb(b, true);
    Var y = conv2d(vx, vw, vb, {.padding = 1, .activation = Activation::leaky_relu});
    Tensor value = y.value();
    backward(y, dy);
    std::vector<Tensor> results = {value, vx.grad(), vw.grad(), vb.grad()};
    if (first.empty()) first = results;
    for (size_t i = 0; i < results.size(); ++i)
      CHECK(std::memcmp(results[i].bytes(), first[i].bytes(), static_cast<size_t>(first[i].nbytes())) == 0);
  }
  set_num_threads(before);
}

TEST_CASE("conv2d's gradient overwrites no tensor that somebody holds") {
  Rng rng(8);
  Tensor x = random_tensor({2, 9, 7, 5}, rng.split(1), DType::f32);
  Tensor w = random_tensor({5, 3, 3, 5}, rng.split(2), DType::f32);
  Tensor dy = random_tensor({2, 9, 7, 5}, rng.split(3), DType::f32);
  const Conv2dOptions options{.padding = 1, .activation = Activation::leaky_relu};
  Var leaf(x, true);
  auto run = [&] {  // the seed meets the activation, the sum so far the input
    Var inner = conv2d(leaf, w, {}, options, leaf);
    backward(conv2d(inner, w, {}, options, inner), dy);
  };
  Tensor before = dy.clone();
  run();
  Tensor once = leaf.grad(), kept = once.clone();
  run();
  auto same = [](const Tensor& a, const Tensor& b) {
    return std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.nbytes())) == 0;
  };
  CHECK(same(dy, before));
  CHECK(same(once, kept));
  for (int64_t i = 0; i < once.numel(); ++i)
    CHECK(leaf.grad().data<float>()[i] == Approx(2 * kept.data<float>()[i]).margin(1e-5));
}

TEST_CASE("conv2d gradients equal differences") {
  struct Case {
    Shape x, w;
    Conv2dOptions options;
    bool per_image_bias = false, residual = false;
  };
  auto leaky = Activation::leaky_relu;
  for (const Case& c : {Case{{2, 5, 4, 3}, {4, 3, 3, 3}, {.padding = 1, .activation = leaky}, true, true},
                        Case{{2, 5, 4, 3}, {2, 4, 3, 3, 3}, {.padding = 1}, true, true},
                        Case{{1, 6, 5, 4}, {6, 3, 3, 2}, {.stride = 2, .padding = 1, .groups = 2}},
                        Case{{1, 7, 6, 2}, {3, 3, 3, 2}, {.padding = 2, .dilation = 2, .activation = leaky}},
                        Case{{2, 3, 4, 5}, {2, 1, 1, 5}, {.activation = Activation::relu}}}) {
    Rng rng(7);
    ConvGeometry g = conv_geometry(c.x, c.w, c.options);
    std::vector<Tensor> inputs = {
        random_tensor(c.x, rng.split(1)), random_tensor(c.w, rng.split(2)),
        random_tensor(c.per_image_bias ? Shape{g.n, g.o} : Shape{g.o}, rng.split(3))};
    if (c.residual) inputs.push_back(random_tensor({g.n, g.oh, g.ow, g.o}, rng.split(4)));
    auto result = gradcheck(
        [&](const std::vector<Var>& v) {
          return conv2d(v[0], v[1], v[2], c.options, c.residual ? v[3] : Var());
        },
        inputs, 1e-6);
    INFO(to_string(c.x) << to_string(c.w) << result.where);
    CHECK(result.worst < 1e-6);
  }
}

TEST_CASE("conv2d says what shape it expected") {
  Tensor x({1, 90, 160, 48});
  CHECK_THROWS_WITH(conv2d(x, Tensor({64, 3, 3, 32})),
                    "conv2d: weight [64,3,3,32] expects 32 input channels, input [1,90,160,48] has 48");
  CHECK_THROWS_WITH(conv2d(x, Tensor({2, 8, 3, 3, 48})), ContainsSubstring("has kernels for 2 images"));
  CHECK_THROWS_WITH(conv2d(x, Tensor({8, 3, 3, 48}), Tensor({9})), ContainsSubstring("bias [9] expects [8]"));
  CHECK_THROWS_WITH(conv2d(Tensor({1, 2, 2, 48}), Tensor({8, 3, 3, 48})), ContainsSubstring("does not fit"));
}

TEST_CASE("a fast convolution is near the exact one, and the same whatever the threads") {
  if (!has_bf16()) return;  // full precision then, which the other cases look at
  const Conv2dOptions options{.padding = 1, .activation = Activation::leaky_relu};
  struct Case {
    Shape x, w;
  };
  for (const Case& c : {Case{{1, 21, 34, 64}, {48, 3, 3, 64}}, Case{{2, 9, 14, 17}, {2, 33, 3, 3, 17}},
                        Case{{1, 8, 8, 9}, {16, 3, 3, 9}}}) {
    Rng rng(4);
    Tensor x = random_tensor(c.x, rng.split(1), DType::f32), w = random_tensor(c.w, rng.split(2), DType::f32);
    Tensor exact = reference::conv2d(x.to(DType::f64), w.to(DType::f64), {}, options);
    PreparedConv2d fast_conv(w, options, Precision::fast);
    Tensor y(exact.shape()), again(exact.shape());
    int threads = num_threads();
    fast_conv.run(x, 0, x.dim(1), {}, {}, y, 0);
    set_num_threads(threads > 1 ? 1 : 3);
    fast_conv.run(x, 0, x.dim(1), {}, {}, again, 0);
    set_num_threads(threads);
    double error = nmse(y, exact);
    CHECK(error < 2e-4);  // of squares: 1.4e-2 in the relative norm
    CHECK(error > 1e-7);  // bf16 indeed
    CHECK(std::memcmp(y.bytes(), again.bytes(), static_cast<size_t>(y.nbytes())) == 0);
  }
}

// Rows [first, end) of x [N,H,W,C].
Tensor rows_of(const Tensor& x, int64_t first, int64_t end) {
  int64_t row = x.dim(2) * x.dim(3);
  Tensor part({x.dim(0), end - first, x.dim(2), x.dim(3)});
  for (int64_t n = 0; n < x.dim(0); ++n)
    std::copy_n(x.data<float>() + (n * x.dim(1) + first) * row, (end - first) * row,
                part.data<float>() + n * (end - first) * row);
  return part;
}

TEST_CASE("a prepared convolution gives the same bits in bands, and the sums of tiles") {
  for (auto [c, o] : {std::pair<int64_t, int64_t>{5, 7}, {8, 20}, {16, 70}}) {  // direct, and Winograd
    Rng rng(3);
    const int64_t height = 13, width = 9, across = 3;
    Tensor x = random_tensor({2, height, width, c}, rng.split(1), DType::f32);
    Tensor w = random_tensor({o, 3, 3, c}, rng.split(2), DType::f32);
    Tensor b = random_tensor({o}, rng.split(3), DType::f32);
    Conv2dOptions options{.padding = 1, .activation = Activation::leaky_relu};
    PreparedConv2d prepared(w, options);
    Tensor whole = cpu::conv2d_forward(x, w, b, options), sums({2, 4, across, o});
    prepared.run(x, 0, height, b, {}, Tensor(whole.shape()), 0, sums);
    for (int64_t i = 0; i < sums.numel(); ++i) {
      int64_t k = i % o, tile = i / o, n = tile / (4 * across), r = tile / across % 4, column = tile % across;
      double sum = 0, size = 0;
      for (int64_t y = r * 4; y < std::min(height, r * 4 + 4); ++y)
        for (int64_t q = column * 4; q < std::min(width, column * 4 + 4); ++q) {
          double v = double(whole.data<float>()[((n * height + y) * width + q) * o + k]);
          sum += v, size += std::abs(v);
        }
      REQUIRE(std::abs(double(sums.data<float>()[i]) - sum) <= 1e-6 * size);
    }
    for (int64_t band : {4, 8, 16})
      for (int64_t first = 0; first < height; first += band) {
        int64_t end = std::min(height, first + band);
        int64_t x_first = std::max<int64_t>(0, first - 1), x_end = std::min(height, end + 1);
        Tensor y({2, end - first, width, o}), tiles({2, (end - first + 3) / 4, across, o});
        prepared.run(rows_of(x, x_first, x_end), x_first, height, b, {}, y, first, tiles);
        CHECK(same_bits(y, rows_of(whole, first, end)));
        CHECK(same_bits(tiles, rows_of(sums, first / 4, (end + 3) / 4)));
      }
    REQUIRE_THROWS_WITH(prepared.run(x, 0, height, b, {}, Tensor(whole.shape()), 0, Tensor({2, 4, 2, o})),
                        ContainsSubstring("sums of the tiles"));
  }
}

}  // namespace dgp
