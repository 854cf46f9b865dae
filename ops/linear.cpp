#include "ops/linear.h"

#include "ops/broadcast.h"
#include "ops/reduce.h"
#include "tensor/gemm.h"

namespace dgp {

Var linear(const Var& x, const Var& w, const Var& b) {
  check_rank("linear", "weight", w.value(), 2);
  check(x.value().rank() >= 1 && x.dim(-1) == w.dim(1), "linear: weight ", to_string(w.shape()), " expects ",
        w.dim(1), " features, input ", to_string(x.shape()));
  check(x.dtype() == w.dtype() && (!b.defined() || b.dtype() == w.dtype()), "linear: weight ",
        to_string(w.dtype()), to_string(w.shape()), ", its bias and input ", to_string(x.dtype()),
        to_string(x.shape()), " differ in type");
  int64_t o = w.dim(0), in = w.dim(1), rows = in > 0 ? x.value().numel() / in : 0;
  check(!b.defined() || b.shape() == Shape{o}, "linear: bias ", to_string(b.shape()), " expects [", o,
        "], weight ", to_string(w.shape()));
  Shape shape = x.shape();
  shape.back() = o;
  Tensor y(shape, x.dtype(), x.value().device());
  if (b.defined()) broadcast_into(b.value(), y);
  dispatch_float(x.dtype(), "linear", [&](auto zero) {
    using T = decltype(zero);
    gemm<T>(y.device(), false, true, rows, o, in, T(1), x.value().address<T>(), in, w.value().address<T>(),
            in, T(b.defined()), y.address<T>(), o);
  });
  return record(y, {x, w, b},
                [x = x.value(), w = w.value(), rows, o, in](const Tensor& dy, const Wanted& wanted) {
                  std::vector<Tensor> grads(3);
                  dispatch_float(dy.dtype(), "linear", [&](auto zero) {
                    using T = decltype(zero);
                    const T* d = dy.address<T>();
                    auto product = [&](const Tensor& y, bool ta, int64_t m, int64_t k, const Tensor& by) {
                      gemm<T>(y.device(), ta, false, m, in, k, T(1), d, o, by.address<T>(), in, T(0),
                              y.address<T>(), in);
                    };
                    if (wanted[0]) {
                      grads[0] = Tensor(x.shape(), x.dtype(), x.device());
                      product(grads[0], false, rows, o, w);
                    }
                    if (wanted[1]) {
                      grads[1] = Tensor(w.shape(), w.dtype(), w.device());
                      product(grads[1], true, o, rows, x);
                    }
                  });
                  if (wanted[2]) grads[2] = cpu::sum(dy.reshape({rows, o}), {true, false}).reshape({o});
                  return grads;
                });
}

}  // namespace dgp
