// Weights into and out of Winograd's domain: u = G g G^T, packed for the products of winograd_forward.cpp,
// and the gradient of the weights, accumulated in that domain.
#include "ops/kernels/tiles.h"
#include "ops/kernels/winograd.h"

namespace dgp::DGP_ISA {
namespace {

constexpr int64_t kGradientTiles = 24;  // tiles transformed at once
constexpr int64_t kPlanePad = 16;

// u[xi][c][o..o+kLanes) for kLanes input channels from c: loads run along c, stores along o.
void forward_block(const float* w, int64_t o_count, int64_t c_count, int64_t o, int64_t c, int64_t ldu,
                   float* u, int64_t plane) {
  V taps[9][kLanes];
  int64_t here = c_count - c < kLanes ? c_count - c : kLanes;
  for (int64_t tap = 0; tap < 9; ++tap) {
    V rows[kLanes] = {};
    for (int64_t i = 0; i < kLanes && o + i < o_count; ++i) {
      const float* p = w + ((o + i) * 9 + tap) * c_count + c;
      rows[i] = here == kLanes ? load<kLanes>(p) : load_part<kLanes>(p, here);
    }
    transpose<kLanes>(rows);
    for (int i = 0; i < kLanes; ++i) taps[tap][i] = rows[i];
  }
  for (int64_t i = 0; i < here; ++i) {
    V g[9];
    for (int tap = 0; tap < 9; ++tap) g[tap] = taps[tap][i];
    weight_transform(g, u + i * ldu, plane);
  }
}

}  // namespace

int64_t winograd_panels(int64_t columns) { return panel_count(columns); }

int64_t winograd_weights_size(int64_t k, int64_t columns) { return 36 * k * round_up(columns, kLanes); }

void winograd_weights(const float* w, int64_t o, int64_t c, bool transposed, int64_t p, float* u) {
  int64_t k = transposed ? o : c, columns = transposed ? c : o;
  Panel panel = panel_of(columns, p);
  int64_t ldu = panel.vectors * kLanes, plane = k * ldu;
  u += panel.first * 36 * k;
  for (int64_t i = 0; i < panel.vectors; ++i) {
    int64_t first = panel.first + i * kLanes;
    if (!transposed) {
      for (int64_t row = 0; row < c; row += kLanes)
        forward_block(w, o, c, first, row, ldu, u + row * ldu + i * kLanes, plane);
      continue;
    }
    int64_t here = c - first < kLanes ? c - first : kLanes;
    for (int64_t row = 0; row < o; ++row) {
      V g[9];
      for (int tap = 0; tap < 9; ++tap) {
        const float* from = w + (row * 9 + 8 - tap) * c + first;
        g[tap] = here == kLanes ? load<kLanes>(from) : load_part<kLanes>(from, here);
      }
      weight_transform(g, u + row * ldu + i * kLanes, plane);
    }
  }
}

#if defined(__AVX512BF16__)
int64_t winograd_weights_size_bf16(int64_t k, int64_t columns) {
  return winograd_weights_size((k + 1) / 2, columns);
}

void winograd_weights_bf16(const float* w, int64_t o, int64_t c, int64_t p, float* u) {
  constexpr int64_t kBlock = kLanes * kLanes;  // one plane of as many rows as columns
  Panel panel = panel_of(o, p);
  int64_t ldu = panel.vectors * kLanes, rows = (c + 1) / 2;
  u += panel.first * 36 * rows;
  for (int64_t i = 0; i < panel.vectors; ++i) {
    for (int64_t k = 0; k < c; k += kLanes) {
      float block[36 * kBlock] = {};  // rows past the last channel stay 0
      forward_block(w, o, c, panel.first + i * kLanes, k, kLanes, block, kBlock);
      int64_t here = rows - k / 2 < kLanes / 2 ? rows - k / 2 : kLanes / 2;
      for (int64_t xi = 0; xi < 36; ++xi) {
        for (int64_t r = 0; r < here; ++r) {
          const float* low = block + xi * kBlock + 2 * r * kLanes;
          V pairs = pair_bf16(load<kLanes>(low), load<kLanes>(low + kLanes));
          store<kLanes>(u + (xi * rows + k / 2 + r) * ldu + i * kLanes, pairs);
        }
      }
    }
  }
}
#endif

int64_t winograd_gradient_size(int64_t o, int64_t c) { return 36 * o * round_up(c, kLanes); }

int64_t winograd_gradient_scratch(int64_t o, int64_t c) {
  int64_t both = round_up(o, kLanes) + round_up(c, kLanes);
  return 36 * (kGradientTiles * both + 2 * kPlanePad + both);
}

void winograd_gradient(const WinogradGradient& args, int64_t tile_begin, int64_t tile_end, bool add,
                       float* du, float* scratch) {
  int64_t c = args.x.channels, o = args.dy.channels;
  int64_t ldv = round_up(c, kLanes), ldz = round_up(o, kLanes);
  int64_t v_plane = kGradientTiles * ldv + kPlanePad, z_plane = kGradientTiles * ldz + kPlanePad;
  float* v = scratch;
  float* z = v + 36 * v_plane;
  float* room = z + 36 * z_plane;
  for (int64_t begin = tile_begin; begin < tile_end; begin += kGradientTiles) {
    int64_t tiles = tile_end - begin < kGradientTiles ? tile_end - begin : kGradientTiles;
    TileAt at(begin, args.dy.width);
    for (int64_t t = 0; t < tiles; ++t, at.next()) {
      Window d = window_at(args.x, at.row - args.padding, at.column - args.padding, 6, room);
      for (int64_t i = 0; i < ldv; i += kLanes)
        input_transform(d.data + i, d.row, d.pixel, v + t * ldv + i, v_plane);
      Window g = window_at(args.dy, at.row, at.column, 4, room);
      for (int64_t i = 0; i < ldz; i += kLanes)
        gradient_transform(g.data + i, g.row, g.pixel, z + t * ldz + i, z_plane);
    }
    for (int64_t xi = 0; xi < 36; ++xi)
      outer_product(o, c, tiles, z + xi * z_plane, ldz, v + xi * v_plane, ldv, du + xi * o * ldv, ldv,
                    add || begin > tile_begin);
  }
}

void winograd_gradient_finish(const float* du, int64_t o, int64_t c, float* dw) {
  int64_t ldv = round_up(c, kLanes);
  for (int64_t row = 0; row < o; ++row) {
    for (int64_t i = 0; i < c; i += kLanes) {
      V dg[9];
      weight_gradient(du + row * ldv + i, o * ldv, dg);
      int64_t here = c - i < kLanes ? c - i : kLanes;
      for (int tap = 0; tap < 9; ++tap) store_part<kLanes>(dw + (row * 9 + tap) * c + i, dg[tap], here);
    }
  }
}

}  // namespace dgp::DGP_ISA
