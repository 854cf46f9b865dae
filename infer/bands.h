// How the plans of the CPU and the GPU cut an image into bands of rows.
#pragma once

#include <algorithm>

#include "infer/pixels.h"

namespace dgp {

inline int64_t round_down(int64_t n, int64_t step) { return std::max<int64_t>(0, n) / step * step; }

// body(begin, end) for bands of rows, from the top.
template <class Body>
void for_each_band(int64_t height, int64_t band, Body&& body) {
  for (int64_t begin = 0; begin < height; begin += band) body(begin, std::min(height, begin + band));
}

// Rows that a layer with `halo` rows around it reads for rows [begin, end) of its result.
inline RowRange with_halo(int64_t begin, int64_t end, int64_t halo, int64_t height) {
  return {std::max<int64_t>(0, begin - halo), std::min(height, end + halo)};
}

}  // namespace dgp
