// BMP, uncompressed: 8-bit palette, 24-bit, and 32-bit with or without colour masks; bottom-up or top-down
// rows. After Microsoft's description of BITMAPINFOHEADER and BITMAPV4HEADER.
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "image/bytes.h"
#include "tensor/file.h"

namespace dgp {
namespace {

constexpr int64_t kFileHeader = 14;
constexpr int64_t kRgb = 0, kBitfields = 3, kAlphaBitfields = 6;

struct Field {  // one channel of a 32-bit pixel
  uint32_t mask = 0;
  int shift = 0;
  uint32_t most = 0;

  uint8_t operator()(uint32_t pixel) const {
    return static_cast<uint8_t>((uint64_t{(pixel & mask) >> shift} * 255 + most / 2) / most);
  }
};

struct Bmp {
  int64_t width, height, bits, pixels, row_bytes;
  bool top_down;
  std::vector<std::array<uint8_t, 3>> palette;  // RGB
  Field red, green, blue, alpha;
  int64_t channels = 3;
};

Field field_of(const Bytes& file, uint32_t mask) {
  file.expect(mask != 0, "BMP colour mask is empty");
  Field f{mask, std::countr_zero(mask), 0};
  f.most = mask >> f.shift;
  file.expect((f.most & (f.most + 1)) == 0, "BMP colour mask has gaps");
  return f;
}

void read_masks(const Bytes& file, int64_t header, int64_t compression, Bmp& bmp) {
  auto mask = [&](int64_t i) { return static_cast<uint32_t>(file.u32le(kFileHeader + 40 + 4 * i)); };
  if (compression == kRgb) {
    bmp.red = field_of(file, 0xff0000);
    bmp.green = field_of(file, 0xff00);
    bmp.blue = field_of(file, 0xff);
    return;
  }
  bmp.red = field_of(file, mask(0));
  bmp.green = field_of(file, mask(1));
  bmp.blue = field_of(file, mask(2));
  file.expect(!(bmp.red.mask & bmp.green.mask) && !((bmp.red.mask | bmp.green.mask) & bmp.blue.mask),
              "BMP colour masks overlap");
  if ((header >= 56 || compression == kAlphaBitfields) && mask(3) != 0) {
    bmp.alpha = field_of(file, mask(3));
    bmp.channels = 4;
  }
}

void read_palette(const Bytes& file, int64_t header, Bmp& bmp) {
  int64_t colours = file.u32le(kFileHeader + 32), at = kFileHeader + header;
  if (colours == 0) colours = 256;
  file.expect(colours <= 256 && at + 4 * colours <= bmp.pixels, "BMP palette of ", colours,
              " colours does not fit before the pixels");
  bool grey = true;
  for (int64_t i = 0; i < colours; ++i) {
    const uint8_t* p = file.at(at + 4 * i, 4);
    bmp.palette.push_back({p[2], p[1], p[0]});
    grey = grey && p[0] == p[1] && p[1] == p[2];
  }
  bmp.channels = grey ? 1 : 3;
}

Bmp read_header(const Bytes& file) {
  int64_t header = file.u32le(kFileHeader);
  if (header == 12) file.unsupported("the old OS/2 kind of BMP");
  file.expect(header == 40 || header == 52 || header == 56 || header == 108 || header == 124,
              "BMP header of ", header, " bytes is not defined");
  file.need(kFileHeader, header);
  auto i32 = [&](int64_t o) { return int64_t{static_cast<int32_t>(file.u32le(o))}; };
  Bmp bmp{};
  bmp.width = i32(kFileHeader + 4);
  bmp.height = i32(kFileHeader + 8);
  bmp.top_down = bmp.height < 0;
  bmp.height = std::abs(bmp.height);
  bmp.bits = file.u16le(kFileHeader + 14);
  bmp.pixels = file.u32le(10);
  bmp.channels = 3;
  file.check_size(bmp.width, bmp.height, kMaxSide * kMaxSide);
  file.expect(file.u16le(kFileHeader + 12) == 1, "BMP states ", file.u16le(kFileHeader + 12),
              " planes, expected 1");

  int64_t compression = file.u32le(kFileHeader + 16);
  bool masks = compression == kBitfields || compression == kAlphaBitfields;
  if (!masks && compression != kRgb) file.unsupported("BMP compression ", compression);
  bool known = masks ? bmp.bits == 32 : bmp.bits == 8 || bmp.bits == 24 || bmp.bits == 32;
  if (!known) file.unsupported("BMP with ", bmp.bits, " bits a pixel");
  bmp.row_bytes = (bmp.width * bmp.bits + 31) / 32 * 4;
  // With the plain 40-byte header the masks follow it.
  int64_t before = kFileHeader + header + (masks && header == 40 ? (compression == kBitfields ? 12 : 16) : 0);
  file.expect(bmp.pixels >= before, "BMP pixels overlap the header");
  file.need(bmp.pixels, bmp.row_bytes * bmp.height);
  if (bmp.bits == 8) read_palette(file, header, bmp);
  if (bmp.bits == 32) read_masks(file, header, compression, bmp);
  return bmp;
}

void decode_row(const Bytes& file, const Bmp& bmp, const uint8_t* row, uint8_t* to) {
  for (int64_t x = 0; x < bmp.width; ++x, to += bmp.channels) {
    if (bmp.bits == 8) {
      size_t index = row[x];
      file.expect(index < bmp.palette.size(), "BMP pixel uses colour ", index, " of ", bmp.palette.size());
      std::memcpy(to, bmp.palette[index].data(), static_cast<size_t>(bmp.channels));
    } else if (bmp.bits == 24) {
      for (int64_t c = 0; c < 3; ++c) to[c] = row[3 * x + 2 - c];
    } else {
      const uint8_t* p = row + 4 * x;
      uint32_t pixel = p[0] | p[1] << 8 | p[2] << 16 | uint32_t{p[3]} << 24;
      to[0] = bmp.red(pixel);
      to[1] = bmp.green(pixel);
      to[2] = bmp.blue(pixel);
      if (bmp.channels == 4) to[3] = bmp.alpha(pixel);
    }
  }
}

void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 255));
}

}  // namespace

bool is_bmp(const Bytes& file) { return file.starts_with("BM"); }

ImageInfo bmp_info(const Bytes& file) {
  Bmp bmp = read_header(file);
  return {bmp.width, bmp.height, bmp.channels, 8, "BMP"};
}

namespace {

class BmpRows : public RowDecoder {
 public:
  BmpRows(const Bytes& file, int64_t max_pixels) : file_(file), bmp_(read_header(file)) {
    file.check_size(bmp_.width, bmp_.height, max_pixels);
  }
  const Bmp& bmp() const { return bmp_; }

  void rows(int64_t first, const Tensor& pixels) override {
    for (int64_t r = 0; r < pixels.dim(0); ++r) {
      int64_t y = first + r, stored = bmp_.top_down ? y : bmp_.height - 1 - y;
      decode_row(file_, bmp_, file_.at(bmp_.pixels + stored * bmp_.row_bytes, bmp_.row_bytes),
                 pixels.data<uint8_t>() + r * bmp_.width * bmp_.channels);
    }
  }

 private:
  Bytes file_;
  Bmp bmp_;
};

}  // namespace

std::unique_ptr<RowDecoder> bmp_rows(const Bytes& file, int64_t max_pixels) {
  return std::make_unique<BmpRows>(file, max_pixels);
}

Decoded decode_bmp(const Bytes& file, int64_t max_pixels) {
  BmpRows decoder(file, max_pixels);
  const Bmp& bmp = decoder.bmp();
  Decoded result{Tensor({bmp.height, bmp.width, bmp.channels}, DType::u8), 8};
  decoder.rows(0, result.pixels);
  return result;
}

// Grey as 8 bits with a grey palette, RGB as 24 bits, alpha as 32 bits with masks (BITMAPV4HEADER).
BmpWriter::BmpWriter(const std::string& path, int64_t width, int64_t height, int64_t channels)
    : file_(path), width_(width), height_(height), channels_(channels) {
  bool grey = channels == 1, alpha = channels == 2 || channels == 4;
  int64_t bits = grey ? 8 : alpha ? 32 : 24, header = alpha ? 108 : 40, palette = grey ? 1024 : 0;
  row_bytes_ = (width * bits + 31) / 32 * 4, offset_ = kFileHeader + header + palette;
  check(offset_ + row_bytes_ * height < int64_t{1} << 31, path,
        ": BMP holds at most 2 GiB; write a PNG instead");

  std::string out = "BM";
  put(out, static_cast<uint64_t>(offset_ + row_bytes_ * height), 4);
  put(out, 0, 4);
  put(out, static_cast<uint64_t>(offset_), 4);
  put(out, static_cast<uint64_t>(header), 4);
  put(out, static_cast<uint64_t>(width), 4);
  put(out, static_cast<uint64_t>(height), 4);
  put(out, 1, 2);
  put(out, static_cast<uint64_t>(bits), 2);
  put(out, alpha ? kBitfields : kRgb, 4);
  put(out, static_cast<uint64_t>(row_bytes_ * height), 4);
  put(out, 2835, 4);  // 72 dots an inch
  put(out, 2835, 4);
  put(out, grey ? 256 : 0, 4);
  put(out, 0, 4);
  if (alpha) {
    for (uint32_t mask : {0xff0000u, 0xff00u, 0xffu, 0xff000000u}) put(out, mask, 4);
    out += "BGRs";  // sRGB
    out.append(48, '\0');
  }
  for (uint64_t i = 0; grey && i < 256; ++i) put(out, i * 0x010101, 4);
  file_.write(out);
}

void BmpWriter::rows(const Tensor& pixels) {
  int64_t count = pixels.dim(0), C = channels_;
  std::vector<uint8_t> lines(static_cast<size_t>(count * row_bytes_));
  for (int64_t y = 0; y < count; ++y) {
    const uint8_t* from = pixels.data<uint8_t>() + y * width_ * C;
    uint8_t* to = lines.data() + (count - 1 - y) * row_bytes_;  // the lowest row comes first
    for (int64_t x = 0; x < width_; ++x, from += C) {
      if (C == 1) {
        *to++ = from[0];
        continue;
      }
      for (int64_t c = 2; c >= 0; --c) *to++ = from[C == 2 ? 0 : c];
      if (C % 2 == 0) *to++ = from[C - 1];
    }
  }
  done_ += count;
  file_.write_at(offset_ + (height_ - done_) * row_bytes_, lines.data(), lines.size());
}

}  // namespace dgp
