#include "image/png_writer.h"

#include <array>
#include <cstdlib>
#include <vector>
#include <zlib.h>

#include "image/image.h"
#include "image/quantise.h"
#include "tensor/file.h"

namespace dgp {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 17;  // of compressed data in one IDAT
constexpr int kFilters = 5;

void put32(std::string& out, uint64_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 255));
}

void write_chunk(AtomicFile& file, std::string_view type, std::string_view data) {
  std::string head, tail;
  put32(head, data.size());
  head.append(type);
  put32(tail, crc32(data.data(), data.size(), crc32(type.data(), type.size())));
  file.write(head);
  file.write(data);
  file.write(tail);
}

int paeth(int a, int b, int c) {
  int p = a + b - c, pa = std::abs(p - a), pb = std::abs(p - b), pc = std::abs(p - c);
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

// out[0] is the filter's number, out[1..count] the filtered row. `row` and `above` are preceded by `step`
// zeros.
void filter_row(int filter, const uint8_t* row, const uint8_t* above, int64_t count, int64_t step,
                uint8_t* out) {
  const uint8_t *left = row - step, *corner = above - step;
  *out++ = static_cast<uint8_t>(filter);
  auto each = [&](auto guess) {
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(row[i] - guess(i));
  };
  switch (filter) {
    case 0:
      return each([&](int64_t) { return 0; });
    case 1:
      return each([&](int64_t i) { return left[i]; });
    case 2:
      return each([&](int64_t i) { return above[i]; });
    case 3:
      return each([&](int64_t i) { return (left[i] + above[i]) / 2; });
    default:
      return each([&](int64_t i) { return paeth(left[i], above[i], corner[i]); });
  }
}

// What a filtered row is likely to cost: its bytes as signed numbers, summed without their signs.
int64_t cost(const std::vector<uint8_t>& filtered) {
  int64_t sum = 0;
  for (size_t i = 1; i < filtered.size(); ++i)
    sum += std::abs(static_cast<int>(static_cast<int8_t>(filtered[i])));
  return sum;
}

}  // namespace

struct PngWriter::State {
  State(const std::string& path, int64_t w, int64_t h, int64_t c, int d)
      : file(path), width(w), height(h), channels(c), depth(d), step(c * d / 8), packed(kChunkBytes, '\0') {
    row.resize(static_cast<size_t>(step + w * step));
    above.resize(row.size());
    for (auto& f : filtered) f.resize(static_cast<size_t>(1 + w * step));
    int status = deflateInit2(&stream, 6, Z_DEFLATED, 15, 9, Z_FILTERED);
    if (status != Z_OK) fail(ErrorCode::limit, path, ": out of memory");
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
  }
  ~State() { deflateEnd(&stream); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void compress(std::vector<uint8_t>& bytes, int flush) {
    stream.next_in = bytes.data();
    stream.avail_in = static_cast<uInt>(bytes.size());
    for (bool more = true; more;) {
      int status = deflate(&stream, flush);
      if (status == Z_STREAM_ERROR) fail(ErrorCode::limit, "PNG: deflate failed");
      more = flush == Z_FINISH ? status != Z_STREAM_END : stream.avail_in > 0;
      if (stream.avail_out > 0 && (more || flush != Z_FINISH)) continue;
      write_chunk(file, "IDAT", std::string_view(packed).substr(0, packed.size() - stream.avail_out));
      stream.next_out = reinterpret_cast<Bytef*>(packed.data());
      stream.avail_out = static_cast<uInt>(packed.size());
    }
  }

  void write_row() {
    int64_t count = width * step, best_cost = 0;
    size_t best = 0;
    for (size_t f = 0; f < kFilters; ++f) {
      filter_row(static_cast<int>(f), row.data() + step, above.data() + step, count, step,
                 filtered[f].data());
      int64_t c = cost(filtered[f]);
      if (f == 0 || c < best_cost) best = f, best_cost = c;
    }
    compress(filtered[best], Z_NO_FLUSH);
    std::swap(row, above);
    ++done;
  }

  AtomicFile file;
  int64_t width, height, channels;
  int depth;
  int64_t step;  // bytes a pixel
  int64_t done = 0;
  std::vector<uint8_t> row, above;
  std::array<std::vector<uint8_t>, kFilters> filtered;
  std::string packed;
  z_stream stream{};
};

PngWriter::PngWriter(const std::string& path, int64_t width, int64_t height, int64_t channels, int depth) {
  check(channels >= 1 && channels <= 4, path, ": PNG expects 1 to 4 channels, got ", channels);
  check(depth == 8 || depth == 16, path, ": PNG expects a depth of 8 or 16, got ", depth);
  check(width > 0 && height > 0 && width < (1 << 26) && height < (int64_t{1} << 31), path, ": PNG of ", width,
        "x", height, " pixels cannot be written");
  state_ = std::make_unique<State>(path, width, height, channels, depth);
  constexpr int kColour[] = {0, 0, 4, 2, 6};
  std::string header;
  put32(header, static_cast<uint64_t>(width));
  put32(header, static_cast<uint64_t>(height));
  header.push_back(static_cast<char>(depth));
  header.push_back(static_cast<char>(kColour[channels]));
  header.append(3, '\0');
  state_->file.write(std::string_view("\x89PNG\r\n\x1a\n", 8));
  write_chunk(state_->file, "IHDR", header);
}

PngWriter::~PngWriter() = default;

void PngWriter::rows(const Tensor& x) {
  State& s = *state_;
  check(x.rank() == 3 && x.dim(1) == s.width && x.dim(2) == s.channels && x.dtype() == DType::f32,
        "PNG rows expect f32 [R,", s.width, ",", s.channels, "], got ", to_string(x.dtype()),
        to_string(x.shape()));
  check(s.done + x.dim(0) <= s.height, "PNG of ", s.height, " rows was given more");
  int64_t count = s.width * s.channels;
  for (int64_t r = 0; r < x.dim(0); ++r) {
    uint8_t* to = s.row.data() + s.step;
    const float* from = x.data<float>() + r * count;
    if (s.depth == 8) {
      quantise(from, count, 255, [&](int64_t i, int v) { to[i] = static_cast<uint8_t>(v); });
    } else {
      quantise(from, count, 65535, [&](int64_t i, int v) {
        to[2 * i] = static_cast<uint8_t>(v >> 8);
        to[2 * i + 1] = static_cast<uint8_t>(v & 255);
      });
    }
    s.write_row();
  }
}

void PngWriter::commit() {
  State& s = *state_;
  check(s.done == s.height, "PNG of ", s.height, " rows was given ", s.done);
  std::vector<uint8_t> nothing;
  s.compress(nothing, Z_FINISH);
  write_chunk(s.file, "IEND", "");
  s.file.commit();
}

}  // namespace dgp
