#include "infer/row_window.h"

#include <algorithm>
#include <cstring>

namespace dgp {
namespace {

// Rows [from, from + count) to the top.
void move_up(const Tensor& rows, int64_t from, int64_t count) {
  if (rows.device() == Device::cpu) {
    int64_t row = rows.nbytes() / rows.dim(0);
    std::memmove(rows.bytes(), rows.bytes() + from * row, static_cast<size_t>(count * row));
    return;
  }
  for (int64_t done = 0; done < count; done += from) {  // copies on the GPU must not overlap
    int64_t part = std::min(from, count - done);
    rows.slab(done, part).copy_from(rows.slab(from + done, part));
  }
}

}  // namespace

RowWindow::RowWindow(const Tensor& storage) : storage_(storage) {}

Tensor RowWindow::append(int64_t count) {
  check(count_ + count <= storage_.dim(0), "row window: ", count_ + count, " rows do not fit into ",
        storage_.dim(0));
  if (offset_ + count_ + count > storage_.dim(0)) {
    move_up(storage_, offset_, count_);
    offset_ = 0;
  }
  Tensor added = storage_.slab(offset_ + count_, count);
  count_ += count;
  return added.reshape({1, count, storage_.dim(1), storage_.dim(2)});
}

void RowWindow::drop_before(int64_t row) {
  int64_t gone = std::clamp<int64_t>(row - first_, 0, count_);
  first_ += gone;
  offset_ += gone;
  count_ -= gone;
}

void RowWindow::restart() { first_ = count_ = offset_ = 0; }

Tensor RowWindow::rows() const {
  return storage_.slab(offset_, count_).reshape({1, count_, storage_.dim(1), storage_.dim(2)});
}

}  // namespace dgp
