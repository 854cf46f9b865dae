#include <cctype>

#include "image/bytes.h"
#include "image/image.h"
#include "image/png_writer.h"

namespace dgp {
namespace {

constexpr int kJpegQuality = 95;

std::string ending(const std::string& path) {
  size_t dot = path.rfind('.'), slash = path.rfind('/');
  if (dot == std::string::npos || (slash != std::string::npos && dot < slash)) return "";
  std::string e = path.substr(dot);
  for (char& c : e) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return e;
}

class RowEncoder {
 public:
  virtual ~RowEncoder() = default;
  virtual void rows(const Tensor& x) = 0;
  virtual void commit() = 0;
};

class Png : public RowEncoder {
 public:
  Png(const std::string& path, const ImageInfo& info)
      : writer_(path, info.width, info.height, info.channels, info.depth) {}
  void rows(const Tensor& x) override { writer_.rows(x); }
  void commit() override { writer_.commit(); }

 private:
  PngWriter writer_;
};

class Jpeg : public RowEncoder {
 public:
  Jpeg(const std::string& path, const ImageInfo& info)
      : encoder_(info.width, info.height, info.channels, kJpegQuality), file_(path) {}
  void rows(const Tensor& x) override { file_.write(encoder_.rows(to_u8(x))); }
  void commit() override {
    file_.write(encoder_.finish());
    file_.commit();
  }

 private:
  JpegEncoder encoder_;
  AtomicFile file_;
};

class Bmp : public RowEncoder {
 public:
  Bmp(const std::string& path, const ImageInfo& info)
      : writer_(path, info.width, info.height, info.channels) {}
  void rows(const Tensor& x) override { writer_.rows(to_u8(x)); }
  void commit() override { writer_.commit(); }

 private:
  BmpWriter writer_;
};

std::unique_ptr<RowEncoder> encoder_for(const std::string& path, const ImageInfo& info) {
  std::string e = ending(path);
  if (e == ".png") return std::make_unique<Png>(path, info);
  if (e == ".bmp") return std::make_unique<Bmp>(path, info);
  check(e == ".jpg" || e == ".jpeg", path, ": a picture's name must end in .png, .jpg, .jpeg or .bmp");
  check(info.channels % 2 == 1, path, ": JPEG has no transparency; write a PNG instead");
  return std::make_unique<Jpeg>(path, info);
}

}  // namespace

struct ImageWriter::File {
  std::unique_ptr<RowEncoder> encoder;
  ImageInfo info;
  int64_t done = 0;
};

ImageWriter::ImageWriter(const std::string& path, const ImageInfo& info)
    : file_(new File{encoder_for(path, info), info}) {}

ImageWriter::~ImageWriter() = default;

void ImageWriter::rows(const Tensor& x) {
  const ImageInfo& info = file_->info;
  check(x.rank() == 3 && x.dim(1) == info.width && x.dim(2) == info.channels && x.dtype() == DType::f32,
        "image rows expect f32 [R,", info.width, ",", info.channels, "], got ", to_string(x.dtype()),
        to_string(x.shape()));
  file_->done += x.dim(0);
  check(file_->done <= info.height, "an image of ", info.height, " rows was given more");
  file_->encoder->rows(x);
}

void ImageWriter::commit() {
  check(file_->done == file_->info.height, "an image of ", file_->info.height, " rows was given ",
        file_->done);
  file_->encoder->commit();
}

bool is_image_name(const std::string& path) {
  std::string e = ending(path);
  return e == ".png" || e == ".jpg" || e == ".jpeg" || e == ".bmp";
}

}  // namespace dgp
