// 3x3 convolution by Winograd, fused: a block of tiles is transformed, multiplied and transformed back while
// it is in the L2 cache.
//   v[xi] [tiles, K] = B^T d B;   m[xi] = v[xi] u[xi], one panel of columns at a time;   y = A^T m A
#include "ops/kernels/tiles.h"
#include "ops/kernels/winograd.h"

namespace dgp::DGP_ISA {
namespace {

constexpr int64_t kPage = 1024;    // floats of 4 KiB
constexpr int64_t kPlanePad = 16;  // floats between planes: without it all 36 fall into the same cache sets

int64_t plane_size(int64_t tiles, int64_t channels) { return tiles * channels + kPlanePad; }

// Where m begins after v: at the same place in a page, so that results on their way to memory are not taken
// for the rows of v that are loaded next (a processor first compares the lower 12 bits of addresses).
int64_t v_size(int64_t plane) { return round_up(36 * plane, kPage); }

// The input of the next block, [rows][per_row], fetched into L2 while the products run: `chunk` floats a tile
// of a product, so that all of it is there when the last one ends.
class Ahead {
 public:
  Ahead(const ImageRows& x, int64_t y, int64_t x_begin, int64_t pixels, int64_t chunk)
      : at_(x.data), chunk_(chunk) {
    int64_t top = y - x.first < 0 ? 0 : y - x.first,
            bottom = y - x.first + 6 < x.rows ? y - x.first + 6 : x.rows;
    int64_t left = x_begin < 0 ? 0 : x_begin, right = x_begin + pixels < x.width ? x_begin + pixels : x.width;
    if (top >= bottom || left >= right) return;
    row_ = x.width * x.pixel;
    per_row_ = (right - left) * x.pixel;
    at_ = x.data + top * row_ + left * x.pixel;
    rows_left_ = bottom - top;
  }

  // The beginning of the next chunk; after the last one, of the last row again.
  DGP_INLINE const float* next() {
    const float* chunk = at_ + done_;
    done_ += chunk_;
    if (done_ >= per_row_) {
      done_ = 0;
      if (rows_left_ > 1) at_ += row_, --rows_left_;
    }
    return chunk;
  }

 private:
  const float* at_;
  int64_t chunk_, row_ = 0, per_row_ = 0, rows_left_ = 0, done_ = 0;
};

// v [36][tiles, ldv] = B^T d B of tiles [begin, begin + tiles); ldv in units of Product.
template <class Product>
void transform_inputs(const WinogradForward& args, int64_t begin, int64_t tiles, float* v, int64_t v_plane,
                      int64_t ldv, float* room) {
  TileAt at(begin, args.y.width);
  for (int64_t t = 0; t < tiles; ++t, at.next()) {
    Window d = window_at(args.x, args.y.first + at.row - args.padding, at.column - args.padding, 6, room);
    for (int64_t c = 0; c < ldv * Product::kPerUnit; c += kLanes)
      input_transform<Product>(d.data + c, d.row, d.pixel, v + t * ldv + c / Product::kPerUnit, v_plane);
  }
}

// Where the products of one panel go: m [36][tiles, ldm].
struct IntoPlanes {
  float* m;
  int64_t m_plane, ldm;
  bool add;  // to what is there
  Ahead& ahead;

  // A tile of 4x4 pixels reads 6x6, 1.5 times what is new in it; its share of the 36 products' k: a line for
  // four of them, and six tiles of pixels are one of products.
  static constexpr int fetch_lines(int rows) { return (rows + 5) / 6; }
  const float* fetch(int64_t, int64_t) const { return ahead.next(); }
  DGP_INLINE auto operator()(int64_t xi, int64_t first) const {
    float* rows = m + xi * m_plane + first * ldm;
    return [rows, add = add](int r, int i, int vectors, V sum) {
      float* to = rows + (r * vectors + i) * kLanes;
      store<kLanes>(to, add ? load<kLanes>(to) + sum : sum);
    };
  }
};

// How many sums over k are taken, to be added up: long sums of f32 lose more than the transforms do.
int64_t parts_of(int64_t k) {
  constexpr int64_t kMostTerms = 64;
  return (k + kMostTerms - 1) / kMostTerms;
}

// Where one tile goes: `rows` x `columns` pixels of y, the residual there, and the sum of its pixels.
struct Target {
  float* y;
  const float* residual;  // or null
  int64_t row, pixel, rows, columns;
  float* sums;  // or null
};

DGP_INLINE void store_part_or_all(float* p, V v, int64_t count) {
  count < kLanes ? store_part<kLanes>(p, v, count) : store<kLanes>(p, v);
}

// One tile of `vectors` neighbouring vectors of channels, so that a cache line of y is written in one go.
template <int vectors, bool odd, bool sums>
DGP_INLINE void put_rows(const float* m, int64_t m_plane, const Finish* finish, const Target& to, V* total) {
  V y[vectors][2][4];
#pragma GCC unroll 2
  for (int v = 0; v < vectors; ++v) output_row_pair<odd>(m + v * kLanes, m_plane, y[v][0], y[v][1]);
#pragma GCC unroll 2
  for (int64_t r = 0; r < 2; ++r) {
    if (2 * r + odd >= to.rows) break;
    int64_t at = (2 * r + odd) * to.row;
#pragma GCC unroll 4
    for (int64_t j = 0; j < 4; ++j, at += to.pixel) {
      if (j >= to.columns) break;
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        const float* residual = to.residual ? to.residual + at + v * kLanes : nullptr;
        V stored = finish[v](y[v][r][j], residual, to.y + at + v * kLanes);
        if constexpr (sums) total[v] = total[v] + stored;
      }
    }
  }
}

template <int vectors, bool sums>
DGP_INLINE void put_tile(const float* m, int64_t m_plane, const Finish* finish, const Target& to) {
  V total[vectors] = {};
  put_rows<vectors, false, sums>(m, m_plane, finish, to, total);
  put_rows<vectors, true, sums>(m, m_plane, finish, to, total);
  if constexpr (sums)
    for (int v = 0; v < vectors; ++v) store_part_or_all(to.sums + v * kLanes, total[v], finish[v].count);
}

// y = A^T m A for one panel of all tiles.
template <bool sums>
void put_tiles(const WinogradForward& args, int64_t begin, int64_t tiles, const Panel& panel, const float* m,
               int64_t m_plane) {
  const ImageRows& y = args.y;
  int64_t ldm = panel.vectors * kLanes;
  Finish finish[kPanelVectors];
  for (int64_t i = 0; i < kPanelVectors; ++i)
    if (i < panel.vectors) finish[i] = finish_of(args.epilogue, panel.first + i * kLanes, y.channels);
  TileAt at(begin, y.width);
  for (int64_t t = 0; t < tiles; ++t, at.next()) {
    int64_t first = (at.row * y.width + at.column) * y.pixel + panel.first;
    Target to{const_cast<float*>(y.data) + first,
              args.epilogue.residual ? args.epilogue.residual + first : nullptr,
              y.width * y.pixel,
              y.pixel,
              y.rows - at.row < 4 ? y.rows - at.row : 4,
              y.width - at.column < 4 ? y.width - at.column : 4,
              sums ? args.epilogue.sums + (begin + t) * y.pixel + panel.first : nullptr};
    for (int64_t i = 0; i < panel.vectors; i += 2) {
      if (panel.vectors - i >= 2) {
        put_tile<2, sums>(m + t * ldm + i * kLanes, m_plane, finish + i, to);
      } else {
        put_tile<1, sums>(m + t * ldm + i * kLanes, m_plane, finish + i, to);
      }
      to.y += 2 * kLanes;
      if (to.residual) to.residual += 2 * kLanes;
      if (sums) to.sums += 2 * kLanes;
    }
  }
}

template <class Product>
void forward(const WinogradForward& args, int64_t tile_begin, int64_t tile_end, float* scratch) {
  const ImageRows &x = args.x, &y = args.y;
  int64_t k = (x.channels + Product::kPerUnit - 1) / Product::kPerUnit, tiles = tile_end - tile_begin;
  int64_t ldv = round_up(x.channels, kLanes) / Product::kPerUnit, v_plane = plane_size(tiles, ldv);
  float* v = scratch;
  float* m = v + v_size(v_plane);
  float* room = m + 36 * plane_size(tiles, kPanelVectors * kLanes);
  transform_inputs<Product>(args, tile_begin, tiles, v, v_plane, ldv, room);
  TileAt next(tile_end, y.width);
  for (int64_t p = 0; p < panel_count(y.channels); ++p) {
    Panel panel = panel_of(y.channels, p);
    int64_t ldm = panel.vectors * kLanes, m_plane = plane_size(tiles, ldm);
    int64_t parts = parts_of(k), terms = round_up((k + parts - 1) / parts, 4);
    // All of it while the first panel is multiplied; a chunk is what a tile's loop over k fetches.
    int64_t chunk = IntoPlanes::fetch_lines(tile_rows(static_cast<int>(panel.vectors))) * (terms / 4) * 16;
    Ahead ahead(x, y.first + next.row - args.padding, next.column - args.padding, p == 0 ? tiles * 4 + 2 : 0,
                chunk);
    const float* u = args.u + panel.first * 36 * k;
    for (int64_t first = 0; first < k; first += terms)
      multiply_panel<Product>(panel.vectors, {36, v_plane, k * ldm}, tiles,
                              OneSegment{k - first < terms ? k - first : terms}, v + first, ldv,
                              u + first * ldm, IntoPlanes{m, m_plane, ldm, first > 0, ahead});
    if (args.epilogue.sums)
      put_tiles<true>(args, tile_begin, tiles, panel, m, m_plane);
    else
      put_tiles<false>(args, tile_begin, tiles, panel, m, m_plane);
  }
  if (args.epilogue.stream) stream_fence();
}

}  // namespace

int64_t winograd_block(int64_t k, int64_t columns, int64_t l2_bytes) {
  if (k <= 64) return 24;
  // v and m of 12 tiles leave L2 room for u. Where it does not fit all the same it is read again for each
  // block: they are made larger then, if there is room for them at least.
  int64_t u_bytes = winograd_weights_size(k, columns) * 4;
  return u_bytes <= l2_bytes * 2 / 3 || l2_bytes < int64_t{2} << 20 ? 12 : 36;
}

int64_t winograd_scratch(int64_t k, int64_t tiles) {
  int64_t padded = round_up(k, kLanes);
  return v_size(plane_size(tiles, padded)) + 36 * (plane_size(tiles, kPanelVectors * kLanes) + padded);
}

void winograd_forward(const WinogradForward& args, int64_t tile_begin, int64_t tile_end, float* scratch) {
  forward<F32Product>(args, tile_begin, tile_end, scratch);
}

#if defined(__AVX512BF16__)
void winograd_forward_bf16(const WinogradForward& args, int64_t tile_begin, int64_t tile_end,
                           float* scratch) {
  forward<Bf16Product>(args, tile_begin, tile_end, scratch);
}

extern const Bf16Kernels bf16_kernels = {
    .winograd_weights_size = winograd_weights_size_bf16,
    .winograd_weights = winograd_weights_bf16,
    .winograd_forward = winograd_forward_bf16,
};
#endif

}  // namespace dgp::DGP_ISA
