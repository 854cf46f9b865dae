#include "ops/matmul.h"

#include <algorithm>

#include "tensor/cuda_gemm.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

struct Sizes {
  int64_t batch, m, n, k;
  bool a_batched, b_batched;
};

Sizes sizes_of(const Shape& a, const Shape& b, const MatmulOptions& options) {
  auto text = [&] { return "a " + to_string(a) + " and b " + to_string(b); };
  check((a.size() == 2 || a.size() == 3) && (b.size() == 2 || b.size() == 3),
        "matmul: expects matrices or batches of matrices, got ", text());
  Sizes s{1, a[a.size() - 2], b[b.size() - 1], a[a.size() - 1], a.size() == 3, b.size() == 3};
  int64_t inner = b[b.size() - 2];
  if (options.transpose_a) std::swap(s.m, s.k);
  if (options.transpose_b) std::swap(s.n, inner);
  check(s.k == inner, "matmul: ", text(), options.transpose_a ? ", a transposed" : "",
        options.transpose_b ? ", b transposed" : "", ": inner sizes ", s.k, " and ", inner, " differ");
  if (s.a_batched) s.batch = a[0];
  if (s.b_batched) s.batch = b[0];
  check(!s.a_batched || a[0] == s.batch, "matmul: ", text(), " have batches of ", a[0], " and ", s.batch);
  return s;
}

// y[i] (+)= op(a[i]) op(b[i]), [m,k] by [k,n], for a batch; y may be shared: then products are added in
// order.
template <class T>
void batched(const Sizes& s, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const Tensor& a,
             bool a_batched, const Tensor& b, bool b_batched, const Tensor& y, bool y_batched) {
  auto product = [&, pa = a.address<T>(), pb = b.address<T>(), py = y.address<T>()](int64_t i, T beta) {
    gemm<T>(y.device(), ta, tb, m, n, k, T(1), pa + (a_batched ? i * m * k : 0), ta ? m : k,
            pb + (b_batched ? i * k * n : 0), tb ? k : n, beta, py + (y_batched ? i * m * n : 0), n);
  };
  if (!y_batched)
    for (int64_t i = 0; i < s.batch; ++i) product(i, T(i > 0));
  else if (y.device() == Device::cuda)
    cuda::gemm({ta, tb, m, n, k, a.device_data<float>(), ta ? m : k, b.device_data<float>(), tb ? k : n,
                y.device_data<float>(), n, 1, 0, s.batch, a_batched ? m * k : 0, b_batched ? k * n : 0,
                m * n});
  else if (s.batch >= 8)  // many products: several for each thread
    parallel_for(s.batch, std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, m * n * k)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) product(i, T(0));
                 });
  else
    for (int64_t i = 0; i < s.batch; ++i) product(i, T(0));
}

}  // namespace

Var matmul(const Var& a, const Var& b, const MatmulOptions& options) {
  check(a.dtype() == b.dtype(), "matmul: a ", to_string(a.dtype()), to_string(a.shape()), " and b ",
        to_string(b.dtype()), to_string(b.shape()), " differ in type");
  Sizes s = sizes_of(a.shape(), b.shape(), options);
  bool ta = options.transpose_a, tb = options.transpose_b, y_batched = s.a_batched || s.b_batched;
  Tensor y(y_batched ? Shape{s.batch, s.m, s.n} : Shape{s.m, s.n}, a.dtype(), a.value().device());
  dispatch_float(a.dtype(), "matmul", [&](auto zero) {
    using T = decltype(zero);
    batched<T>(s, ta, tb, s.m, s.n, s.k, a.value(), s.a_batched, b.value(), s.b_batched, y, y_batched);
  });
  return record(
      y, {a, b},
      [a = a.value(), b = b.value(), s, ta, tb, y_batched](const Tensor& dy, const Wanted& wanted) {
        std::vector<Tensor> grads(2);
        dispatch_float(dy.dtype(), "matmul", [&](auto zero) {
          using T = decltype(zero);
          if (wanted[0]) {
            Tensor da = grads[0] = Tensor::zeros(a.shape(), a.dtype(), a.device());
            if (ta)  // (dy op(b)^T)^T = op(b) dy^T
              batched<T>(s, tb, true, s.k, s.m, s.n, b, s.b_batched, dy, y_batched, da, s.a_batched);
            else
              batched<T>(s, false, !tb, s.m, s.k, s.n, dy, y_batched, b, s.b_batched, da, s.a_batched);
          }
          if (wanted[1]) {
            Tensor db = grads[1] = Tensor::zeros(b.shape(), b.dtype(), b.device());
            if (tb)
              batched<T>(s, true, ta, s.n, s.k, s.m, dy, y_batched, a, s.a_batched, db, s.b_batched);
            else
              batched<T>(s, !ta, false, s.k, s.n, s.m, a, s.a_batched, dy, y_batched, db, s.b_batched);
          }
        });
        return grads;
      });
}

}  // namespace dgp
