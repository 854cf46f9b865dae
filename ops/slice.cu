// A range along one axis of a tensor, copied into another: rows of words, of two bytes for elements of 16
// bits and of four for the others but u8.
#include "ops/slice.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

template <class Word>
__global__ void copy_rows_kernel(const Word* from, int64_t from_row, Word* to, int64_t to_row, int64_t words,
                                 int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  to[i / words * to_row + i % words] = from[i / words * from_row + i % words];
}

// T: the element type.
template <class Word, class T>
void run(const Tensor& source, int64_t source_at, const Tensor& target, int64_t target_at, int axis,
         int64_t count) {
  int64_t outer = 1, inner = sizeof(T) / sizeof(Word);
  for (int i = 0; i < axis; ++i) outer *= source.dim(i);
  for (int i = axis + 1; i < source.rank(); ++i) inner *= source.dim(i);
  int64_t words = count * inner, n = outer * words;
  if (n == 0) return;
  launch(copy_rows_kernel<Word>, blocks_for(n), kBlock,
         reinterpret_cast<const Word*>(source.device_data<T>()) + source_at * inner, source.dim(axis) * inner,
         reinterpret_cast<Word*>(target.device_data<T>()) + target_at * inner, target.dim(axis) * inner,
         words, n);
}

}  // namespace

void copy_range(const Tensor& source, int64_t source_at, const Tensor& target, int64_t target_at, int axis,
                int64_t count) {
  auto with = [&](auto run) { run(source, source_at, target, target_at, axis, count); };
  if (source.dtype() == DType::bf16) return with(run<uint16_t, bf16>);
  if (source.dtype() == DType::f16) return with(run<uint16_t, f16>);
  if (source.dtype() == DType::f32) return with(run<uint32_t, float>);
  with(run<uint32_t, double>);
}

}  // namespace dgp::cuda
