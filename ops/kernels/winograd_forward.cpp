// 3x3 convolution by Winograd, fused: a block of tiles is transformed, multiplied and transformed back while
// it is in the L2 cache.
//   v[xi] [tiles, K] = B^T d B;   m[xi] = v[xi] u[xi], one panel of columns at a time;   y = A^T m A
#include "ops/kernels/tiles.h"
#include "ops/kernels/winograd.h"

namespace dgp::DGP_ISA {
namespace {

constexpr int64_t kPlanePad = 16;  // floats between planes: without it all 36 fall into the same cache sets

int64_t plane_size(int64_t tiles, int64_t channels) { return tiles * channels + kPlanePad; }

// m [36][tiles, vectors * kLanes] = v u for one panel.
void multiply_planes(const float* v, int64_t v_plane, int64_t ldv, int64_t k, int64_t tiles, const float* u,
                     int64_t vectors, float* m, int64_t m_plane) {
  const int64_t whole = 0;
  int64_t ldm = vectors * kLanes;
  for (int64_t xi = 0; xi < 36; ++xi) {
    float* out = m + xi * m_plane;
    multiply_panel(
        vectors, tiles, {&whole, 1, k}, v + xi * v_plane, ldv, u + xi * k * ldm, [&](int64_t first) {
          float* rows = out + first * ldm;
          return [=](int64_t r, int64_t i, V sum) { store<kLanes>(rows + r * ldm + i * kLanes, sum); };
        });
  }
}

// One tile of one vector of channels from m to the image.
DGP_INLINE void put_tile(const float* m, int64_t m_plane, const Finish& finish, const float* residual,
                         float* y, int64_t row, int64_t pixel, int64_t rows, int64_t columns) {
  output_transform(m, m_plane, [&](int64_t i, const V(&line)[4]) {
    if (i >= rows) return;
    const float* from = residual ? residual + i * row : nullptr;
    if (columns == 4) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) finish(line[j], from ? from + j * pixel : nullptr, y + i * row + j * pixel);
      return;
    }
    for (int64_t j = 0; j < columns; ++j)
      finish(line[j], from ? from + j * pixel : nullptr, y + i * row + j * pixel);
  });
}

}  // namespace

int64_t winograd_block(int64_t k) { return k > 64 ? 12 : 24; }

int64_t winograd_scratch(int64_t k, int64_t tiles) {
  int64_t padded = round_up(k, kLanes);
  return 36 * (plane_size(tiles, padded) + plane_size(tiles, kPanelVectors * kLanes) + padded);
}

void winograd_forward(const WinogradForward& args, int64_t tile_begin, int64_t tile_end, float* scratch) {
  const ImageRows &x = args.x, &y = args.y;
  int64_t k = x.channels, tiles = tile_end - tile_begin, across = (y.width + 3) / 4;
  int64_t ldv = round_up(k, kLanes), v_plane = plane_size(tiles, ldv);
  float* v = scratch;
  float* m = v + 36 * v_plane;
  float* room = m + 36 * plane_size(tiles, kPanelVectors * kLanes);

  for (int64_t t = 0; t < tiles; ++t) {
    int64_t ty = y.first + (tile_begin + t) / across * 4, tx = (tile_begin + t) % across * 4;
    Window d = window_at(x, ty - args.padding, tx - args.padding, 6, room);
    for (int64_t c = 0; c < ldv; c += kLanes)
      input_transform(d.data + c, d.row, d.pixel, v + t * ldv + c, v_plane);
  }

  for (int64_t p = 0; p < panel_count(y.channels); ++p) {
    Panel panel = panel_of(y.channels, p);
    int64_t ldm = panel.vectors * kLanes, m_plane = plane_size(tiles, ldm);
    multiply_planes(v, v_plane, ldv, k, tiles, args.u + panel.first * 36 * k, panel.vectors, m, m_plane);
    Finish finish[kPanelVectors];
    for (int64_t i = 0; i < panel.vectors; ++i)
      finish[i] = finish_of(args.epilogue, panel.first + i * kLanes, y.channels);
    for (int64_t t = 0; t < tiles; ++t) {
      int64_t ty = (tile_begin + t) / across * 4, tx = (tile_begin + t) % across * 4;
      int64_t rows = y.rows - ty < 4 ? y.rows - ty : 4, columns = y.width - tx < 4 ? y.width - tx : 4;
      int64_t at = (ty * y.width + tx) * y.channels + panel.first;
      const float* residual = args.epilogue.residual ? args.epilogue.residual + at : nullptr;
      for (int64_t i = 0; i < panel.vectors; ++i)
        put_tile(m + t * ldm + i * kLanes, m_plane, finish[i], residual ? residual + i * kLanes : nullptr,
                 const_cast<float*>(y.data) + at + i * kLanes, y.width * y.channels, y.channels, rows,
                 columns);
    }
  }
  if (args.epilogue.stream) stream_fence();
}

}  // namespace dgp::DGP_ISA
