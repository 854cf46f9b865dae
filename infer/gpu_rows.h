// The rows of a feature map on the GPU: all in its memory, or in the host's, from where bands come up to be
// read and where bands go down that were made.
#pragma once

#include "tensor/row_store.h"
#include "tensor/transfers.h"

namespace dgp {

class GpuRows {
 public:
  GpuRows() = default;
  explicit GpuRows(const Tensor& resident) : resident_(resident) {}  // [H,W,C]
  GpuRows(Uploads up, Downloads down) : up_(std::move(up)), down_(std::move(down)) {}

  void attach(RowStore host) { host_ = std::move(host); }  // where they lie, unless they are resident

  // Rows [begin, end) as [1,n,W,C] in device memory, until the next read().
  Tensor read(int64_t begin, int64_t end);

  // A place for rows from `begin` to be made in, and, once they are queued, the step that puts them where
  // they belong: in order, before the next place(). flush(): every one of them is there.
  Tensor place(int64_t begin, int64_t end);
  void write();
  void flush();

 private:
  void receive();  // the oldest band that is on its way

  Tensor resident_;
  RowStore host_;
  Uploads up_;
  Downloads down_;
  int64_t placed_ = 0;                 // first row of the last place
  std::vector<int64_t> on_their_way_;  // first rows, oldest first
};

}  // namespace dgp
