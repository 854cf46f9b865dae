// .npy files as NumPy writes them, and every way they can be wrong.
#include "tensor/npy.h"

#include <cstring>

#include "tensor/file.h"
#include "tests/temp_folder.h"
#include "tests/test.h"

using namespace dgp;

namespace {

// A file of the given format version around a header, padded as NumPy does, and data.
std::string npy(int version, std::string dict, const std::string& data) {
  size_t length_bytes = version == 1 ? 2 : 4;
  dict.append(63 - (8 + length_bytes + dict.size()) % 64, ' ');
  dict += '\n';
  uint32_t length = static_cast<uint32_t>(dict.size());
  std::string bytes = std::string("\x93NUMPY") + static_cast<char>(version) + '\0';
  bytes.append(reinterpret_cast<const char*>(&length), length_bytes);
  return bytes + dict + data;
}

std::string dict(const std::string& descr, const std::string& shape, const std::string& order = "False") {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

template <class T>
void check_round_trip(Shape shape) {
  TempFolder folder;
  Tensor t(shape, dtype_of<T>());
  for (int64_t i = 0; i < t.numel(); ++i) t.data<T>()[i] = static_cast<T>(i * 37 % 251);
  write_npy(folder / "t.npy", t);
  Tensor back = read_npy(folder / "t.npy");
  CHECK(back.shape() == t.shape());
  REQUIRE(back.dtype() == t.dtype());
  CHECK(std::memcmp(back.bytes(), t.bytes(), static_cast<size_t>(t.nbytes())) == 0);
}

}  // namespace

TEST_CASE("npy: a tensor comes back with its shape, type and bytes") {
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{7}, Shape{2, 3}, Shape{1, 3, 5, 4}, Shape{3, 0, 2}}) {
    check_round_trip<float>(shape);
    check_round_trip<double>(shape);
    check_round_trip<uint8_t>(shape);
    check_round_trip<int64_t>(shape);
  }
}

TEST_CASE("npy: the bytes are those numpy.save writes") {
  TempFolder folder;
  write_npy(folder / "t.npy", Tensor::from<uint8_t>({2}, {5, 6}));
  std::string expected = "\x93NUMPY\x01";
  expected += std::string("\0\x76\0", 3) + "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }";
  expected += std::string(60, ' ') + "\n\x05\x06";
  CHECK(read_file(folder / "t.npy") == expected);
}

TEST_CASE("npy: format versions 1, 2 and 3, keys in any order, either quote") {
  std::string data(8, '\0');
  float values[2] = {1.5f, -2.f};
  std::memcpy(data.data(), values, 8);
  for (int version : {1, 2, 3}) {
    for (const std::string& header :
         {dict("'<f4'", "(1, 2)"), dict("\"<f4\"", "(1,2,)"),
          std::string("{'shape': (1, 2), 'fortran_order': False, 'descr': '<f4'}")}) {
      Tensor t = parse_npy(npy(version, header, data), "t");
      CHECK(t.shape() == Shape{1, 2});
      CHECK(t.data<float>()[1] == -2.f);
    }
  }
}

TEST_CASE("npy: what is not supported or not valid is refused with the reason") {
  std::string data(8, '\0');
  struct Case {
    std::string bytes, message;
  };
  std::vector<Case> cases = {
      {"", "begin with"},
      {"\x89PNG\r\n\x1a\n and more", "begin with"},
      {npy(4, dict("'<f4'", "(2,)"), data), "version 4.0"},
      {npy(1, dict("'>f4'", "(2,)"), data), "big-endian"},
      {npy(1, dict("'|O'", "(1,)"), data), "pickle"},
      {npy(1, dict("'<f2'", "(4,)"), data), "dtype '<f2'"},
      {npy(1, dict("[('a', '<f4')]", "(2,)"), data), "structured"},
      {npy(1, dict("'<f4'", "(3,)"), data), "takes 12 bytes"},
      {npy(1, dict("'<f4'", "(1,)"), data), "the file has 8"},
      {npy(1, dict("'<f4'", "(2)"), data), "not a tuple"},
      {npy(1, dict("'<f4'", "(-2,)"), data), "non-negative"},
      {npy(1, dict("'<f4'", "(2.0,)"), data), "not a tuple"},
      {npy(1, dict("'<f4'", "(4294967296, 4294967296, 0)"), ""), "overflows"},
      {npy(1, dict("'<f4'", "(99999999999999999999,)"), data), "in range"},
      {npy(1, dict("'<f4'", "(2,)", "0"), data), "neither True nor False"},
      {npy(1, "{'descr': '<f4', 'shape': (2,)}", data), "missing"},
      {npy(1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", data), "repeated"},
      {npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", data), "unexpected"},
      {npy(1, dict("'<f4'", "(2,)") + " + 1", data), "after the header"},
      {npy(1, dict("'<f4", "(2,)"), data), "expected"},
      {npy(1, "", data), "ends early"},
  };
  for (const Case& c : cases) {
    INFO(c.message);
    CHECK_THROWS_WITH(parse_npy(c.bytes, "bad.npy"),
                      ContainsSubstring("bad.npy: ") && ContainsSubstring(c.message));
    try {
      parse_npy(c.bytes, "bad.npy");
    } catch (const Error& e) {
      CHECK(e.code() == ErrorCode::bad_file);
    }
  }
}

TEST_CASE("npy: every truncation is refused, every changed header byte is survived") {
  for (int version : {1, 2}) {
    std::string whole = npy(version, dict("'<f4'", "(1, 2)"), std::string(8, '\x11'));
    parse_npy(whole, "whole");
    for (size_t n = 0; n < whole.size(); ++n) CHECK_THROWS_AS(parse_npy(whole.substr(0, n), "cut"), Error);
    CHECK_THROWS_AS(parse_npy(whole + "x", "longer"), Error);
    for (size_t bit = 0; bit < (whole.size() - 8) * 8; ++bit) {
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      try {
        Tensor t = parse_npy(flipped, "flipped");
        CHECK(t.nbytes() == 8);
      } catch (const Error& e) {
        CHECK(e.code() == ErrorCode::bad_file);
      }
    }
  }
}

TEST_CASE("a column-major array is put into row-major order") {
  std::string data;
  for (uint8_t v : {0, 3, 1, 4, 2, 5}) data += static_cast<char>(v);  // [[0,1,2],[3,4,5]], columns first
  const Tensor t = parse_npy(npy(1, dict("'|u1'", "(2, 3)", "True"), data), "f");
  REQUIRE(t.shape() == Shape{2, 3});
  for (int64_t i = 0; i < 6; ++i) CHECK(t.data<uint8_t>()[i] == i);
  const Tensor cube = parse_npy(npy(1, dict("'|u1'", "(2, 1, 3)", "True"), data), "f");
  for (int64_t i = 0; i < 6; ++i) CHECK(cube.data<uint8_t>()[i] == i);
}
