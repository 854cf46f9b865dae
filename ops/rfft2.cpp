#include "ops/rfft2.h"

#include <cmath>
#include <numbers>

#include "ops/matmul.h"
#include "ops/permute.h"
#include "ops/pointwise.h"
#include "ops/reshape.h"
#include "ops/slice.h"

namespace dgp {
namespace {

// cos and -sin of 2 pi a b / n for a < rows, b < columns; at(a, b) places an element.
template <class At>
void fill_waves(const Tensor& matrix, int64_t rows, int64_t columns, int64_t n, At at) {
  dispatch_float(matrix.dtype(), "rfft2", [&](auto zero) {
    using T = decltype(zero);
    T* p = matrix.data<T>();
    for (int64_t a = 0; a < rows; ++a)
      for (int64_t b = 0; b < columns; ++b) {
        double angle = 2 * std::numbers::pi * static_cast<double>(a * b % n) / static_cast<double>(n);
        p[at(a, b, false)] = static_cast<T>(std::cos(angle));
        p[at(a, b, true)] = static_cast<T>(-std::sin(angle));
      }
  });
}

}  // namespace

Spectrum rfft2(const Var& x) {
  check_rank("rfft2", "input", x.value(), 4);
  const int64_t images = x.dim(0) * x.dim(3), h = x.dim(1), w = x.dim(2), half = w / 2 + 1;
  check(x.value().numel() > 0, "rfft2: ", to_string(x.shape()), " has no elements");
  Tensor along({w, 2 * half}, x.dtype()), down({2 * h, h}, x.dtype());
  fill_waves(along, w, half, w, [&](int64_t a, int64_t b, bool im) { return a * 2 * half + b + im * half; });
  fill_waves(down, h, h, h, [&](int64_t a, int64_t b, bool im) { return (a + im * h) * h + b; });
  along = along.to(x.value().device()), down = down.to(x.value().device());
  Var rows = matmul(reshape(permute(x, {0, 3, 1, 2}), {images * h, w}), along);  // [N*C*H, re | im]
  Var both = matmul(down, reshape(rows, {images, h, 2 * half}));                 // [N*C, cos ; -sin, re | im]
  Var c = slice(both, 1, 0, h), s = slice(both, 1, h, 2 * h);
  auto re = [&](const Var& v) { return slice(v, 2, 0, half); };
  auto im = [&](const Var& v) { return slice(v, 2, half, 2 * half); };
  return {sub(re(c), im(s)), add(im(c), re(s))};
}

Tensor half_spectrum_weights(int64_t width, DType dtype) {
  Tensor weights = Tensor::full({width / 2 + 1}, 2, dtype);
  dispatch_float(dtype, "rfft2", [&](auto zero) {
    using T = decltype(zero);
    weights.data<T>()[0] = 1;
    if (width % 2 == 0) weights.data<T>()[width / 2] = 1;
  });
  return weights;
}

}  // namespace dgp
