#include "infer/gpu_rows.h"

namespace dgp {

Tensor GpuRows::read(int64_t begin, int64_t end) {
  if (resident_.defined())
    return resident_.slab(begin, end - begin).reshape({1, end - begin, resident_.dim(1), resident_.dim(2)});
  Tensor room = up_.next({1, end - begin, host_.width(), host_.channels()});
  Tensor rows = host_.read(begin, end, room);
  if (rows.bytes() != room.bytes()) room.copy_from(rows);
  return up_.send();
}

Tensor GpuRows::place(int64_t begin, int64_t end) {
  if (resident_.defined()) return read(begin, end);
  placed_ = begin;
  return down_.next({1, end - begin, host_.width(), host_.channels()});
}

void GpuRows::write() {
  if (resident_.defined()) return;
  down_.send();
  on_their_way_.push_back(placed_);
  if (on_their_way_.size() > 1) receive();
}

void GpuRows::flush() {
  while (!on_their_way_.empty()) receive();
}

void GpuRows::receive() {
  host_.write(on_their_way_.front(), down_.take());
  on_their_way_.erase(on_their_way_.begin());
}

}  // namespace dgp
