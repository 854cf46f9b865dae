// The scalar functions of pointwise.h, one struct each: f is the value, df the derivative. Each states what
// df reads: the argument x, or the result y where that is enough, since the result is alive anyhow. At a kink
// the derivative is PyTorch's choice. NaN in gives NaN out.
#pragma once

#include <cmath>
#include <numbers>

#include "tensor/device_function.h"

namespace dgp::pointwise {

struct FromX {
  static constexpr bool kFromResult = false;
};
struct FromY {
  static constexpr bool kFromResult = true;
};

// clang-format off
struct Neg : FromY {
  template <class T> DGP_DEVICE T f(T x) const { return -x; }
  template <class T> DGP_DEVICE T df(T) const { return T(-1); }
};
struct AddConstant : FromY {
  double c;
  template <class T> DGP_DEVICE T f(T x) const { return x + T(c); }
  template <class T> DGP_DEVICE T df(T) const { return T(1); }
};
struct MulConstant : FromY {
  double c;
  template <class T> DGP_DEVICE T f(T x) const { return x * T(c); }
  template <class T> DGP_DEVICE T df(T) const { return T(c); }
};
struct Relu : FromY {
  template <class T> DGP_DEVICE T f(T x) const { return x < 0 ? T(0) : x; }
  template <class T> DGP_DEVICE T df(T y) const { return y > 0 ? T(1) : T(0); }
};
struct LeakyRelu : FromX {
  double slope;
  template <class T> DGP_DEVICE T f(T x) const { return x > 0 ? x : T(slope) * x; }
  template <class T> DGP_DEVICE T df(T x) const { return x > 0 ? T(1) : T(slope); }
};
struct Gelu : FromX {  // x * P(standard normal <= x), exact
  template <class T> DGP_DEVICE T f(T x) const {
    return T(0.5) * x * (T(1) + std::erf(x * T(std::numbers::sqrt2 / 2)));
  }
  template <class T> DGP_DEVICE T df(T x) const {
    T density = std::exp(T(-0.5) * x * x) * T(std::numbers::inv_sqrtpi * std::numbers::sqrt2 / 2);
    return T(0.5) * (T(1) + std::erf(x * T(std::numbers::sqrt2 / 2))) + x * density;
  }
};
struct Sigmoid : FromY {
  template <class T> DGP_DEVICE T f(T x) const { return T(1) / (T(1) + std::exp(-x)); }
  template <class T> DGP_DEVICE T df(T y) const { return y * (T(1) - y); }
};
struct Silu : FromX {
  template <class T> DGP_DEVICE T f(T x) const { return x / (T(1) + std::exp(-x)); }
  template <class T> DGP_DEVICE T df(T x) const {
    T s = T(1) / (T(1) + std::exp(-x));
    return s * (T(1) + x * (T(1) - s));
  }
};
struct Tanh : FromY {
  template <class T> DGP_DEVICE T f(T x) const { return std::tanh(x); }
  template <class T> DGP_DEVICE T df(T y) const { return T(1) - y * y; }
};
struct Abs : FromX {
  template <class T> DGP_DEVICE T f(T x) const { return std::abs(x); }
  template <class T> DGP_DEVICE T df(T x) const { return T(x > 0) - T(x < 0); }
};
struct Sqrt : FromY {  // the derivative at 0 is infinite
  template <class T> DGP_DEVICE T f(T x) const { return std::sqrt(x); }
  template <class T> DGP_DEVICE T df(T y) const { return T(0.5) / y; }
};
struct Square : FromX {
  template <class T> DGP_DEVICE T f(T x) const { return x * x; }
  template <class T> DGP_DEVICE T df(T x) const { return x + x; }
};
struct Exp : FromY {
  template <class T> DGP_DEVICE T f(T x) const { return std::exp(x); }
  template <class T> DGP_DEVICE T df(T y) const { return y; }
};
struct Log : FromX {
  template <class T> DGP_DEVICE T f(T x) const { return std::log(x); }
  template <class T> DGP_DEVICE T df(T x) const { return T(1) / x; }
};
struct Clamp : FromX {
  double lo, hi;
  template <class T> DGP_DEVICE T f(T x) const { return x < T(lo) ? T(lo) : x > T(hi) ? T(hi) : x; }
  template <class T> DGP_DEVICE T df(T x) const { return x >= T(lo) && x <= T(hi) ? T(1) : T(0); }
};

// Functions of two arguments: da and db are the derivatives by the first and the second.
struct Add {
  template <class T> DGP_DEVICE T f(T a, T b) const { return a + b; }
  template <class T> DGP_DEVICE T da(T, T) const { return T(1); }
  template <class T> DGP_DEVICE T db(T, T) const { return T(1); }
};
struct Sub {
  template <class T> DGP_DEVICE T f(T a, T b) const { return a - b; }
  template <class T> DGP_DEVICE T da(T, T) const { return T(1); }
  template <class T> DGP_DEVICE T db(T, T) const { return T(-1); }
};
struct Mul {
  template <class T> DGP_DEVICE T f(T a, T b) const { return a * b; }
  template <class T> DGP_DEVICE T da(T, T b) const { return b; }
  template <class T> DGP_DEVICE T db(T a, T) const { return a; }
};
struct Div {
  template <class T> DGP_DEVICE T f(T a, T b) const { return a / b; }
  template <class T> DGP_DEVICE T da(T, T b) const { return T(1) / b; }
  template <class T> DGP_DEVICE T db(T a, T b) const { return -a / (b * b); }
};
struct Prelu {
  template <class T> DGP_DEVICE T f(T x, T a) const { return x > 0 ? x : a * x; }
  template <class T> DGP_DEVICE T da(T x, T a) const { return x > 0 ? T(1) : a; }
  template <class T> DGP_DEVICE T db(T x, T) const { return x > 0 ? T(0) : x; }
};
// clang-format on

}  // namespace dgp::pointwise

// The lists that the ops, their gradients and their tests are made from: name of the op, its struct.
#define DGP_UNARY_OPS(X) \
  X(neg, Neg)            \
  X(relu, Relu)          \
  X(gelu, Gelu)          \
  X(sigmoid, Sigmoid)    \
  X(silu, Silu)          \
  X(tanh, Tanh)          \
  X(abs, Abs)            \
  X(sqrt, Sqrt)          \
  X(square, Square)      \
  X(exp, Exp)            \
  X(log, Log)

#define DGP_BINARY_OPS(X) \
  X(add, Add)             \
  X(sub, Sub)             \
  X(mul, Mul)             \
  X(div, Div)
