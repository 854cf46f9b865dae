// JPEG (ITU-T T.81): every marker segment is walked and checked before the entropy decoder sees the file, so
// that it meets no table that is missing, oversubscribed or cut off, and no picture that its data cannot
// fill.
#include <algorithm>
#include <array>
#include <vector>

#include "image/bytes.h"
#include "image/exif.h"
#include "image/jpeg_decode.h"

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
  kApp14 = 0xEE,
  kApp15 = 0xEF,
  kCom = 0xFE
};

class Walker {
 public:
  explicit Walker(const Bytes& file, JpegDecoder* decoder = nullptr) : file_(file), decoder_(decoder) {}

  void walk(bool whole);  // not whole: until the frame is known
  const JpegFrame& frame() const { return frame_; }
  // The picture comes from the top: one scan, upright.
  bool by_rows() const {
    const JpegComponent& c = frame_.components[0];
    bool whole_mcus = frame_.components.size() > 1 || (c.h == 1 && c.v == 1);
    return !frame_.progressive && scans_ == 1 && orientation_ == 1 && whole_mcus;
  }
  int orientation() const { return orientation_; }

 private:
  void segment(int64_t marker, int64_t at, int64_t length);
  void application(int64_t marker, std::string_view data);
  void read_frame(int64_t marker, int64_t at, int64_t length);
  void huffman(int64_t at, int64_t length);
  void quantisation(int64_t at, int64_t length);
  int64_t scan(int64_t at, int64_t length);
  int64_t entropy_end(int64_t at) const;
  JpegScan::Part part(int64_t at, const JpegScan& scan) const;
  int64_t blocks(const JpegComponent& c, bool mixed) const;
  [[noreturn]] void refuse_marker(int64_t marker) const;

  const Bytes& file_;
  JpegDecoder* decoder_;
  JpegFrame frame_;
  std::array<bool, 4> dc_{}, ac_{}, quantisers_{};  // the tables that are there
  int64_t scans_ = 0;
  int orientation_ = 1;
  bool jfif_ = false, adobe_rgb_ = false, many_pictures_ = false;
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
      for (const JpegComponent& c : frame_.components)
        file_.expect(c.seen, "JPEG colour component ", c.id, " has no data");
      file_.expect(many_pictures_ || file_.size() - at <= kMaxTrailing, "JPEG is followed by ",
                   file_.size() - at, " bytes of something else");
      return;
    }
    int64_t length = file_.u16be(at);
    file_.expect(length >= 2, "JPEG segment at byte ", at, " states a length of ", length);
    file_.need(at, length);
    if (marker == kSos) {
      if (!whole) return file_.expect(!frame_.components.empty(), "JPEG scan comes before the frame");
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
      return read_frame(marker, at, length);
    case kDht:
      return huffman(at, length);
    case kDqt:
      return quantisation(at, length);
    case kDri:
      file_.expect(length == 2, "JPEG restart interval of ", length, " bytes, expected 2");
      if (decoder_) decoder_->restart_interval(file_.u16be(at));
      return;
    case kDnl:
      return file_.expect(length == 2 && file_.u16be(at) == frame_.height,
                          "JPEG states its height twice and differently");
    default:
      if (marker >= kApp0 && marker <= kApp15) return application(marker, file_.text(at, length));
      if (marker != kCom) refuse_marker(marker);
  }
}

void Walker::application(int64_t marker, std::string_view data) {
  auto is = [&](std::string_view name) { return data.starts_with(name); };
  constexpr size_t kAdobeTransform = 11;
  if (marker == kApp0 && is(std::string_view("JFIF\0", 5))) jfif_ = true;
  if (marker == kApp1 && orientation_ == 1) orientation_ = exif_orientation(data);
  if (marker == kApp2 && is(std::string_view("MPF\0", 4))) many_pictures_ = true;
  if (marker == kApp14 && is("Adobe") && data.size() > kAdobeTransform)
    adobe_rgb_ = data[kAdobeTransform] == 0;
}

void Walker::read_frame(int64_t marker, int64_t at, int64_t length) {
  file_.expect(frame_.components.empty(), "JPEG frame header is repeated");
  file_.expect(length >= 6, "JPEG frame header of ", length, " bytes is too short");
  int64_t bits = file_.u8(at), count = file_.u8(at + 5);
  if (bits != 8) file_.unsupported("JPEG with ", bits, " bits a sample");
  if (count == 4) file_.unsupported("CMYK JPEG");
  file_.expect(count == 1 || count == 3, "JPEG with ", count, " components, expected 1 or 3");
  file_.expect(length == 6 + 3 * count, "JPEG frame header of ", length, " bytes, expected ", 6 + 3 * count);
  frame_.progressive = marker == kSof2;
  frame_.height = file_.u16be(at + 1);
  frame_.width = file_.u16be(at + 3);
  if (frame_.height == 0) file_.unsupported("JPEG that states its height after the picture");
  file_.check_size(frame_.width, frame_.height, kMaxSide * kMaxSide);
  for (int64_t p = at + 6; p < at + length; p += 3) {
    int64_t sampling = file_.u8(p + 1);
    JpegComponent c{file_.u8(p), sampling >> 4, sampling & 15, file_.u8(p + 2)};
    file_.expect(c.h >= 1 && c.h <= 4 && c.v >= 1 && c.v <= 4 && c.table <= 3, "JPEG component ", c.id,
                 " has a wrong sampling or table");
    for (const JpegComponent& other : frame_.components)
      file_.expect(other.id != c.id, "JPEG component ", c.id, " is repeated");
    frame_.components.push_back(c);
    frame_.h_max = std::max(frame_.h_max, c.h);
    frame_.v_max = std::max(frame_.v_max, c.v);
  }
  for (const JpegComponent& c : frame_.components)
    if (frame_.h_max % c.h != 0 || frame_.v_max % c.v != 0)
      file_.unsupported("JPEG with fractional subsampling");
  // As libjpeg: JFIF is YCbCr; else Adobe's marker says; else components named R, G, B are what they say.
  auto id = [&](size_t i) { return frame_.components[i].id; };
  bool named = count == 3 && id(0) == 'R' && id(1) == 'G' && id(2) == 'B';
  frame_.rgb = !jfif_ && (adobe_rgb_ || named);
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
    if (decoder_)
      decoder_->huffman(kind == 1, static_cast<size_t>(slot), file_.at(at + 1, 16),
                        file_.at(at + 17, symbols));
    at += 17 + symbols;
  }
}

void Walker::quantisation(int64_t at, int64_t length) {
  for (int64_t end = at + length; at < end;) {
    int64_t precision = file_.u8(at) >> 4, slot = file_.u8(at) & 15, size = precision == 0 ? 65 : 129;
    file_.expect(precision <= 1 && slot <= 3, "JPEG quantisation table ", slot, " is not defined");
    file_.expect(end - at >= size, "JPEG quantisation table is cut off");
    quantisers_[static_cast<size_t>(slot)] = true;
    if (decoder_) decoder_->quantiser(static_cast<size_t>(slot), file_.at(at + 1, size - 1), precision == 1);
    at += size;
  }
}

// The component and the tables that two bytes of a scan header name.
JpegScan::Part Walker::part(int64_t at, const JpegScan& scan) const {
  int64_t id = file_.u8(at), tables = file_.u8(at + 1);
  JpegScan::Part p{0, static_cast<size_t>(tables >> 4), static_cast<size_t>(tables & 15)};
  while (p.component < frame_.components.size() && frame_.components[p.component].id != id) ++p.component;
  file_.expect(p.component < frame_.components.size(), "JPEG scan names component ", id,
               ", which is not there");
  bool needs_dc = scan.first == 0 && scan.high == 0, needs_ac = !frame_.progressive || scan.first > 0;
  file_.expect(p.dc <= 3 && p.ac <= 3 && (!needs_dc || dc_[p.dc]) && (!needs_ac || ac_[p.ac]),
               "JPEG scan uses a Huffman table that is not there");
  const JpegComponent& c = frame_.components[p.component];
  file_.expect(quantisers_[static_cast<size_t>(c.table)], "JPEG quantisation table ", c.table, " is missing");
  bool opens = scan.first == 0 && scan.high == 0;
  file_.expect(opens || c.seen, "JPEG refines component ", id, " before it is there");
  file_.expect(!opens || frame_.progressive || !c.seen, "JPEG component ", id, " comes twice");
  for (const JpegScan::Part& other : scan.parts)
    file_.expect(other.component != p.component, "JPEG scan names component ", id, " twice");
  return p;
}

// The 8x8 blocks that a scan codes for a component.
int64_t Walker::blocks(const JpegComponent& c, bool mixed) const {
  if (mixed) return frame_.mcus_x() * c.h * frame_.mcus_y() * c.v;
  return (frame_.width_of(c) + 7) / 8 * ((frame_.height_of(c) + 7) / 8);
}

// Checks a scan's header and that its data can fill the picture; returns where the next marker is.
int64_t Walker::scan(int64_t at, int64_t length) {
  file_.expect(!frame_.components.empty(), "JPEG scan comes before the frame");
  file_.expect(++scans_ <= kMaxScans, "JPEG has more than ", kMaxScans, " scans");
  auto most = static_cast<int64_t>(frame_.components.size());
  int64_t count = length >= 1 ? file_.u8(at) : 0;
  file_.expect(count >= 1 && count <= most && length == 4 + 2 * count, "JPEG scan header is wrong");
  int64_t p = at + 1 + 2 * count, bits = file_.u8(p + 2), begin = at + length;
  JpegScan scan{
      {},    file_.u8(p),       file_.u8(p + 1), static_cast<int>(bits >> 4), static_cast<int>(bits & 15),
      begin, entropy_end(begin)};
  bool sound = frame_.progressive
                   ? scan.first <= scan.last && scan.last <= 63 && scan.high <= 13 && scan.low <= 13 &&
                         (scan.first > 0) == (scan.last > 0) && (scan.first == 0 || count == 1)
                   : scan.first == 0 && scan.high == 0 && scan.low == 0;
  file_.expect(sound, "JPEG scan has a wrong spectral selection");
  int64_t least_bits = 0;
  for (int64_t i = 0; i < count; ++i) {
    scan.parts.push_back(part(at + 1 + 2 * i, scan));
    JpegComponent& c = frame_.components[scan.parts.back().component];
    // A baseline block takes two codes at least, a DC value and an end of block; a progressive one a DC
    // value.
    if (scan.first == 0) least_bits += blocks(c, count > 1) * (frame_.progressive ? 1 : 2);
    c.seen = true;
  }
  int64_t bytes = scan.end - scan.begin;
  file_.expect(bytes * 8 >= least_bits, "JPEG of ", frame_.width, "x", frame_.height, " pixels has only ",
               bytes, " bytes in a scan that needs ", (least_bits + 7) / 8);
  if (decoder_) decoder_->scan(scan);
  return scan.end;
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

}  // namespace

bool is_jpeg(const Bytes& file) { return file.starts_with("\xFF\xD8\xFF"); }

ImageInfo jpeg_info(const Bytes& file) {
  Walker walker(file);
  walker.walk(false);
  const JpegFrame& f = walker.frame();
  bool turned = walker.orientation() >= 5;
  return {turned ? f.height : f.width, turned ? f.width : f.height, static_cast<int64_t>(f.components.size()),
          8, "JPEG"};
}

Decoded decode_jpeg(const Bytes& file, int64_t max_pixels) {
  Walker walker(file);
  walker.walk(true);
  file.check_size(walker.frame().width, walker.frame().height, max_pixels);
  JpegDecoder decoder(file, walker.frame());
  Walker(file, &decoder).walk(true);
  return {apply_orientation(decoder.pixels(), walker.orientation()), 8};
}

namespace {

class JpegRows : public RowDecoder {
 public:
  JpegRows(std::string bytes, const std::string& name, const JpegFrame& frame)
      : bytes_(std::move(bytes)),
        file_(bytes_, name),
        decoder_(file_, frame, true),
        samples_(frame.components.size()) {
    Walker(file_, &decoder_).walk(true);
  }

  void rows(int64_t first, const Tensor& pixels) override {
    const JpegFrame& frame = decoder_.frame();
    int64_t end = first + pixels.dim(0), needed = next_;  // rows of MCUs
    for (const JpegComponent& c : frame.components)
      needed = std::max(needed, (jpeg_reads(frame, c, first, end).end - 1) / (8 * c.v) + 1);
    for (size_t i = 0; i < samples_.size(); ++i)
      make_room(frame.components[i], first, end, needed, samples_[i]);
    for (; next_ < needed; ++next_) {
      decoder_.decode_row(next_);
      for (size_t i = 0; i < samples_.size(); ++i) {
        JpegSamples fresh = jpeg_samples(decoder_.planes()[i]);
        samples_[i].rows.slab(fresh.first - samples_[i].first, fresh.rows.dim(0)).copy_from(fresh.rows);
      }
    }
    jpeg_pixels(frame, samples_, first, pixels);
  }

 private:
  // Samples from what rows [first, end) of the picture need to the end of row `needed` of MCUs; those decoded
  // before are kept.
  void make_room(const JpegComponent& c, int64_t first, int64_t end, int64_t needed,
                 JpegSamples& samples) const {
    int64_t begin = std::min(jpeg_reads(decoder_.frame(), c, first, end).begin, next_ * 8 * c.v);
    JpegSamples room{Tensor({needed * 8 * c.v - begin, decoder_.frame().mcus_x() * c.h * 8}, DType::u8),
                     begin};
    int64_t kept = next_ * 8 * c.v - begin;
    if (kept > 0) room.rows.slab(0, kept).copy_from(samples.rows.slab(begin - samples.first, kept));
    samples = room;
  }

  std::string bytes_;
  Bytes file_;
  JpegDecoder decoder_;
  int64_t next_ = 0;                  // row of MCUs
  std::vector<JpegSamples> samples_;  // of each component
};

}  // namespace

JpegSource jpeg_source(const std::string& path, int64_t max_pixels) {
  std::string bytes = read_file(path, kMaxFileBytes);
  Bytes file(bytes, path);
  Walker walker(file);
  walker.walk(true);
  const JpegFrame& f = walker.frame();
  file.check_size(f.width, f.height, max_pixels);
  if (walker.by_rows()) {
    int64_t kept = file.size();
    return {std::make_unique<JpegRows>(std::move(bytes), path, f), kept};
  }
  int64_t samples = 0, pixels = f.width * f.height * static_cast<int64_t>(f.components.size());
  for (const JpegComponent& c : f.components) samples += f.mcus_x() * c.h * f.mcus_y() * c.v * 64;
  // Coefficients, and beside them samples and pixels, or pixels turned upright.
  int64_t beside = std::max(samples + pixels, walker.orientation() == 1 ? 0 : 2 * pixels);
  return {nullptr, file.size() + 2 * samples + beside};
}

}  // namespace dgp
