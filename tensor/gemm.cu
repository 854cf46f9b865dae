// C = op(A) op(B) + bias in f32, by tiles of 32 x 32 in shared memory: each of 256 threads sums four
// elements, in the order of k, in parts of 128 terms (a long sum in f32 loses more than a sum of short ones).
#include "tensor/cuda_gemm.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

constexpr int kTile = 32, kRows = 8, kPart = 128;

struct Sizes {
  bool ta, tb;
  int64_t m, n, k;
};

__global__ void gemm_kernel(Sizes s, const float* a, const float* b, const float* bias, float* c) {
  DGP_SHARED(float, ta, [kTile][kTile + 1]);
  DGP_SHARED(float, tb, [kTile][kTile + 1]);
  int tx = static_cast<int>(threadIdx.x) % kTile, ty = static_cast<int>(threadIdx.x) / kTile;
  int64_t row0 = int64_t{blockIdx.y} * kTile, column0 = int64_t{blockIdx.x} * kTile;
  float sum[kTile / kRows] = {}, part[kTile / kRows] = {};
  for (int64_t k0 = 0; k0 < s.k; k0 += kTile) {
    for (int r = ty; r < kTile; r += kRows) {  // ta[row][k], tb[k][column]; tx runs along memory
      int64_t i = row0 + (s.ta ? tx : r), ka = k0 + (s.ta ? r : tx);
      float va = i < s.m && ka < s.k ? a[s.ta ? ka * s.m + i : i * s.k + ka] : 0.0F;
      (s.ta ? ta[tx][r] : ta[r][tx]) = va;
      int64_t j = column0 + (s.tb ? r : tx), kb = k0 + (s.tb ? tx : r);
      float vb = j < s.n && kb < s.k ? b[s.tb ? j * s.k + kb : kb * s.n + j] : 0.0F;
      (s.tb ? tb[tx][r] : tb[r][tx]) = vb;
    }
    __syncthreads();
    for (int k = 0; k < kTile; ++k)
      for (int i = 0; i < kTile / kRows; ++i) part[i] += ta[ty + i * kRows][k] * tb[k][tx];
    __syncthreads();
    if ((k0 + kTile) % kPart == 0 || k0 + kTile >= s.k)
      for (int i = 0; i < kTile / kRows; ++i) {
        sum[i] += part[i];
        part[i] = 0;
      }
  }
  int64_t column = column0 + tx;
  for (int i = 0; i < kTile / kRows; ++i) {
    int64_t row = row0 + ty + i * kRows;
    if (row < s.m && column < s.n) c[row * s.n + column] = sum[i] + (bias ? bias[column] : 0.0F);
  }
}

}  // namespace

void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
          const float* bias, float* c) {
  if (m == 0 || n == 0) return;
  int64_t rows = (m + kTile - 1) / kTile, columns = (n + kTile - 1) / kTile;
  check(rows <= 65535 && columns <= 0x7fffffff, "gemm: ", m, " by ", n, " is too large for one kernel");
  launch(gemm_kernel, {static_cast<unsigned>(columns), static_cast<unsigned>(rows)}, kTile * kRows,
         {ta, tb, m, n, k}, a, b, bias, c);
}

}  // namespace dgp::cuda
