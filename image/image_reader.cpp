#include <algorithm>

#include "image/bytes.h"
#include "image/image.h"

namespace dgp {

// A file on its way into memory: by rows, or all at once when the first are asked for.
struct ImageReader::File {
  std::string path;
  int64_t max_pixels;
  Bytes bytes;
  std::unique_ptr<RowDecoder> rows = nullptr;
  int64_t working_bytes = 0;
  Tensor whole = {};  // u8 or f32 [H,W,C]

  Tensor decoded(int64_t first, int64_t count, const ImageInfo& info) {
    if (!rows) {
      if (!whole.defined()) {
        std::string all = read_file(path, kMaxFileBytes);
        whole = decode(Bytes(all, path), max_pixels).pixels;
      }
      return whole.slab(first, count);
    }
    Tensor band({count, info.width, info.channels}, info.depth == 16 ? DType::f32 : DType::u8);
    rows->rows(first, band);
    if (first + count == info.height) rows->finish();
    return band;
  }
};

ImageReader::ImageReader(const std::string& path, int64_t max_pixels)
    : info_(image_info(path)), file_(new File{path, max_pixels, Bytes(path, kMaxFileBytes)}) {
  const Bytes& bytes = file_->bytes;
  if (is_bmp(bytes)) {
    file_->rows = bmp_rows(bytes, max_pixels);
  } else if (is_png(bytes)) {
    file_->rows = png_rows(bytes, max_pixels);
    int64_t pixel = info_.channels * (info_.depth == 16 ? 4 : 1);
    if (!file_->rows) file_->working_bytes = info_.width * info_.height * pixel + bytes.size();
  } else {
    JpegSource source = jpeg_source(path, max_pixels);
    file_->rows = std::move(source.rows);
    file_->working_bytes = source.bytes;
  }
}

ImageReader::ImageReader(const Image& image) : image_(image.pixels) {
  check_rank("image", "pixels [H,W,C]", image_, 3);
  info_ = {image_.dim(1), image_.dim(0), image_.dim(2), image.depth, "memory"};
}

ImageReader::~ImageReader() = default;

int64_t ImageReader::working_bytes() const { return file_ ? file_->working_bytes : 0; }

Tensor ImageReader::rows(int64_t count) {
  check(count > 0 && next_ + count <= info_.height, "image of ", info_.height, " rows was asked for more");
  Tensor rows = file_ ? file_->decoded(next_, count, info_) : image_.slab(next_, count);
  next_ += count;
  if (file_ && next_ == info_.height) file_->whole = {}, file_->rows = nullptr;
  return rows.dtype() == DType::u8 ? to_float(rows) : rows;
}

}  // namespace dgp
