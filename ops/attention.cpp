#include "ops/attention.h"

#include <cmath>

#include "ops/concat.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/slice.h"
#include "ops/softmax.h"
#include "tensor/cuda_gemm.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

struct Sizes {
  int64_t n, l, s, width, heads, d;
};

Sizes sizes_of(const Var& q, const Var& k, const Var& v, int64_t heads) {
  auto text = [&] {
    return "q " + to_string(q.shape()) + ", k " + to_string(k.shape()) + ", v " + to_string(v.shape());
  };
  const Shape &a = q.shape(), &b = k.shape();
  check(a.size() == 3 && b.size() == 3 && b == v.shape() && a[0] == b[0] && a[2] == b[2] && b[1] >= 1,
        "multi_head_attention: expects q [N,L,D], k and v [N,S,D], got ", text());
  check(heads >= 1 && a[2] % heads == 0, "multi_head_attention: ", heads, " heads do not divide ", a[2],
        " features of ", text());
  check(q.dtype() == k.dtype() && q.dtype() == v.dtype(), "multi_head_attention: ", text(),
        " differ in type");
  return {a[0], a[1], b[1], a[2], heads, a[2] / heads};
}

// One head of one image: where its tokens and its probabilities begin.
struct Head {
  int64_t q, kv, p;
};

// Products over all heads of all images, as the GPU takes them: one batch of heads an image.
struct OnGpu {
  Sizes z;
  int64_t tokens(int64_t n, bool of_kv) const { return n * (of_kv ? z.s : z.l) * z.width; }
  int64_t matrix(int64_t n) const { return n * z.heads * z.l * z.s; }

  // scores = scale * a b^T, [L,D] by [S,D] a head
  void scores(const Tensor& a, const Tensor& b, float scale, const Tensor& p) const {
    for (int64_t n = 0; n < z.n; ++n)
      cuda::gemm({false, true, z.l, z.s, z.d, a.device_data<float>() + tokens(n, false), z.width,
                  b.device_data<float>() + tokens(n, true), z.width, p.device_data<float>() + matrix(n), z.s,
                  scale, 0, z.heads, z.d, z.d, z.l * z.s});
  }
  // y = scale * p x, or p^T x with `turned`: tokens of keys (or of queries, turned) to the others'.
  void mix(const Tensor& p, const Tensor& x, float scale, bool turned, const Tensor& y) const {
    for (int64_t n = 0; n < z.n; ++n)
      cuda::gemm({turned, false, turned ? z.s : z.l, z.d, turned ? z.l : z.s,
                  p.device_data<float>() + matrix(n), z.s, x.device_data<float>() + tokens(n, !turned),
                  z.width, y.device_data<float>() + tokens(n, turned), z.width, scale, 0, z.heads, z.l * z.s,
                  z.d, z.d});
  }
  int64_t rows() const { return z.n * z.heads * z.l; }
};

void forward_on_gpu(const Sizes& z, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& p,
                    const Tensor& y) {
  OnGpu gpu{z};
  gpu.scores(q, k, static_cast<float>(1 / std::sqrt(static_cast<double>(z.d))), p);
  cuda::softmax_rows(p.device_data<float>(), gpu.rows(), z.s);
  gpu.mix(p, v, 1, false, y);
}

std::vector<Tensor> backward_on_gpu(const Sizes& z, const Tensor& q, const Tensor& k, const Tensor& v,
                                    const Tensor& p, const Tensor& dy, const Wanted& wanted) {
  OnGpu gpu{z};
  auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(z.d)));
  std::vector<Tensor> grads(3);
  auto made = [&](size_t i, const Tensor& like) {
    return grads[i] = Tensor(like.shape(), like.dtype(), Device::cuda);
  };
  if (wanted[2]) gpu.mix(p, dy, 1, true, made(2, v));
  if (!wanted[0] && !wanted[1]) return grads;
  Tensor ds(p.shape(), p.dtype(), Device::cuda);
  gpu.scores(dy, v, 1, ds);
  cuda::softmax_backward_rows(p.device_data<float>(), ds.device_data<float>(), gpu.rows(), z.s);
  if (wanted[0]) gpu.mix(ds, k, scale, false, made(0, q));
  if (wanted[1]) gpu.mix(ds, q, scale, true, made(1, k));
  return grads;
}

template <class F>
void for_each_head(const Sizes& z, const F& f) {
  int64_t work = std::max<int64_t>(1, z.l * z.s * z.d);
  int64_t grain = std::max<int64_t>(1, kPointwiseGrain / work);  // tiny heads are not worth a thread each
  parallel_for(z.n * z.heads, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t n = i / z.heads, offset = i % z.heads * z.d;
      f(Head{n * z.l * z.width + offset, n * z.s * z.width + offset, i * z.l * z.s});
    }
  });
}

template <class T>
void forward(const Sizes& z, const T* q, const T* k, const T* v, T* p, T* y) {
  T scale = static_cast<T>(1 / std::sqrt(static_cast<double>(z.d)));
  for_each_head(z, [&](const Head& h) {
    gemm<T>(false, true, z.l, z.s, z.d, scale, q + h.q, z.width, k + h.kv, z.width, T(0), p + h.p, z.s);
    cpu::softmax_rows(p + h.p, z.l, z.s);
    gemm<T>(false, false, z.l, z.d, z.s, T(1), p + h.p, z.s, v + h.kv, z.width, T(0), y + h.q, z.width);
  });
}

// dq, dk, dv may be null: not wanted.
template <class T>
void backward(const Sizes& z, const T* q, const T* k, const T* v, const T* p, const T* dy, T* dq, T* dk,
              T* dv) {
  T scale = static_cast<T>(1 / std::sqrt(static_cast<double>(z.d)));
  for_each_head(z, [&](const Head& h) {
    if (dv)
      gemm<T>(true, false, z.s, z.d, z.l, T(1), p + h.p, z.s, dy + h.q, z.width, T(0), dv + h.kv, z.width);
    if (!dq && !dk) return;
    std::vector<T> ds(static_cast<size_t>(z.l * z.s));
    gemm<T>(false, true, z.l, z.s, z.d, T(1), dy + h.q, z.width, v + h.kv, z.width, T(0), ds.data(), z.s);
    cpu::softmax_backward_rows(p + h.p, ds.data(), z.l, z.s);
    if (dq)
      gemm<T>(false, false, z.l, z.d, z.s, scale, ds.data(), z.s, k + h.kv, z.width, T(0), dq + h.q, z.width);
    if (dk)
      gemm<T>(true, false, z.s, z.d, z.l, scale, ds.data(), z.s, q + h.q, z.width, T(0), dk + h.kv, z.width);
  });
}

}  // namespace

Var multi_head_attention(const Var& q, const Var& k, const Var& v, int64_t heads) {
  Sizes z = sizes_of(q, k, v, heads);
  Device device = q.value().device();
  Tensor y(q.shape(), q.dtype(), device), p({z.n, z.heads, z.l, z.s}, q.dtype(), device);
  if (device == Device::cuda)
    forward_on_gpu(z, q.value(), k.value(), v.value(), p, y);
  else
    dispatch_float(q.dtype(), "multi_head_attention", [&](auto zero) {
      using T = decltype(zero);
      forward(z, q.value().data<T>(), k.value().data<T>(), v.value().data<T>(), p.data<T>(), y.data<T>());
    });
  return record(y, {q, k, v},
                [q = q.value(), k = k.value(), v = v.value(), p, z](const Tensor& dy, const Wanted& wanted) {
                  if (dy.device() == Device::cuda) return backward_on_gpu(z, q, k, v, p, dy, wanted);
                  std::vector<Tensor> grads(3);
                  dispatch_float(dy.dtype(), "multi_head_attention", [&](auto zero) {
                    using T = decltype(zero);
                    auto make = [&](size_t i, const Tensor& like) -> T* {
                      if (!wanted[i]) return nullptr;
                      grads[i] = Tensor(like.shape(), like.dtype());
                      return grads[i].data<T>();
                    };
                    T *dq = make(0, q), *dk = make(1, k), *dv = make(2, v);
                    backward(z, q.data<T>(), k.data<T>(), v.data<T>(), p.data<T>(), dy.data<T>(), dq, dk, dv);
                  });
                  return grads;
                });
}

Var reference::multi_head_attention(const Var& q, const Var& k, const Var& v, int64_t heads) {
  Sizes z = sizes_of(q, k, v, heads);
  std::vector<Var> parts;
  for (int64_t j = 0; j < heads; ++j) {
    auto head = [&](const Var& x) { return slice(x, 2, j * z.d, (j + 1) * z.d); };
    Var scores =
        mul(matmul(head(q), head(k), {.transpose_b = true}), 1 / std::sqrt(static_cast<double>(z.d)));
    parts.push_back(matmul(softmax(scores), head(v)));
  }
  return concat(parts, 2);
}

}  // namespace dgp
