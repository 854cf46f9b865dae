// Rows of an image made band by band, top to bottom, and read with a halo by the next step: rows are appended
// below and dropped above, and only those in between are in memory.
#pragma once

#include "tensor/tensor.h"

namespace dgp {

class RowWindow {
 public:
  explicit RowWindow(const Tensor& storage);  // [R,W,C]: holds at most R rows at a time

  Tensor append(int64_t count);   // rows [end(), end()+count) to be filled in: [1,count,W,C]
  void drop_before(int64_t row);  // rows above `row` are not needed any more
  void restart();                 // empty again, at row 0

  Tensor rows() const;  // all rows held, [1,n,W,C]
  int64_t first() const { return first_; }
  int64_t end() const { return first_ + count_; }

 private:
  Tensor storage_;     // [capacity,W,C]
  int64_t first_ = 0;  // image row of the uppermost row held
  int64_t count_ = 0;
  int64_t offset_ = 0;  // its place in storage
};

}  // namespace dgp
