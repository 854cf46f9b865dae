// The rows of an image that is worked through in bands: in memory, or in a temporary file where the whole of
// it would not fit.
#pragma once

#include <memory>

#include "tensor/file.h"
#include "tensor/tensor.h"

namespace dgp {

class RowStore {
 public:
  RowStore() = default;
  explicit RowStore(const Tensor& rows);                                       // [H,W,C], shared
  static RowStore on_disk(int64_t height, int64_t width, int64_t channels);    // f32, undefined values
  static RowStore in_memory(int64_t height, int64_t width, int64_t channels);  // f32, uninitialised
  static RowStore make(int64_t height, int64_t width, int64_t channels, bool on_disk) {
    return on_disk ? RowStore::on_disk(height, width, channels) : in_memory(height, width, channels);
  }

  int64_t height() const { return height_; }
  int64_t width() const { return width_; }
  int64_t channels() const { return channels_; }
  bool is_on_disk() const { return file_ != nullptr; }

  // Rows [begin, end) as [1,n,W,C]: the rows themselves where they are in memory, else a copy, in the first
  // elements of `room` if that is given.
  Tensor read(int64_t begin, int64_t end, const Tensor& room = {}) const;

  // A place for rows [begin, end) to be made in, which write() then puts in theirs: it is already theirs
  // where they are in memory.
  Tensor place(int64_t begin, int64_t end, const Tensor& room = {}) const;
  void write(int64_t begin, const Tensor& rows) const;

 private:
  int64_t height_ = 0, width_ = 0, channels_ = 0;
  Tensor memory_;
  std::shared_ptr<const TemporaryFile> file_;
};

}  // namespace dgp
