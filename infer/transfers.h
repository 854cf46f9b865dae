// Rows on their way between the host and the GPU. Null without CUDA in the build, as in tensor/cuda.h:
// whoever makes one has device memory.
#pragma once

#include "tensor/tensor.h"

namespace dgp {

// To the device: fill what next() returns, then send() it.
class Uploads {
 public:
  Uploads() = default;
  explicit Uploads(Tensor room) : room_(std::move(room)) {}  // f32, on the device

  Tensor next(const Shape& shape);  // the host's
  Tensor send();  // the same on the device, for kernels that are queued before the next send()

 private:
  Tensor room_, host_;
};

// From the device: kernels fill what next() returns, then send() it; take() gives it on the host, in the
// order of sending.
class Downloads {
 public:
  Downloads() = default;
  explicit Downloads(Tensor room) : room_(std::move(room)) {}

  Tensor next(const Shape& shape);  // the device's
  void send();
  Tensor take();  // the host's

 private:
  Tensor room_, device_;
};

}  // namespace dgp
