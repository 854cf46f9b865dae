// A picture of any number of channels on its way through the network, which sees RGB: grey is repeated,
// colour under transparent pixels bled from opaque ones, alpha resized (bicubic) and put back.
#pragma once

#include "image/image.h"
#include "tensor/row_store.h"

namespace dgp {

class Picture {
 public:
  // Reads all rows, into memory or into temporary files.
  Picture(ImageReader& reader, bool on_disk);

  const RowStore& rgb() const { return rgb_; }  // f32 [H,W,3]

  // Rows of the network's RGB from row `first` -> rows with the picture's channels.
  Tensor finished(const Tensor& rgb, int64_t first, int64_t scale) const;

  // Bytes that a picture in memory takes, and copies of one row of its result until it is written.
  static int64_t bytes(const ImageReader& reader);
  static int64_t finished_row_bytes(const ImageInfo& info, int64_t scale);

 private:
  int64_t channels_;
  RowStore rgb_, alpha_;
};

}  // namespace dgp
