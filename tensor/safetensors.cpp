// The rules follow the format's own reader (safetensors/src/tensor.rs) and are never laxer; stricter where
// two readers could see different files in the same bytes: duplicate keys, unknown fields, integers written
// as floats.
#include "tensor/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "tensor/file.h"

namespace dgp {
namespace {

using nlohmann::json;
static_assert(std::endian::native == std::endian::little, "tensor files are little-endian");

constexpr uint64_t kMaxHeader = 16 << 20;
constexpr size_t kMaxTensors = 100'000, kMaxName = 1024, kMaxMetadata = 1 << 20, kMaxRank = 8;
constexpr uint64_t kMaxSize = uint64_t{1}
                              << 40;  // of one dimension; a file has to hold what it promises anyway

// A value is printed in errors; what a stranger put there must not reach a terminal raw.
std::string printable(const std::string& text) {
  std::string out = text.substr(0, 80);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return "'" + out + (text.size() > 80 ? "...'" : "'");
}

// --- element types ---

// File bytes may stand at any address, so each element is copied out before it is converted.
template <class From, class To, To (*Convert)(From)>
void convert(const char* from, int64_t n, const Tensor& to) {
  To* out = to.data<To>();
  for (int64_t i = 0; i < n; ++i) {
    From value;
    std::memcpy(&value, from + i * static_cast<int64_t>(sizeof(From)), sizeof(From));
    out[i] = Convert(value);
  }
}

template <class T>
float to_float(T value) {
  return value;
}

template <class From>
int64_t widen(From value) {
  return value;
}

struct FileType {
  const char* name;
  uint64_t bytes;
  DType dtype;
  void (*convert)(const char*, int64_t, const Tensor&);  // null: the same bytes
};

constexpr FileType kTypes[] = {
    {"F32", 4, DType::f32, nullptr},
    {"F64", 8, DType::f64, nullptr},
    {"I64", 8, DType::i64, nullptr},
    {"U8", 1, DType::u8, nullptr},
    {"BOOL", 1, DType::u8, nullptr},
    {"F16", 2, DType::f32, convert<f16, float, to_float<f16>>},
    {"BF16", 2, DType::f32, convert<bf16, float, to_float<bf16>>},
    {"I8", 1, DType::i64, convert<int8_t, int64_t, widen<int8_t>>},
    {"I16", 2, DType::i64, convert<int16_t, int64_t, widen<int16_t>>},
    {"U16", 2, DType::i64, convert<uint16_t, int64_t, widen<uint16_t>>},
    {"I32", 4, DType::i64, convert<int32_t, int64_t, widen<int32_t>>},
    {"U32", 4, DType::i64, convert<uint32_t, int64_t, widen<uint32_t>>},
};
constexpr const char* kUnsupported[] = {"U64",     "C64",         "F4",      "F6_E2M3",     "F6_E3M2",
                                        "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0"};

// --- reading ---

struct Entry {
  std::string name;
  const FileType* type;
  Shape shape;
  uint64_t begin, end;  // in the bytes after the header
};

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  SafeTensors read() {
    json header = parse_header();
    SafeTensors file;
    std::vector<Entry> entries;
    require(header.size() <= kMaxTensors + 1, "more than ", kMaxTensors, " tensors");
    for (const auto& [key, value] : header.items()) {
      if (key == "__metadata__")
        file.metadata = metadata(value);
      else
        entries.push_back(entry(key, value));
    }
    require_packed(entries);
    for (const Entry& e : entries) file.tensors.emplace_back(e.name, tensor(e));
    return file;
  }

 private:
  template <class... Parts>
  void require(bool ok, const Parts&... parts) const {
    if (!ok) fail(ErrorCode::bad_file, name_, ": not a valid safetensors file: ", parts...);
  }

  json parse_header() {
    require(bytes_.size() >= 8, bytes_.size(), " bytes, expected at least 8");
    uint64_t length;
    std::memcpy(&length, bytes_.data(), 8);
    require(length <= kMaxHeader, "header of ", length, " bytes, expected at most ", kMaxHeader);
    require(length >= 2 && length <= bytes_.size() - 8, "header of ", length, " bytes in a file of ",
            bytes_.size());
    std::string_view text = bytes_.substr(8, length);
    data_ = bytes_.substr(8 + length);
    // The JSON parser skips a byte order mark and takes a NUL for the end of its input: neither is JSON.
    require(text.find('\0') == text.npos, "NUL byte in the header");
    size_t first = text.find_first_not_of(" \t\r\n");
    require(first != text.npos && text[first] == '{', "the header does not begin with '{'");
    try {
      return json::parse(text.begin(), text.end(), UniqueKeys{*this});
    } catch (const json::parse_error& e) {
      fail(ErrorCode::bad_file, name_, ": not a valid safetensors file: the header is not JSON at byte ",
           e.byte);
    } catch (const json::exception&) {
      fail(ErrorCode::bad_file, name_,
           ": not a valid safetensors file: the header has a number out of range");
    }
  }

  // Called on each event of the parse: refuses deep nesting and a key that its object already has.
  struct UniqueKeys {
    const Reader& reader;
    std::vector<std::set<std::string>> open{};

    bool operator()(int depth, json::parse_event_t event, json& value) {
      if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start)
        reader.require(depth < 4, "the header is nested too deeply");
      if (event == json::parse_event_t::object_start) open.emplace_back();
      if (event == json::parse_event_t::object_end) open.pop_back();
      if (event == json::parse_event_t::key) {
        const auto& key = value.get_ref<const std::string&>();
        reader.require(open.back().insert(key).second, "duplicate key ", printable(key));
      }
      return true;
    }
  };

  std::map<std::string, std::string> metadata(const json& value) const {
    require(value.is_object(), "__metadata__ is not an object");
    std::map<std::string, std::string> result;
    size_t total = 0;
    for (const auto& [key, text] : value.items()) {
      require(text.is_string(), "metadata ", printable(key), " is not a string");
      result[key] = text.get<std::string>();
      total += key.size() + result[key].size();
    }
    require(total <= kMaxMetadata, "metadata of ", total, " bytes, expected at most ", kMaxMetadata);
    return result;
  }

  Entry entry(const std::string& name, const json& value) const {
    require(!name.empty() && name.size() <= kMaxName && name.find('\0') == name.npos, "tensor name ",
            printable(name), " is empty, longer than ", kMaxName, " bytes or has a NUL");
    std::string who = "tensor " + printable(name);
    require(value.is_object() && value.size() == 3 && value.contains("dtype") && value.contains("shape") &&
                value.contains("data_offsets"),
            who, " must have dtype, shape and data_offsets and nothing else");
    Entry e{name, file_type(who, value["dtype"]), {}, 0, 0};

    const json& shape = value["shape"];
    require(shape.is_array() && shape.size() <= kMaxRank, who, ": shape is not a list of at most ", kMaxRank,
            " sizes");
    uint64_t bytes = 1;
    for (const json& size : shape) {
      require(size.is_number_unsigned(), who, ": a size is not a non-negative integer");
      uint64_t n = size.get<uint64_t>();
      require(n <= kMaxSize && !__builtin_mul_overflow(bytes, n, &bytes), who, ": the shape overflows");
      e.shape.push_back(static_cast<int64_t>(n));
    }
    require(!__builtin_mul_overflow(bytes, e.type->bytes, &bytes), who, ": the shape overflows");

    const json& offsets = value["data_offsets"];
    require(offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() &&
                offsets[1].is_number_unsigned(),
            who, ": data_offsets is not two non-negative integers");
    e.begin = offsets[0].get<uint64_t>();
    e.end = offsets[1].get<uint64_t>();
    require(e.begin <= e.end && e.end - e.begin == bytes, who, ": shape ", to_string(e.shape), " of ",
            e.type->name, " takes ", bytes, " bytes, data_offsets are [", e.begin, ",", e.end, "]");
    return e;
  }

  const FileType* file_type(const std::string& who, const json& value) const {
    require(value.is_string(), who, ": dtype is not a string");
    const auto& name = value.get_ref<const std::string&>();
    for (const FileType& type : kTypes)
      if (name == type.name) return &type;
    bool known = std::find(std::begin(kUnsupported), std::end(kUnsupported), name) != std::end(kUnsupported);
    require(known, who, ": unknown dtype ", printable(name));
    fail(ErrorCode::bad_file, name_, ": ", who, ": unsupported dtype ", name);
  }

  // Every byte after the header belongs to exactly one tensor. Sorts the entries by where they stand.
  void require_packed(std::vector<Entry>& entries) const {
    auto place = [](const Entry& e) { return std::tie(e.begin, e.end, e.name); };
    std::sort(entries.begin(), entries.end(),
              [&](const Entry& a, const Entry& b) { return place(a) < place(b); });
    uint64_t at = 0;
    for (const Entry& e : entries) {
      require(e.begin == at, "tensor ", printable(e.name), " begins at byte ", e.begin,
              ", the one before it ends at ", at);
      at = e.end;
    }
    require(at == data_.size(), "the tensors take ", at, " bytes, the file has ", data_.size());
  }

  Tensor tensor(const Entry& e) const {
    Tensor t(e.shape, e.type->dtype);
    const char* from = data_.data() + e.begin;
    if (e.type->convert)
      e.type->convert(from, t.numel(), t);
    else if (t.nbytes() > 0)
      std::memcpy(t.bytes(), from, static_cast<size_t>(t.nbytes()));
    return t;
  }

  std::string_view bytes_, data_;
  const std::string& name_;
};

const char* file_name(DType dtype) {
  for (const FileType& type : kTypes)
    if (type.dtype == dtype) return type.name;
  fail(ErrorCode::invalid, "write_safetensors: no name for ", to_string(dtype));
}

}  // namespace

SafeTensors parse_safetensors(std::string_view bytes, const std::string& name) {
  return Reader(bytes, name).read();
}

SafeTensors read_safetensors(const std::string& path) { return parse_safetensors(read_file(path), path); }

std::string safetensors_bytes(const SafeTensors& file) {
  std::vector<std::pair<std::string, Tensor>> tensors = file.tensors;
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(-element_size(a.second.dtype()), a.first) <
           std::pair(-element_size(b.second.dtype()), b.first);
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  int64_t at = 0;
  const std::string* before = nullptr;
  for (const auto& [name, t] : tensors) {
    check(!name.empty() && name != "__metadata__" && name.size() <= kMaxName && (!before || *before != name),
          "write_safetensors: tensor name ", printable(name), " is empty, reserved, too long or used twice");
    check(t.defined(), "write_safetensors: tensor ", printable(name), " is undefined");
    header[name] = {
        {"dtype", file_name(t.dtype())}, {"shape", t.shape()}, {"data_offsets", {at, at + t.nbytes()}}};
    at += t.nbytes();
    before = &name;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');

  uint64_t length = text.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  bytes.reserve(8 + text.size() + static_cast<size_t>(at));
  bytes += text;
  for (const auto& [name, t] : tensors)
    bytes.append(reinterpret_cast<const char*>(t.bytes()), static_cast<size_t>(t.nbytes()));
  return bytes;
}

void write_safetensors(const std::string& path, const SafeTensors& file) {
  write_file(path, safetensors_bytes(file));
}

}  // namespace dgp
