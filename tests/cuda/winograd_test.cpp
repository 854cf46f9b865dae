// Winograd on the GPU (ops/conv2d_winograd.cu) where results are cut into rows, and which convolutions take
// it. Its results and gradients are looked at with those of every convolution, in tests/ops/conv2d_test.cpp.
#include "ops/conv2d_prepared.h"
#include "tests/cuda/device.h"
#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

Tensor there(const Shape& shape, uint64_t seed) {
  return dgp::random_tensor(shape, seed).to(DType::f32).to(Device::cuda);
}

// Rows [begin, end) of images [N,H,W,C] on the GPU.
Tensor rows_of(const Tensor& images, int64_t begin, int64_t end) {
  const Tensor all = images.to(Device::cpu);
  const int64_t n = all.dim(0), row = all.dim(2) * all.dim(3);
  Tensor some({n, end - begin, all.dim(2), all.dim(3)});
  for (int64_t i = 0; i < n; ++i)
    std::copy_n(all.data<float>() + (i * all.dim(1) + begin) * row, (end - begin) * row,
                some.data<float>() + i * (end - begin) * row);
  return some.to(Device::cuda);
}

}  // namespace

TEST_CASE("cut at multiples of four rows a convolution by Winograd has the same bits") {
  if (!device::usable()) return;
  struct Case {
    int64_t n, height, width, c, o, padding;
    bool per_image;
  };
  for (const Case& k : {Case{2, 30, 19, 17, 33, 1, true}, Case{1, 21, 70, 72, 16, 1, false},
                        Case{1, 19, 9, 16, 16, 0, false}}) {
    CAPTURE(k.c, k.o, k.padding);
    const Tensor x = there({k.n, k.height, k.width, k.c}, 1),
                 w = there(k.per_image ? Shape{k.n, k.o, 3, 3, k.c} : Shape{k.o, 3, 3, k.c}, 2),
                 b = there(k.per_image ? Shape{k.n, k.o} : Shape{k.o}, 3);
    ConvGeometry g = conv_geometry(x.shape(), w.shape(), {.padding = k.padding});
    g.b_per_image = k.per_image;
    const Tensor residual = there({g.n, g.oh, g.ow, g.o}, 4),
                 whole(residual.shape(), DType::f32, Device::cuda),
                 whole_a(residual.shape(), DType::f32, Device::cuda);
    const cuda::PreparedWeights prepared = cuda::prepare_weights(w, DType::f32, DType::f32);
    CHECK(prepared.winograd == 1);
    cuda::conv2d_rows(g, 0.1F, x, prepared, b, residual, whole, whole_a);
    for (int64_t band : {4, 8, 20})
      for (int64_t more : {0, 3}) {  // rows in memory that nobody needs
        CAPTURE(band, more);
        device::With order(more == 0 ? device::Order::shuffled : device::Order::reverse);
        for (int64_t begin = 0; begin < g.oh; begin += band) {
          const int64_t end = std::min(g.oh, begin + band);
          g.y_first = begin, g.y_rows = end - begin;
          g.x_first = std::max<int64_t>(0, begin - k.padding - more);
          g.x_rows = std::min(g.h, end - k.padding + 2 + more) - g.x_first;
          const Tensor y = rows_of(residual, begin, end), a(y.shape(), DType::f32, Device::cuda);
          const Tensor part = rows_of(x, g.x_first, g.x_first + g.x_rows);
          cuda::conv2d_rows(g, 0.1F, part, prepared, b, y, y, a);  // the residual may be the result
          CHECK(dgp::same_bits(y.to(Device::cpu), rows_of(whole, begin, end).to(Device::cpu)));
          CHECK(dgp::same_bits(a.to(Device::cpu), rows_of(whole_a, begin, end).to(Device::cpu)));
        }
      }
  }
}

TEST_CASE("cut anywhere a convolution by Winograd reads only rows in memory, and is as exact") {
  if (!device::usable()) return;
  const Tensor x = there({2, 19, 9, 16}, 1), w = there({16, 3, 3, 16}, 2);
  ConvGeometry g = conv_geometry(x.shape(), w.shape(), {.padding = 1});
  const Tensor whole({2, 19, 9, 16}, DType::f32, Device::cuda);
  cuda::conv2d_rows(g, 1, x, w, {}, {}, whole);
  for (int64_t begin = 0; begin < 19; begin += 7) {
    const int64_t end = std::min<int64_t>(19, begin + 7);
    g.y_first = begin, g.y_rows = end - begin;
    g.x_first = std::max<int64_t>(0, begin - 1), g.x_rows = std::min<int64_t>(19, end + 1) - g.x_first;
    const Tensor y({2, end - begin, 9, 16}, DType::f32, Device::cuda);
    cuda::conv2d_rows(g, 1, rows_of(x, g.x_first, g.x_first + g.x_rows), w, {}, {}, y);
    check_close({y.to(Device::cpu)}, {rows_of(whole, begin, end).to(Device::cpu).to(DType::f64)}, 4e-12, 0,
                x.shape());
  }
}

TEST_CASE("Winograd is for 3x3 convolutions of f32 factors with enough channels, as they were prepared") {
  if (!device::usable()) return;
  const Tensor w = there({32, 3, 3, 16}, 1);
  auto takes = [&](const Tensor& weights, const Conv2dOptions& options, DType read = DType::f32) {
    return cuda::prepare_weights(weights, read, DType::f32, options).winograd > 0;
  };
  CHECK(takes(w, {}));
  CHECK(takes(w, {.padding = 1, .groups = 2}));
  CHECK_FALSE(takes(w, {.groups = 4}));
  CHECK_FALSE(takes(w, {.stride = 2}));
  CHECK_FALSE(takes(w, {.dilation = 2}));
  CHECK_FALSE(takes(there({32, 3, 3, 15}, 2), {}));
  CHECK_FALSE(takes(there({16, 3, 3, 257}, 2), {}));
  CHECK_FALSE(takes(there({32, 3, 5, 16}, 2), {}));
  if (cuda::has_tensor_cores()) {
    CHECK_FALSE(takes(w, {}, DType::bf16));
    const cuda::Using tf32(cuda::Factors::tf32);
    CHECK_FALSE(takes(w, {}));
  }

  const cuda::PreparedWeights prepared = cuda::prepare_weights(w, DType::f32, DType::f32);
  const Tensor x = there({1, 9, 9, 16}, 3);
  const ConvGeometry g = conv_geometry(x.shape(), w.shape(), {.stride = 2});
  const Tensor y({g.n, g.oh, g.ow, g.o}, DType::f32, Device::cuda);
  CHECK_THROWS_WITH(cuda::conv2d_rows(g, 1, x, prepared, {}, {}, y),
                    ContainsSubstring("prepared for stride 1, dilation 1 and 1 groups, not for stride 2"));
}
