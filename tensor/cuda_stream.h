// Copies that run beside kernels, and kernels that are queued all at once: page-locked memory, queues of
// their own for both directions, marks in a queue that another waits for, and recorded graphs. Null without
// CUDA in the build, as in tensor/cuda.h; whoever has device memory may use them.
#pragma once

#include <functional>

#include "tensor/cuda.h"
#include "tensor/tensor.h"

namespace dgp::cuda {

// main: where kernels, allocations and the copies of tensor/cuda.h go.
enum class Queue { main, upload, download };

// f32 in the host's memory, page-locked: the queues copy from it and to it while the host goes on.
class PageLocked {
 public:
  PageLocked() = default;
  explicit PageLocked(int64_t count);  // Throws Error(limit) when the system refuses

  const Tensor& tensor() const { return tensor_; }  // [count]

 private:
  Tensor tensor_;
  std::shared_ptr<void> lock_;
};
DGP_CUDA_FUNCTION std::shared_ptr<void> lock_pages(void* memory, int64_t bytes);  // until it is gone

// Between page-locked and device memory, queued on upload or download.
DGP_CUDA_FUNCTION void upload(void* device, const void* host, int64_t bytes);
DGP_CUDA_FUNCTION void download(void* host, const void* device, int64_t bytes);

// A mark in a queue. Copies of it are the same mark.
class Event {
 public:
  DGP_CUDA_FUNCTION void record(Queue queue);      // behind what is queued there
  DGP_CUDA_FUNCTION void hold(Queue queue) const;  // what is queued there from now on begins after the mark
  DGP_CUDA_FUNCTION void wait() const;  // until it is reached; neither does anything before record()

 private:
  std::shared_ptr<void> event_;
};

// What `body` queues on main, recorded instead of run; launch() queues it as it stands, addresses and all. It
// may launch kernels, copy and zero device memory, and allocate what it frees itself; it may not wait, copy
// from or to the host, or call cuBLAS.
class Graph {
 public:
  DGP_CUDA_FUNCTION explicit Graph(const std::function<void()>& body);
  DGP_CUDA_FUNCTION void launch() const;

 private:
  std::shared_ptr<void> executable_;
};

}  // namespace dgp::cuda
