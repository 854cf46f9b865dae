#include "ops/pointwise.h"

#include "ops/broadcast.h"
#include "ops/pointwise_cuda.h"
#include "ops/reduce.h"
#include "tensor/parallel.h"
#include "tensor/storage.h"

namespace dgp {
namespace {

// y_i = f(i) over flat indices.
template <class T, class F>
Tensor map(const Tensor& like, const F& f) {
  Tensor y(like.shape(), like.dtype());
  T* out = y.data<T>();
  parallel_for(y.numel(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = f(i);
  });
  return y;
}

template <class Function>
Var unary(const char* name, const Var& x, Function fn) {
  auto on_cpu = [&](auto zero) {
    using T = decltype(zero);
    return map<T>(x.value(), [fn, p = x.value().data<T>()](int64_t i) { return fn.f(p[i]); });
  };
  bool gpu = x.value().device() == Device::cuda;
  Tensor y = gpu ? cuda::unary(x.value(), fn) : dispatch_float(x.dtype(), name, on_cpu);
  Tensor saved = Function::kFromResult && !is_16_bit(y.dtype()) ? y : x.value();
  return record(y, {x}, [saved, fn, name](const Tensor& dy, const Wanted&) {
    if (dy.device() == Device::cuda) return std::vector<Tensor>{cuda::unary_gradient(dy, saved, fn)};
    return dispatch_float(dy.dtype(), name, [&](auto zero) {
      using T = decltype(zero);
      return std::vector<Tensor>{
          map<T>(dy, [fn, d = dy.data<T>(), s = saved.data<T>()](int64_t i) { return d[i] * fn.df(s[i]); })};
    });
  });
}

// One run of a broadcast loop; each step is 0 or 1, and the compiler sees which.
template <class T, class F>
void run2(const F& f, const T* a, int64_t step_a, const T* b, int64_t step_b, T* y, int64_t n) {
  if (step_a && step_b) {
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i], i);
  } else if (step_a) {
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], *b, i);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = f(*a, b[i * step_b], i);
  }
}

template <class T, class F>
Tensor broadcast_map(const Shape& shape, const Tensor& a, const Tensor& b, const F& f) {
  Tensor y(shape, a.dtype());
  const T *pa = a.data<T>(), *pb = b.data<T>();
  T* out = y.data<T>();
  BroadcastLoop(shape, a.shape(), b.shape())
      .run([&](int64_t i, int64_t ia, int64_t step_a, int64_t ib, int64_t step_b, int64_t count) {
        run2([&f, i](T p, T q, int64_t j) { return f(p, q, i + j); }, pa + ia, step_a, pb + ib, step_b,
             out + i, count);
      });
  return y;
}

// The gradient of an operand of this shape and type: summed over its repetitions.
Tensor summed_like(const Shape& shape, DType dtype, const Tensor& d) {
  return cpu::sum_to(d, shape).to(dtype);
}

template <class Function>
Var binary(const char* name, const Var& a, const Var& b, Function fn) {
  bool on_gpu = a.value().device() == Device::cuda;
  bool mixed = on_gpu && is_16_bit(a.dtype()) && b.dtype() == DType::f32;
  check(a.dtype() == b.dtype() || mixed, name, ": ", to_string(a.dtype()), to_string(a.shape()), " and ",
        to_string(b.dtype()), to_string(b.shape()), " differ in type");
  Shape shape = broadcast_shape(name, a.shape(), b.shape());
  auto on_cpu = [&](auto zero) {
    using T = decltype(zero);
    return broadcast_map<T>(shape, a.value(), b.value(), [fn](T p, T q, int64_t) { return fn.f(p, q); });
  };
  Tensor y = on_gpu ? cuda::binary(shape, a.value(), b.value(), fn) : dispatch_float(a.dtype(), name, on_cpu);
  return record(y, {a, b}, [a = a.value(), b = b.value(), fn, name](const Tensor& dy, const Wanted& wanted) {
    std::vector<Tensor> grads(2);
    if (dy.device() == Device::cuda) {
      if (wanted[0]) grads[0] = summed_like(a.shape(), a.dtype(), cuda::binary_gradient(dy, a, b, fn, false));
      if (wanted[1]) grads[1] = summed_like(b.shape(), b.dtype(), cuda::binary_gradient(dy, a, b, fn, true));
      return grads;
    }
    dispatch_float(dy.dtype(), name, [&](auto zero) {
      using T = decltype(zero);
      const T* d = dy.data<T>();
      if (wanted[0])
        grads[0] = cpu::sum_to(
            broadcast_map<T>(dy.shape(), a, b, [fn, d](T p, T q, int64_t i) { return d[i] * fn.da(p, q); }),
            a.shape());
      if (wanted[1])
        grads[1] = cpu::sum_to(
            broadcast_map<T>(dy.shape(), a, b, [fn, d](T p, T q, int64_t i) { return d[i] * fn.db(p, q); }),
            b.shape());
    });
    return grads;
  });
}

Tensor negative(const Tensor& x) {
  if (x.device() == Device::cuda) return cuda::unary(x, pointwise::Neg{});
  return dispatch_float(x.dtype(), "sub", [&](auto zero) {
    using T = decltype(zero);
    return map<T>(x, [p = x.data<T>()](int64_t i) { return -p[i]; });
  });
}

// Sums need neither operand for their gradients, so none is kept alive.
template <class Function>
Var additive(const char* name, const Var& a, const Var& b, Function fn) {
  Var y = binary(name, a.detach(), b.detach(), fn);
  auto gradients = [sa = a.shape(), sb = b.shape(), ta = a.dtype(), tb = b.dtype()](const Tensor& dy,
                                                                                    const Wanted& wanted) {
    std::vector<Tensor> grads(2);
    if (wanted[0]) grads[0] = summed_like(sa, ta, dy);
    if (wanted[1]) {
      Tensor db = summed_like(sb, tb, dy);
      grads[1] = std::is_same_v<Function, pointwise::Sub> ? negative(db) : db;
    }
    return grads;
  };
  return record(y.value(), {a, b}, gradients);
}

}  // namespace

#define DGP_DEFINE(name, Function) \
  Var name(const Var& x) { return unary(#name, x, pointwise::Function{}); }
DGP_UNARY_OPS(DGP_DEFINE)
#undef DGP_DEFINE

Var add(const Var& a, const Var& b) { return additive("add", a, b, pointwise::Add{}); }
Var sub(const Var& a, const Var& b) { return additive("sub", a, b, pointwise::Sub{}); }
Var mul(const Var& a, const Var& b) { return binary("mul", a, b, pointwise::Mul{}); }
Var div(const Var& a, const Var& b) { return binary("div", a, b, pointwise::Div{}); }

Var add(const Var& x, double c) { return unary("add", x, pointwise::AddConstant{{}, c}); }
Var mul(const Var& x, double c) { return unary("mul", x, pointwise::MulConstant{{}, c}); }
Var leaky_relu(const Var& x, double slope) { return unary("leaky_relu", x, pointwise::LeakyRelu{{}, slope}); }

Var prelu(const Var& x, const Var& a) {
  check(a.value().rank() == 1 && x.value().rank() >= 1 && x.dim(-1) == a.dim(0), "prelu: slopes ",
        to_string(a.shape()), " expect one per channel of input ", to_string(x.shape()));
  return binary("prelu", x, a, pointwise::Prelu{});
}

Var clamp(const Var& x, double lo, double hi) {
  check(lo <= hi, "clamp: the range ", lo, " to ", hi, " of input ", to_string(x.shape()), " is empty");
  return unary("clamp", x, pointwise::Clamp{{}, lo, hi});
}

}  // namespace dgp
