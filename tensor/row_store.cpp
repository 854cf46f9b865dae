#include "tensor/row_store.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace dgp {
namespace {

// Rows a chunk when several threads copy between memory and the file: about 256 KiB.
int64_t grain_of(int64_t row_bytes) { return std::max<int64_t>(1, (int64_t{1} << 18) / row_bytes); }

}  // namespace

RowStore::RowStore(const Tensor& rows)
    : height_(rows.dim(0)), width_(rows.dim(1)), channels_(rows.dim(2)), memory_(rows) {}

RowStore RowStore::in_memory(int64_t height, int64_t width, int64_t channels) {
  return RowStore(Tensor({height, width, channels}));
}

RowStore RowStore::on_disk(int64_t height, int64_t width, int64_t channels) {
  RowStore store;
  store.height_ = height, store.width_ = width, store.channels_ = channels;
  store.file_ = std::make_shared<TemporaryFile>(height * width * channels * 4);
  return store;
}

Tensor RowStore::place(int64_t begin, int64_t end, const Tensor& room) const {
  Shape shape{1, end - begin, width_, channels_};
  if (!file_) return memory_.slab(begin, end - begin).reshape(shape);
  check(begin >= 0 && begin <= end && end <= height_, "rows ", begin, "..", end, " of ", height_);
  if (!room.defined()) return Tensor(shape);
  return room.reshape({-1}).slab(0, numel(shape)).reshape(shape);
}

Tensor RowStore::read(int64_t begin, int64_t end, const Tensor& room) const {
  Tensor rows = place(begin, end, room);
  if (!file_) return rows;
  int64_t row = width_ * channels_ * 4;
  parallel_for(end - begin, grain_of(row), [&](int64_t first, int64_t last) {
    file_->read((begin + first) * row, rows.bytes() + first * row, static_cast<size_t>((last - first) * row));
  });
  return rows;
}

void RowStore::write(int64_t begin, const Tensor& rows) const {
  int64_t row = width_ * channels_ * 4, count = rows.numel() / (width_ * channels_);
  if (!file_) {
    Tensor own = place(begin, begin + count);
    if (own.bytes() != rows.bytes()) own.copy_from(rows.reshape(own.shape()));
    return;
  }
  check(begin >= 0 && begin + count <= height_, "rows ", begin, "..", begin + count, " of ", height_);
  parallel_for(count, grain_of(row), [&](int64_t first, int64_t last) {
    file_->write((begin + first) * row, rows.bytes() + first * row,
                 static_cast<size_t>((last - first) * row));
  });
}

}  // namespace dgp
