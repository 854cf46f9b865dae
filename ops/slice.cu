// A range along one axis of a tensor, copied into another: rows of bytes, four at a time (every element type
// but u8 is made of them).
#include "ops/slice.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

__global__ void copy_rows_kernel(const uint32_t* from, int64_t from_row, uint32_t* to, int64_t to_row,
                                 int64_t words, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  to[i / words * to_row + i % words] = from[i / words * from_row + i % words];
}

uint32_t* words_of(const Tensor& t) {
  return t.dtype() == DType::f32 ? reinterpret_cast<uint32_t*>(t.device_data<float>())
                                 : reinterpret_cast<uint32_t*>(t.device_data<double>());
}

}  // namespace

void copy_range(const Tensor& source, int64_t source_at, const Tensor& target, int64_t target_at, int axis,
                int64_t count) {
  int64_t outer = 1, inner = element_size(source.dtype()) / 4;
  for (int i = 0; i < axis; ++i) outer *= source.dim(i);
  for (int i = axis + 1; i < source.rank(); ++i) inner *= source.dim(i);
  int64_t words = count * inner, n = outer * words;
  if (n == 0) return;
  launch(copy_rows_kernel, blocks_for(n), kBlock, words_of(source) + source_at * inner,
         source.dim(axis) * inner, words_of(target) + target_at * inner, target.dim(axis) * inner, words, n);
}

}  // namespace dgp::cuda
