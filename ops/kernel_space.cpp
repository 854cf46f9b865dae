#include "ops/kernel_space.h"

#include <algorithm>
#include <cmath>

#include "tensor/parallel.h"

namespace dgp {
namespace {

struct Sizes {
  int64_t n, outputs, k, inputs;
  int64_t taps() const { return k * k; }
  int64_t slab() const { return taps() * inputs; }  // elements of one output's kernels
  int64_t per_operator() const { return outputs * slab(); }
};

Sizes sizes_of(const char* op, const Tensor& kernels) {
  check_rank(op, "kernels [n,O,k,k,I]", kernels, 5);
  return {kernels.dim(0), kernels.dim(1), kernels.dim(2), kernels.dim(4)};
}

// W_tap = w_tap + sign * mean over taps. Its own adjoint.
template <class T>
void add_mean(const Sizes& s, const T* w, T sign, T* out) {
  std::vector<T> mean(static_cast<size_t>(s.inputs), T{0});
  for (int64_t t = 0; t < s.taps(); ++t)
    for (int64_t i = 0; i < s.inputs; ++i) mean[static_cast<size_t>(i)] += w[t * s.inputs + i];
  for (T& m : mean) m *= sign / static_cast<T>(s.taps());
  for (int64_t t = 0; t < s.taps(); ++t)
    for (int64_t i = 0; i < s.inputs; ++i)
      out[t * s.inputs + i] = w[t * s.inputs + i] + mean[static_cast<size_t>(i)];
}

// W_tap = w_tap - w_mirror(tap). Its own adjoint, as mirroring is.
template <class T>
void subtract_mirror(const Sizes& s, const T* w, bool columns, T* out) {
  for (int64_t r = 0; r < s.k; ++r)
    for (int64_t c = 0; c < s.k; ++c) {
      const T* a = w + (r * s.k + c) * s.inputs;
      const T* b = w + (columns ? r * s.k + s.k - 1 - c : (s.k - 1 - r) * s.k + c) * s.inputs;
      T* o = out + (r * s.k + c) * s.inputs;
      for (int64_t i = 0; i < s.inputs; ++i) o[i] = a[i] - b[i];
    }
}

// idg, W_L = w_L - sum(w); its adjoint, dw_tap = dW_tap - dW_L.
template <class T>
void subtract_at(const Sizes& s, const T* w, const int64_t* location, bool adjoint, T* out) {
  std::copy(w, w + s.slab(), out);
  for (int64_t i = 0; i < s.inputs; ++i) {
    int64_t at = location[i] * s.inputs + i;
    if (adjoint) {
      for (int64_t t = 0; t < s.taps(); ++t) out[t * s.inputs + i] -= w[at];
    } else {
      for (int64_t t = 0; t < s.taps(); ++t) out[at] -= w[t * s.inputs + i];
    }
  }
}

// One output's slab [k*k, I] through an operator's linear map, or its adjoint.
template <class T>
void apply(const Sizes& s, Operator op, const T* w, const int64_t* location, bool adjoint, T* out) {
  switch (op) {
    case Operator::csg:
      return add_mean(s, w, T{-1}, out);
    case Operator::csa:
      return add_mean(s, w, T{1}, out);
    case Operator::hg:
      return subtract_mirror(s, w, true, out);
    case Operator::vg:
      return subtract_mirror(s, w, false, out);
    case Operator::vc:
      std::copy(w, w + s.slab(), out);
      return;
    case Operator::idg:
      return subtract_at(s, w, location, adjoint, out);
  }
}

void check_arguments(const std::vector<Var>& raw, const std::vector<Operator>& ops, const Tensor& location) {
  check(!raw.empty() && raw.size() == ops.size(), "operator_kernels: ", raw.size(), " raw kernels for ",
        ops.size(), " operators");
  const Tensor& first = raw[0].value();
  check_rank("operator_kernels", "raw kernel [O,k,k,I]", first, 4);
  int64_t k = first.dim(1);
  check(k == first.dim(2) && k % 2 == 1, "operator_kernels: expects [O,k,k,I] with k odd, got ",
        to_string(first.shape()));
  for (const Var& w : raw) check_same("operator_kernels", first, w.value());
  if (std::find(ops.begin(), ops.end(), Operator::idg) == ops.end()) return;
  check(location.defined() && location.shape() == Shape{first.dim(0), first.dim(3)},
        "operator_kernels: idg expects a location [", first.dim(0), ",", first.dim(3), "], got ",
        location.defined() ? to_string(location.shape()) : "none");
  if (location.device() == Device::cuda) return;  // taps outside the kernel are left out there
  for (int64_t i = 0; i < location.numel(); ++i) {
    int64_t at = location.data<int64_t>()[i];
    check(at >= 0 && at < k * k, "operator_kernels: location ", at, " is not a tap of a ", k, "x", k,
          " kernel");
  }
}

// apply() for every operator j and output o: from(j, o) slab -> into(j, o) slab; a null target is left out.
template <class T, class From, class Into>
void apply_all(const Sizes& s, const std::vector<Operator>& ops, const Tensor& location, bool adjoint,
               From from, Into into) {
  int64_t grain = std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, s.slab() * s.n));
  parallel_for(s.outputs, grain, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (size_t j = 0; j < ops.size(); ++j) {
        const int64_t* at = ops[j] == Operator::idg ? location.data<int64_t>() + o * s.inputs : nullptr;
        if (T* target = into(j, o)) apply<T>(s, ops[j], from(j, o), at, adjoint, target);
      }
  });
}

// Slabs [O,k,k,I] of one operator each, of a stacked tensor [n,O,k,k,I].
std::vector<Tensor> slabs(const Tensor& stacked) {
  Shape slab(stacked.shape().begin() + 1, stacked.shape().end());
  std::vector<Tensor> all;
  for (int64_t j = 0; j < stacked.dim(0); ++j) all.push_back(stacked.slab(j, 1).reshape(slab));
  return all;
}

}  // namespace

const char* to_string(Operator op) {
  switch (op) {
    case Operator::csg:
      return "csg";
    case Operator::csa:
      return "csa";
    case Operator::hg:
      return "hg";
    case Operator::vg:
      return "vg";
    case Operator::vc:
      return "vc";
    case Operator::idg:
      return "idg";
  }
  return "?";
}

Var operator_kernels(const std::vector<Var>& raw, const std::vector<Operator>& ops, const Tensor& location) {
  check_arguments(raw, ops, location);
  const Shape w = raw[0].shape();
  Tensor kernels({static_cast<int64_t>(ops.size()), w[0], w[1], w[2], w[3]}, raw[0].dtype(),
                 raw[0].value().device());
  Sizes s = sizes_of("operator_kernels", kernels);
  if (kernels.device() == Device::cuda) {
    std::vector<Tensor> from;
    for (const Var& v : raw) from.push_back(v.value());
    cuda::operator_kernels(from, ops, location, false, slabs(kernels));
  } else {
    dispatch_float(kernels.dtype(), "operator_kernels", [&](auto zero) {
      using T = decltype(zero);
      apply_all<T>(
          s, ops, location, false,
          [&](size_t j, int64_t o) { return raw[j].value().data<T>() + o * s.slab(); },
          [&](size_t j, int64_t o) {
            return kernels.data<T>() + static_cast<int64_t>(j) * s.per_operator() + o * s.slab();
          });
    });
  }

  return record(kernels, raw, [s, ops, location, w](const Tensor& dy, const Wanted& wanted) {
    std::vector<Tensor> grads(ops.size());
    for (size_t j = 0; j < ops.size(); ++j)
      if (wanted[j]) grads[j] = Tensor(w, dy.dtype(), dy.device());
    if (dy.device() == Device::cuda) {
      cuda::operator_kernels(slabs(dy), ops, location, true, grads);
      return grads;
    }
    dispatch_float(dy.dtype(), "operator_kernels", [&](auto zero) {
      using T = decltype(zero);
      apply_all<T>(
          s, ops, location, true,
          [&](size_t j, int64_t o) {
            return dy.data<T>() + static_cast<int64_t>(j) * s.per_operator() + o * s.slab();
          },
          [&](size_t j, int64_t o) {
            return wanted[j] ? grads[j].template data<T>() + o * s.slab() : nullptr;
          });
    });
    return grads;
  });
}

Var kernel_rms(const Var& kernels) {
  constexpr double kTiny = 1e-12;  // the reference's guard: keeps the gradient finite where a kernel is zero
  Sizes s = sizes_of("kernel_rms", kernels.value());
  Tensor rms({s.n * s.taps()}, kernels.dtype(), kernels.value().device());
  double count = static_cast<double>(s.outputs * s.inputs);
  if (rms.device() == Device::cuda)
    cuda::kernel_rms(kernels.value(), kTiny, rms);
  else
    dispatch_float(kernels.dtype(), "kernel_rms", [&](auto zero) {
      using T = decltype(zero);
      const T* w = kernels.value().data<T>();
      parallel_for(s.n, 1, [&](int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; ++j)
          for (int64_t t = 0; t < s.taps(); ++t) {
            double sum = 0;
            for (int64_t o = 0; o < s.outputs; ++o) {
              const T* row = w + j * s.per_operator() + o * s.slab() + t * s.inputs;
              for (int64_t i = 0; i < s.inputs; ++i)
                sum += static_cast<double>(row[i]) * static_cast<double>(row[i]);
            }
            rms.data<T>()[j * s.taps() + t] = static_cast<T>(std::sqrt(sum / count + kTiny));
          }
      });
    });

  return record(rms, {kernels}, [s, rms, count, w = kernels.value()](const Tensor& dy, const Wanted&) {
    Tensor dw(w.shape(), w.dtype(), w.device());
    if (dw.device() == Device::cuda) {
      cuda::kernel_rms_backward(dy, w, rms, dw);
      return std::vector<Tensor>{dw};
    }
    dispatch_float(w.dtype(), "kernel_rms", [&](auto zero) {
      using T = decltype(zero);
      int64_t grain = std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, s.slab()));
      parallel_for(s.n * s.outputs, grain, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r)
          for (int64_t t = 0; t < s.taps(); ++t) {
            int64_t d = r / s.outputs * s.taps() + t, at = r * s.slab() + t * s.inputs;
            T scale = dy.data<T>()[d] / (rms.data<T>()[d] * static_cast<T>(count));
            for (int64_t i = 0; i < s.inputs; ++i) dw.data<T>()[at + i] = scale * w.data<T>()[at + i];
          }
      });
    });
    return std::vector<Tensor>{dw};
  });
}

Var weighted_sum(const Var& kernels, const Var& alpha) {
  Sizes s = sizes_of("weighted_sum", kernels.value());
  check(alpha.shape() == Shape{s.n} && alpha.dtype() == kernels.dtype(), "weighted_sum: expects alpha [", s.n,
        "] for kernels ", to_string(kernels.shape()), ", got ", to_string(alpha.shape()));
  Tensor sum({s.outputs, s.k, s.k, s.inputs}, kernels.dtype(), kernels.value().device());
  if (sum.device() == Device::cuda)
    cuda::weighted_sum(kernels.value(), alpha.value(), sum);
  else
    dispatch_float(kernels.dtype(), "weighted_sum", [&](auto zero) {
      using T = decltype(zero);
      const T *w = kernels.value().data<T>(), *a = alpha.value().data<T>();
      T* y = sum.data<T>();
      parallel_for(s.per_operator(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) y[i] = a[0] * w[i];
        for (int64_t j = 1; j < s.n; ++j)
          for (int64_t i = begin; i < end; ++i) y[i] += a[j] * w[j * s.per_operator() + i];
      });
    });

  return record(sum, {kernels, alpha},
                [s, w = kernels.value(), a = alpha.value()](const Tensor& dy, const Wanted& wanted) {
                  Tensor dw, da;
                  if (dy.device() == Device::cuda) {
                    if (wanted[0]) dw = Tensor(w.shape(), w.dtype(), Device::cuda);
                    if (wanted[0]) cuda::weighted_sum_backward_kernels(dy, a, dw);
                    if (wanted[1]) da = Tensor(a.shape(), a.dtype(), Device::cuda);
                    if (wanted[1]) cuda::weighted_sum_backward_alpha(dy, w, da);
                    return std::vector<Tensor>{dw, da};
                  }
                  dispatch_float(dy.dtype(), "weighted_sum", [&](auto zero) {
                    using T = decltype(zero);
                    const T* d = dy.data<T>();
                    if (wanted[0]) {
                      dw = Tensor(w.shape(), w.dtype());
                      parallel_for(s.per_operator(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
                        for (int64_t j = 0; j < s.n; ++j)
                          for (int64_t i = begin; i < end; ++i)
                            dw.data<T>()[j * s.per_operator() + i] = a.data<T>()[j] * d[i];
                      });
                    }
                    if (!wanted[1]) return;
                    da = Tensor(a.shape(), a.dtype());
                    parallel_for(s.n, 1, [&](int64_t begin, int64_t end) {
                      for (int64_t j = begin; j < end; ++j) {
                        double dot = 0;
                        const T* p = w.data<T>() + j * s.per_operator();
                        for (int64_t i = 0; i < s.per_operator(); ++i)
                          dot += static_cast<double>(p[i]) * static_cast<double>(d[i]);
                        da.data<T>()[j] = static_cast<T>(dot);
                      }
                    });
                  });
                  return std::vector<Tensor>{dw, da};
                });
}

}  // namespace dgp
