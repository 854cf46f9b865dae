// C = alpha op(A) op(B) + beta C in f32, by tiles of 32 x 32 in shared memory: each of 256 threads sums four
// elements, in the order of k, in parts of 128 terms (a long sum in f32 loses more than a sum of short ones).
#include "tensor/cuda_gemm.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

constexpr int kTile = 32, kRows = 8, kPart = 128;

// grid: (tiles of columns, tiles of rows, matrices)
__global__ void gemm_kernel(Product s) {
  DGP_SHARED(float, ta, [kTile][kTile + 1]);
  DGP_SHARED(float, tb, [kTile][kTile + 1]);
  const float* a = static_cast<const float*>(s.a) + blockIdx.z * s.a_step;
  const float* b = static_cast<const float*>(s.b) + blockIdx.z * s.b_step;
  float* c = static_cast<float*>(s.c) + blockIdx.z * s.c_step;
  int tx = static_cast<int>(threadIdx.x) % kTile, ty = static_cast<int>(threadIdx.x) / kTile;
  int64_t row0 = int64_t{blockIdx.y} * kTile, column0 = int64_t{blockIdx.x} * kTile;
  float sum[kTile / kRows] = {}, part[kTile / kRows] = {};
  for (int64_t k0 = 0; k0 < s.k; k0 += kTile) {
    for (int r = ty; r < kTile; r += kRows) {  // ta[row][k], tb[k][column]; tx runs along memory
      int64_t i = row0 + (s.ta ? tx : r), ka = k0 + (s.ta ? r : tx);
      float va = i < s.m && ka < s.k ? a[s.ta ? ka * s.lda + i : i * s.lda + ka] : 0.0F;
      (s.ta ? ta[tx][r] : ta[r][tx]) = va;
      int64_t j = column0 + (s.tb ? r : tx), kb = k0 + (s.tb ? tx : r);
      float vb = j < s.n && kb < s.k ? b[s.tb ? j * s.ldb + kb : kb * s.ldb + j] : 0.0F;
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
    if (row >= s.m || column >= s.n) continue;
    float before = s.beta == 0 ? 0.0F : s.beta * c[row * s.ldc + column];
    c[row * s.ldc + column] = s.alpha * sum[i] + before;
  }
}

}  // namespace

void gemm_by_kernel(const Product& p) {
  check(p.factors == DType::f32 && p.result == DType::f32, "gemm: the kernel multiplies f32, not ",
        to_string(p.factors));
  int64_t rows = (p.m + kTile - 1) / kTile, columns = (p.n + kTile - 1) / kTile;
  check(rows <= 65535 && columns <= 0x7fffffff && p.batch <= 65535, "gemm: ", p.batch, " products of ", p.m,
        " by ", p.n, " are too many or too large for one kernel");
  launch(gemm_kernel,
         {static_cast<unsigned>(columns), static_cast<unsigned>(rows), static_cast<unsigned>(p.batch)},
         kTile * kRows, p);
}

void gemm(const Product& p) {
  if (p.m == 0 || p.n == 0 || p.batch == 0) return;
  if (p.k == 0 || !gemm_by_blas(p)) gemm_by_kernel(p);
}

}  // namespace dgp::cuda
