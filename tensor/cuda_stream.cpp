#include "tensor/cuda_stream.h"

namespace dgp::cuda {

// The system locks whole pages, so that the tensor has some of its own.
PageLocked::PageLocked(int64_t count) {
  constexpr int64_t kPage = 4096, kFloats = kPage / 4;
  const int64_t rounded = (count + kFloats - 1) / kFloats * kFloats;
  Tensor room({rounded + kFloats});
  const auto address = reinterpret_cast<uintptr_t>(room.bytes());
  const auto skipped = static_cast<int64_t>((kPage - address % kPage) % kPage / 4);
  tensor_ = room.slab(skipped, count);
  lock_ = lock_pages(tensor_.bytes(), rounded * 4);
}

}  // namespace dgp::cuda
