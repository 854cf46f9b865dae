// From a JPEG's scans to pixels: Huffman decoding of baseline and progressive scans (ITU-T T.81, annexes F
// and G) into coefficients, then the inverse transform, upsampling and colour, which give libjpeg's numbers
// to the bit.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "image/jpeg_bits.h"

namespace dgp {

struct JpegComponent {
  int64_t id, h, v, table;  // sampling factors; quantisation table
  bool seen = false;        // a scan has carried its (DC) values
};

struct JpegFrame {
  bool progressive = false, rgb = false;
  int64_t width = 0, height = 0, h_max = 1, v_max = 1;
  std::vector<JpegComponent> components;

  int64_t mcus_x() const { return (width + 8 * h_max - 1) / (8 * h_max); }
  int64_t mcus_y() const { return (height + 8 * v_max - 1) / (8 * v_max); }
  // A component's own size in samples.
  int64_t width_of(const JpegComponent& c) const { return (width * c.h + h_max - 1) / h_max; }
  int64_t height_of(const JpegComponent& c) const { return (height * c.v + v_max - 1) / v_max; }
};

struct JpegScan {
  struct Part {
    size_t component, dc, ac;  // indices: of the component, of its Huffman tables
  };
  std::vector<Part> parts;
  int64_t first, last;  // coefficients, in zigzag order
  int high, low;        // successive approximation: bits before and after this scan
  int64_t begin, end;   // its data in the file
};

using JpegQuantiser = std::array<uint16_t, 64>;  // in natural order

// One component's coefficients, whole MCUs of 8x8 blocks in natural order: of the picture, or of the row of
// MCUs that is being decoded.
struct JpegPlane {
  int64_t blocks_x = 0, blocks_y = 0;
  int64_t first = 0;  // the row of blocks that is the first in storage
  std::shared_ptr<std::byte[]> storage;
  JpegQuantiser quantiser{};
  bool quantised = false;  // `quantiser` holds the table as it was at the first scan

  int64_t bytes() const { return blocks_x * blocks_y * 64 * static_cast<int64_t>(sizeof(int16_t)); }
  int16_t* block(int64_t y, int64_t x) const {
    return reinterpret_cast<int16_t*>(storage.get()) + ((y - first) * blocks_x + x) * 64;
  }
};

// A component's samples, u8 [R,stride], from row `first` of its own.
struct JpegSamples {
  Tensor rows;
  int64_t first = 0;
};
JpegSamples jpeg_samples(const JpegPlane& plane);

// Rows [first, first + R) of the picture, u8 [R,W,C]. Of each component the rows of samples that
// jpeg_reads asks for are there.
void jpeg_pixels(const JpegFrame& frame, const std::vector<JpegSamples>& samples, int64_t first,
                 const Tensor& pixels);
struct JpegReads {
  int64_t begin, end;
};
JpegReads jpeg_reads(const JpegFrame& frame, const JpegComponent& c, int64_t first, int64_t end);

// pixels u8 [H,W,3] as a file gives them back that dgp's encoder writes (image/jpeg_encode.cpp), without the
// file: what stands between coefficients and bytes loses nothing.
Tensor jpeg_round_trip(const Tensor& pixels, int quality, bool halved);

// Takes what a walk over the markers finds, in order; every argument has been checked there.
class JpegDecoder {
 public:
  // by_rows: scan() only begins the one scan there is, and decode_row() decodes it, a row of MCUs at a time.
  JpegDecoder(const Bytes& file, const JpegFrame& frame, bool by_rows = false);

  void huffman(bool ac, size_t slot, const uint8_t* counts, const uint8_t* symbols) {
    (ac ? ac_ : dc_)[slot].set(counts, symbols);
  }
  void quantiser(size_t slot, const uint8_t* values, bool wide);
  void restart_interval(int64_t mcus) { interval_ = mcus; }
  void scan(const JpegScan& scan);
  void decode_row(int64_t y);
  Tensor pixels() const;  // u8 [H,W,C], C the number of components
  const JpegFrame& frame() const { return frame_; }
  const std::vector<JpegPlane>& planes() const { return planes_; }

 private:
  void decode_block(JpegBits& bits, const JpegScan& scan, const JpegScan::Part& part, int16_t* block);
  void baseline(JpegBits& bits, const JpegScan::Part& part, int16_t* block);
  void first_pass(JpegBits& bits, const JpegScan& scan, const JpegHuffman& table, int16_t* block);
  void refinement(JpegBits& bits, const JpegScan& scan, const JpegHuffman& table, int16_t* block);
  int16_t next_dc(JpegBits& bits, const JpegScan::Part& part);

  const Bytes& file_;
  JpegFrame frame_;
  bool by_rows_;
  std::vector<JpegPlane> planes_;
  JpegScan scan_{};  // the one being decoded
  std::optional<JpegBits> bits_;
  std::array<JpegHuffman, 4> dc_, ac_;
  std::array<JpegQuantiser, 4> quantisers_{};
  int64_t interval_ = 0;             // MCUs between restart markers; 0: none
  std::array<int16_t, 3> before_{};  // each component's last DC value
  int64_t empty_ = 0;                // blocks left in a run that ends without further coefficients
};

}  // namespace dgp
