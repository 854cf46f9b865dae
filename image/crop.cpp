#include "image/crop.h"

#include <algorithm>

namespace dgp {

Tensor cut(const Tensor& x, const Box& box) {
  check_rank("cut", "picture", x, 3);
  check(box.x >= 0 && box.y >= 0 && box.width >= 0 && box.height >= 0 && box.width <= x.dim(1) - box.x &&
            box.height <= x.dim(0) - box.y,
        "cut: ", box.width, "x", box.height, " at ", box.x, ",", box.y, " lies outside ", x.dim(1), "x",
        x.dim(0));
  Tensor y({box.height, box.width, x.dim(2)}, x.dtype());
  const int64_t pixel = x.dim(2) * element_size(x.dtype());
  for (int64_t r = 0; r < box.height; ++r)
    std::copy_n(x.bytes() + ((box.y + r) * x.dim(1) + box.x) * pixel, box.width * pixel,
                y.bytes() + r * box.width * pixel);
  return y;
}

Box centre_box(const Tensor& x, int64_t height, int64_t width) {
  const int64_t h = std::min(height, x.dim(0)), w = std::min(width, x.dim(1));
  return {(x.dim(1) - w) / 2, (x.dim(0) - h) / 2, w, h};
}

}  // namespace dgp
