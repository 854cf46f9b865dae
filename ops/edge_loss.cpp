#include "ops/edge_loss.h"

#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/separable.h"

namespace dgp {
namespace {

// A row of taps at every place of an axis where all of it fits; taps of 0 cost nothing.
AxisMap sliding(int64_t size, const std::vector<double>& taps) {
  AxisMap map;
  map.in = size;
  for (int64_t i = 0; i + static_cast<int64_t>(taps.size()) <= size; ++i) {
    for (size_t j = 0; j < taps.size(); ++j)
      if (taps[j] != 0) map.entry(i + static_cast<int64_t>(j), taps[j]);
    map.end_row();
  }
  return map;
}

// mean |d with `slope` down and `smooth` along the rows|, and the same with the two exchanged, added.
Var slopes(const char* name, const Var& d, const std::vector<double>& smooth,
           const std::vector<double>& slope) {
  check_rank(name, "input", d.value(), 4);
  const auto least = static_cast<int64_t>(slope.size());
  check(d.dim(0) > 0 && d.dim(3) > 0 && d.dim(1) >= least && d.dim(2) >= least, name, ": expects images of ",
        least, "x", least, " pixels at least, got ", to_string(d.shape()));
  auto part = [&](const std::vector<double>& down, const std::vector<double>& along) {
    return mean(abs(separable(d, sliding(d.dim(1), down), sliding(d.dim(2), along))));
  };
  return add(part(slope, smooth), part(smooth, slope));
}

}  // namespace

Var tv_loss(const Var& x) { return slopes("tv_loss", x, {1}, {-1, 1}); }

Var gradient_loss(const Var& x, const Var& t) {
  check_same("gradient_loss", x.value(), t.value());
  return slopes("gradient_loss", sub(x, t), {1}, {-1, 1});
}

Var sobel_loss(const Var& x, const Var& t) {
  check_same("sobel_loss", x.value(), t.value());
  return slopes("sobel_loss", sub(x, t), {1, 2, 1}, {-1, 0, 1});
}

}  // namespace dgp
