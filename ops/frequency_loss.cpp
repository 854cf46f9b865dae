#include "ops/frequency_loss.h"

#include <algorithm>
#include <cmath>

#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/rfft2.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

// The mean over the whole spectrum of what `half` [N*C,H,W/2+1] gives for one half of it.
Var spectrum_mean(const Var& half, const Var& x) {
  Var total = sum(mul(half, half_spectrum_weights(x.dim(2), x.dtype()).to(x.value().device())));
  return mul(total, 1 / static_cast<double>(x.value().numel()));
}

void check_images(const char* name, const Var& x, const Var& t) {
  check_same(name, x.value(), t.value());
  check_rank(name, "input", x.value(), 4);
  check(x.value().numel() > 0, name, ": ", to_string(x.shape()), " has no elements");
}

// |d|^alpha / its largest value, for each image and channel; power [N*C,H,K] holds |d|^2.
Tensor focal_weights(const Tensor& power, double alpha) {
  Tensor weights(power.shape(), power.dtype(), power.device());
  if (power.device() == Device::cuda)
    return cuda::focal_weights(power, power.dim(0), alpha, weights), weights;
  const int64_t size = power.dim(1) * power.dim(2);
  dispatch_float(power.dtype(), "focal_frequency_loss", [&](auto zero) {
    using T = decltype(zero);
    parallel_for(power.dim(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* p = power.data<T>() + i * size;
        T* w = weights.data<T>() + i * size;
        const T most = *std::max_element(p, p + size);
        for (int64_t j = 0; j < size; ++j)
          w[j] = !(most > 0)  ? T(0)
                 : alpha == 1 ? std::sqrt(p[j] / most)
                              : std::pow(p[j] / most, static_cast<T>(alpha / 2));
      }
    });
  });
  return weights;
}

}  // namespace

Var fft_loss(const Var& x, const Var& t) {
  check_images("fft_loss", x, t);
  Spectrum d = rfft2(sub(x, t));
  return mul(spectrum_mean(add(abs(d.re), abs(d.im)), x), 0.5);
}

Var fft_amplitude_loss(const Var& x, const Var& t) {
  check_images("fft_amplitude_loss", x, t);
  auto amplitude = [](const Var& v) {
    Spectrum s = rfft2(v);
    return sqrt(add(add(square(s.re), square(s.im)), 1e-12));
  };
  return spectrum_mean(abs(sub(amplitude(x), amplitude(t))), x);
}

Var focal_frequency_loss(const Var& x, const Var& t, double alpha) {
  check_images("focal_frequency_loss", x, t);
  check(alpha >= 0, "focal_frequency_loss: expects alpha >= 0, got ", alpha);
  Spectrum d = rfft2(sub(x, t));
  Var power = add(square(d.re), square(d.im));
  Var mean = spectrum_mean(mul(power, focal_weights(power.value(), alpha)), x);
  return mul(mean, 1 / static_cast<double>(x.dim(1) * x.dim(2)));
}

}  // namespace dgp
