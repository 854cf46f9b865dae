#include "ops/loss.h"

#include <cmath>
#include <numeric>

#include "ops/loss_functions.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/separable.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

using namespace losses_of_difference;

template <class Function>
Var mean_of(const char* name, const Var& x, const Var& t, Function fn) {
  check_same(name, x.value(), t.value());
  check(x.value().numel() > 0, name, ": ", to_string(x.shape()), " and ", to_string(t.shape()),
        " have no elements");
  double scale = 1 / static_cast<double>(x.value().numel());
  Tensor y({}, x.dtype(), x.value().device());
  if (y.device() == Device::cuda)
    cuda::mean_of(x.value(), t.value(), fn, scale, y);
  else
    dispatch_float(x.dtype(), name, [&](auto zero) {
      using T = decltype(zero);
      const T *p = x.value().data<T>(), *q = t.value().data<T>();
      double sum = parallel_sum(x.value().numel(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
        double part = 0;
        for (int64_t i = begin; i < end; ++i) part += static_cast<double>(fn.f(p[i] - q[i]));
        return part;
      });
      *y.data<T>() = static_cast<T>(sum * scale);
    });
  return record(
      y, {x, t}, [x = x.value(), t = t.value(), scale, fn, name](const Tensor& dy, const Wanted& wanted) {
        std::vector<Tensor> grads(2);
        for (size_t k = 0; k < 2 && dy.device() == Device::cuda; ++k) {
          if (!wanted[k]) continue;
          grads[k] = Tensor(x.shape(), x.dtype(), Device::cuda);
          cuda::mean_of_gradient(x, t, dy, fn, k == 0 ? scale : -scale, grads[k]);
        }
        if (dy.device() == Device::cuda) return grads;
        dispatch_float(dy.dtype(), name, [&](auto zero) {
          using T = decltype(zero);
          const T *p = x.data<T>(), *q = t.data<T>();
          for (size_t k = 0; k < 2; ++k) {
            if (!wanted[k]) continue;
            grads[k] = Tensor(x.shape(), x.dtype());
            T* out = grads[k].template data<T>();
            T factor = static_cast<T>(static_cast<double>(dy.item<T>()) * (k == 0 ? scale : -scale));
            parallel_for(x.numel(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) out[i] = factor * fn.df(p[i] - q[i]);
            });
          }
        });
        return grads;
      });
}

// The 11 taps of a Gaussian with sigma 1.5 at every place where they fit.
AxisMap gaussian_map(int64_t size) {
  double taps[11], total = 0;
  for (int i = 0; i < 11; ++i) total += taps[i] = std::exp(-(i - 5) * (i - 5) / (2 * 1.5 * 1.5));
  AxisMap map;
  map.in = size;
  for (int64_t i = 0; i + 11 <= size; ++i) {
    for (int j = 0; j < 11; ++j) map.entry(i + j, taps[j] / total);
    map.end_row();
  }
  return map;
}

struct SsimMaps {
  Var cs, full;  // contrast times structure, and that times luminance
};

SsimMaps ssim_maps(const Var& x, const Var& t) {
  constexpr double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
  AxisMap rows = gaussian_map(x.dim(1)), columns = gaussian_map(x.dim(2));
  auto blur = [&](const Var& v) { return separable(v, rows, columns); };
  Var mx = blur(x), mt = blur(t);
  Var mxx = square(mx), mtt = square(mt), mxt = mul(mx, mt);
  Var vxx = sub(blur(square(x)), mxx), vtt = sub(blur(square(t)), mtt), vxt = sub(blur(mul(x, t)), mxt);
  Var cs = div(add(mul(vxt, 2), c2), add(add(vxx, vtt), c2));
  return {cs, mul(cs, div(add(mul(mxt, 2), c1), add(add(mxx, mtt), c1)))};
}

AxisMap halving_map(int64_t size) {
  AxisMap map;
  map.in = size;
  for (int64_t i = 0; i + 2 <= size; i += 2) map.entry(i, 0.5), map.entry(i + 1, 0.5), map.end_row();
  return map;
}

void check_windows(const char* name, const Var& x, const Var& t, int64_t least) {
  check_same(name, x.value(), t.value());
  check_rank(name, "input", x.value(), 4);
  check(x.dim(1) >= least && x.dim(2) >= least, name, ": windows of 11x11 do not fit into ",
        to_string(x.shape()), " and ", to_string(t.shape()), "; images need ", least, "x", least, " pixels");
}

}  // namespace

Var l1_loss(const Var& x, const Var& t) { return mean_of("l1_loss", x, t, L1{}); }
Var mse_loss(const Var& x, const Var& t) { return mean_of("mse_loss", x, t, Mse{}); }

Var charbonnier_loss(const Var& x, const Var& t, double eps) {
  check(eps > 0, "charbonnier_loss: expects eps > 0, got ", eps);
  return mean_of("charbonnier_loss", x, t, Charbonnier{eps});
}

Var ssim_loss(const Var& x, const Var& t) {
  check_windows("ssim_loss", x, t, 11);
  return add(neg(mean(ssim_maps(x, t).full)), 1);
}

Var ms_ssim_loss(const Var& x, const Var& t, int64_t scales) {
  constexpr double kWeights[] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
  check(scales >= 1 && scales <= 5, "ms_ssim_loss: expects 1 to 5 scales, got ", scales);
  check_windows("ms_ssim_loss", x, t, int64_t{11} << (scales - 1));
  const double total = std::accumulate(kWeights, kWeights + scales, 0.0);
  Var a = x, b = t, logs;  // the product as a sum of logarithms, [N,C]
  for (int64_t j = 0; j < scales; ++j) {
    if (j > 0) {
      AxisMap rows = halving_map(a.dim(1)), columns = halving_map(a.dim(2));
      a = separable(a, rows, columns), b = separable(b, rows, columns);
    }
    const SsimMaps maps = ssim_maps(a, b);
    Var value = global_average_pool(j + 1 == scales ? maps.full : maps.cs);
    Var term = mul(log(clamp(value, 1e-6, 2)), kWeights[j] / total);
    logs = j == 0 ? term : add(logs, term);
  }
  return add(neg(mean(exp(logs))), 1);
}

}  // namespace dgp
