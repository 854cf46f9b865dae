#include "ops/fold_kernels.h"

#include <algorithm>

#include "autograd/take_sum.h"
#include "ops/concat.h"
#include "ops/matmul.h"
#include "ops/reshape.h"
#include "ops/slice.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

struct Sizes {
  int64_t rows, groups, middle, taps, channels;
  int64_t u_row() const { return groups * middle; }           // from a row of u to the next
  int64_t v_row() const { return taps * channels; }           // of v
  int64_t w_row() const { return taps * groups * channels; }  // of w
  int64_t v_at(int64_t h, int64_t t) const { return h * middle * v_row() + t * channels; }
  int64_t w_at(int64_t h, int64_t t) const { return (t * groups + h) * channels; }
};

Sizes sizes_of(const Var& u, const Var& v) {
  check_rank("fold_kernels", "u [N,O,H,M]", u.value(), 4);
  check_rank("fold_kernels", "v [H,M,k,k,C]", v.value(), 5);
  check(u.dim(2) == v.dim(0) && u.dim(3) == v.dim(1) && u.dtype() == v.dtype(), "fold_kernels: v ",
        to_string(v.dtype()), to_string(v.shape()), " expects u [N,O,", v.dim(0), ",", v.dim(1), "], got ",
        to_string(u.dtype()), to_string(u.shape()));
  return {u.dim(0) * u.dim(1), v.dim(0), v.dim(1), v.dim(2) * v.dim(3), v.dim(4)};
}

Shape result_shape(const Var& u, const Var& v) {
  return {u.dim(0), u.dim(1), v.dim(2), v.dim(3), v.dim(0) * v.dim(4)};
}

// x [rows, columns] -> [columns, rows], in squares that stay in the cache.
template <class T>
Tensor transposed(const T* x, int64_t rows, int64_t columns) {
  constexpr int64_t kSquare = 16;
  Tensor y({columns, rows}, dtype_of<T>());
  T* to = y.template data<T>();
  parallel_for((columns + kSquare - 1) / kSquare, 1, [&](int64_t square, int64_t) {
    int64_t first = square * kSquare, last = std::min(columns, first + kSquare);
    for (int64_t r0 = 0; r0 < rows; r0 += kSquare)
      for (int64_t c = first; c < last; ++c)
        for (int64_t r = r0; r < std::min(rows, r0 + kSquare); ++r) to[c * rows + r] = x[r * columns + c];
  });
  return y;
}

template <class T>
void run_forward(const Sizes& s, const T* u, const T* v, T* w) {
  parallel_for(s.groups * s.taps, 1, [&](int64_t index, int64_t) {
    int64_t h = index / s.taps, t = index % s.taps;
    gemm<T>(false, false, s.rows, s.channels, s.middle, T(1), u + h * s.middle, s.u_row(), v + s.v_at(h, t),
            s.v_row(), T(0), w + s.w_at(h, t), s.w_row());
  });
}

// A product for each stretch of rows, group and tap; taps are added in order.
template <class T>
void run_backward_u(const Sizes& s, const T* dw, const T* v, T* du) {
  constexpr int64_t kRows = 192;
  Tensor turned = transposed(v, s.groups * s.middle, s.v_row());  // [taps, C, H, M]
  int64_t stretches = (s.rows + kRows - 1) / kRows;
  parallel_for(s.groups * stretches, 1, [&](int64_t index, int64_t) {
    int64_t h = index / stretches, first = index % stretches * kRows, rows = std::min(kRows, s.rows - first);
    for (int64_t t = 0; t < s.taps; ++t)
      gemm<T>(false, false, rows, s.middle, s.channels, T(1), dw + first * s.w_row() + s.w_at(h, t),
              s.w_row(), turned.data<T>() + t * s.channels * s.u_row() + h * s.middle, s.u_row(), T(t > 0),
              du + first * s.u_row() + h * s.middle, s.u_row());
  });
}

template <class T>
void run_backward_v(const Sizes& s, const T* dw, const T* u, T beta, T* dv) {
  Tensor turned = transposed(u, s.rows, s.u_row());  // [H, M, rows]
  parallel_for(s.groups * s.taps, 1, [&](int64_t index, int64_t) {
    int64_t h = index / s.taps, t = index % s.taps;
    gemm<T>(false, false, s.middle, s.channels, s.rows, T(1), turned.data<T>() + h * s.middle * s.rows,
            s.rows, dw + s.w_at(h, t), s.w_row(), beta, dv + s.v_at(h, t), s.v_row());
  });
}

}  // namespace

Var fold_kernels(const Var& u, const Var& v) {
  Sizes s = sizes_of(u, v);
  if (u.value().device() == Device::cuda) return reference::fold_kernels(u, v);
  Tensor w(result_shape(u, v), u.dtype());
  dispatch_float(w.dtype(), "fold_kernels", [&](auto zero) {
    using T = decltype(zero);
    run_forward(s, u.value().data<T>(), v.value().data<T>(), w.data<T>());
  });
  return record(w, {u, v}, [s, u = u.value(), v = v.value()](const Tensor& dw, const Wanted& wanted) {
    std::vector<Tensor> grads(2);
    dispatch_float(dw.dtype(), "fold_kernels", [&](auto zero) {
      using T = decltype(zero);
      if (wanted[0]) {
        grads[0] = Tensor(u.shape(), u.dtype());
        run_backward_u(s, dw.data<T>(), v.data<T>(), grads[0].data<T>());
      }
      if (!wanted[1]) return;
      Tensor sum = take_sum(1);
      bool in_place = sum.defined() && sum.sole_owner();
      grads[1] = in_place ? sum : Tensor(v.shape(), v.dtype());
      run_backward_v(s, dw.data<T>(), u.data<T>(), T(in_place), grads[1].data<T>());
      if (!in_place) accumulate(grads[1], sum);
    });
    return grads;
  });
}

Var reference::fold_kernels(const Var& u, const Var& v) {
  Sizes s = sizes_of(u, v);
  std::vector<Var> groups;
  for (int64_t h = 0; h < s.groups; ++h) {
    Var a = reshape(slice(u, 2, h, h + 1), {s.rows, s.middle});
    Var b = reshape(slice(v, 0, h, h + 1), {s.middle, s.taps * s.channels});
    groups.push_back(reshape(matmul(a, b), {u.dim(0), u.dim(1), v.dim(2), v.dim(3), s.channels}));
  }
  return concat(groups, 4);
}

}  // namespace dgp
