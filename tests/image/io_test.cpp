// Reading and writing: what goes in comes out, in every kind of file, and each kind reads as its format says.
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "image/alpha.h"
#include "image/image.h"
#include "image/png_writer.h"
#include "tests/image/pictures.h"
#include "tests/temp_folder.h"
#include "tests/test.h"

using namespace dgp;

namespace {

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.nbytes())) == 0;
}

std::vector<int> values_of(const Image& image, float most) {
  std::vector<int> values;
  for (int64_t i = 0; i < image.pixels.numel(); ++i)
    values.push_back(static_cast<int>(std::lround(image.pixels.data<float>()[i] * most)));
  return values;
}

std::vector<int> decoded(const std::string& bytes, Shape shape) {
  Image image = decode_image(bytes, "test");
  CHECK(image.pixels.shape() == shape);
  return values_of(image, 255);
}

}  // namespace

TEST_CASE("PNG and BMP give back every bit") {
  TempFolder folder;
  for (int64_t channels : {1, 2, 3, 4})
    for (int depth : {8, 16})
      for (auto [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {1, 7}, {5, 1}, {13, 17}, {130, 257}}) {
        Image image = test_picture(height, width, channels, depth);
        INFO(to_string(image.pixels.shape()) << " depth " << depth);
        std::string png = folder / "a.png";
        write_image(png, image);
        Image back = read_image(png);
        CHECK(back.depth == depth);
        CHECK(same(back.pixels, image.pixels));
        ImageInfo info = image_info(png);
        CHECK((info.width == width && info.height == height && info.channels == channels &&
               info.depth == depth));
        if (depth == 16) continue;
        std::string bmp = folder / "a.bmp";
        write_image(bmp, image);
        CHECK(image_info(bmp).channels == (channels == 2 ? 4 : channels));
        if (channels != 2)
          CHECK(same(read_image(bmp).pixels, image.pixels));
        else
          CHECK(same(read_rgb8(bmp), read_rgb8(png)));
      }
}

TEST_CASE("a file's contents, not its name, say what it is") {
  TempFolder folder;
  Image image = test_picture(6, 5, 3, 8);
  write_image(folder / "a.png", image);
  std::filesystem::rename(folder / "a.png", folder / "b.jpg");
  CHECK(same(read_image(folder / "b.jpg").pixels, image.pixels));
  CHECK(is_image_name("a/b.c/X.JPeG"));
  CHECK(is_image_name(".png"));
  CHECK_FALSE(is_image_name("a.png/b"));
  CHECK_FALSE(is_image_name("png"));
}

TEST_CASE("JPEG is close to what went in") {
  TempFolder folder;
  for (int64_t channels : {1, 3}) {
    Image image{Tensor({40, 61, channels}), 8};
    for (int64_t i = 0; i < image.pixels.numel(); ++i)
      image.pixels.data<float>()[i] =
          static_cast<float>(0.5 + 0.4 * std::sin(static_cast<double>(i / channels) / 30));
    write_image(folder / "a.jpeg", image);
    CHECK(image_info(folder / "a.jpeg").channels == channels);
    Tensor back = to_float(read_rgb8(folder / "a.jpeg"));
    double most = 0;
    for (int64_t i = 0; i < back.numel(); ++i)
      most = std::max(most, std::abs(static_cast<double>(back.data<float>()[i]) -
                                     static_cast<double>(image.pixels.data<float>()[i / 3 * channels])));
    CHECK(most < 0.03);
  }
}

TEST_CASE("JPEG decodes as libjpeg does: baseline, progressive, grey, every EXIF orientation") {
  std::ifstream file(std::string(DGP_SOURCE_DIR) + "/tests/golden/image.json");
  TempFolder folder;
  const nlohmann::json golden = nlohmann::json::parse(file);
  for (const auto& [name, c] : golden["jpeg"].items()) {
    INFO(name);
    std::string bytes = from_hex(c["hex"]);
    auto shape = c["shape"].get<Shape>();
    auto expected = c["pixels"].get<std::vector<int>>();
    std::vector<int> pixels = decoded(bytes, shape);
    int most = 0;
    for (size_t i = 0; i < expected.size(); ++i) most = std::max(most, std::abs(pixels[i] - expected[i]));
    CHECK(most == 0);
    write_file(folder / "a", bytes);
    ImageInfo info = image_info(folder / "a");
    CHECK(Shape{info.height, info.width, info.channels} == shape);
  }
}

TEST_CASE("PNG of few bits, palettes and transparent colours") {
  // 1 bit: 10110000 over two rows.
  CHECK(decoded(png_of(ihdr(3, 2, 1, 0), "", std::string("\0\xA0\0\x40", 4)), {2, 3, 1}) ==
        std::vector<int>{255, 0, 255, 0, 255, 0});
  CHECK(decoded(png_of(ihdr(3, 1, 2, 0), "", std::string("\0\x1B", 2)), {1, 3, 1}) ==
        std::vector<int>{0, 85, 170});
  CHECK(decoded(png_of(ihdr(3, 1, 4, 0), "", std::string("\0\x1F\x20", 3)), {1, 3, 1}) ==
        std::vector<int>{17, 255, 34});
  std::string palette = chunk("PLTE", std::string("\1\2\3\4\5\6\7\10\11", 9));
  CHECK(decoded(png_of(ihdr(3, 1, 2, 3), palette, std::string("\0\x18", 2)), {1, 3, 3}) ==
        std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(decoded(png_of(ihdr(2, 1, 2, 3), palette + chunk("tRNS", "\x80"), std::string("\0\x10", 2)),
                {1, 2, 4}) == std::vector<int>{1, 2, 3, 128, 4, 5, 6, 255});
  std::string key = chunk("tRNS", std::string("\0\1", 2));
  CHECK(decoded(png_of(ihdr(2, 1, 2, 0), key, std::string("\0\x60", 2)), {1, 2, 2}) ==
        std::vector<int>{85, 0, 170, 255});
  std::string rgb_key = chunk("tRNS", std::string("\0\1\0\2\0\3", 6));
  CHECK(decoded(png_of(ihdr(2, 1, 8, 2), rgb_key, std::string("\0\1\2\3\1\2\4", 7)), {1, 2, 4}) ==
        std::vector<int>{1, 2, 3, 0, 1, 2, 4, 255});
  Image deep = decode_image(png_of(ihdr(2, 1, 16, 0), key, std::string("\0\0\1\xFF\xFF", 5)), "test");
  CHECK(deep.depth == 16);
  CHECK(values_of(deep, 65535) == std::vector<int>{1, 0, 65535, 65535});
}

TEST_CASE("PNG in seven passes") {
  const int64_t passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
  for (int64_t width : {1, 2, 3, 5, 8, 19})
    for (int64_t height : {1, 4, 9}) {
      std::string raw;
      std::vector<int> expected(static_cast<size_t>(width * height));
      for (auto [x0, y0, dx, dy] : passes)
        for (int64_t y = y0; y < height && x0 < width; y += dy) {
          raw.push_back(0);
          for (int64_t x = x0; x < width; x += dx) {
            raw.push_back(static_cast<char>(y * 20 + x));
            expected[static_cast<size_t>(y * width + x)] = static_cast<int>(y * 20 + x);
          }
        }
      std::string header = ihdr(static_cast<uint32_t>(width), static_cast<uint32_t>(height), 8, 0, 1);
      CHECK(decoded(png_of(header, "", raw), {height, width, 1}) == expected);
    }
}

TEST_CASE("BMP top-down, with masks, with a palette of colours") {
  std::string pixels("\1\2\3\0\4\5\6\0", 8);  // two rows of one pixel, blue first
  CHECK(decoded(bmp_of(1, 2, 24, pixels), {2, 1, 3}) == std::vector<int>{6, 5, 4, 3, 2, 1});
  CHECK(decoded(bmp_of(1, -2, 24, pixels), {2, 1, 3}) == std::vector<int>{3, 2, 1, 6, 5, 4});
  CHECK(decoded(bmp_of(1, 2, 32, pixels), {2, 1, 3}) == std::vector<int>{6, 5, 4, 3, 2, 1});
  std::string masks = le32(0xff) + le32(0xff00) + le32(0xff0000);
  CHECK(decoded(bmp_of(1, 2, 32, pixels, 3, masks), {2, 1, 3}) == std::vector<int>{4, 5, 6, 1, 2, 3});
  std::string ten_bits = le32(0x3ff) + le32(0xffc00) + le32(0x3ff00000);
  CHECK(decoded(bmp_of(1, 1, 32, le32(0x3ff | 512 << 10), 3, ten_bits), {1, 1, 3}) ==
        std::vector<int>{255, 128, 0});
  std::string palette = le32(0x102030) + le32(0x405060);
  CHECK(decoded(bmp_of(2, 1, 8, std::string("\1\0\0\0", 4), 0, palette, 2), {1, 2, 3}) ==
        std::vector<int>{0x40, 0x50, 0x60, 0x10, 0x20, 0x30});
}

TEST_CASE("to_u8 clamps and rounds half to even") {
  std::vector<float> x{-1,
                       0,
                       0.5f / 255,
                       1.5f / 255,
                       2.5f / 255,
                       254.5f / 255,
                       1,
                       2,
                       std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity()};
  Tensor y = to_u8(Tensor::from<float>({10}, x));
  const int expected[] = {0, 0, 0, 2, 2, 254, 255, 255, 255, 0};
  for (int i = 0; i < 10; ++i) CHECK(y.data<uint8_t>()[i] == expected[i]);
  x[3] = std::nanf("");
  CHECK_THROWS_WITH(to_u8(Tensor::from<float>({10}, x)), ContainsSubstring("NaN"));
}

TEST_CASE("writing refuses what a format cannot hold, and leaves nothing behind") {
  TempFolder folder;
  Image image = test_picture(4, 4, 4, 8);
  CHECK_THROWS_WITH(write_image(folder / "a.jpg", image), ContainsSubstring("no transparency"));
  CHECK_THROWS_WITH(write_image(folder / "a.webp", image), ContainsSubstring(".png"));
  CHECK_THROWS_WITH(write_image(folder / "a.jpg", {Tensor::zeros({1, 70000, 1}), 8}),
                    ContainsSubstring("65500"));
  CHECK_THROWS_WITH(write_image(folder / "no/a.png", image), ContainsSubstring("cannot create"));
  image.pixels.data<float>()[7] = std::nanf("");
  for (const char* name : {"a.png", "a.bmp"}) {
    try {
      write_image(folder / name, image);
      FAIL("NaN was written");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::numeric);
    }
  }
  {
    PngWriter unfinished(folder / "b.png", 4, 4, 3);
    unfinished.rows(Tensor::zeros({3, 4, 3}));
    CHECK_THROWS_WITH(unfinished.commit(), ContainsSubstring("given 3"));
    CHECK_THROWS_WITH(unfinished.rows(Tensor::zeros({2, 4, 3})), ContainsSubstring("given more"));
  }
  CHECK(folder.entries() == 0);
}

TEST_CASE("PngWriter gives the same file however its rows arrive") {
  TempFolder folder;
  Image image = test_picture(37, 300, 3, 16);
  write_image(folder / "whole.png", image);
  PngWriter rows(folder / "rows.png", 300, 37, 3, 16);
  for (int64_t y = 0; y < 37; y += 5) rows.rows(image.pixels.slab(y, std::min<int64_t>(5, 37 - y)));
  rows.commit();
  CHECK(read_file(folder / "whole.png") == read_file(folder / "rows.png"));
}

TEST_CASE("colour bleeds under transparent pixels and nowhere else") {
  Image image{Tensor::zeros({9, 14, 4}), 8};
  float* p = image.pixels.data<float>();
  for (int64_t i = 0; i < 9 * 14; ++i) {
    bool visible = i % 14 >= 5 && i % 14 < 8;
    const float colour[] = {0.8f, 0.25f, 0.5f, 0.5f}, hidden[] = {0, 1, 0, 0};
    std::copy_n(visible ? colour : hidden, 4, p + 4 * i);
  }
  Tensor colour = bleed_colour(image);
  REQUIRE(colour.shape() == Shape{9, 14, 3});
  for (int64_t i = 0; i < 9 * 14; ++i) {
    CHECK(colour.data<float>()[3 * i] == Approx(0.8f));
    CHECK(colour.data<float>()[3 * i + 1] == Approx(0.25f));
    CHECK(colour.data<float>()[3 * i + 2] == Approx(0.5f));
  }
  Image unseen{Tensor::zeros({3, 3, 2}), 8};
  CHECK(bleed_colour(unseen).shape() == Shape{3, 3, 1});
  Image opaque = test_picture(3, 4, 3, 8);
  CHECK(same(bleed_colour(opaque), opaque.pixels));
}
