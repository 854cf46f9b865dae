// PNG decoding after the specification's third edition (W3C 2023). The chunks are walked first: checksums,
// order and counts; then the pixels are inflated row by row, so that memory is bounded by the size the header
// states and not by what the compressed stream unfolds to.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <vector>
#include <zlib.h>

#include "image/bytes.h"
#include "tensor/file.h"

namespace dgp {
namespace {

constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
constexpr int64_t kMaxDeflateRatio = 1032;  // no DEFLATE stream unfolds further

struct Header {
  int64_t width, height;
  int depth, colour;  // colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha
  bool interlaced;

  int64_t samples() const { return colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1; }
  int64_t row_bytes(int64_t w) const { return (w * samples() * depth + 7) / 8; }
};

struct Png {
  Header header;
  std::vector<std::array<uint8_t, 4>> palette;  // RGBA
  std::vector<int> transparent;                 // the sample values of tRNS for grey and RGB
  bool palette_alpha = false;
  std::vector<std::pair<int64_t, int64_t>> idat;  // offset, length
  int64_t channels() const {
    if (header.colour == 3) return palette_alpha ? 4 : 3;
    return header.samples() + (transparent.empty() ? 0 : 1);
  }
};

Header read_header(const Bytes& file) {
  if (file.size() >= 16 && file.text(12, 4) == "CgBI") file.unsupported("Apple's CgBI variant of PNG");
  file.expect(file.size() >= 33 && file.u32be(8) == 13 && file.text(12, 4) == "IHDR",
              "expected a PNG header (IHDR) of 13 bytes first");
  Header h{file.u32be(16), file.u32be(20), static_cast<int>(file.u8(24)), static_cast<int>(file.u8(25)),
           file.u8(28) == 1};
  file.check_size(h.width, h.height, kMaxSide * kMaxSide);
  bool small = h.depth == 1 || h.depth == 2 || h.depth == 4, full = h.depth == 8 || h.depth == 16;
  bool known = h.colour == 0   ? small || full
               : h.colour == 3 ? small || h.depth == 8
                               : (h.colour == 2 || h.colour == 4 || h.colour == 6) && full;
  file.expect(known, "PNG colour type ", h.colour, " with ", h.depth, " bits is not defined");
  file.expect(file.u8(26) == 0 && file.u8(27) == 0 && file.u8(28) <= 1,
              "PNG compression, filter or interlace method is not defined");
  return h;
}

void read_palette(const Bytes& file, int64_t offset, int64_t length, Png& png) {
  const Header& h = png.header;
  file.expect(png.palette.empty() && png.idat.empty() && png.transparent.empty(),
              "PNG palette (PLTE) is repeated or out of order");
  file.expect(h.colour != 0 && h.colour != 4, "PNG palette (PLTE) in a grey image");
  int64_t most = h.colour == 3 ? int64_t{1} << h.depth : 256;
  file.expect(length % 3 == 0 && length >= 3 && length / 3 <= most, "PNG palette (PLTE) of ", length,
              " bytes, expected three for each of 1 to ", most, " colours");
  for (int64_t i = 0; i < length; i += 3) {
    const uint8_t* p = file.at(offset + i, 3);
    png.palette.push_back({p[0], p[1], p[2], 255});
  }
}

void read_transparency(const Bytes& file, int64_t offset, int64_t length, Png& png) {
  const Header& h = png.header;
  file.expect(png.idat.empty() && png.transparent.empty() && !png.palette_alpha,
              "PNG transparency (tRNS) is repeated or out of order");
  if (h.colour == 3) {
    file.expect(length >= 1 && length <= static_cast<int64_t>(png.palette.size()),
                "PNG transparency (tRNS) has ", length, " entries for ", png.palette.size(), " colours");
    for (int64_t i = 0; i < length; ++i) png.palette[static_cast<size_t>(i)][3] = *file.at(offset + i, 1);
    png.palette_alpha = true;
    return;
  }
  file.expect(h.colour == 0 || h.colour == 2, "PNG transparency (tRNS) beside an alpha channel");
  file.expect(length == 2 * h.samples(), "PNG transparency (tRNS) of ", length, " bytes, expected ",
              2 * h.samples());
  for (int64_t i = 0; i < length; i += 2) png.transparent.push_back(static_cast<int>(file.u16be(offset + i)));
}

bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

constexpr int64_t kPiece = int64_t{1} << 16;  // bytes that are asked of the file at a time

uint32_t checksum(const Bytes& file, int64_t offset, int64_t count) {
  uint32_t sum = 0;
  for (int64_t end = offset + count; offset < end; offset += kPiece) {
    int64_t piece = std::min(kPiece, end - offset);
    sum = crc32(file.at(offset, piece), static_cast<size_t>(piece), sum);
  }
  return sum;
}

// Walks the chunks; without `whole`, up to the first IDAT and without checksums.
Png walk(const Bytes& file, bool whole) {
  Png png{read_header(file), {}, {}, false, {}};
  bool ended = false, idat_over = false;
  for (int64_t at = 8; !ended;) {
    int64_t length = file.u32be(at), data = at + 8;
    std::string type(file.text(at + 4, 4));
    for (char c : type) file.expect(is_letter(c), "no PNG chunk where one is expected, at byte ", at);
    file.expect(length < int64_t{1} << 31, "PNG chunk ", type, " states a length of ", length);
    file.need(data, length + 4);
    if (whole)
      file.expect(checksum(file, at + 4, length + 4) == file.u32be(data + length), "PNG chunk ", type,
                  " at byte ", at, " has a wrong checksum");
    if (type == "IDAT") {
      file.expect(!idat_over, "PNG pixel data (IDAT) is interrupted by another chunk");
      file.expect(png.header.colour != 3 || !png.palette.empty(), "PNG palette (PLTE) is missing");
      if (!whole) return png;
      png.idat.emplace_back(data, length);
    } else {
      idat_over = !png.idat.empty();
      if (type == "PLTE")
        read_palette(file, data, length, png);
      else if (type == "tRNS")
        read_transparency(file, data, length, png);
      else if (type == "IEND")
        ended = true;
      else if (type == "acTL")
        file.unsupported("animated PNG");
      else if (type == "IHDR")
        file.expect(at == 8, "PNG header (IHDR) is repeated");
      else
        file.expect((type[0] & 0x20) != 0, "PNG chunk ", type, " is critical and not known");
    }
    at = data + length + 4;
    if (ended) file.expect(length == 0 && at == file.size(), "PNG goes on after its end (IEND)");
  }
  file.expect(!png.idat.empty(), "PNG has no pixel data (IDAT)");
  return png;
}

// The IDAT chunks as one zlib stream, read in pieces of known size.
class Inflater {
 public:
  Inflater(const Bytes& file, const Png& png) : file_(file), png_(png) {
    if (inflateInit(&stream_) != Z_OK) fail(ErrorCode::limit, file.name(), ": out of memory");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  void read(uint8_t* to, int64_t count) {
    stream_.next_out = to;
    stream_.avail_out = static_cast<uInt>(count);
    while (stream_.avail_out > 0)
      if (!step()) file_.refuse("PNG pixel data ends too early");
  }

  // The stream must end here, with a right Adler-32, and use every byte of IDAT.
  void finish() {
    uint8_t spare;
    stream_.next_out = &spare;
    stream_.avail_out = 1;
    while (stream_.avail_out == 1 && step()) {
    }
    while (stream_.avail_in == 0 && next_ < png_.idat.size()) feed();
    file_.expect(stream_.avail_out == 1 && stream_.avail_in == 0,
                 "PNG pixel data is longer than the picture");
    file_.expect(ended_, "PNG pixel data has no end");
  }

 private:
  void feed() {
    auto [offset, length] = png_.idat[next_];
    int64_t piece = std::min(kPiece, length - fed_);
    stream_.next_in = const_cast<uint8_t*>(file_.at(offset + fed_, piece));
    stream_.avail_in = static_cast<uInt>(piece);
    fed_ += piece;
    if (fed_ == length) ++next_, fed_ = 0;
  }
  bool step() {  // false: the stream is over, or out of data
    while (stream_.avail_in == 0 && next_ < png_.idat.size()) feed();
    if (ended_) return false;
    int status = inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_BUF_ERROR) return false;
    if (status == Z_MEM_ERROR) fail(ErrorCode::limit, file_.name(), ": out of memory");
    ended_ = status == Z_STREAM_END;
    file_.expect(ended_ || status == Z_OK, "PNG pixel data does not decompress");
    return true;
  }

  const Bytes& file_;
  const Png& png_;
  z_stream stream_{};
  size_t next_ = 0;  // the chunk that is read, and how much of it has been
  int64_t fed_ = 0;
  bool ended_ = false;
};

uint8_t paeth(int a, int b, int c) {
  int p = a + b - c, pa = std::abs(p - a), pb = std::abs(p - b), pc = std::abs(p - c);
  return static_cast<uint8_t>(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

// Undoes a row's filter in place. `row` and `above` are preceded by `step` zero bytes.
void unfilter(const Bytes& file, int filter, uint8_t* row, const uint8_t* above, int64_t count,
              int64_t step) {
  const uint8_t *left = row - step, *corner = above - step;
  auto add = [&](int64_t i, int value) { row[i] = static_cast<uint8_t>(row[i] + value); };
  switch (filter) {
    case 0:
      return;
    case 1:
      for (int64_t i = 0; i < count; ++i) add(i, left[i]);
      return;
    case 2:
      for (int64_t i = 0; i < count; ++i) add(i, above[i]);
      return;
    case 3:
      for (int64_t i = 0; i < count; ++i) add(i, (left[i] + above[i]) / 2);
      return;
    case 4:
      for (int64_t i = 0; i < count; ++i) add(i, paeth(left[i], above[i], corner[i]));
      return;
    default:
      file.refuse("PNG row filter ", filter, " is not defined");
  }
}

// Turns a row's packed samples into pixels, `stride` pixels apart in the picture.
class Expander {
 public:
  Expander(const Bytes& file, const Png& png, const Tensor& pixels)
      : file_(file), png_(png), pixels_(pixels) {}

  void operator()(const uint8_t* row, int64_t count, int64_t y, int64_t x, int64_t stride) const {
    const Header& h = png_.header;
    int64_t C = png_.channels(), at = (y * h.width + x) * C, gap = stride * C;
    if (h.depth == 16) {
      float* to = pixels_.data<float>() + at;
      return store(row, count, C,
                   [&](int64_t i, int64_t c, int v) { to[i * gap + c] = static_cast<float>(v) / 65535; });
    }
    uint8_t* to = pixels_.data<uint8_t>() + at;
    if (h.colour == 3) return look_up(row, count, C, gap, to);
    if (h.depth == 8 && stride == 1 && png_.transparent.empty()) {
      std::memcpy(to, row, static_cast<size_t>(count * C));
      return;
    }
    int scale = 255 / ((1 << h.depth) - 1);
    store(row, count, C,
          [&](int64_t i, int64_t c, int v) { to[i * gap + c] = static_cast<uint8_t>(v * scale); });
  }

 private:
  int sample(const uint8_t* row, int64_t i) const {
    int depth = png_.header.depth;
    if (depth == 8) return row[i];
    if (depth == 16) return row[2 * i] << 8 | row[2 * i + 1];
    int64_t bit = i * depth;
    return row[bit / 8] >> (8 - depth - bit % 8) & ((1 << depth) - 1);
  }

  template <class Put>
  void store(const uint8_t* row, int64_t count, int64_t C, Put put) const {
    int64_t S = png_.header.samples();
    int opaque = (1 << png_.header.depth) - 1;
    for (int64_t i = 0; i < count; ++i) {
      bool hidden = true;
      for (int64_t s = 0; s < S; ++s) {
        int v = sample(row, i * S + s);
        put(i, s, v);
        hidden = hidden && C > S && v == png_.transparent[static_cast<size_t>(s)];
      }
      if (C > S) put(i, S, hidden ? 0 : opaque);
    }
  }

  void look_up(const uint8_t* row, int64_t count, int64_t C, int64_t gap, uint8_t* to) const {
    for (int64_t i = 0; i < count; ++i) {
      auto index = static_cast<size_t>(sample(row, i));
      file_.expect(index < png_.palette.size(), "PNG pixel uses colour ", index, " of ", png_.palette.size());
      std::memcpy(to + i * gap, png_.palette[index].data(), static_cast<size_t>(C));
    }
  }

  const Bytes& file_;
  const Png& png_;
  const Tensor& pixels_;
};

struct Pass {
  int64_t x, y, dx, dy;
};
constexpr Pass kWhole[] = {{0, 0, 1, 1}};
constexpr Pass kAdam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                           {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

}  // namespace

bool is_png(const Bytes& file) { return file.starts_with(kSignature); }

ImageInfo png_info(const Bytes& file) {
  Png png = walk(file, false);
  return {png.header.width, png.header.height, png.channels(), png.header.depth == 16 ? 16 : 8, "PNG"};
}

namespace {

class PngRows : public RowDecoder {
 public:
  PngRows(const Bytes& file, int64_t max_pixels)
      : file_(file), png_(walk(file_, true)), inflater_(file_, png_) {
    const Header& h = png_.header;
    file_.check_size(h.width, h.height, max_pixels);
    int64_t packed = 0;
    for (auto [offset, length] : png_.idat) packed += length;
    file_.expect(h.row_bytes(h.width) * h.height / kMaxDeflateRatio <= packed, "PNG of ", h.width, "x",
                 h.height, " pixels has only ", packed, " bytes of data");
    start(kWhole[0]);
  }
  const Png& png() const { return png_; }

  void rows(int64_t first, const Tensor& pixels) override {
    Expander expand(file_, png_, pixels);
    for (int64_t r = 0; r < pixels.dim(0); ++r) next_row(expand, r, kWhole[0]);
    (void)first;
  }
  void pass(const Pass& pass, const Tensor& pixels) {  // of an interlaced picture
    Expander expand(file_, png_, pixels);
    start(pass);
    for (int64_t y = pass.y; y < png_.header.height && columns_ > 0; y += pass.dy) next_row(expand, y, pass);
  }
  void finish() override { inflater_.finish(); }

 private:
  // `step_` zeros before a row stand for the pixel left of it.
  void start(const Pass& pass) {
    const Header& h = png_.header;
    columns_ = (h.width - pass.x + pass.dx - 1) / pass.dx;
    step_ = std::max<int64_t>(1, h.samples() * h.depth / 8);
    row_.assign(static_cast<size_t>(step_ + h.row_bytes(std::max<int64_t>(0, columns_))), 0);
    above_ = row_;
  }
  void next_row(const Expander& expand, int64_t y, const Pass& pass) {
    auto bytes = static_cast<int64_t>(row_.size()) - step_;
    uint8_t filter;
    inflater_.read(&filter, 1);
    inflater_.read(row_.data() + step_, bytes);
    unfilter(file_, filter, row_.data() + step_, above_.data() + step_, bytes, step_);
    expand(row_.data() + step_, columns_, y, pass.x, pass.dx);
    std::swap(row_, above_);
  }

  Bytes file_;
  Png png_;
  Inflater inflater_;
  int64_t columns_ = 0, step_ = 1;  // of a pass; bytes from a pixel to its left neighbour
  std::vector<uint8_t> row_, above_;
};

}  // namespace

std::unique_ptr<RowDecoder> png_rows(const Bytes& file, int64_t max_pixels) {
  auto rows = std::make_unique<PngRows>(file, max_pixels);
  return rows->png().header.interlaced ? nullptr : std::move(rows);
}

Decoded decode_png(const Bytes& file, int64_t max_pixels) {
  PngRows decoder(file, max_pixels);
  const Png& png = decoder.png();
  bool deep = png.header.depth == 16;
  Decoded result{Tensor({png.header.height, png.header.width, png.channels()}, deep ? DType::f32 : DType::u8),
                 deep ? 16 : 8};
  if (png.header.interlaced)
    for (const Pass& pass : kAdam7) decoder.pass(pass, result.pixels);
  else
    decoder.rows(0, result.pixels);
  decoder.finish();
  return result;
}

}  // namespace dgp
