// The inner loops that every fast convolution and matrix product here is made of: a tile of C that stays in
// registers while K runs. Both multiply a broadcast scalar with vectors of consecutive columns, so the order
// of a result's sum is k = 0, 1, 2... whatever the tile, and its bits do not depend on how work is cut.
//
// A panel is up to kPanelVectors vectors of columns; matrices of columns are packed panel by panel, each
// [K][vectors * kLanes], the last columns zero-filled.
#pragma once

#include "tensor/simd.h"

#ifndef DGP_ISA
#define DGP_ISA portable
#endif

namespace dgp::DGP_ISA {

// 32 registers (AVX-512) hold 6 x 4 accumulators, 16 registers 6 x 2: enough to hide the latency of FMA, and
// few loads for each. One vector of columns takes 12 rows.
inline constexpr int kPanelVectors = kLanes == 16 ? 4 : 2;
constexpr int tile_rows(int vectors) {
  if (kLanes == 16) return vectors == 4 ? 6 : vectors == 3 ? 8 : 12;
  return vectors == 2 ? 6 : 12;
}

inline int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
inline int64_t panel_count(int64_t columns) {
  return (columns + kPanelVectors * kLanes - 1) / (kPanelVectors * kLanes);
}

// Panel p of a matrix: vectors are dealt out as evenly as they go.
struct Panel {
  int64_t first;    // column
  int64_t vectors;  // 1..kPanelVectors
};
inline Panel panel_of(int64_t columns, int64_t p) {
  int64_t all = round_up(columns, kLanes) / kLanes, panels = panel_count(columns);
  int64_t begin = all * p / panels, end = all * (p + 1) / panels;
  return {begin * kLanes, end - begin};
}

// The pieces of a row of A that one sum runs over: `length` floats at each of `count` offsets.
struct Segments {
  const int64_t* offset;
  int64_t count, length;
  int64_t at(int64_t s) const { return offset[s]; }
};
struct OneSegment {  // the whole row
  int64_t length;
  static constexpr int64_t count = 1;
  static constexpr int64_t at(int64_t) { return 0; }
};

// What the two matrices hold, in units of 32 bits: a float each, or two bf16 that follow each other in K.
struct F32Product {
  static constexpr int64_t kPerUnit = 1;
  DGP_INLINE static V add(V sum, V a, V b) { return sum + a * b; }
  DGP_INLINE static void put(float* units, V v) { store<kLanes>(units, v); }
};
#if defined(__AVX512BF16__)
struct Bf16Product {
  static constexpr int64_t kPerUnit = 2;
  DGP_INLINE static V add(V sum, V a, V b) { return dot_bf16(sum, a, b); }
  DGP_INLINE static void put(float* units, V v) { store_bf16(units, v); }
};
#endif

// The products of one call, one after another: a and b of each lie so many floats after the last one's.
struct Planes {
  int64_t count, a, b;
};

// One k of a tile: sum += the column of A there times the row of B.
template <class Product, int rows, int vectors>
DGP_INLINE void multiply_step(const Steps<rows>& step, const float* a, const float* b,
                              V (&sum)[rows][vectors]) {
  V column[vectors];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) column[v] = load<kLanes>(b + v * kLanes);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    V factor = broadcast<kLanes>(*step.at(a, r));
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[r][v] = Product::add(sum[r][v], factor, column[v]);
  }
}

// Sum over segments s and k of a[row*lda + at(s) + k] * b[s, k, vector], for `tiles` times `rows` rows of
// each plane. emit_from(plane, first_row) makes the emit(row, vector, vectors, sum) of one tile. Where
// emit_from has a fetch(plane, first_row), the memory from there on is fetched into L2 while the tile is
// multiplied, fetch_lines(rows) cache lines for every four k: a few at a time, because the processor keeps a
// dozen lines in flight and a burst would hold up the loads of the product itself. Not inlined: on its own
// the compiler keeps every operand in a register. Of few k, what there is to do from tile to tile counts:
// pointers advance, nothing is multiplied out.
template <int rows, int vectors, class Product, class Runs, class EmitFrom>
[[gnu::noinline]] void multiply_tiles(Planes planes, int64_t tiles, int64_t first_row, Runs segments,
                                      const float* a, int64_t lda, const float* b,
                                      const EmitFrom& emit_from) {
  constexpr bool kFetches = requires { emit_from.fetch(0, 0); };
  constexpr int64_t kLine = 16;  // floats in a cache line
  Steps<rows> step(lda);
  a += first_row * lda;
  for (int64_t plane = 0; plane < planes.count; ++plane, a += planes.a, b += planes.b) {
    const float* tile_a = a;
    for (int64_t tile = 0; tile < tiles; ++tile, tile_a += rows * lda) {
      int64_t first = first_row + tile * rows;
      V sum[rows][vectors] = {};
      const float* columns = b;
      const float* ahead = nullptr;
      if constexpr (kFetches) ahead = emit_from.fetch(plane, first);
      for (int64_t s = 0; s < segments.count; ++s) {
        const float* row = tile_a + segments.at(s);
        int64_t k = segments.length;
        for (; k >= 4; k -= 4, row += 4, columns += 4 * vectors * kLanes) {
          step.keep();
          if constexpr (kFetches) {
            for (int i = 0; i < EmitFrom::fetch_lines(rows); ++i) prefetch_l2(ahead + i * kLine);
            ahead += EmitFrom::fetch_lines(rows) * kLine;
          }
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i)
            multiply_step<Product>(step, row + i, columns + i * vectors * kLanes, sum);
        }
        for (; k > 0; --k, ++row, columns += vectors * kLanes)
          multiply_step<Product>(step, row, columns, sum);
      }
      auto emit = emit_from(plane, first);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) emit(r, v, vectors, sum[r][v]);
      }
    }
  }
}

// One tile of `wanted` < tile_rows(vectors) rows, chosen at run time.
template <int vectors, class Product, class Runs, class EmitFrom, int rows = tile_rows(vectors) - 1>
DGP_INLINE void multiply_rest(Planes planes, int64_t wanted, int64_t first_row, Runs segments, const float* a,
                              int64_t lda, const float* b, const EmitFrom& emit_from) {
  if constexpr (rows >= 1) {
    if (wanted == rows)
      return multiply_tiles<rows, vectors, Product>(planes, 1, first_row, segments, a, lda, b, emit_from);
    multiply_rest<vectors, Product, Runs, EmitFrom, rows - 1>(planes, wanted, first_row, segments, a, lda, b,
                                                              emit_from);
  }
}

// All rows of A times one panel.
template <int vectors, class Product, class Runs, class EmitFrom>
DGP_INLINE void multiply_vectors(Planes planes, int64_t rows, Runs segments, const float* a, int64_t lda,
                                 const float* b, const EmitFrom& emit_from) {
  constexpr int kTile = tile_rows(vectors);
  multiply_tiles<kTile, vectors, Product>(planes, rows / kTile, 0, segments, a, lda, b, emit_from);
  multiply_rest<vectors, Product>(planes, rows % kTile, rows / kTile * kTile, segments, a, lda, b, emit_from);
}

template <class Product = F32Product, class Runs, class EmitFrom>
DGP_INLINE void multiply_panel(int64_t vectors, Planes planes, int64_t rows, Runs segments, const float* a,
                               int64_t lda, const float* b, const EmitFrom& emit_from) {
  if (vectors == 1) return multiply_vectors<1, Product>(planes, rows, segments, a, lda, b, emit_from);
  if (vectors == 2) return multiply_vectors<2, Product>(planes, rows, segments, a, lda, b, emit_from);
  if constexpr (kPanelVectors == 4) {
    if (vectors == 3) return multiply_vectors<3, Product>(planes, rows, segments, a, lda, b, emit_from);
    multiply_vectors<4, Product>(planes, rows, segments, a, lda, b, emit_from);
  }
}

// c[r, :] += sum_k a[k*lda + r] * b[k*ldb + :], or = unless `add`: a sum of outer products, for weight
// gradients.
template <int rows, int vectors>
[[gnu::noinline]] void outer_tile(int64_t k_count, const float* a, int64_t lda, const float* b, int64_t ldb,
                                  float* c, int64_t ldc, bool add) {
  V sum[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[r][v] = add ? load<kLanes>(c + r * ldc + v * kLanes) : V{};
  }
  for (int64_t k = 0; k < k_count; ++k, a += lda, b += ldb) {
    V column[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) column[v] = load<kLanes>(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      V factor = broadcast<kLanes>(a[r]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[r][v] += factor * column[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) store<kLanes>(c + r * ldc + v * kLanes, sum[r][v]);
  }
}

template <int vectors, int rows = tile_rows(vectors)>
DGP_INLINE void outer_rows(int64_t wanted, int64_t k_count, const float* a, int64_t lda, const float* b,
                           int64_t ldb, float* c, int64_t ldc, bool add) {
  if constexpr (rows >= 1) {
    if (wanted == rows) return outer_tile<rows, vectors>(k_count, a, lda, b, ldb, c, ldc, add);
    outer_rows<vectors, rows - 1>(wanted, k_count, a, lda, b, ldb, c, ldc, add);
  }
}

template <int vectors>
DGP_INLINE void outer_vectors(int64_t rows, int64_t k_count, const float* a, int64_t lda, const float* b,
                              int64_t ldb, float* c, int64_t ldc, bool add) {
  int64_t tiles = (rows + tile_rows(vectors) - 1) / tile_rows(vectors);
  for (int64_t i = 0; i < tiles; ++i) {
    int64_t r = rows * i / tiles, end = rows * (i + 1) / tiles;
    outer_rows<vectors>(end - r, k_count, a + r, lda, b, ldb, c + r * ldc, ldc, add);
  }
}

// The same for any number of rows and columns; reads b and c up to a whole number of vectors.
inline void outer_product(int64_t rows, int64_t columns, int64_t k_count, const float* a, int64_t lda,
                          const float* b, int64_t ldb, float* c, int64_t ldc, bool add) {
  for (int64_t p = 0; p < panel_count(columns); ++p) {
    Panel panel = panel_of(columns, p);
    const float* bp = b + panel.first;
    float* cp = c + panel.first;
    if (panel.vectors == 1) outer_vectors<1>(rows, k_count, a, lda, bp, ldb, cp, ldc, add);
    if (panel.vectors == 2) outer_vectors<2>(rows, k_count, a, lda, bp, ldb, cp, ldc, add);
    if constexpr (kPanelVectors == 4) {
      if (panel.vectors == 3) outer_vectors<3>(rows, k_count, a, lda, bp, ldb, cp, ldc, add);
      if (panel.vectors == 4) outer_vectors<4>(rows, k_count, a, lda, bp, ldb, cp, ldc, add);
    }
  }
}

}  // namespace dgp::DGP_ISA
