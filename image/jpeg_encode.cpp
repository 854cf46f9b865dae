// Writing JPEG: baseline, grey or YCbCr with whole colour (4:4:4) or halved (4:2:0), the quantisation and
// Huffman tables of ITU-T T.81's annex K, quality as libjpeg scales it.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "image/jpeg_bits.h"
#include "image/jpeg_decode.h"
#include "image/jpeg_transform.h"
#include "tensor/allocator.h"

namespace dgp {
namespace {

using namespace std::string_view_literals;

// Tables K.1 and K.2: luminance, chrominance; natural order.
constexpr uint8_t kSteps[2][64] = {
    {16, 11,  10,  16, 24, 40, 51, 61, 12,  12,  14,  19,  26, 58, 60, 55,  14,  13,  16,  24, 40, 57,
     69, 56,  14,  17, 22, 29, 51, 87, 80,  62,  18,  22,  37, 56, 68, 109, 103, 77,  24,  35, 55, 64,
     81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98,  112, 100, 103, 99},
    {17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99,
     99, 99, 47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
     99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99}};

// Tables K.3 to K.6: how many codes of 1 to 16 bits, and their symbols in order.
struct Table {
  uint8_t counts[16];
  std::string_view symbols;
};
constexpr std::string_view kDcSymbols = "\0\1\2\3\4\5\6\7\10\11\12\13"sv;
constexpr std::string_view kAcLuma =
    "\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\x08"
    "\x23\x42\xb1\xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28"
    "\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\x59"
    "\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89"
    "\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6"
    "\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2"
    "\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa"sv;
constexpr std::string_view kAcColour =
    "\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91"
    "\xa1\xb1\xc1\x09\x23\x33\x52\xf0\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26"
    "\x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58"
    "\x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87"
    "\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4"
    "\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda"
    "\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa"sv;
constexpr Table kDc[2] = {{{0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0}, kDcSymbols},
                          {{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0}, kDcSymbols}};
constexpr Table kAc[2] = {{{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d}, kAcLuma},
                          {{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77}, kAcColour}};
static_assert(kAcLuma.size() == 162 && kAcColour.size() == 162);

class Bits {
 public:
  explicit Bits(std::string& out) : out_(out) {}
  void put(uint32_t value, int count) {
    held_ = held_ << count | (value & ((1u << count) - 1));
    for (bits_ += count; bits_ >= 8; bits_ -= 8) {
      auto byte = static_cast<uint8_t>(held_ >> (bits_ - 8));
      out_.push_back(static_cast<char>(byte));
      if (byte == 0xFF) out_.push_back('\0');
    }
  }
  void finish() { put(0x7F, 7); }

 private:
  std::string& out_;
  uint64_t held_ = 0;
  int bits_ = 0;
};

struct Codes {
  std::array<uint16_t, 256> code{};
  std::array<uint8_t, 256> length{};

  explicit Codes(const Table& table) {
    uint16_t next = 0;
    size_t symbol = 0;
    for (int bits = 1; bits <= 16; ++bits, next = static_cast<uint16_t>(next << 1))
      for (int i = 0; i < table.counts[bits - 1]; ++i) {
        auto s = static_cast<uint8_t>(table.symbols[symbol++]);
        code[s] = next++;
        length[s] = static_cast<uint8_t>(bits);
      }
  }
  void put(Bits& bits, int symbol) const {
    bits.put(code[static_cast<size_t>(symbol)], length[static_cast<size_t>(symbol)]);
  }
};

int size_of(int value) {
  int size = 0;
  for (int rest = std::abs(value); rest > 0; rest >>= 1) ++size;
  return size;
}
void put_value(Bits& bits, int value, int size) {
  bits.put(static_cast<uint32_t>(value < 0 ? value - 1 : value), size);
}

// The coefficients of a block in steps, natural order.
template <class Int>
void quantise(const float (&block)[64], const std::array<int, 64>& steps, Int* coefficients) {
  const float* basis = jpeg_basis().data();
  float half[64], in[8], out[8];
  for (size_t x = 0; x < 8; ++x) {
    for (size_t y = 0; y < 8; ++y) in[y] = block[8 * y + x];
    jpeg_forward_line(basis, in, out);
    for (size_t u = 0; u < 8; ++u) half[8 * u + x] = out[u];
  }
  for (size_t u = 0; u < 8; ++u) {
    std::copy_n(half + 8 * u, 8, in);
    jpeg_forward_line(basis, in, out);
    for (size_t v = 0; v < 8; ++v)
      coefficients[8 * u + v] = static_cast<Int>(jpeg_quantised(out[v], steps[8 * u + v]));
  }
}

// One colour plane: its tables and the DC value of the block before.
struct Plane {
  std::array<int, 64> steps;
  Codes dc, ac;
  int before = 0;

  Plane(const std::array<int, 64>& s, size_t kind) : steps(s), dc(kDc[kind]), ac(kAc[kind]) {}

  void encode(const float (&block)[64], Bits& bits) {
    int natural[64], values[64];
    quantise(block, steps, natural);
    for (size_t k = 0; k < 64; ++k) values[k] = natural[kZigzag[k]];
    int change = values[0] - before, size = size_of(change), zeros = 0;
    before = values[0];
    dc.put(bits, size);
    put_value(bits, change, size);
    for (size_t k = 1; k < 64; ++k) {
      if (values[k] == 0) {
        ++zeros;
        continue;
      }
      for (; zeros > 15; zeros -= 16) ac.put(bits, 0xF0);
      size = size_of(values[k]);
      ac.put(bits, zeros << 4 | size);
      put_value(bits, values[k], size);
      zeros = 0;
    }
    if (zeros > 0) ac.put(bits, 0);
  }
};

std::string be16(int64_t v) { return {static_cast<char>(v >> 8), static_cast<char>(v)}; }
std::string byte(int64_t v) { return std::string(1, static_cast<char>(v)); }
std::string segment(int64_t marker, const std::string& data) {
  return byte(0xFF) + byte(marker) + be16(static_cast<int64_t>(data.size()) + 2) + data;
}
std::string table_bytes(int64_t slot, const Table& table) {
  return byte(slot) + std::string(std::begin(table.counts), std::end(table.counts)) +
         std::string(table.symbols);
}

std::string header(int64_t width, int64_t height, bool halved, const std::vector<Plane>& planes) {
  const auto channels = static_cast<int64_t>(planes.size());
  std::string out("\xFF\xD8", 2), components, scan;
  out += segment(0xE0, std::string("JFIF\0\1\1\0\0\1\0\1\0\0", 14));
  for (int64_t c = 0; c < channels; ++c) {
    int64_t kind = c > 0;
    components += byte(c + 1) + byte(halved && c == 0 ? 0x22 : 0x11) + byte(kind);
    scan += byte(c + 1) + byte(kind * 0x11);
    if (c > 1) continue;
    std::string steps = byte(kind);
    for (uint8_t at : kZigzag) steps += byte(planes[static_cast<size_t>(c)].steps[at]);
    out += segment(0xDB, steps);
    auto k = static_cast<size_t>(kind);
    out += segment(0xC4, table_bytes(kind, kDc[k]) + table_bytes(0x10 + kind, kAc[k]));
  }
  out += segment(0xC0, byte(8) + be16(height) + be16(width) + byte(channels) + components);
  return out + segment(0xDA, byte(channels) + scan + std::string("\0\x3F\0", 3));
}

// 8x8 values of component c, Y, Cb or Cr less 128, from (y, x) on, each the mean of step x step pixels. The
// last row and column repeat. Whole numbers, rounded where libjpeg rounds: each pixel's, and, with a bias of
// 1 and 2 quarters in turn, the mean's.
void take_block(const Tensor& pixels, int64_t y, int64_t x, size_t c, int64_t step, float (&block)[64]) {
  const int64_t H = pixels.dim(0), W = pixels.dim(1), C = pixels.dim(2);
  for (int64_t i = 0; i < 64; ++i) {
    int sum = step == 2 ? 1 + i % 2 : 0;
    for (int64_t v = 0; v < step; ++v)
      for (int64_t u = 0; u < step; ++u) {
        const int64_t row = std::min(y + i / 8 * step + v, H - 1),
                      column = std::min(x + i % 8 * step + u, W - 1);
        const uint8_t* p = pixels.data<uint8_t>() + (row * W + column) * C;
        sum += C == 1 ? p[0] : jpeg_component(static_cast<int>(c), p[0], p[1], p[2]);
      }
    block[i] = static_cast<float>((step == 2 ? sum / 4 : sum) - 128);
  }
}

}  // namespace

std::array<int, 64> jpeg_steps(bool colour, int quality) {
  const int scale = quality < 50 ? 5000 / quality : 200 - 2 * quality;
  std::array<int, 64> steps;
  for (size_t i = 0; i < 64; ++i) steps[i] = std::clamp((kSteps[colour][i] * scale + 50) / 100, 1, 255);
  return steps;
}

const std::array<float, 64>& jpeg_basis() {
  static const std::array<float, 64> basis = [] {
    std::array<float, 64> b;
    for (size_t u = 0; u < 8; ++u)
      for (size_t x = 0; x < 8; ++x)
        b[u * 8 + x] =
            static_cast<float>((u == 0 ? std::sqrt(0.125) : 0.5) *
                               std::cos(static_cast<double>((2 * x + 1) * u) * std::numbers::pi / 16));
    return b;
  }();
  return basis;
}

struct JpegEncoder::State {
  int64_t width, channels;
  bool halved;
  std::vector<Plane> planes;
  std::string out = {};
  Bits bits{out};
  Tensor rest = {};  // rows that do not fill blocks yet, u8 [R,W,C]

  int64_t unit() const { return halved ? 16 : 8; }  // rows coded at once
  // Blocks of the rows of `pixels` from `first`.
  void encode(const Tensor& pixels, int64_t first) {
    float block[64];
    for (int64_t x = 0; x < width; x += unit())
      for (size_t c = 0; c < planes.size(); ++c) {
        const int64_t step = halved && c > 0 ? 2 : 1;
        for (int64_t v = 0; v < unit(); v += 8 * step)
          for (int64_t u = 0; u < unit(); u += 8 * step) {
            take_block(pixels, first + v, x + u, c, step, block);
            planes[c].encode(block, bits);
          }
      }
  }
};

JpegEncoder::JpegEncoder(int64_t width, int64_t height, int64_t channels, int quality, bool halved) {
  check(channels == 1 || channels == 3, "JPEG expects grey or RGB, got ", channels, " channels");
  check(width <= kMaxJpegSide && height <= kMaxJpegSide, "JPEG holds at most ", kMaxJpegSide,
        " pixels a side, the picture is ", width, "x", height, "; write a PNG instead");
  std::vector<Plane> planes;
  for (int64_t c = 0; c < channels; ++c) planes.emplace_back(jpeg_steps(c > 0, quality), c > 0);
  state_.reset(new State{width, channels, halved && channels == 3, std::move(planes)});
  state_->out = header(width, height, state_->halved, state_->planes);
}

JpegEncoder::~JpegEncoder() = default;

std::string JpegEncoder::rows(const Tensor& pixels) {
  State& s = *state_;
  Tensor all = pixels;
  if (s.rest.defined()) {
    all = Tensor({s.rest.dim(0) + pixels.dim(0), s.width, s.channels}, DType::u8);
    all.slab(0, s.rest.dim(0)).copy_from(s.rest);
    all.slab(s.rest.dim(0), pixels.dim(0)).copy_from(pixels);
  }
  int64_t first = 0;
  for (; first + s.unit() <= all.dim(0); first += s.unit()) s.encode(all, first);
  s.rest = first < all.dim(0) ? all.slab(first, all.dim(0) - first).clone() : Tensor();
  return std::exchange(s.out, {});
}

std::string JpegEncoder::finish() {
  State& s = *state_;
  if (s.rest.defined()) s.encode(s.rest, 0);
  s.bits.finish();
  return std::exchange(s.out, {}) + "\xFF\xD9";
}

std::string encode_jpeg(const Tensor& pixels, int quality, bool halved) {
  JpegEncoder encoder(pixels.dim(1), pixels.dim(0), pixels.dim(2), quality, halved);
  std::string start = encoder.rows(pixels);
  return start + encoder.finish();
}

Tensor jpeg_round_trip(const Tensor& pixels, int quality, bool halved) {
  const int64_t most = halved ? 2 : 1;
  JpegFrame frame{
      .width = pixels.dim(1), .height = pixels.dim(0), .h_max = most, .v_max = most, .components = {}};
  std::vector<JpegSamples> samples;
  for (size_t c = 0; c < 3; ++c) {
    const int64_t factor = c == 0 ? most : 1, step = most / factor;
    frame.components.push_back({static_cast<int64_t>(c), factor, factor, c > 0});
    const std::array<int, 64> steps = jpeg_steps(c > 0, quality);
    JpegPlane plane{frame.mcus_x() * factor, frame.mcus_y() * factor, 0, nullptr, {}, true};
    plane.storage = allocate(plane.bytes());
    std::copy(steps.begin(), steps.end(), plane.quantiser.begin());
    float block[64];
    for (int64_t y = 0; y < plane.blocks_y; ++y)
      for (int64_t x = 0; x < plane.blocks_x; ++x) {
        take_block(pixels, 8 * step * y, 8 * step * x, c, step, block);
        quantise(block, steps, plane.block(y, x));
      }
    samples.push_back(jpeg_samples(plane));
  }
  Tensor result(pixels.shape(), DType::u8);
  jpeg_pixels(frame, samples, 0, result);
  return result;
}

}  // namespace dgp
