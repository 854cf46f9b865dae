// 1x1 convolutions as the matrix products that they are, pixels [P] by channels, by cuBLAS:
//
//   y [P,O] = x [P,C] w [O,C]^T      dx [P,C] = dy [P,O] w [O,C]      dw [O,C] = dy [P,O]^T x [P,C]
//
// Where bias, activation or residual follow, the kernel of conv2d_tile.h adds them as it stores: another pass
// over the result would move more than the product does (docs/cuda.md).
#include "ops/conv2d_cuda.h"
#include "tensor/cuda_gemm.h"

namespace dgp::cuda {
namespace {

bool is_product(const ConvGeometry& g) {
  return g.kh == 1 && g.kw == 1 && g.stride == 1 && g.padding == 0 && g.groups == 1 && g.x_rows == g.y_rows &&
         g.n * g.y_rows * g.ow > 0;
}

// Factors as they are stored, none to be rounded on the way.
bool by_types(DType read, DType written) {
  const Factors factors = factors_of(read, written);
  const DType type = factors == Factors::bf16  ? DType::bf16
                     : factors == Factors::f16 ? DType::f16
                                               : DType::f32;
  return read == type && (written == type || written == DType::f32);
}

// result [P, to] = map [P, from] op(w), added to what is there with beta = 1.
bool multiply(const ConvGeometry& g, const Tensor& map, const Tensor& of_w, bool transposed,
              const Tensor& result, float beta) {
  const Tensor w = of_w.to(map.dtype());
  const int64_t from = map.dim(3), to = result.dim(3), pixels = g.y_rows * g.ow;
  const bool batched = g.w_per_image;
  return gemm_by_blas({.ta = false,
                       .tb = transposed,
                       .m = batched ? pixels : g.n * pixels,
                       .n = to,
                       .k = from,
                       .a = array(map).data,
                       .lda = from,
                       .b = array(w).data,
                       .ldb = g.c,
                       .c = array(result).data,
                       .ldc = to,
                       .beta = beta,
                       .batch = batched ? g.n : 1,
                       .a_step = pixels * from,
                       .b_step = g.o * g.c,
                       .c_step = pixels * to,
                       .factors = map.dtype(),
                       .result = result.dtype()});
}

}  // namespace

bool forward_by_blas(const ConvGeometry& g, const Tensor& x, const Tensor& w, const Tensor& y) {
  return is_product(g) && by_types(x.dtype(), y.dtype()) && multiply(g, x, w, true, y, 0);
}

bool backward_data_by_blas(const ConvGeometry& g, const Tensor& dy, const Tensor& w, const Tensor& sum,
                           const Tensor& dx) {
  const bool in_place = sum.defined() && array(sum).data == array(dx).data;
  return is_product(g) && (in_place || !sum.defined()) && by_types(dy.dtype(), dx.dtype()) &&
         multiply(g, dy, w, false, dx, in_place ? 1.0F : 0.0F);
}

// A batch of the parts that WeightGradient names, the last of which may have fewer rows.
bool backward_weight_by_blas(const ConvGeometry& g, const WeightGradient& p, DType type) {
  const bool in_tf32 = factors() == Factors::bf16 || factors() == Factors::f16;  // which cuBLAS does not take
  if (!is_product(g) || g.w_per_image || (type == DType::f32 && in_tf32)) return false;
  auto parts = [&](int64_t first, int64_t count, int64_t rows) {
    const int64_t pixels = rows * g.ow, before = first * p.rows_each * g.ow, size = element_size(type);
    return gemm_by_blas({.ta = true,
                         .tb = false,
                         .m = g.o,
                         .n = g.c,
                         .k = pixels,
                         .a = static_cast<const std::byte*>(p.dy) + before * g.o * size,
                         .lda = g.o,
                         .b = static_cast<const std::byte*>(p.x) + before * g.c * size,
                         .ldb = g.c,
                         .c = p.partial + first * g.o * g.c,
                         .ldc = g.c,
                         .batch = count,
                         .a_step = pixels * g.o,
                         .b_step = pixels * g.c,
                         .c_step = g.o * g.c,
                         .factors = type});
  };
  const int64_t whole = p.rows / p.rows_each, rest = p.rows - whole * p.rows_each;
  return (whole == 0 || parts(0, whole, p.rows_each)) && (rest == 0 || parts(whole, 1, rest));
}

}  // namespace dgp::cuda
