#include "ops/pixel_shuffle.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace dgp {

namespace cpu {
namespace {

// Moves between packed [N,H,W,C*r*r] and spread [N,H*r,W*r,C]: one spread row at a time, r*C values of it for
// each packed pixel. `table` holds the packed channel of each of them, for each of the r rows.
template <class T>
void shuffle(T* packed, T* spread, const Shape& shape, int64_t r, bool pack) {
  int64_t n = shape[0], h = shape[1], w = shape[2], channels = shape[3], run = channels / r;
  int64_t c = run / r;
  std::vector<int64_t> table(static_cast<size_t>(channels));
  for (int64_t i = 0; i < r; ++i)
    for (int64_t j = 0; j < r; ++j)
      for (int64_t k = 0; k < c; ++k) table[static_cast<size_t>(i * run + j * c + k)] = k * r * r + i * r + j;
  int64_t grain = std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, w * channels));
  parallel_for(n * h, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t i = 0; i < r; ++i) {
        const int64_t* from = table.data() + i * run;
        T* p = packed + row * w * channels;
        T* s = spread + (row * r + i) * w * run;
        for (int64_t x = 0; x < w; ++x, p += channels, s += run)
          if (pack)
            for (int64_t t = 0; t < run; ++t) p[from[t]] = s[t];
          else
            for (int64_t t = 0; t < run; ++t) s[t] = p[from[t]];
      }
  });
}

}  // namespace

Tensor pixel_shuffle(const Tensor& x, int64_t r) {
  check_rank("pixel_shuffle", "input", x, 4);
  check(r >= 1 && x.dim(3) % (r * r) == 0, "pixel_shuffle: factor ", r, " expects a multiple of ", r * r,
        " channels, input ", to_string(x.shape()), " has ", x.dim(3));
  Tensor y({x.dim(0), x.dim(1) * r, x.dim(2) * r, x.dim(3) / (r * r)}, x.dtype(), x.device());
  if (x.device() == Device::cuda) return cuda::pixel_shuffle(x, r, y), y;
  dispatch_float(x.dtype(), "pixel_shuffle", [&](auto zero) {
    using T = decltype(zero);
    shuffle(x.data<T>(), y.data<T>(), x.shape(), r, false);
  });
  return y;
}

Tensor pixel_unshuffle(const Tensor& x, int64_t r) {
  check_rank("pixel_unshuffle", "input", x, 4);
  check(r >= 1 && x.dim(1) % r == 0 && x.dim(2) % r == 0, "pixel_unshuffle: factor ", r,
        " does not divide the height and width of input ", to_string(x.shape()));
  Tensor y({x.dim(0), x.dim(1) / r, x.dim(2) / r, x.dim(3) * r * r}, x.dtype(), x.device());
  if (x.device() == Device::cuda) return cuda::pixel_unshuffle(x, r, y), y;
  dispatch_float(x.dtype(), "pixel_unshuffle", [&](auto zero) {
    using T = decltype(zero);
    shuffle(y.data<T>(), x.data<T>(), y.shape(), r, true);
  });
  return y;
}

}  // namespace cpu

Var pixel_shuffle(const Var& x, int64_t r) {
  return record(cpu::pixel_shuffle(x.value(), r), {x}, [r](const Tensor& dy, const Wanted&) {
    return std::vector<Tensor>{cpu::pixel_unshuffle(dy, r)};
  });
}

Var pixel_unshuffle(const Var& x, int64_t r) {
  return record(cpu::pixel_unshuffle(x.value(), r), {x}, [r](const Tensor& dy, const Wanted&) {
    return std::vector<Tensor>{cpu::pixel_shuffle(dy, r)};
  });
}

}  // namespace dgp
