// A JPEG scan's data as bits, and Huffman codes read from them (ITU-T T.81, annexes C and F.2.2).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "image/bytes.h"

namespace dgp {

// Where the k-th coefficient of a zigzag stands in an 8x8 block.
inline constexpr uint8_t kZigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                        12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                        35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                        58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

// Codes of up to kFast bits are looked up at once; longer ones by the first code of each length.
struct JpegHuffman {
  static constexpr int kFast = 9;
  std::array<int32_t, 18> past{};    // past[n]: 1 + the last code of n bits or fewer, in 16 bits
  std::array<int32_t, 17> offset{};  // symbol number minus code, by length
  std::array<uint8_t, 256> symbols{};
  std::array<uint16_t, size_t{1} << kFast> fast{};  // length << 8 | symbol; 0: a longer code

  // counts: how many codes there are of 1 to 16 bits; at most 256 in all, and no more than fit.
  void set(const uint8_t* counts, const uint8_t* values) {
    fast.fill(0);
    int32_t code = 0, symbol = 0;
    for (int length = 1; length <= 16; ++length) {
      offset[static_cast<size_t>(length)] = symbol - code;
      for (int i = 0; i < counts[length - 1]; ++i, ++code, ++symbol) {
        symbols[static_cast<size_t>(symbol)] = values[symbol];
        if (length > kFast) continue;
        auto entry = static_cast<uint16_t>(length << 8 | values[symbol]);
        std::fill_n(fast.begin() + (code << (kFast - length)), 1 << (kFast - length), entry);
      }
      past[static_cast<size_t>(length)] = code << (16 - length);
      code <<= 1;
    }
  }
};

class JpegBits {
 public:
  // The bytes [begin, end) of the file, stuffed zeros and restart markers included.
  JpegBits(const Bytes& file, int64_t begin, int64_t end)
      : file_(file), at_(file.at(begin, end - begin)), end_(at_ + (end - begin)) {}

  // `count` bits, 0 to 16, as an unsigned number.
  int32_t take(int count) {
    auto value = static_cast<int32_t>(peek16() >> (16 - count));
    drop(count);
    return value;
  }

  // A number of `size` bits in JPEG's signed form: those that begin with 0 are negative.
  int32_t take_signed(int size) {
    int32_t value = take(size);
    return size > 0 && value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
  }

  int symbol(const JpegHuffman& table) {
    uint32_t next = peek16();
    uint16_t entry = table.fast[next >> (16 - JpegHuffman::kFast)];
    if (entry) {
      drop(entry >> 8);
      return entry & 255;
    }
    for (size_t length = 1; length <= 16; ++length)
      if (static_cast<int32_t>(next) < table.past[length]) {
        drop(static_cast<int>(length));
        return table.symbols[static_cast<size_t>((next >> (16 - length)) + table.offset[length]) & 255];
      }
    file_.refuse("JPEG picture data has a code that no table defines");
  }

  // Skips to the restart marker that must come next, number `index` modulo 8.
  void restart(int64_t index) {
    held_ = 0;
    bits_ = 0;
    while (end_ - at_ >= 2 && at_[0] == 0xFF && at_[1] == 0xFF) ++at_;
    file_.expect(end_ - at_ >= 2 && at_[0] == 0xFF && at_[1] == 0xD0 + index % 8,
                 "JPEG restart marker is not where it is expected");
    at_ += 2;
  }

 private:
  // The next 16 bits; past the end, or past a marker, zeros that may be looked at but not taken.
  uint32_t peek16() {
    while (bits_ < 16 && at_ < end_) {
      if (*at_ == 0xFF && (end_ - at_ < 2 || at_[1] != 0)) break;
      held_ = held_ << 8 | *at_;
      at_ += *at_ == 0xFF ? 2 : 1;
      bits_ += 8;
    }
    return static_cast<uint32_t>(bits_ >= 16 ? held_ >> (bits_ - 16) : held_ << (16 - bits_)) & 0xFFFF;
  }
  void drop(int count) {
    bits_ -= count;
    file_.expect(bits_ >= 0, "JPEG picture data ends too early");
    held_ &= (uint64_t{1} << bits_) - 1;
  }

  const Bytes& file_;
  const uint8_t *at_, *end_;
  uint64_t held_ = 0;  // the low bits_ bits are still to be read
  int bits_ = 0;
};

}  // namespace dgp
