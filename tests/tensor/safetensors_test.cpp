// The strict safetensors reader: the attacks and mistakes it must refuse, and the files it must read.
#include "tensor/safetensors.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>

#include "tensor/file.h"
#include "tests/temp_folder.h"
#include "tests/test.h"

using namespace dgp;

namespace {

std::string with_length(uint64_t length, const std::string& rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + rest;
}

std::string file_of(const std::string& header, const std::string& data = "") {
  return with_length(header.size(), header + data);
}

std::string tensor_json(const std::string& name, const std::string& dtype, const std::string& shape,
                        uint64_t begin, uint64_t end) {
  std::ostringstream text;
  text << '"' << name << "\":{\"dtype\":\"" << dtype << "\",\"shape\":" << shape << ",\"data_offsets\":["
       << begin << ',' << end << "]}";
  return text.str();
}

// {a,b,...}
std::string object(std::initializer_list<std::string> members) {
  std::string text = "{";
  for (const std::string& member : members) text.append(text.size() > 1 ? "," : "").append(member);
  return text.append("}");
}

std::string one(const std::string& dtype, const std::string& shape, uint64_t begin, uint64_t end,
                size_t bytes) {
  return file_of(object({tensor_json("t", dtype, shape, begin, end)}), std::string(bytes, '\0'));
}

void check_refused(const std::string& bytes, const std::string& reason) {
  INFO(reason);
  CHECK_THROWS_WITH(parse_safetensors(bytes, "bad.safetensors"),
                    ContainsSubstring("bad.safetensors: ") && ContainsSubstring(reason));
  try {
    parse_safetensors(bytes, "bad.safetensors");
  } catch (const Error& e) {
    CHECK(e.code() == ErrorCode::bad_file);
  }
}

const std::string k16(16, '\0');

}  // namespace

TEST_CASE("safetensors: what is written comes back, aligned, in order, with the same bytes each time") {
  TempFolder folder;
  SafeTensors file;
  file.metadata = {{"format", "pt"}, {"config", "{\"scale\": 4, \"text\": \"\xc3\xa9\\n\"}"}};
  file.tensors = {{"u", Tensor::from<uint8_t>({3}, {1, 2, 255})},
                  {"b.weight", Tensor::from<float>({1, 2}, {1.25f, -7.f})},
                  {"empty", Tensor(Shape{2, 0})},
                  {"scalar", Tensor::from<double>({}, {3.5})},
                  {"a.bias", Tensor::from<float>({1}, {std::nanf("")})},
                  {"location", Tensor::from<int64_t>({2, 1}, {-1, 1ll << 60})}};
  write_safetensors(folder / "f", file);
  std::string bytes = read_file(folder / "f");
  CHECK(bytes == safetensors_bytes(file));
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  CHECK(length % 8 == 0);
  for (int n = 0; n < 8; ++n) {  // whatever the header's own length
    SafeTensors other;
    other.metadata["a"] = std::string(n, 'x');
    CHECK(safetensors_bytes(other).size() % 8 == 0);
  }

  SafeTensors back = read_safetensors(folder / "f");
  CHECK(back.metadata == file.metadata);
  std::vector<std::string> order;
  for (const auto& [name, t] : back.tensors) order.push_back(name);
  CHECK(order == std::vector<std::string>{"location", "scalar", "a.bias", "b.weight", "empty", "u"});
  for (const auto& [name, t] : file.tensors)
    for (const auto& [other, u] : back.tensors)
      if (name == other) {
        CHECK(t.shape() == u.shape());
        REQUIRE(t.dtype() == u.dtype());
        CHECK(std::memcmp(t.bytes(), u.bytes(), static_cast<size_t>(t.nbytes())) == 0);
      }
  CHECK(safetensors_bytes(back) == bytes);
}

TEST_CASE("safetensors: names used twice, reserved or empty are not written") {
  Tensor t = Tensor::zeros({1});
  for (const auto& tensors : std::vector<std::vector<std::pair<std::string, Tensor>>>{
           {{"a", t}, {"a", t}}, {{"__metadata__", t}}, {{"", t}}, {{"a", Tensor()}}}) {
    SafeTensors file;
    file.tensors = tensors;
    CHECK_THROWS_AS(safetensors_bytes(file), Error);
  }
}

TEST_CASE("safetensors: narrow types are widened exactly") {
  auto read = [](const char* dtype, size_t size, const void* data, size_t bytes) {
    std::string shape = "[1]";
    shape.replace(1, 1, std::to_string(bytes / size));
    std::string header = object({tensor_json("t", dtype, shape, 0, bytes)});
    return parse_safetensors(file_of(header, std::string(static_cast<const char*>(data), bytes)), "t")
        .tensors[0]
        .second;
  };
  uint16_t half[] = {0x3c00, 0xc000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x8000};
  double expected[] = {1,        -2,        0x1p-24, -0x1p-24, 1023 * 0x1p-24, 0x1p-14, 65504,
                       INFINITY, -INFINITY, NAN,     -0.0};
  Tensor t = read("F16", 2, half, sizeof half);
  REQUIRE(t.dtype() == DType::f32);
  for (int i = 0; i < 11; ++i) {
    INFO(i);
    CHECK(std::signbit(t.data<float>()[i]) == std::signbit(expected[i]));
    CHECK((std::isnan(expected[i]) ? std::isnan(t.data<float>()[i]) : t.data<float>()[i] == expected[i]));
  }
  uint16_t brain[] = {0x3f80, 0xc0a0, 0x7f80};
  t = read("BF16", 2, brain, sizeof brain);
  CHECK(t.data<float>()[0] == 1.f);
  CHECK(t.data<float>()[1] == -5.f);
  CHECK(std::isinf(t.data<float>()[2]));
  int16_t shorts[] = {-32768, 5};
  CHECK(read("I16", 2, shorts, 4).data<int64_t>()[0] == -32768);
  uint32_t words[] = {0xffffffffu};
  CHECK(read("U32", 4, words, 4).data<int64_t>()[0] == 0xffffffffll);
  CHECK(read("I32", 4, words, 4).data<int64_t>()[0] == -1);
  int8_t bytes[] = {-1};
  CHECK(read("I8", 1, bytes, 1).data<int64_t>()[0] == -1);
  CHECK(read("BOOL", 1, "\1\0", 2).data<uint8_t>()[0] == 1);
}

TEST_CASE("safetensors: JSON white space around the header, no tensors, unaligned data are fine") {
  CHECK(parse_safetensors(file_of("{}"), "t").tensors.empty());
  CHECK(parse_safetensors(file_of("\t\r\n {} \n"), "t").tensors.empty());
  CHECK(parse_safetensors(file_of("{\"__metadata__\":{}}"), "t").metadata.empty());
  std::string header = object({tensor_json("a", "U8", "[1]", 0, 1), tensor_json("b", "F32", "[1]", 1, 5)});
  std::string data(5, '\0');
  float value = 2.5f;
  std::memcpy(data.data() + 1, &value, 4);
  CHECK(parse_safetensors(file_of(header, data), "t").tensors[1].second.item() == 2.5f);
}

TEST_CASE("safetensors: broken headers are refused") {
  check_refused("", "0 bytes");
  check_refused("1234567", "7 bytes");
  check_refused(std::string(8, '\xff'), "header of 18446744073709551615 bytes");
  check_refused(with_length(100'000'001, "{}"), "header of 100000001 bytes");
  check_refused(with_length(3, "{}"), "header of 3 bytes in a file of 10");
  check_refused(with_length(0, ""), "header of 0 bytes");
  check_refused(with_length(1, "{"), "header of 1 bytes");
  check_refused(file_of("{ "), "not JSON");
  check_refused(file_of("  "), "begin with '{'");
  check_refused(file_of("[]"), "begin with '{'");
  check_refused(file_of("\xef\xbb\xbf{}"), "begin with '{'");
  check_refused(file_of(std::string("{}\0\0", 4)), "NUL");
  check_refused(file_of("{}{}"), "not JSON");
  check_refused(file_of("{}x"), "not JSON");
  check_refused(file_of("{\"a\":{},}"), "not JSON");
  check_refused(file_of("/**/{}"), "begin with '{'");
  check_refused(file_of("{\"\xff\xfe\":1}"), "not JSON");
  check_refused(file_of("{\"\xc0\xaf\":1}"), "not JSON");      // overlong form
  check_refused(file_of("{\"\xed\xa0\x80\":1}"), "not JSON");  // surrogate in UTF-8
  check_refused(file_of("{\"\\ud800\":1}"), "not JSON");       // lone surrogate escape
  check_refused(file_of("{\"a\":1e999}"), "out of range");
  check_refused(file_of("{\"a\":" + std::string(1000, '[') + std::string(1000, ']') + "}"), "too deep");
}

TEST_CASE("safetensors: what two readers could read differently is refused") {
  std::string t = tensor_json("t", "F32", "[4]", 0, 16);
  check_refused(file_of(object({t, t}), k16), "duplicate key 't'");
  check_refused(file_of(object({t, tensor_json("\\u0074", "F32", "[4]", 0, 16)}), k16), "duplicate key 't'");
  check_refused(
      file_of("{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", k16),
      "duplicate key 'dtype'");
  check_refused(file_of("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}"), "duplicate key 'a'");
  check_refused(file_of("{\"__metadata__\":{\"a\":1}}"), "not a string");
  check_refused(file_of("{\"__metadata__\":[]}"), "not an object");
  check_refused(file_of("{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"x\":0}}", k16),
                "nothing else");
  check_refused(file_of("{\"t\":{\"dtype\":\"F32\",\"shape\":[4]}}", k16), "must have");
  check_refused(file_of("{\"t\":[]}", k16), "must have");
  check_refused(file_of(object({tensor_json("", "F32", "[4]", 0, 16)}), k16), "empty");
  check_refused(file_of(object({tensor_json("a\\u0000b", "F32", "[4]", 0, 16)}), k16), "NUL");
  check_refused(file_of(object({tensor_json(std::string(1025, 'n'), "F32", "[4]", 0, 16)}), k16),
                "longer than");
  for (const char* size : {"4.0", "4e0", "-0", "-4", "\"4\"", "null", "true", "[4]"})
    check_refused(one("F32", std::string("[").append(size).append("]"), 0, 16, 16), "non-negative integer");
  check_refused(one("F32", "[04]", 0, 16, 16), "not JSON");
  check_refused(one("F32", "4", 0, 16, 16), "not a list");
  check_refused(one("F32", "[1,1,1,1,1,1,1,1,4]", 0, 16, 16), "at most 8 sizes");
  check_refused(file_of("{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16,16]}}", k16),
                "two non-negative");
  check_refused(file_of("{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16.0]}}", k16),
                "two non-negative");
  check_refused(one("F31", "[4]", 0, 16, 16), "unknown dtype 'F31'");
  check_refused(one("f32", "[4]", 0, 16, 16), "unknown dtype");
  check_refused(one("U64", "[2]", 0, 16, 16), "unsupported dtype U64");
  check_refused(one("F8_E4M3", "[16]", 0, 16, 16), "unsupported dtype F8_E4M3");
  check_refused(file_of("{\"t\":{\"dtype\":1,\"shape\":[4],\"data_offsets\":[0,16]}}", k16),
                "dtype is not a string");
}

TEST_CASE("safetensors: sizes and places that do not fit are refused") {
  check_refused(one("F32", "[2,18446744073709551614]", 0, 16, 16), "overflows");
  check_refused(one("F32", "[2,9223372036854775807]", 0, 16, 16), "overflows");
  check_refused(one("F32", "[18446744073709551616]", 0, 16, 16), "non-negative integer");
  check_refused(one("F32", "[1099511627776,1099511627776,0]", 0, 0, 0), "overflows");
  check_refused(one("F64", "[1099511627776,2097152]", 0, 16, 16), "overflows");
  check_refused(one("F32", "[4]", 0, 4, 16), "takes 16 bytes");
  check_refused(one("F32", "[3]", 0, 16, 16), "takes 12 bytes");
  check_refused(one("F32", "[4]", 16, 0, 16), "takes 16 bytes");
  check_refused(one("F32", "[4]", 0, 16, 14), "the file has 14");
  check_refused(one("F32", "[4]", 0, 16, 17), "the file has 17");
  check_refused(one("F32", "[4]", 4, 20, 20), "begins at byte 4");
  check_refused(one("F32", "[4]", 18446744073709551600ull, 18446744073709551615ull, 16), "takes 16 bytes");
  check_refused(file_of("{}", "x"), "the file has 1");

  std::string a = tensor_json("a", "F32", "[2]", 0, 8);
  check_refused(file_of(object({a, tensor_json("b", "F32", "[2]", 4, 12)}), k16), "begins at byte 4");
  check_refused(file_of(object({a, tensor_json("b", "F32", "[1]", 12, 16)}), k16), "begins at byte 12");
  std::string overlapping = tensor_json("t0", "F32", "[4]", 0, 16);
  for (const char* name : {"t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"})
    overlapping.append(",").append(tensor_json(name, "F32", "[4]", 0, 16));
  check_refused(file_of(object({overlapping}), k16), "begins at byte 0");
}

TEST_CASE("safetensors: a name cannot smuggle control characters into a terminal") {
  try {
    parse_safetensors(one("F32\\u001b[2J", "[4]", 0, 16, 16), "t");
    FAIL("accepted");
  } catch (const Error& e) {
    CHECK(std::string(e.what()).find('\x1b') == std::string::npos);
  }
}

TEST_CASE("safetensors: every truncation is refused, every changed bit is survived") {
  SafeTensors file;
  file.metadata["format"] = "pt";
  file.tensors = {{"w", Tensor::from<float>({2, 2}, {1, 2, 3, 4})}, {"i", Tensor::from<int64_t>({1}, {9})}};
  std::string whole = safetensors_bytes(file);
  for (size_t n = 0; n < whole.size(); ++n)
    CHECK_THROWS_AS(parse_safetensors(whole.substr(0, n), "cut"), Error);
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    try {
      int64_t bytes = 0;
      for (const auto& [name, t] : parse_safetensors(flipped, "flipped").tensors) bytes += t.nbytes();
      CHECK(bytes >= 24);
    } catch (const Error& e) {
      CHECK(e.code() == ErrorCode::bad_file);
    }
  }
}
