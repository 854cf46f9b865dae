#include "image/jpeg_decode.h"

#include <cstring>

#include "tensor/allocator.h"

namespace dgp {

JpegDecoder::JpegDecoder(const Bytes& file, const JpegFrame& frame, bool by_rows)
    : file_(file), frame_(frame), by_rows_(by_rows) {
  for (const JpegComponent& c : frame.components) {
    JpegPlane plane{frame.mcus_x() * c.h, by_rows ? c.v : frame.mcus_y() * c.v, 0, nullptr, {}, false};
    plane.storage = allocate(plane.bytes());
    std::memset(plane.storage.get(), 0, static_cast<size_t>(plane.bytes()));
    planes_.push_back(std::move(plane));
  }
}

void JpegDecoder::quantiser(size_t slot, const uint8_t* values, bool wide) {
  for (size_t k = 0; k < 64; ++k)
    quantisers_[slot][kZigzag[k]] =
        static_cast<uint16_t>(wide ? values[2 * k] << 8 | values[2 * k + 1] : values[k]);
}

void JpegDecoder::scan(const JpegScan& scan) {
  scan_ = scan;
  bits_.emplace(file_, scan.begin, scan.end);
  for (const auto& part : scan.parts) {
    JpegPlane& plane = planes_[part.component];
    if (!plane.quantised)
      plane.quantiser = quantisers_[static_cast<size_t>(frame_.components[part.component].table)];
    plane.quantised = true;
  }
  before_.fill(0);
  empty_ = 0;
  if (by_rows_) return;
  const JpegComponent& lone = frame_.components[scan.parts[0].component];
  int64_t down = scan.parts.size() > 1 ? frame_.mcus_y() : (frame_.height_of(lone) + 7) / 8;
  for (int64_t y = 0; y < down; ++y) decode_row(y);
}

// A scan of one component goes block by block over its samples; one of several, MCU by MCU.
void JpegDecoder::decode_row(int64_t y) {
  const JpegComponent& lone = frame_.components[scan_.parts[0].component];
  bool mixed = scan_.parts.size() > 1;
  int64_t across = mixed ? frame_.mcus_x() : (frame_.width_of(lone) + 7) / 8;
  for (JpegPlane& plane : planes_) {
    if (!by_rows_) break;
    std::memset(plane.storage.get(), 0, static_cast<size_t>(plane.bytes()));
    plane.first = y * plane.blocks_y;
  }
  for (int64_t x = 0; x < across; ++x) {
    int64_t mcu = y * across + x;
    if (interval_ > 0 && mcu > 0 && mcu % interval_ == 0) {
      bits_->restart(mcu / interval_ - 1);
      before_.fill(0);
      empty_ = 0;
    }
    for (const auto& part : scan_.parts) {
      const JpegComponent& c = frame_.components[part.component];
      int64_t rows = mixed ? c.v : 1, columns = mixed ? c.h : 1;
      for (int64_t i = 0; i < rows * columns; ++i)
        decode_block(*bits_, scan_, part,
                     planes_[part.component].block(y * rows + i / columns, x * columns + i % columns));
    }
  }
}

Tensor JpegDecoder::pixels() const {
  std::vector<JpegSamples> samples;
  for (const JpegPlane& plane : planes_) samples.push_back(jpeg_samples(plane));
  Tensor pixels({frame_.height, frame_.width, static_cast<int64_t>(planes_.size())}, DType::u8);
  jpeg_pixels(frame_, samples, 0, pixels);
  return pixels;
}

void JpegDecoder::decode_block(JpegBits& bits, const JpegScan& scan, const JpegScan::Part& part,
                               int16_t* block) {
  if (!frame_.progressive) return baseline(bits, part, block);
  if (scan.first > 0) {
    const JpegHuffman& table = ac_[part.ac];
    return scan.high == 0 ? first_pass(bits, scan, table, block) : refinement(bits, scan, table, block);
  }
  if (scan.high == 0)
    block[0] = static_cast<int16_t>(next_dc(bits, part) * (1 << scan.low));
  else if (bits.take(1))
    block[0] = static_cast<int16_t>(block[0] | 1 << scan.low);
}

int16_t JpegDecoder::next_dc(JpegBits& bits, const JpegScan::Part& part) {
  int size = bits.symbol(dc_[part.dc]);
  file_.expect(size <= 15, "JPEG picture data has a DC value of ", size, " bits");
  int16_t& value = before_[part.component];
  return value = static_cast<int16_t>(value + bits.take_signed(size));
}

void JpegDecoder::baseline(JpegBits& bits, const JpegScan::Part& part, int16_t* block) {
  block[0] = next_dc(bits, part);
  for (int k = 1; k < 64; ++k) {
    int symbol = bits.symbol(ac_[part.ac]), zeros = symbol >> 4, size = symbol & 15;
    if (size == 0 && zeros < 15) return;
    k += zeros;
    file_.expect(k < 64, "JPEG picture data overfills a block");
    if (size > 0) block[kZigzag[k]] = static_cast<int16_t>(bits.take_signed(size));
  }
}

// The leading bits of coefficients first..last (T.81, G.1.2.2).
void JpegDecoder::first_pass(JpegBits& bits, const JpegScan& scan, const JpegHuffman& table, int16_t* block) {
  if (empty_ > 0) {
    --empty_;
    return;
  }
  for (int64_t k = scan.first; k <= scan.last; ++k) {
    int symbol = bits.symbol(table), zeros = symbol >> 4, size = symbol & 15;
    if (size == 0 && zeros < 15) {
      empty_ = (1 << zeros) - 1 + bits.take(zeros);
      return;
    }
    k += zeros;
    file_.expect(k <= scan.last || size == 0, "JPEG picture data overfills a block");
    if (size > 0) block[kZigzag[k]] = static_cast<int16_t>(bits.take_signed(size) * (1 << scan.low));
  }
}

// One more bit of the coefficients that are not zero yet, and new ones between them (T.81, G.1.2.3).
void JpegDecoder::refinement(JpegBits& bits, const JpegScan& scan, const JpegHuffman& table, int16_t* block) {
  const int bit = 1 << scan.low;
  auto refine = [&](int16_t& value) {
    if (bits.take(1) && (value & bit) == 0) value = static_cast<int16_t>(value + (value > 0 ? bit : -bit));
  };
  int64_t k = scan.first;
  for (; k <= scan.last && empty_ == 0; ++k) {
    int symbol = bits.symbol(table), zeros = symbol >> 4, size = symbol & 15, fresh = 0;
    if (size == 0 && zeros < 15) {
      empty_ = (1 << zeros) + bits.take(zeros);
      break;
    }
    file_.expect(size <= 1, "JPEG picture data refines by more than a bit");
    if (size == 1) fresh = bits.take(1) ? bit : -bit;
    for (; k <= scan.last; ++k) {
      int16_t& value = block[kZigzag[k]];
      if (value != 0)
        refine(value);
      else if (--zeros < 0)
        break;
    }
    if (fresh == 0) continue;
    file_.expect(k <= scan.last, "JPEG picture data overfills a block");
    block[kZigzag[k]] = static_cast<int16_t>(fresh);
  }
  if (empty_ == 0) return;
  for (; k <= scan.last; ++k)
    if (block[kZigzag[k]] != 0) refine(block[kZigzag[k]]);
  --empty_;
}

}  // namespace dgp
