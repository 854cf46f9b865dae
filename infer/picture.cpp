#include "infer/picture.h"

#include <algorithm>
#include <array>

#include "image/alpha.h"
#include "image/resize.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

constexpr std::array<float, 3> kLuma{0.299F, 0.587F,
                                     0.114F};  // BT.601; a grey result of grey is left as it is
constexpr int64_t kBandBytes = int64_t{1} << 20;

bool has_alpha(int64_t channels) { return channels == 2 || channels == 4; }

// Pixels of any number of channels -> RGB and, if there is any, alpha.
void split(const Tensor& rows, int64_t channels, const Tensor& rgb, const Tensor& alpha) {
  const float* source = rows.data<float>();
  float* colour = rgb.data<float>();
  parallel_for(rgb.numel() / 3, kPointwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* pixel = source + i * channels;
      for (int64_t j = 0; j < 3; ++j) colour[i * 3 + j] = pixel[channels >= 3 ? j : 0];
      if (alpha.defined()) alpha.data<float>()[i] = pixel[channels - 1];
    }
  });
}

}  // namespace

Picture::Picture(ImageReader& reader, bool on_disk) : channels_(reader.info().channels) {
  int64_t height = reader.info().height, width = reader.info().width;
  if (channels_ == 3 && reader.pixels().defined()) {
    rgb_ = RowStore(reader.pixels());
    return;
  }
  rgb_ = RowStore::make(height, width, 3, on_disk);
  if (has_alpha(channels_)) alpha_ = RowStore::make(height, width, 1, on_disk);
  int64_t band = std::max<int64_t>(1, kBandBytes / (width * channels_ * 4));
  for (int64_t begin = 0; begin < height; begin += band) {
    int64_t end = std::min(height, begin + band);
    Tensor rows = reader.rows(end - begin), rgb = rgb_.place(begin, end), alpha;
    if (has_alpha(channels_)) alpha = alpha_.place(begin, end);
    split(rows, channels_, rgb, alpha);
    rgb_.write(begin, rgb);
    if (has_alpha(channels_)) alpha_.write(begin, alpha);
  }
  if (has_alpha(channels_)) bleed_colour(rgb_, alpha_);
}

Tensor Picture::finished(const Tensor& rgb, int64_t first, int64_t scale) const {
  if (channels_ == 3) return rgb;
  Tensor rows({rgb.dim(0), rgb.dim(1), channels_}), alpha;
  if (has_alpha(channels_)) {
    alpha = scale > 1 ? imresize_rows(alpha_, static_cast<double>(scale), first, rgb.dim(0))
                      : alpha_.read(first, first + rgb.dim(0));
  }
  const float* source = rgb.data<float>();
  float* target = rows.data<float>();
  parallel_for(rgb.dim(0) * rgb.dim(1), kPointwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* pixel = source + i * 3;
      float* into = target + i * channels_;
      if (channels_ <= 2)
        into[0] = kLuma[0] * pixel[0] + kLuma[1] * pixel[1] + kLuma[2] * pixel[2];
      else
        std::copy(pixel, pixel + 3, into);
      if (alpha.defined()) into[channels_ - 1] = alpha.data<float>()[i];
    }
  });
  return rows;
}

int64_t Picture::bytes(const ImageReader& reader) {
  const ImageInfo& info = reader.info();
  if (info.channels == 3 && reader.pixels().defined()) return 0;
  int64_t pixels = info.width * info.height;
  // Beside RGB and alpha the coarser levels of bleeding, a third of both.
  return has_alpha(info.channels) ? pixels * 16 * 4 / 3 : pixels * 12;
}

int64_t Picture::finished_row_bytes(const ImageInfo& info, int64_t scale) {
  int64_t written = 2 * info.channels;  // 8-bit samples, and in the order of a file
  if (info.channels == 3) return info.width * scale * written;
  return info.width * scale * (written + 4 * (info.channels + (has_alpha(info.channels) ? 1 : 0)));
}

}  // namespace dgp
