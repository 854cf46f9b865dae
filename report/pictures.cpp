#include "report/pictures.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "report/colour.h"
#include "report/html.h"

namespace dgp {
namespace {

double distance(const Tensor& a, const Tensor& b, const Box& box) {
  double sum = 0;
  for (int64_t y = box.y; y < box.y + box.height; ++y) {
    const uint8_t* pa = a.data<uint8_t>() + (y * a.dim(1) + box.x) * 3;
    const uint8_t* pb = b.data<uint8_t>() + (y * b.dim(1) + box.x) * 3;
    for (int64_t i = 0; i < box.width * 3; ++i) sum += (pa[i] - pb[i]) * (pa[i] - pb[i]);
  }
  return sum;
}

}  // namespace

Box telling_box(const Tensor& enlarged, const Tensor& truth, int64_t side, int64_t step) {
  check_same("telling_box", enlarged, truth);
  const int64_t H = truth.dim(0) / step * step, W = truth.dim(1) / step * step, wanted = side / step * step;
  Box best{0, 0, std::min(wanted, W), std::min(wanted, H)};
  const int64_t stride = std::max(step, wanted / 4 / step * step);
  double most = -1;
  for (int64_t y = 0; y + best.height <= H; y += stride)
    for (int64_t x = 0; x + best.width <= W; x += stride) {
      const Box box{x, y, best.width, best.height};
      const double found = distance(enlarged, truth, box);
      if (found > most) most = found, best = box;
    }
  return best;
}

Box shrunk(const Box& box, int64_t scale) {
  return {box.x / scale, box.y / scale, box.width / scale, box.height / scale};
}

Tensor difference_map(const Tensor& a, const Tensor& b, double most) {
  check_same("difference_map", a, b);
  Tensor map({a.dim(0), a.dim(1)});
  for (int64_t i = 0; i < map.numel(); ++i) {
    int sum = 0;
    for (int64_t c = 0; c < 3; ++c)
      sum += std::abs(a.data<uint8_t>()[i * 3 + c] - b.data<uint8_t>()[i * 3 + c]);
    map.data<float>()[i] = static_cast<float>(sum) / 3;
  }
  return viridis(map, 0, most);
}

std::string strip(const std::vector<Labelled>& pictures) {
  std::ostringstream html;
  html << "<div class=\"strip\">";
  for (const Labelled& p : pictures)
    html << "<figure><img alt=\"" << escaped(p.label) << "\" src=\"" << png_uri(p.picture)
         << "\"><figcaption><b>" << escaped(p.label) << "</b><br>" << escaped(p.note)
         << "</figcaption></figure>";
  html << "</div>\n";
  return html.str();
}

}  // namespace dgp
