// The second half of JPEG decoding: dequantisation, the inverse cosine transform of Loeffler, Ligtenberg and
// Moschytz (1989) in 13-bit fixed point, triangle-filter upsampling of halved colour planes, and JFIF's
// YCbCr; each in the arithmetic of libjpeg ("islow", "fancy upsampling"), whose decoded pixels the world is
// used to.
#include <algorithm>

#include "image/jpeg_decode.h"
#include "image/jpeg_transform.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

void inverse_transform(const int16_t* block, const JpegQuantiser& q, uint8_t* out, int64_t stride) {
  int64_t middle[64], in[8], line[8];
  for (size_t x = 0; x < 8; ++x) {
    for (size_t y = 0; y < 8; ++y) in[y] = int64_t{block[8 * y + x]} * q[8 * y + x];
    jpeg_inverse_line(in, line);
    for (size_t y = 0; y < 8; ++y) middle[8 * y + x] = jpeg_rounded(line[y], kJpegFirstShift);
  }
  for (size_t y = 0; y < 8; ++y, out += stride) {
    std::copy_n(middle + 8 * y, 8, in);
    jpeg_inverse_line(in, line);
    for (size_t x = 0; x < 8; ++x) out[x] = jpeg_byte(jpeg_rounded(line[x], kJpegSecondShift) + 128);
  }
}

// One component brought to full size, a row at a time.
class Upsampler {
 public:
  Upsampler(const JpegFrame& frame, const JpegComponent& c, const JpegSamples& samples)
      : samples_(samples.rows),
        first_(samples.first),
        across_(frame.h_max / c.h),
        down_(frame.v_max / c.v),
        width_(frame.width_of(c)),
        height_(frame.height_of(c)),
        full_(frame.width) {}

  // Row y of the picture, `full_` values (or one more) into `out`; `sums` is scratch of the component's
  // width.
  void row(int64_t y, uint8_t* out, std::vector<int>& sums) const {
    bool smooth_across = across_ == 2 && down_ <= 2 && width_ > 2;
    bool smooth_down = down_ == 2 && (smooth_across || across_ == 1);
    const uint8_t* near = line(y / down_);
    if (!smooth_across && !smooth_down) {
      for (int64_t x = 0; x < full_; ++x) out[x] = near[x / across_];
      return;
    }
    // The nearer row counts three quarters, the farther one a quarter.
    const uint8_t* far = line(std::clamp<int64_t>(y / 2 + (y % 2 ? 1 : -1), 0, height_ - 1));
    for (int64_t x = 0; x < width_; ++x)
      sums[static_cast<size_t>(x)] = smooth_down ? 3 * near[x] + far[x] : near[x];
    if (!smooth_across) {
      for (int64_t x = 0; x < full_; ++x)
        out[x] = static_cast<uint8_t>((sums[static_cast<size_t>(x)] + (y % 2 ? 2 : 1)) >> 2);
      return;
    }
    // The same along the row. Left and right halves round differently, so that errors cancel.
    int shift = smooth_down ? 4 : 2, left = smooth_down ? 8 : 1, right = smooth_down ? 7 : 2;
    for (int64_t x = 0; x < width_; ++x) {
      int here = sums[static_cast<size_t>(x)];
      int before = x > 0 ? sums[static_cast<size_t>(x - 1)] : here;
      int after = x + 1 < width_ ? sums[static_cast<size_t>(x + 1)] : here;
      out[2 * x] = static_cast<uint8_t>((3 * here + before + left) >> shift);
      out[2 * x + 1] = static_cast<uint8_t>((3 * here + after + right) >> shift);
    }
  }

 private:
  const uint8_t* line(int64_t y) const { return samples_.data<uint8_t>() + (y - first_) * samples_.dim(1); }

  Tensor samples_;
  int64_t first_;
  int64_t across_, down_, width_, height_, full_;
};

void to_rgb(const uint8_t* luma, const uint8_t* blue, const uint8_t* red, int64_t width, uint8_t* out) {
  for (int64_t x = 0; x < width; ++x, out += 3) jpeg_rgb(luma[x], blue[x], red[x], out);
}

}  // namespace

JpegSamples jpeg_samples(const JpegPlane& plane) {
  int64_t stride = plane.blocks_x * 8;
  JpegSamples samples{Tensor({plane.blocks_y * 8, stride}, DType::u8), plane.first * 8};
  parallel_for(plane.blocks_y * plane.blocks_x, 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t y = i / plane.blocks_x, x = i % plane.blocks_x;
      inverse_transform(plane.block(plane.first + y, x), plane.quantiser,
                        samples.rows.data<uint8_t>() + y * 8 * stride + x * 8, stride);
    }
  });
  return samples;
}

JpegReads jpeg_reads(const JpegFrame& frame, const JpegComponent& c, int64_t first, int64_t end) {
  int64_t down = frame.v_max / c.v;  // upsampling looks at the rows around
  return {std::max<int64_t>(0, first / down - 1), std::min(frame.height_of(c), (end - 1) / down + 2)};
}

void jpeg_pixels(const JpegFrame& frame, const std::vector<JpegSamples>& samples, int64_t first,
                 const Tensor& pixels) {
  int64_t C = static_cast<int64_t>(samples.size()), W = frame.width;
  std::vector<Upsampler> upsamplers;
  for (size_t c = 0; c < samples.size(); ++c) upsamplers.emplace_back(frame, frame.components[c], samples[c]);
  parallel_for(pixels.dim(0), 32, [&](int64_t begin, int64_t end) {
    std::vector<std::vector<uint8_t>> rows(samples.size(), std::vector<uint8_t>(static_cast<size_t>(W + 1)));
    std::vector<int> sums(static_cast<size_t>(W));
    for (int64_t r = begin; r < end; ++r) {
      for (size_t c = 0; c < samples.size(); ++c) upsamplers[c].row(first + r, rows[c].data(), sums);
      uint8_t* out = pixels.data<uint8_t>() + r * W * C;
      if (C == 3 && !frame.rgb) {
        to_rgb(rows[0].data(), rows[1].data(), rows[2].data(), W, out);
        continue;
      }
      for (int64_t x = 0; x < W; ++x)
        for (size_t c = 0; c < samples.size(); ++c)
          out[x * C + static_cast<int64_t>(c)] = rows[c][static_cast<size_t>(x)];
    }
  });
}

}  // namespace dgp
