#include "ops/pad.h"

#include <algorithm>

#include "ops/separable.h"

namespace dgp {
namespace {

AxisMap pad_map(int64_t size, int64_t before, int64_t after, PadMode mode) {
  AxisMap map;
  map.in = size;
  for (int64_t i = -before; i < size + after; ++i) {
    bool inside = i >= 0 && i < size;
    if (inside || mode == PadMode::replicate)
      map.entry(std::clamp<int64_t>(i, 0, size - 1), 1);
    else if (mode == PadMode::reflect)
      map.entry(i < 0 ? -i : 2 * (size - 1) - i, 1);
    map.end_row();
  }
  return map;
}

}  // namespace

Var pad2d(const Var& x, const Padding& p, PadMode mode) {
  check_rank("pad2d", "input", x.value(), 4);
  int64_t h = x.dim(1), w = x.dim(2), shortest = std::min({p.top, p.bottom, p.left, p.right});
  check(shortest >= 0, "pad2d: padding ", p.top, ",", p.bottom, ",", p.left, ",", p.right,
        " is negative, input ", to_string(x.shape()));
  check(mode == PadMode::zero || (h > 0 && w > 0), "pad2d: input ", to_string(x.shape()), " has no pixels");
  check(mode != PadMode::reflect || (std::max(p.top, p.bottom) < h && std::max(p.left, p.right) < w),
        "pad2d: reflection by ", p.top, ",", p.bottom, ",", p.left, ",", p.right,
        " needs a larger image than input ", to_string(x.shape()));
  return separable(x, pad_map(h, p.top, p.bottom, mode), pad_map(w, p.left, p.right, mode));
}

}  // namespace dgp
