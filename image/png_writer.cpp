#include "image/png_writer.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
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

// Rows of a photograph, once filtered, hardly repeat: looking for runs alone packs them as well as a search
// for matches does (2% worse at level 6), in an eighth of the time. Where runs are that frequent, there is
// more to be found, and quickly.
constexpr size_t kWorthSearching = 8;  // times smaller by runs alone

void put32(std::string& out, uint64_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 255));
}

// Where the bytes go: a file, or a string.
class Sink {
 public:
  explicit Sink(const std::string& path) : file_(std::in_place, path) {}
  explicit Sink(std::string* into) : into_(into) {}
  void write(std::string_view bytes) {
    if (file_)
      file_->write(bytes);
    else
      into_->append(bytes);
  }
  void commit() {
    if (file_) file_->commit();
  }

 private:
  std::optional<AtomicFile> file_;
  std::string* into_ = nullptr;
};

void check_size(const std::string& name, int64_t width, int64_t height, int64_t channels, int depth) {
  check(channels >= 1 && channels <= 4, name, ": PNG expects 1 to 4 channels, got ", channels);
  check(depth == 8 || depth == 16, name, ": PNG expects a depth of 8 or 16, got ", depth);
  check(width > 0 && height > 0 && width < (1 << 26) && height < (int64_t{1} << 31), name, ": PNG of ", width,
        "x", height, " pixels cannot be written");
}

void write_chunk(Sink& sink, std::string_view type, std::string_view data) {
  std::string head, tail;
  put32(head, data.size());
  head.append(type);
  put32(tail, crc32(data.data(), data.size(), crc32(type.data(), type.size())));
  sink.write(head);
  sink.write(data);
  sink.write(tail);
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
std::string deflated(const std::vector<uint8_t>& bytes, int strategy, bool last) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, -15, 9, strategy) != Z_OK)
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

std::string packed(const std::vector<uint8_t>& bytes, bool last) {
  std::string runs = deflated(bytes, Z_RLE, last);
  if (runs.size() * kWorthSearching > bytes.size()) return runs;
  std::string matches = deflated(bytes, Z_FILTERED, last);
  return matches.size() < runs.size() ? matches : runs;
}

// Rows that are filtered and compressed by one thread.
struct Part {
  int64_t begin, end;  // of the rows gathered
  std::string data = {};
  uLong adler = 1, bytes = 0;
};

}  // namespace

struct PngWriter::State {
  template <class To>
  State(To to, int64_t w, int64_t h, int64_t c, int d)
      : sink(to),
        width(w),
        height(h),
        channels(c),
        depth(d),
        step(c * d / 8),
        part_rows(std::max<int64_t>(1, kPartBytes / (w * step))),
        capacity(part_rows * num_threads()),
        rows(static_cast<size_t>((1 + capacity) * (1 + w) * step)) {}

  uint8_t* gathered(int64_t r) { return rows.data() + (r + 1) * (step + width * step) + step; }

  // f32 [R,W,C]; the row before the first gathered stands for what lies above it.
  void gather(const Tensor& x) {
    int64_t values = width * channels, begin = count;
    parallel_for(x.dim(0), std::max<int64_t>(1, kPointwiseGrain / values), [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) {
        uint8_t* to = gathered(begin + r);
        const float* from = x.data<float>() + r * values;
        if (depth == 8) {
          quantise(from, values, 255, [&](int64_t i, int v) { to[i] = static_cast<uint8_t>(v); });
          continue;
        }
        quantise(from, values, 65535, [&](int64_t i, int v) {
          to[2 * i] = static_cast<uint8_t>(v >> 8);
          to[2 * i + 1] = static_cast<uint8_t>(v & 255);
        });
      }
    });
    count += x.dim(0), done += x.dim(0);
  }

  void pack(Part& part, bool last) {
    int64_t bytes = width * step;
    std::vector<uint8_t> filtered(static_cast<size_t>((part.end - part.begin) * (bytes + 1)));
    std::vector<uint8_t> spare(static_cast<size_t>(bytes + 1));
    for (int64_t r = part.begin; r < part.end; ++r)
      filter_best(gathered(r), gathered(r - 1), bytes, step, spare.data(),
                  filtered.data() + (r - part.begin) * (bytes + 1));
    part.data = packed(filtered, last);
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
      data += part.data;
      if (last && &part == &parts.back()) put32(data, adler);
      write_chunk(sink, "IDAT", data);
    }
    std::copy_n(gathered(count - 1), width * step, gathered(-1));
    count = 0;
  }

  Sink sink;
  int64_t width, height, channels;
  int depth;
  int64_t step;                 // bytes a pixel
  int64_t part_rows, capacity;  // rows a part, rows that are gathered before they are packed
  std::vector<uint8_t> rows;    // the row above and those gathered, each after `step` zeros
  int64_t done = 0, count = 0;  // rows given, rows gathered
  uLong adler = 1;
  bool started = false;
};

PngWriter::PngWriter(const std::string& path, int64_t width, int64_t height, int64_t channels, int depth) {
  check_size(path, width, height, channels, depth);
  state_ = std::make_unique<State>(path, width, height, channels, depth);
  begin();
}

PngWriter::PngWriter(std::string* into, int64_t width, int64_t height, int64_t channels, int depth) {
  check_size("PNG", width, height, channels, depth);
  state_ = std::make_unique<State>(into, width, height, channels, depth);
  begin();
}

void PngWriter::begin() {
  constexpr int kColour[] = {0, 0, 4, 2, 6};
  std::string header;
  put32(header, static_cast<uint64_t>(state_->width));
  put32(header, static_cast<uint64_t>(state_->height));
  header.push_back(static_cast<char>(state_->depth));
  header.push_back(static_cast<char>(kColour[state_->channels]));
  header.append(3, '\0');
  state_->sink.write(std::string_view("\x89PNG\r\n\x1a\n", 8));
  write_chunk(state_->sink, "IHDR", header);
}

PngWriter::~PngWriter() = default;

void PngWriter::rows(const Tensor& x) {
  State& s = *state_;
  check(x.rank() == 3 && x.dim(1) == s.width && x.dim(2) == s.channels && x.dtype() == DType::f32,
        "PNG rows expect f32 [R,", s.width, ",", s.channels, "], got ", to_string(x.dtype()),
        to_string(x.shape()));
  check(s.done + x.dim(0) <= s.height, "PNG of ", s.height, " rows was given more");
  for (int64_t r = 0; r < x.dim(0);) {
    int64_t some = std::min(x.dim(0) - r, s.capacity - s.count);
    s.gather(x.slab(r, some));
    r += some;
    if (s.count == s.capacity && s.done < s.height) s.flush(false);
  }
}

void PngWriter::commit() {
  State& s = *state_;
  check(s.done == s.height, "PNG of ", s.height, " rows was given ", s.done);
  s.flush(true);
  write_chunk(s.sink, "IEND", "");
  s.sink.commit();
}

std::string png_bytes(const Tensor& x) {
  check_rank("png_bytes", "image", x, 3);
  std::string bytes;
  PngWriter png(&bytes, x.dim(1), x.dim(0), x.dim(2));
  png.rows(x);
  png.commit();
  return bytes;
}

}  // namespace dgp
