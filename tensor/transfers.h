// Values on their way between the host and the GPU, two bands at a time: one on its way beside the kernels
// that work on the other.
#pragma once

#include <memory>

#include "tensor/tensor.h"

namespace dgp {

// To the device: fill what next() returns, then send() it.
class Uploads {
 public:
  Uploads() = default;
  explicit Uploads(const Tensor& room);  // f32 [2,n] on the device; undefined: none

  Tensor next(const Shape& shape);  // the host's, of at most n elements
  Tensor send();  // the same on the device, for kernels that are queued before the next send()

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// From the device: kernels fill what next() returns, then send() it; take() gives it on the host, in the
// order of sending, until the second send() after that. At most two are sent and not taken.
class Downloads {
 public:
  Downloads() = default;
  explicit Downloads(const Tensor& room);  // f32 [2,n] on the device; undefined: none

  Tensor next(const Shape& shape);  // the device's, of at most n elements
  int slot() const;                 // 0 or 1: which of the two places next() gives
  void send();
  Tensor take();  // the host's

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace dgp
