// JPEG (ITU-T T.81): every marker segment is walked and checked before the entropy decoder sees the file, so
// that it meets no table that is missing, oversubscribed or cut off, and no picture that its data cannot
// fill.
#include <algorithm>
#include <array>
#include <climits>
#include <vector>

#include "image/bytes.h"
#include "image/exif.h"
#include "image/jpeg_stb.h"

namespace dgp {
namespace {

constexpr int64_t kMaxScans = 100;
constexpr int64_t kMaxTrailing = 64 * 1024;

enum Marker : int64_t {
  kSof0 = 0xC0,
  kSof1 = 0xC1,
  kSof2 = 0xC2,
  kDht = 0xC4,
  kRst0 = 0xD0,
  kRst7 = 0xD7,
  kSoi = 0xD8,
  kEoi = 0xD9,
  kSos = 0xDA,
  kDqt = 0xDB,
  kDnl = 0xDC,
  kDri = 0xDD,
  kApp0 = 0xE0,
  kApp1 = 0xE1,
  kApp2 = 0xE2,
  kApp15 = 0xEF,
  kCom = 0xFE
};

struct Component {
  int64_t id, h, v, table;
  bool seen = false;  // a scan has carried its (DC) values
};

class Walker {
 public:
  explicit Walker(const Bytes& file) : file_(file) {}

  void walk(bool whole);
  ImageInfo info() const {
    bool swapped = orientation_ >= 5;
    return {swapped ? height_ : width_, swapped ? width_ : height_, static_cast<int64_t>(components_.size()),
            8, "JPEG"};
  }
  int64_t width() const { return width_; }
  int64_t height() const { return height_; }
  int orientation() const { return orientation_; }
  size_t budget() const;

 private:
  void segment(int64_t marker, int64_t at, int64_t length);
  void frame(int64_t marker, int64_t at, int64_t length);
  void huffman(int64_t at, int64_t length);
  void quantisation(int64_t at, int64_t length);
  int64_t scan(int64_t at, int64_t length);
  int64_t entropy_end(int64_t at) const;
  void check_tables(const Component& c, int64_t tables, int64_t first, int64_t high) const;
  int64_t blocks(const Component& c, bool interleaved) const;
  [[noreturn]] void refuse_marker(int64_t marker) const;

  const Bytes& file_;
  bool progressive_ = false, many_pictures_ = false;
  int64_t width_ = 0, height_ = 0, h_max_ = 1, v_max_ = 1, scans_ = 0;
  std::vector<Component> components_;
  std::array<bool, 4> dc_{}, ac_{}, quantisers_{};
  int orientation_ = 1;
};

void Walker::refuse_marker(int64_t marker) const {
  if (marker == 0xC3 || marker == 0xC7 || marker == 0xCB || marker == 0xCF)
    file_.unsupported("lossless JPEG");
  if (marker >= 0xC9 && marker <= 0xCE) file_.unsupported("arithmetic-coded JPEG");
  if (marker == 0xC5 || marker == 0xC6 || marker == 0xDE || marker == 0xDF)
    file_.unsupported("hierarchical JPEG");
  if (marker == 0xF7) file_.unsupported("JPEG-LS");
  file_.refuse("JPEG marker ", marker, " is not expected");
}

void Walker::walk(bool whole) {
  file_.expect(file_.u8(0) == 0xFF && file_.u8(1) == kSoi, "expected a JPEG start marker");
  for (int64_t at = 2;;) {
    file_.expect(file_.u8(at) == 0xFF, "no JPEG marker where one is expected, at byte ", at);
    while (file_.u8(at) == 0xFF) ++at;  // fill bytes may precede a marker
    int64_t marker = file_.u8(at++);
    if (marker == kEoi) {
      file_.expect(scans_ > 0, "JPEG has no picture data");
      for (const Component& c : components_)
        file_.expect(c.seen, "JPEG colour component ", c.id, " has no data");
      file_.expect(many_pictures_ || file_.size() - at <= kMaxTrailing, "JPEG is followed by ",
                   file_.size() - at, " bytes of something else");
      return;
    }
    int64_t length = file_.u16be(at);
    file_.expect(length >= 2, "JPEG segment at byte ", at, " states a length of ", length);
    file_.need(at, length);
    if (marker == kSos) {
      if (!whole) return file_.expect(!components_.empty(), "JPEG scan comes before the frame");
      at = scan(at + 2, length - 2);
    } else {
      segment(marker, at + 2, length - 2);
      at += length;
    }
  }
}

void Walker::segment(int64_t marker, int64_t at, int64_t length) {
  switch (marker) {
    case kSof0:
    case kSof1:
    case kSof2:
      return frame(marker, at, length);
    case kDht:
      return huffman(at, length);
    case kDqt:
      return quantisation(at, length);
    case kDri:
      return file_.expect(length == 2, "JPEG restart interval of ", length, " bytes, expected 2");
    case kDnl:
      file_.expect(length == 2 && file_.u16be(at) == height_, "JPEG states its height twice and differently");
      return;
    case kApp1:
      if (orientation_ == 1) orientation_ = exif_orientation(file_.text(at, length));
      return;
    case kApp2:
      many_pictures_ = many_pictures_ || file_.text(at, length).starts_with(std::string_view("MPF\0", 4));
      return;
    default:
      if (marker != kCom && (marker < kApp0 || marker > kApp15)) refuse_marker(marker);
  }
}

void Walker::frame(int64_t marker, int64_t at, int64_t length) {
  file_.expect(components_.empty(), "JPEG frame header is repeated");
  file_.expect(length >= 6, "JPEG frame header of ", length, " bytes is too short");
  int64_t bits = file_.u8(at), count = file_.u8(at + 5);
  if (bits != 8) file_.unsupported("JPEG with ", bits, " bits a sample");
  if (count == 4) file_.unsupported("CMYK JPEG");
  file_.expect(count == 1 || count == 3, "JPEG with ", count, " components, expected 1 or 3");
  file_.expect(length == 6 + 3 * count, "JPEG frame header of ", length, " bytes, expected ", 6 + 3 * count);
  progressive_ = marker == kSof2;
  height_ = file_.u16be(at + 1);
  width_ = file_.u16be(at + 3);
  if (height_ == 0) file_.unsupported("JPEG that states its height after the picture");
  file_.check_size(width_, height_, kMaxSide * kMaxSide);
  for (int64_t i = 0; i < count; ++i) {
    int64_t p = at + 6 + 3 * i, sampling = file_.u8(p + 1);
    Component c{file_.u8(p), sampling >> 4, sampling & 15, file_.u8(p + 2)};
    file_.expect(c.h >= 1 && c.h <= 4 && c.v >= 1 && c.v <= 4 && c.table <= 3, "JPEG component ", c.id,
                 " has a wrong sampling or table");
    for (const Component& other : components_)
      file_.expect(other.id != c.id, "JPEG component ", c.id, " is repeated");
    components_.push_back(c);
    h_max_ = std::max(h_max_, c.h);
    v_max_ = std::max(v_max_, c.v);
  }
  for (const Component& c : components_)
    if (h_max_ % c.h != 0 || v_max_ % c.v != 0) file_.unsupported("JPEG with fractional subsampling");
}

void Walker::huffman(int64_t at, int64_t length) {
  for (int64_t end = at + length; at < end;) {
    file_.expect(end - at >= 17, "JPEG Huffman table is cut off");
    int64_t kind = file_.u8(at) >> 4, slot = file_.u8(at) & 15, symbols = 0, space = 0;
    file_.expect(kind <= 1 && slot <= 3, "JPEG Huffman table ", kind, "/", slot, " is not defined");
    for (int64_t bits = 1; bits <= 16; ++bits) {
      int64_t codes = file_.u8(at + bits);
      symbols += codes;
      space += codes << (16 - bits);
    }
    // Codes of length n take 2^(16-n) of the 2^16 places that a prefix code has.
    file_.expect(symbols <= 256 && space <= 1 << 16, "JPEG Huffman table has more codes than fit");
    file_.expect(end - at - 17 >= symbols, "JPEG Huffman table is cut off");
    (kind == 0 ? dc_ : ac_)[static_cast<size_t>(slot)] = symbols > 0;
    at += 17 + symbols;
  }
}

void Walker::quantisation(int64_t at, int64_t length) {
  for (int64_t end = at + length; at < end;) {
    int64_t precision = file_.u8(at) >> 4, slot = file_.u8(at) & 15, size = precision == 0 ? 65 : 129;
    file_.expect(precision <= 1 && slot <= 3, "JPEG quantisation table ", slot, " is not defined");
    file_.expect(end - at >= size, "JPEG quantisation table is cut off");
    quantisers_[static_cast<size_t>(slot)] = true;
    at += size;
  }
}

void Walker::check_tables(const Component& c, int64_t tables, int64_t first, int64_t high) const {
  auto dc = static_cast<size_t>(tables >> 4), ac = static_cast<size_t>(tables & 15);
  bool needs_dc = progressive_ ? first == 0 && high == 0 : true, needs_ac = progressive_ ? first > 0 : true;
  file_.expect(dc <= 3 && ac <= 3 && (!needs_dc || dc_[dc]) && (!needs_ac || ac_[ac]),
               "JPEG scan uses a Huffman table that is not there");
  file_.expect(quantisers_[static_cast<size_t>(c.table)], "JPEG quantisation table ", c.table, " is missing");
}

// The 8x8 blocks that a scan codes for a component.
int64_t Walker::blocks(const Component& c, bool interleaved) const {
  auto ceil_div = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  if (interleaved) return ceil_div(width_, 8 * h_max_) * c.h * (ceil_div(height_, 8 * v_max_) * c.v);
  return ceil_div(ceil_div(width_ * c.h, h_max_), 8) * ceil_div(ceil_div(height_ * c.v, v_max_), 8);
}

// Checks a scan's header and that its data can fill the picture; returns where the next marker is.
int64_t Walker::scan(int64_t at, int64_t length) {
  file_.expect(!components_.empty(), "JPEG scan comes before the frame");
  file_.expect(++scans_ <= kMaxScans, "JPEG has more than ", kMaxScans, " scans");
  int64_t count = length >= 1 ? file_.u8(at) : 0;
  file_.expect(count >= 1 && count <= static_cast<int64_t>(components_.size()) && length == 4 + 2 * count,
               "JPEG scan header is wrong");
  int64_t p = at + 1 + 2 * count, first = file_.u8(p), last = file_.u8(p + 1);
  int64_t high = file_.u8(p + 2) >> 4, low = file_.u8(p + 2) & 15;
  if (progressive_) {
    file_.expect(first <= last && last <= 63 && high <= 13 && low <= 13 && (first > 0) == (last > 0) &&
                     (first == 0 || count == 1),
                 "JPEG scan has a wrong spectral selection");
  } else {
    file_.expect(first == 0 && high == 0 && low == 0, "JPEG scan has a wrong spectral selection");
  }
  int64_t least_bits = 0;
  for (int64_t i = 0; i < count; ++i) {
    int64_t id = file_.u8(at + 1 + 2 * i);
    auto c =
        std::find_if(components_.begin(), components_.end(), [&](const Component& k) { return k.id == id; });
    file_.expect(c != components_.end(), "JPEG scan names component ", id, ", which is not there");
    check_tables(*c, file_.u8(at + 2 + 2 * i), first, high);
    if (first == 0) {
      // A baseline block takes two codes at least, a DC value and an end of block; a progressive one a DC
      // value.
      least_bits += blocks(*c, count > 1) * (progressive_ ? 1 : 2);
      file_.expect(progressive_ || !c->seen, "JPEG component ", id, " comes twice");
      file_.expect(c->seen || high == 0, "JPEG refines component ", id, " before it is there");
      c->seen = true;
    } else {
      file_.expect(c->seen, "JPEG refines component ", id, " before it is there");
    }
  }
  int64_t begin = at + length, end = entropy_end(begin);
  file_.expect((end - begin) * 8 >= least_bits, "JPEG of ", width_, "x", height_, " pixels has only ",
               end - begin, " bytes in a scan that needs ", (least_bits + 7) / 8);
  return end;
}

// The first 0xFF that is neither a stuffed data byte nor a restart marker.
int64_t Walker::entropy_end(int64_t at) const {
  for (;; ++at) {
    const uint8_t* data = file_.at(at, 1);
    int64_t left = file_.size() - at;
    at += std::find(data, data + left, uint8_t{0xFF}) - data;
    file_.need(at, 2);
    int64_t next = file_.u8(at + 1);
    if (next == 0 || (next >= kRst0 && next <= kRst7))
      ++at;
    else if (next != 0xFF)
      return at;
  }
}

// What decoding needs: the planes in whole blocks, coefficients when progressive, the result, and rows
// between.
size_t Walker::budget() const {
  int64_t planes = 0;
  for (const Component& c : components_) planes += blocks(c, true) * 64;
  int64_t result = width_ * height_ * static_cast<int64_t>(components_.size());
  return static_cast<size_t>(planes * (progressive_ ? 3 : 1) + result + 16 * width_ + (1 << 20));
}

}  // namespace

bool is_jpeg(const Bytes& file) { return file.starts_with("\xFF\xD8\xFF"); }

ImageInfo jpeg_info(const Bytes& file) {
  Walker walker(file);
  walker.walk(false);
  return walker.info();
}

Decoded decode_jpeg(const Bytes& file, int64_t max_pixels) {
  Walker walker(file);
  walker.walk(true);
  int64_t W = walker.width(), H = walker.height(), C = walker.info().channels;
  file.check_size(W, H, max_pixels);
  Tensor pixels({H, W, C}, DType::u8);
  std::string why = stb_decode_jpeg(file.text(0, file.size()), walker.budget(), W, H, static_cast<int>(C),
                                    pixels.data<uint8_t>());
  if (!why.empty()) file.refuse("JPEG picture data cannot be decoded (", why, ")");
  return {apply_orientation(pixels, walker.orientation()), 8};
}

std::string encode_jpeg(const Tensor& pixels, int quality) {
  int64_t H = pixels.dim(0), W = pixels.dim(1), C = pixels.dim(2);
  check(W <= kMaxJpegSide && H <= kMaxJpegSide && W * H * C <= INT_MAX, "JPEG holds at most ", kMaxJpegSide,
        " pixels a side and 2 GiB, the picture is ", W, "x", H, "; write a PNG instead");
  return stb_encode_jpeg(pixels.data<uint8_t>(), static_cast<int>(W), static_cast<int>(H),
                         static_cast<int>(C), quality);
}

}  // namespace dgp
