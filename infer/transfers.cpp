#include "infer/transfers.h"

namespace dgp {
namespace {

Tensor in(const Tensor& room, const Shape& shape) { return room.slab(0, numel(shape)).reshape(shape); }

}  // namespace

Tensor Uploads::next(const Shape& shape) { return host_ = Tensor(shape); }

Tensor Uploads::send() {
  Tensor t = in(room_, host_.shape());
  t.copy_from(host_);
  return t;
}

Tensor Downloads::next(const Shape& shape) { return device_ = in(room_, shape); }

void Downloads::send() {}

Tensor Downloads::take() { return device_.to(Device::cpu); }

}  // namespace dgp
