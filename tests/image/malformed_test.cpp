// Broken and hostile files: each is refused with a reason, quickly and in little memory.
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "image/image.h"
#include "tensor/allocator.h"
#include "tests/image/pictures.h"
#include "tests/temp_folder.h"
#include "tests/test.h"

using namespace dgp;

namespace {

// The message that `bytes` is refused with; empty when it is accepted.
std::string refusal(const std::string& bytes) {
  try {
    decode_image(bytes, "broken.file");
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::bad_file);
    CHECK_THAT(error.what(), ContainsSubstring("broken.file: "));
    return error.what();
  }
}

#define CHECK_REFUSED(bytes, reason) CHECK_THAT(refusal(bytes), ContainsSubstring(reason))

std::string seed(const std::string& name) {
  TempFolder folder;
  write_image(folder / name, test_picture(9, 11, 3, 8));
  return read_file(folder / name);
}

std::string jpeg_seed(const std::string& name) {
  std::ifstream file(std::string(DGP_SOURCE_DIR) + "/tests/golden/image.json");
  return from_hex(nlohmann::json::parse(file)["jpeg"][name]["hex"]);
}

std::string segment(int marker, const std::string& data) {
  uint64_t size = data.size() + 2;
  return std::string("\xFF") + static_cast<char>(marker) + static_cast<char>(size >> 8) +
         static_cast<char>(size) + data;
}

// A complete JPEG of the stated size whose tables and scan can be replaced.
struct Jpeg {
  int width = 8, height = 8, sof = 0xC0, bits = 8;
  std::string components = std::string("\1\x11\0", 3);
  std::string quantiser = std::string(1, '\0') + std::string(64, '\1');
  std::string tables = table(0x00) + table(0x10);
  std::string scan = std::string("\1\1\0\0\x3F\0", 6);
  std::string data = std::string("\0", 1);
  std::string tail = "\xFF\xD9";

  static std::string table(int kind) {
    return static_cast<char>(kind) + std::string("\1") + std::string(16, '\0');
  }
  std::string bytes() const {
    std::string frame{static_cast<char>(bits),   static_cast<char>(height >> 8),
                      static_cast<char>(height), static_cast<char>(width >> 8),
                      static_cast<char>(width),  static_cast<char>(components.size() / 3)};
    return "\xFF\xD8" + segment(0xDB, quantiser) + segment(sof, frame + components) + segment(0xC4, tables) +
           segment(0xDA, scan) + data + tail;
  }
};

}  // namespace

TEST_CASE("every truncation is refused") {
  std::vector<std::string> seeds{seed("a.png"), seed("a.bmp"), seed("a.jpg"), jpeg_seed("grey"),
                                 jpeg_seed("progressive, halved colour")};
  for (const std::string& whole : seeds) {
    CHECK(refusal(whole).empty());
    for (size_t length = 0; length<whole.size(); length += whole.size()> 3000 ? 7 : 1)
      if (refusal(whole.substr(0, length)).empty()) FAIL("a file cut to " << length << " bytes was accepted");
  }
}

TEST_CASE("every flipped bit of a PNG is refused") {
  std::string whole = seed("a.png");
  for (size_t i = 0; i < whole.size() * 8; ++i) {
    std::string flipped = whole;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ 1 << i % 8);
    if (refusal(flipped).empty()) FAIL("bit " << i << " was flipped and nobody noticed");
  }
}

TEST_CASE("flipped bits and bytes of JPEG and BMP do no harm") {
  for (const std::string& whole :
       {seed("a.bmp"), jpeg_seed("baseline"), jpeg_seed("progressive, halved colour")})
    for (size_t i = 0; i < whole.size(); ++i)
      for (int value : {0x00, 0x01, 0x7F, 0x80, 0xFF}) {
        std::string changed = whole;
        changed[i] = static_cast<char>(i % 2 ? value : changed[i] ^ value);
        refusal(changed);
      }
}

TEST_CASE("PNG out of order") {
  std::string pixels = chunk("IDAT", deflated(std::string(2, '\0'))), end = chunk("IEND", "");
  std::string head = kPngSignature + ihdr(1, 1, 8, 0), palette = chunk("PLTE", "abc");
  CHECK(refusal(head + pixels + end).empty());
  CHECK_REFUSED(kPngSignature + pixels + ihdr(1, 1, 8, 0) + end, "IHDR");
  CHECK_REFUSED(head + ihdr(1, 1, 8, 0) + pixels + end, "repeated");
  CHECK_REFUSED(head + end, "no pixel data");
  CHECK_REFUSED(head + pixels, "too early");
  CHECK_REFUSED(head + pixels + end + "x", "after its end");
  CHECK_REFUSED(head + pixels + chunk("tEXt", "a") + pixels + end, "interrupted");
  CHECK_REFUSED(head + palette + pixels + end, "grey");
  CHECK_REFUSED(head + chunk("ABCD", "") + pixels + end, "critical");
  CHECK_REFUSED(head + chunk("acTL", "") + pixels + end, "animated");
  CHECK_REFUSED(kPngSignature + chunk("CgBI", "abcd") + ihdr(1, 1, 8, 0) + pixels + end, "CgBI");
  CHECK_REFUSED(head + chunk("tRNS", "abc") + pixels + end, "tRNS");
  CHECK_REFUSED(kPngSignature + ihdr(1, 1, 8, 4) + chunk("tRNS", "ab") + pixels + end, "alpha channel");
  std::string indexed = kPngSignature + ihdr(1, 1, 8, 3);
  CHECK(refusal(indexed + palette + pixels + end).empty());
  CHECK_REFUSED(indexed + pixels + end, "missing");
  CHECK_REFUSED(indexed + palette + palette + pixels + end, "repeated");
  CHECK_REFUSED(indexed + chunk("PLTE", "abcd") + pixels + end, "PLTE");
  CHECK_REFUSED(indexed + palette + chunk("tRNS", "ab") + pixels + end, "2 entries for 1");
  CHECK_REFUSED(indexed + palette + chunk("IDAT", deflated(std::string("\0\1", 2))) + end, "colour 1 of 1");
}

TEST_CASE("PNG headers and pixel data that make no sense") {
  auto with = [](const std::string& header, const std::string& raw) { return png_of(header, "", raw); };
  CHECK_REFUSED(with(ihdr(0, 1, 8, 0), "\0"), "0x1");
  CHECK_REFUSED(with(ihdr(1, 0, 8, 0), "\0"), "1x0");
  CHECK_REFUSED(with(ihdr(70000, 1, 8, 0), "\0"), "at most 65535");
  CHECK_REFUSED(with(ihdr(65535, 65535, 8, 0), "\0"), "pixels");
  CHECK_REFUSED(with(ihdr(0xFFFFFFFF, 0xFFFFFFFF, 8, 0), "\0"), "pixels");
  CHECK_REFUSED(with(ihdr(1, 1, 3, 0), "\0"), "3 bits");
  CHECK_REFUSED(with(ihdr(1, 1, 16, 3), "\0"), "not defined");
  CHECK_REFUSED(with(ihdr(1, 1, 8, 5), "\0"), "colour type 5");
  CHECK_REFUSED(with(ihdr(1, 1, 8, 0, 2), "\0"), "not defined");
  CHECK_REFUSED(with(ihdr(1, 1, 8, 0), std::string(1, '\0')), "too early");
  CHECK_REFUSED(with(ihdr(1, 1, 8, 0), std::string(3, '\0')), "longer");
  CHECK_REFUSED(with(ihdr(1, 1, 8, 0), std::string("\5\0", 2)), "filter 5");
  std::string packed = deflated(std::string(2, '\0')), head = kPngSignature + ihdr(1, 1, 8, 0),
              end = chunk("IEND", "");
  CHECK_REFUSED(head + chunk("IDAT", packed + "x") + end, "longer");
  CHECK_REFUSED(head + chunk("IDAT", packed) + chunk("IDAT", "x") + end, "longer");
  CHECK(refusal(head + chunk("IDAT", packed.substr(0, 3)) + chunk("IDAT", "") +
                chunk("IDAT", packed.substr(3)) + end)
            .empty());
  packed.back() = static_cast<char>(packed.back() ^ 1);  // Adler-32
  CHECK_REFUSED(head + chunk("IDAT", packed) + end, "decompress");
  CHECK_REFUSED(head + chunk("IDAT", packed.substr(0, packed.size() - 4)) + end, "no end");
}

TEST_CASE("JPEG with wrong tables, frames and scans") {
  CHECK(refusal(Jpeg{}.bytes()).empty());
  auto with = [](auto change) {
    Jpeg jpeg;
    change(jpeg);
    return jpeg.bytes();
  };
  // A table with more than 256 codes runs over the decoder's arrays.
  CHECK_REFUSED(from_hex("ffd8ffc400ff00000000ffffffff6fbe"), "too early");
  std::string crowded =
      std::string(1, '\0') + std::string("\0\0\0\0\0\0\0\0\xFF\xFF\0\0\0\0\0\0", 16) + std::string(510, '\1');
  CHECK_REFUSED(with([&](Jpeg& j) { j.tables = crowded; }), "more codes than fit");
  std::string crossed = std::string(1, '\0') + std::string("\3", 1) + std::string(15, '\0') + "abc";
  CHECK_REFUSED(with([&](Jpeg& j) { j.tables = crossed; }), "more codes than fit");
  CHECK_REFUSED(with([](Jpeg& j) { j.tables = Jpeg::table(0); }), "not there");
  CHECK_REFUSED(with([](Jpeg& j) { j.tables = Jpeg::table(0x20); }), "not defined");
  CHECK_REFUSED(with([](Jpeg& j) { j.tables.resize(20); }), "cut off");
  CHECK_REFUSED(with([](Jpeg& j) { j.quantiser.resize(30); }), "cut off");
  CHECK_REFUSED(with([](Jpeg& j) { j.quantiser[0] = 0x10; }), "cut off");
  CHECK_REFUSED(with([](Jpeg& j) { j.components = std::string("\1\x11\2", 3); }),
                "quantisation table 2 is missing");
  CHECK_REFUSED(with([](Jpeg& j) { j.components = std::string("\1\x50\0", 3); }), "sampling");
  CHECK_REFUSED(with([](Jpeg& j) { j.components = std::string("\1\x11\0\2\x11\0", 6); }), "2 components");
  CHECK_REFUSED(with([](Jpeg& j) { j.components = std::string("\1\x11\0\1\x11\0\2\x11\0", 9); }), "repeated");
  CHECK_REFUSED(with([](Jpeg& j) { j.components = std::string("\1\x11\0\2\x11\0\3\x11\0", 9); }),
                "has no data");
  CHECK_REFUSED(with([](Jpeg& j) { j.components = std::string(12, '\1'); }), "CMYK");
  CHECK_REFUSED(with([](Jpeg& j) { j.bits = 12; }), "12 bits");
  CHECK_REFUSED(with([](Jpeg& j) { j.height = 0; }), "height");
  CHECK_REFUSED(with([](Jpeg& j) { j.width = 0; }), "0x8");
  CHECK_REFUSED(with([](Jpeg& j) { j.sof = 0xC3; }), "lossless");
  CHECK_REFUSED(with([](Jpeg& j) { j.sof = 0xC9; }), "arithmetic");
  CHECK_REFUSED(with([](Jpeg& j) { j.sof = 0xC5; }), "hierarchical");
  CHECK_REFUSED(with([](Jpeg& j) { j.scan = std::string("\1\2\0\0\x3F\0", 6); }), "component 2");
  CHECK_REFUSED(with([](Jpeg& j) { j.scan = std::string("\1\1\x40\0\x3F\0", 6); }), "not there");
  CHECK_REFUSED(with([](Jpeg& j) { j.scan = std::string("\1\1\0\1\x3F\0", 6); }), "spectral");
  CHECK_REFUSED(with([](Jpeg& j) { j.tail = std::string(70000, '\0'); }), "too early");
  CHECK_REFUSED(with([](Jpeg& j) { j.tail += std::string(70000, '\0'); }), "something else");
  CHECK_REFUSED(with([](Jpeg& j) {
                  std::string again = segment(0xDA, j.scan) + j.data;
                  j.tail = again + j.tail;
                }),
                "comes twice");
  CHECK_REFUSED(with([](Jpeg& j) {
                  j.sof = 0xC2;
                  j.scan = std::string("\1\1\0\0\0\0", 6);
                  for (int i = 0; i < 100; ++i)
                    j.tail = segment(0xDA, std::string("\1\1\0\1\1\0", 6)) + "a" + j.tail;
                }),
                "more than 100 scans");
}

TEST_CASE("BMP headers that lie") {
  std::string four(4, '\0');
  CHECK(refusal(bmp_of(1, 1, 24, four)).empty());
  CHECK_REFUSED(bmp_of(0, 1, 24, four), "0x1");
  CHECK_REFUSED(bmp_of(-1, 1, 24, four), "-1x1");
  CHECK_REFUSED(bmp_of(1, 0, 24, four), "1x0");
  CHECK_REFUSED(bmp_of(1, INT32_MIN, 24, four), "at most 65535");
  CHECK_REFUSED(bmp_of(3145728, -210, 24, four), "at most 65535");
  CHECK_REFUSED(bmp_of(60000, 60000, 24, four), "too early");
  CHECK_REFUSED(bmp_of(1, 2, 24, four), "too early");
  CHECK_REFUSED(bmp_of(1, 1, 16, four), "16 bits");
  CHECK_REFUSED(bmp_of(1, 1, 1, four), "1 bits");
  CHECK_REFUSED(bmp_of(1, 1, 8, four, 1), "compression 1");
  CHECK_REFUSED(bmp_of(1, 1, 8, four, 0, "", 2), "palette");
  CHECK_REFUSED(bmp_of(1, 1, 8, std::string("\2\0\0\0", 4), 0, le32(0) + le32(1), 2), "colour 2 of 2");
  CHECK_REFUSED(bmp_of(1, 1, 24, four, 0, "", 0, 12), "OS/2");
  CHECK_REFUSED(bmp_of(1, 1, 24, four, 0, "", 0, 41), "41 bytes");
  CHECK_REFUSED(bmp_of(1, 1, 32, four, 3, le32(0) + le32(0xff00) + le32(0xff)), "empty");
  CHECK_REFUSED(bmp_of(1, 1, 32, four, 3, le32(0xff00) + le32(0xff00) + le32(0xff)), "overlap");
  CHECK_REFUSED(bmp_of(1, 1, 32, four, 3, le32(0xf0f) + le32(0xf000) + le32(0xf0)), "gaps");
  CHECK_REFUSED(bmp_of(1, 1, 32, four, 3), "overlap the header");
}

TEST_CASE("bombs are refused before they go off") {
  reset_peak_memory();
  int64_t before = memory_stats().peak;
  auto start = std::chrono::steady_clock::now();
  std::string flat = chunk("IDAT", deflated(std::string(64 << 20, '\0'))), end = chunk("IEND", "");
  CHECK_REFUSED(kPngSignature + ihdr(1, 1, 8, 0) + flat + end, "longer");
  CHECK_REFUSED(kPngSignature + ihdr(16384, 16384, 8, 6) + flat + end, "has only");
  Jpeg jpeg;
  jpeg.width = jpeg.height = 16384;
  CHECK_REFUSED(jpeg.bytes(), "has only");
  jpeg.sof = 0xC2;
  jpeg.scan = std::string("\1\1\0\0\0\0", 6);
  CHECK_REFUSED(jpeg.bytes(), "has only");
  CHECK_REFUSED(bmp_of(16384, 16384, 24, "abcd"), "too early");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
  CHECK(memory_stats().peak - before < 1 << 20);
}

TEST_CASE("files that are no images, and things that are no files") {
  CHECK_REFUSED("", "empty");
  CHECK_REFUSED("GIF89a..............", "GIF");
  CHECK_REFUSED("hello, world, this is text", "PNG, JPEG or BMP");
  TempFolder folder;
  CHECK_THROWS_WITH(read_image(folder / "none.png"), ContainsSubstring("none.png"));
  CHECK_THROWS_WITH(read_image(folder.path.string()), ContainsSubstring("regular file"));
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_image(folder / "pipe"), ContainsSubstring("regular file"));
  std::ofstream(folder / "large.png").close();
  std::filesystem::resize_file(folder / "large.png", (uintmax_t{256} << 20) + 1);
  CHECK_THROWS_WITH(read_image(folder / "large.png"), ContainsSubstring("expected at most"));
  CHECK_THROWS_WITH(decode_image(bmp_of(5, 5, 24, std::string(80, '\0')), "five.bmp", 24),
                    ContainsSubstring("24 in all"));
}
