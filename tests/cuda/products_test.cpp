// 1x1 convolutions: which of them and of their gradients cuBLAS multiplies, and that they are right either
// way.
#include <emulator.h>

#include "ops/conv2d_prepared.h"
#include "ops/conv2d_reference.h"
#include "tensor/cuda_math.h"
#include "tests/cuda/nmse.h"
#include "tests/ops/op_checks.h"

using namespace dgp;
using cuda::Factors;

namespace {

// What every type holds exactly, so that only a result's own rounding is left.
Tensor simple(const Shape& shape, uint64_t seed) {
  return dgp::random_tensor(shape, seed).to(DType::bf16).to(DType::f16).to(DType::f64);
}

Tensor moved(const Tensor& t, DType type) { return t.to(DType::f32).to(type).to(Device::cuda); }

// How many products cuBLAS made of it.
int64_t products(const std::function<void()>& f) {
  const int64_t before = emulator::product_count();
  f();
  cuda::synchronize();
  return emulator::product_count() - before;
}

}  // namespace

TEST_CASE("1x1 convolutions without bias, activation and residual are products of cuBLAS") {
  struct Case {
    Shape x, w;
    int64_t parts;  // products of the gradient in w: parts of one length, and a shorter one
  };
  struct Types {
    DType x, y;
    Factors factors;
    bool forward, dx, dw;  // by cuBLAS
  };
  const DType f32 = DType::f32, bf16 = DType::bf16, f16 = DType::f16;
  for (const Case& c : {Case{{2, 9, 7, 16}, {24, 1, 1, 16}, 1}, Case{{1, 5, 7, 3}, {17, 1, 1, 3}, 1},
                        Case{{2, 6, 5, 8}, {2, 12, 1, 1, 8}, 0}, Case{{3, 23, 35, 4}, {5, 1, 1, 4}, 2}})
    for (const Types& s :
         {Types{f32, f32, Factors::f32, true, true, true}, Types{f32, f32, Factors::tf32, true, true, true},
          Types{f32, f32, Factors::bf16, false, false, false},
          Types{bf16, bf16, Factors::f32, true, true, true}, Types{f16, f16, Factors::f32, true, true, true},
          Types{f16, f32, Factors::f32, true, false, true},
          Types{f32, bf16, Factors::f32, false, true, true}}) {
      CAPTURE(to_string(c.w), static_cast<int>(s.x), static_cast<int>(s.y), static_cast<int>(s.factors));
      emulator::With with({.every_order = true});
      const cuda::Using in_use(s.factors);
      const ConvGeometry g = conv_geometry(c.x, c.w, {});
      const Shape result = {g.n, g.oh, g.ow, g.o};
      const Tensor x = simple(c.x, 1), w = simple(c.w, 2), dy = simple(result, 3), sum = simple(c.x, 4);
      auto bound = [](DType type, double full) {
        return type == DType::f32 ? full : type == DType::f16 ? 2e-7 : 1e-5;
      };

      const Tensor on_x = moved(x, s.x), on_w = moved(w, f32), on_dy = moved(dy, s.y);
      const Tensor y(result, s.y, Device::cuda), want = reference::conv2d(x, w, {}, {});
      auto is_y = [&] { CHECK(nmse(y, want) <= bound(s.y, 1e-12)); };
      CHECK(products([&] { cuda::conv2d_rows(g, 1, on_x, on_w, {}, {}, y); }) == s.forward);
      is_y();
      const Tensor bias = moved(Tensor::zeros({g.o}, DType::f64), f32);
      CHECK(products([&] { cuda::conv2d_rows(g, 1, on_x, on_w, bias, {}, y); }) == 0);
      is_y();
      const auto prepared = cuda::prepare_weights(on_w, s.x, s.y);  // whose bits no cutting may change
      CHECK(products([&] { cuda::conv2d_rows(g, 1, on_x, prepared, {}, {}, y); }) == 0);
      is_y();

      const Tensor dx_alone = reference::conv2d_backward_data(dy, w, c.x, {}), dx = moved(sum, s.x);
      Tensor dx_and_sum = dx_alone.clone();
      for (int64_t i = 0; i < sum.numel(); ++i) dx_and_sum.data<double>()[i] += sum.data<double>()[i];
      const Tensor apart(c.x, s.x, Device::cuda);
      CHECK(products([&] { cuda::conv2d_backward_data(g, on_dy, on_w, dx, apart); }) == 0);
      CHECK(nmse(apart, dx_and_sum) <= bound(s.x, 1e-11));
      CHECK(products([&] { cuda::conv2d_backward_data(g, on_dy, on_w, dx, dx); }) == s.dx);
      CHECK(nmse(dx, dx_and_sum) <= bound(s.x, 1e-11));
      CHECK(products([&] { cuda::conv2d_backward_data(g, on_dy, on_w, {}, dx); }) == s.dx);
      CHECK(nmse(dx, dx_alone) <= bound(s.x, 1e-11));

      const Tensor dw(c.w, f32, Device::cuda);
      CHECK(products([&] { cuda::conv2d_backward_weight(g, on_dy, on_x, dw); }) == (s.dw ? c.parts : 0));
      CHECK(nmse(dw, reference::conv2d_backward_weight(dy, x, c.w, {})) <= 1e-11);
    }
}
