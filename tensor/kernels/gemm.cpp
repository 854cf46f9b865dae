// Matrix product of f32: rows of A times packed panels of B, in tiles that stay in registers (micro.h).
#include "tensor/kernels/gemm_kernels.h"
#include "tensor/kernels/micro.h"

namespace dgp::DGP_ISA {
namespace {

int64_t gemm_panels(int64_t n) { return panel_count(n); }

int64_t gemm_packed_size(int64_t n, int64_t k) { return round_up(n, kLanes) * k; }

// Rows of B run along columns: whole vectors are copied. Transposed, squares of kLanes x kLanes are turned.
void gemm_pack(bool transposed, int64_t n, int64_t k, const float* b, int64_t ldb, int64_t p, float* packed) {
  Panel panel = panel_of(n, p);
  int64_t columns = panel.vectors * kLanes;
  packed += panel.first * k;
  for (int64_t v = 0; v < panel.vectors; ++v, packed += kLanes) {
    int64_t first = panel.first + v * kLanes, inside = n - first < kLanes ? n - first : kLanes;
    if (!transposed) {
      for (int64_t i = 0; i < k; ++i) {
        const float* from = b + i * ldb + first;
        store<kLanes>(packed + i * columns,
                      inside == kLanes ? load<kLanes>(from) : load_part<kLanes>(from, inside));
      }
      continue;
    }
    for (int64_t i = 0; i < k; i += kLanes) {
      int64_t here = k - i < kLanes ? k - i : kLanes;
      V rows[kLanes] = {};
      for (int64_t j = 0; j < inside; ++j) {
        const float* from = b + (first + j) * ldb + i;
        rows[j] = here == kLanes ? load<kLanes>(from) : load_part<kLanes>(from, here);
      }
      transpose<kLanes>(rows);
      for (int64_t r = 0; r < here; ++r) store<kLanes>(packed + (i + r) * columns, rows[r]);
    }
  }
}

void gemm_multiply(int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
                   const float* packed, float beta, float* c, int64_t ldc) {
  for (int64_t p = 0; p < panel_count(n); ++p) {
    Panel panel = panel_of(n, p);
    multiply_panel(panel.vectors, {1, 0, 0}, m, OneSegment{k}, a, lda, packed + panel.first * k,
                   [&](int64_t, int64_t first) {
                     return [=](int64_t r, int64_t i, int64_t, V sum) {
                       int64_t column = panel.first + i * kLanes,
                               count = n - column < kLanes ? n - column : kLanes;
                       float* to = c + (first + r) * ldc + column;
                       V v = alpha * sum;
                       if (count == kLanes) {
                         if (beta != 0) v = v + beta * load<kLanes>(to);
                         store<kLanes>(to, v);
                       } else {
                         if (beta != 0) v = v + beta * load_part<kLanes>(to, count);
                         store_part<kLanes>(to, v, count);
                       }
                     };
                   });
  }
}

constexpr int64_t kChains = 12;  // as many sums as it takes to hide the latency of FMA

// The sums start from different values, none of them the fixed point 1: the compiler would compute equal ones
// once, and a constant one not at all.
float gemm_multiply_adds(int64_t rounds) {
  V sum[kChains], a = broadcast<kLanes>(0.999f), b = broadcast<kLanes>(1e-3f);
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) sum[c] = broadcast<kLanes>(static_cast<float>(c) + 0.5f);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sum[c] = sum[c] * a + b;
  }
#pragma GCC unroll 12
  for (int c = 1; c < kChains; ++c) sum[0] += sum[c];
  return sum[0][0];
}

}  // namespace

extern const GemmKernels gemm_kernels = {
    .panels = gemm_panels,
    .packed_size = gemm_packed_size,
    .pack = gemm_pack,
    .multiply = gemm_multiply,
    .multiply_adds_a_round = kChains * kLanes,
    .multiply_adds = gemm_multiply_adds,
};

}  // namespace dgp::DGP_ISA
