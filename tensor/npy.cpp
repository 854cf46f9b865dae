// The header of a .npy file is a Python dict literal with exactly three keys; a small parser reads that and
// no more.
#include "tensor/npy.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "tensor/file.h"

namespace dgp {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor files are little-endian");

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr uint64_t kMaxHeader = 1 << 20;
constexpr size_t kMaxRank = 32;  // NumPy's own limit up to version 1
constexpr int64_t kMaxSize = int64_t{1} << 40;

struct NpyType {
  const char* descr;
  DType dtype;
};
constexpr NpyType kTypes[] = {
    {"<f4", DType::f32}, {"<f8", DType::f64}, {"|u1", DType::u8}, {"<i8", DType::i64}};

class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  void parse() {
    expect('{');
    while (!accept('}')) {
      std::string key = quoted();
      expect(':');
      if (key == "descr" && descr_.empty()) {
        require(peek() != '[', "structured arrays are not supported");
        descr_ = quoted();
      } else if (key == "fortran_order" && !has_order_) {
        has_order_ = true;
        fortran_ = boolean();
      } else if (key == "shape" && !has_shape_) {
        has_shape_ = true;
        shape_ = sizes();
      } else {
        require(false, "unexpected or repeated key '", key.substr(0, 40), "'");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    require(at_ == text_.size(), "text after the header's dict");
    require(!descr_.empty() && has_order_ && has_shape_, "descr, fortran_order or shape is missing");
  }

  DType dtype() const {
    for (const NpyType& type : kTypes)
      if (descr_ == type.descr) return type.dtype;
    require(descr_[0] != '>', "big-endian data (", descr_, "), expected little-endian");
    require(descr_.find('O') == descr_.npos, "an object array: a pickle, which is never loaded");
    fail(ErrorCode::bad_file, name_, ": dtype '", descr_.substr(0, 40), "' is none of <f4 <f8 |u1 <i8");
  }
  bool fortran() const { return fortran_; }
  const Shape& shape() const { return shape_; }

 private:
  template <class... Parts>
  void require(bool ok, const Parts&... parts) const {
    if (!ok) fail(ErrorCode::bad_file, name_, ": not a valid .npy file: ", parts...);
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  char peek() {
    skip_space();
    require(at_ < text_.size(), "the header ends early");
    return text_[at_];
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) { require(accept(c), "expected '", c, "' at byte ", at_, " of the header"); }

  std::string quoted() {
    char quote = peek();
    require(quote == '\'' || quote == '"', "expected a string at byte ", at_, " of the header");
    size_t end = text_.find(quote, at_ + 1);
    require(end != text_.npos, "a string without an end");
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    for (char c : value) require(c >= 0x20 && c < 0x7f && c != '\\', "an odd character in a string");
    require(!value.empty(), "an empty string");
    return value;
  }

  bool boolean() {
    peek();
    for (bool value : {false, true}) {
      std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return value;
      }
    }
    require(false, "fortran_order is neither True nor False");
    return false;
  }

  Shape sizes() {
    expect('(');
    Shape shape;
    while (!accept(')')) {
      require(shape.size() < kMaxRank, "more than ", kMaxRank, " dimensions");
      peek();
      const char* begin = text_.data() + at_;
      int64_t size = -1;
      auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), size);
      require(error == std::errc() && *begin != '-' && size <= kMaxSize,
              "a size of the shape is not a non-negative integer in range");
      at_ += static_cast<size_t>(end - begin);
      shape.push_back(size);
      if (!accept(',')) {
        require(shape.size() > 1, "the shape is a number in parentheses, not a tuple");
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
  std::string descr_;
  bool has_order_ = false, has_shape_ = false, fortran_ = false;
  Shape shape_;
};

constexpr int64_t kMaxFile = int64_t{1} << 40;

struct Layout {
  DType dtype;
  Shape shape;
  int64_t begin;  // of the elements
  bool columns;   // column-major, NumPy's Fortran order
};

// bytes: the start of a file of `size` bytes, its header and perhaps more.
Layout parse_layout(std::string_view bytes, int64_t size, const std::string& name) {
  auto require = [&](bool ok, const auto&... parts) {
    if (!ok) fail(ErrorCode::bad_file, name, ": not a valid .npy file: ", parts...);
  };
  require(bytes.substr(0, kMagic.size()) == kMagic && bytes.size() >= 10,
          "expected it to begin with \\x93NUMPY");
  int major = static_cast<unsigned char>(bytes[6]), minor = static_cast<unsigned char>(bytes[7]);
  require(major >= 1 && major <= 3 && minor == 0, "unknown format version ", major, ".", minor);
  size_t length_bytes = major == 1 ? 2 : 4, begin = 8 + length_bytes;
  require(bytes.size() >= begin, "the header ends early");
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  require(length <= kMaxHeader && length <= bytes.size() - begin, "a header of ", length,
          " bytes in a file of ", size);

  HeaderParser header(bytes.substr(begin, length), name);
  header.parse();
  DType dtype = header.dtype();
  int64_t total = element_size(dtype);
  for (int64_t n : header.shape())
    require(!__builtin_mul_overflow(total, n, &total), "shape ", to_string(header.shape()), " overflows");
  auto data = static_cast<int64_t>(begin + length);
  require(total == size - data, "shape ", to_string(header.shape()), " of ", to_string(dtype), " takes ",
          total, " bytes, the file has ", size - data);
  return {dtype, header.shape(), data, header.fortran()};
}

// From column-major order, where the first index runs fastest.
void copy_columns(const char* data, const Tensor& into) {
  const auto size = static_cast<size_t>(element_size(into.dtype()));
  for (int64_t i = 0; i < into.numel(); ++i) {
    int64_t rest = i, from = 0;  // i's indices, last to first, counted with the steps of column-major order
    int64_t step = into.numel();
    for (int axis = into.rank() - 1; axis >= 0; --axis) {
      step /= into.dim(axis);
      from += rest % into.dim(axis) * step;
      rest /= into.dim(axis);
    }
    std::memcpy(into.bytes() + static_cast<size_t>(i) * size, data + static_cast<size_t>(from) * size, size);
  }
}

std::string npy_header(DType dtype, const Shape& shape) {
  std::string header = "{'descr': '";
  for (const NpyType& type : kTypes)
    if (type.dtype == dtype) header += type.descr;
  header += "', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < shape.size(); ++i)
    header += std::to_string(shape[i]) + (i + 1 < shape.size() ? ", " : shape.size() == 1 ? "," : "");
  header += "), }";
  header.append(63 - (10 + header.size()) % 64, ' ');  // the data begin at a multiple of 64
  header += '\n';
  auto length = static_cast<uint16_t>(header.size());
  std::string start(kMagic);
  start.append("\x01\x00", 2);
  start.append(reinterpret_cast<const char*>(&length), 2);
  return start + header;
}

}  // namespace

Tensor parse_npy(std::string_view bytes, const std::string& name) {
  Layout layout = parse_layout(bytes, static_cast<int64_t>(bytes.size()), name);
  Tensor tensor(layout.shape, layout.dtype);
  std::string_view data = bytes.substr(static_cast<size_t>(layout.begin));
  if (layout.columns)
    copy_columns(data.data(), tensor);
  else if (!data.empty())
    std::memcpy(tensor.bytes(), data.data(), data.size());
  return tensor;
}

Tensor read_npy(const std::string& path) {
  NpyReader reader(path);
  Tensor tensor(reader.shape(), reader.dtype());
  reader.read(0, tensor.numel(), tensor.bytes());
  return tensor;
}

void write_npy(const std::string& path, const Tensor& tensor) {
  check(tensor.defined(), "write_npy: the tensor is undefined");
  NpyWriter writer(path, tensor.dtype(), tensor.shape());
  writer.write(0, tensor.numel(), tensor.bytes());
  writer.commit();
}

NpyReader::NpyReader(const std::string& path) : file_(path, kMaxFile) {
  std::string start(static_cast<size_t>(std::min(file_.size(), static_cast<int64_t>(kMaxHeader) + 12)), '\0');
  file_.read(0, start.data(), start.size());
  Layout layout = parse_layout(start, file_.size(), path);
  if (layout.columns)
    fail(ErrorCode::bad_file, path,
         ": Fortran (column-major) order is not supported; save it with numpy.ascontiguousarray");
  dtype_ = layout.dtype, shape_ = layout.shape, begin_ = layout.begin;
}

void NpyReader::read(int64_t first, int64_t count, void* elements) const {
  int64_t size = element_size(dtype_);
  file_.read(begin_ + first * size, elements, static_cast<size_t>(count * size));
}

NpyWriter::NpyWriter(const std::string& path, DType dtype, const Shape& shape)
    : file_(path), element_size_(element_size(dtype)) {
  std::string header = npy_header(dtype, shape);
  begin_ = static_cast<int64_t>(header.size());
  file_.write(header);
}

void NpyWriter::write(int64_t first, int64_t count, const void* elements) {
  file_.write_at(begin_ + first * element_size_, elements, static_cast<size_t>(count * element_size_));
}

}  // namespace dgp
