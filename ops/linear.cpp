#include "ops/linear.h"

#include "ops/reduce.h"
#include "tensor/cuda_gemm.h"
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
  if (y.device() == Device::cuda)
    cuda::gemm(false, true, rows, o, in, x.value().device_data<float>(), w.value().device_data<float>(),
               b.defined() ? b.value().device_data<float>() : nullptr, y.device_data<float>());
  else
    dispatch_float(x.dtype(), "linear", [&](auto zero) {
      using T = decltype(zero);
      T* out = y.data<T>();
      for (int64_t i = 0; b.defined() && i < rows; ++i)
        for (int64_t j = 0; j < o; ++j) out[i * o + j] = b.value().data<T>()[j];
      gemm<T>(false, true, rows, o, in, T(1), x.value().data<T>(), in, w.value().data<T>(), in,
              T(b.defined()), out, o);
    });
  return record(
      y, {x, w, b}, [x = x.value(), w = w.value(), rows, o, in](const Tensor& dy, const Wanted& wanted) {
        std::vector<Tensor> grads(3);
        dispatch_float(dy.dtype(), "linear", [&](auto zero) {
          using T = decltype(zero);
          const T* d = dy.data<T>();
          if (wanted[0]) {
            grads[0] = Tensor(x.shape(), x.dtype());
            gemm<T>(false, false, rows, in, o, T(1), d, o, w.data<T>(), in, T(0), grads[0].data<T>(), in);
          }
          if (wanted[1]) {
            grads[1] = Tensor(w.shape(), w.dtype());
            gemm<T>(true, false, o, in, rows, T(1), d, o, x.data<T>(), in, T(0), grads[1].data<T>(), in);
          }
        });
        if (wanted[2]) grads[2] = cpu::sum(dy.reshape({rows, o}), {true, false}).reshape({o});
        return grads;
      });
}

}  // namespace dgp
