#include "image/png_writer.h"

#include <algorithm>
#include <cstdlib>
#include <vector>
#include <zlib.h>

#include "image/image.h"
#include "image/quantise.h"
#include "tensor/file.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

constexpr int64_t kPartBytes = int64_t{1} << 18;  // of filtered rows that are compressed on their own
constexpr int kFilters = 5;

// Filtered photographs repeat little: a long search for matches costs much and finds nothing.
constexpr int kLevel = 6, kStrategy = Z_FILTERED;

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
int64_t cost(const uint8_t* filtered, int64_t count) {
  int64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::abs(static_cast<int>(static_cast<int8_t>(filtered[i])));
  return sum;
}

// The row with the filter that costs least, into out[0..count].
void filter_best(const uint8_t* row, const uint8_t* above, int64_t count, int64_t step, uint8_t* spare,
                 uint8_t* out) {
  int64_t best = 0;
  for (int f = 0; f < kFilters; ++f) {
    filter_row(f, row, above, count, step, f == 0 ? out : spare);
    int64_t c = cost((f == 0 ? out : spare) + 1, count);
    if (f > 0 && c < best) std::copy_n(spare, count + 1, out);
    if (f == 0 || c < best) best = c;
  }
}

// A DEFLATE stream's part that ends at a byte, so that parts made side by side join into one stream.
std::string deflated(const std::vector<uint8_t>& bytes, bool last) {
  z_stream stream{};
  if (deflateInit2(&stream, kLevel, Z_DEFLATED, -15, 9, kStrategy) != Z_OK)
    fail(ErrorCode::limit, "PNG: out of memory");
  std::string out(deflateBound(&stream, bytes.size()) + 16, '\0');
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  int status = deflate(&stream, last ? Z_FINISH : Z_SYNC_FLUSH);
  bool whole = status == (last ? Z_STREAM_END : Z_OK) && stream.avail_in == 0 && stream.avail_out > 0;
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (!whole) fail(ErrorCode::limit, "PNG: deflate failed");
  return out;
}

// Rows that are filtered and compressed by one thread.
struct Part {
  int64_t begin, end;  // of the rows gathered
  std::string packed = {};
  uLong adler = 1, bytes = 0;
};

}  // namespace

struct PngWriter::State {
  State(const std::string& path, int64_t w, int64_t h, int64_t c, int d)
      : file(path),
        width(w),
        height(h),
        channels(c),
        depth(d),
        step(c * d / 8),
        part_rows(std::max<int64_t>(1, kPartBytes / (w * step))) {}

  uint8_t* gathered(int64_t r) { return rows.data() + (r + 1) * (step + width * step) + step; }

  // Room for one more row; the one before the first stands for what lies above it.
  uint8_t* next() {
    if (rows.empty()) rows.resize(static_cast<size_t>((1 + part_rows * num_threads()) * (1 + width) * step));
    return gathered(count);
  }
  bool full() { return static_cast<int64_t>(rows.size()) <= (1 + count) * (1 + width) * step; }

  void pack(Part& part, bool last) {
    int64_t bytes = width * step;
    std::vector<uint8_t> filtered(static_cast<size_t>((part.end - part.begin) * (bytes + 1)));
    std::vector<uint8_t> spare(static_cast<size_t>(bytes + 1));
    for (int64_t r = part.begin; r < part.end; ++r)
      filter_best(gathered(r), gathered(r - 1), bytes, step, spare.data(),
                  filtered.data() + (r - part.begin) * (bytes + 1));
    part.packed = deflated(filtered, last);
    part.bytes = filtered.size();
    part.adler = adler32(1, filtered.data(), static_cast<uInt>(filtered.size()));
  }

  // What has been gathered, cut at rows that depend on the picture alone: the file is the same for any number
  // of threads, and however its rows arrive.
  void flush(bool last) {
    std::vector<Part> parts;
    for (int64_t r = 0; r < count; r += part_rows) parts.push_back({r, std::min(count, r + part_rows)});
    auto size = static_cast<int64_t>(parts.size());
    parallel_for(size, 1,
                 [&](int64_t i, int64_t) { pack(parts[static_cast<size_t>(i)], last && i + 1 == size); });
    for (const Part& part : parts) {
      adler = adler32_combine(adler, part.adler, static_cast<z_off_t>(part.bytes));
      std::string data = started ? "" : "\x78\x9c";  // zlib's header: 32 KiB window
      started = true;
      data += part.packed;
      if (last && &part == &parts.back()) put32(data, adler);
      write_chunk(file, "IDAT", data);
    }
    std::copy_n(gathered(count - 1), width * step, gathered(-1));
    count = 0;
  }

  AtomicFile file;
  int64_t width, height, channels;
  int depth;
  int64_t step, part_rows;      // bytes a pixel; rows a part
  int64_t done = 0, count = 0;  // rows given, rows gathered
  std::vector<uint8_t> rows;    // the row above and those gathered, each after `step` zeros
  uLong adler = 1;
  bool started = false;
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
    uint8_t* to = s.next();
    const float* from = x.data<float>() + r * count;
    if (s.depth == 8) {
      quantise(from, count, 255, [&](int64_t i, int v) { to[i] = static_cast<uint8_t>(v); });
    } else {
      quantise(from, count, 65535, [&](int64_t i, int v) {
        to[2 * i] = static_cast<uint8_t>(v >> 8);
        to[2 * i + 1] = static_cast<uint8_t>(v & 255);
      });
    }
    ++s.count, ++s.done;
    if (s.full() && s.done < s.height) s.flush(false);
  }
}

void PngWriter::commit() {
  State& s = *state_;
  check(s.done == s.height, "PNG of ", s.height, " rows was given ", s.done);
  s.flush(true);
  write_chunk(s.file, "IEND", "");
  s.file.commit();
}

}  // namespace dgp
