// Pictures read and written by rows: the same values and files as of the whole, whatever the bands.
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "image/bytes.h"
#include "image/image.h"
#include "tensor/parallel.h"
#include "tests/image/pictures.h"
#include "tests/temp_folder.h"
#include "tests/test.h"

using namespace dgp;

namespace {

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.nbytes())) == 0;
}

Tensor read_in_bands(const std::string& path, int64_t band) {
  ImageReader reader(path);
  const ImageInfo& info = reader.info();
  Tensor all({info.height, info.width, info.channels});
  for (int64_t y = 0; y < info.height; y += band) {
    int64_t count = std::min(band, info.height - y);
    all.slab(y, count).copy_from(reader.rows(count));
  }
  CHECK_THROWS_WITH(reader.rows(1), ContainsSubstring("asked for more"));
  return all;
}

nlohmann::json golden_jpegs() {
  std::ifstream file(DGP_SOURCE_DIR "/tests/golden/image.json");
  return nlohmann::json::parse(file)["jpeg"];
}

// Adam7, one byte a pixel.
std::string interlaced_grey(int64_t height, int64_t width) {
  constexpr int64_t kPasses[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                     {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
  std::string raw;
  for (auto [x0, y0, dx, dy] : kPasses)
    for (int64_t y = y0; y < height && x0 < width; y += dy) {
      raw.push_back('\0');
      for (int64_t x = x0; x < width; x += dx) raw.push_back(static_cast<char>(x * 7 + y * 31));
    }
  return png_of(ihdr(static_cast<uint32_t>(width), static_cast<uint32_t>(height), 8, 0, 1), "", raw);
}

}  // namespace

TEST_CASE("a picture read in bands is the picture") {
  TempFolder folder;
  std::vector<std::string> paths;
  auto add = [&](const std::string& name) { return paths.emplace_back(folder / name); };
  for (int64_t channels : {1, 2, 3, 4})
    for (int depth : {8, 16}) {
      Image image = test_picture(53, 301, channels, depth);
      std::string name = std::to_string(channels) + "x" + std::to_string(depth);
      write_image(add(name + ".png"), image);
      if (depth == 8) write_image(add(name + ".bmp"), image);
      if (depth == 8 && channels % 2 == 1) write_image(add(name + ".jpg"), image);
    }
  write_file(add("interlaced.png"), interlaced_grey(19, 23));
  const nlohmann::json jpegs = golden_jpegs();
  for (const auto& [name, c] : jpegs.items())
    write_file(add(name + ".jpg"), from_hex(c["hex"].get<std::string>()));
  for (const std::string& path : paths) {
    CAPTURE(path);
    Tensor whole = read_image(path).pixels;
    for (int64_t band : {1, 3, 8, 17, 1000}) CHECK(same(read_in_bands(path, band), whole));
  }
}

TEST_CASE("what is read by rows takes less than the picture") {
  TempFolder folder;
  Image image = test_picture(400, 300, 3, 8);
  for (const char* name : {"a.png", "a.bmp"}) {
    write_image(folder / name, image);
    CHECK(ImageReader(folder / name).working_bytes() == 0);
  }
  write_image(folder / "a.jpg", image);
  auto size = static_cast<int64_t>(read_file(folder / "a.jpg").size());
  CHECK(ImageReader(folder / "a.jpg").working_bytes() == size);
  auto progressive = from_hex(golden_jpegs()["progressive, halved colour"]["hex"].get<std::string>());
  write_file(folder / "p.jpg", progressive);
  CHECK(ImageReader(folder / "p.jpg").working_bytes() > static_cast<int64_t>(progressive.size()));
}

TEST_CASE("files that break their format are refused alike, by rows and as a whole") {
  TempFolder folder;
  Image image = test_picture(9, 14, 3, 8);
  for (const char* name : {"a.png", "a.bmp", "a.jpg"}) {
    std::string path = folder / name;
    write_image(path, image);
    std::string good = read_file(path);
    size_t step = std::max<size_t>(1, good.size() / 150);
    for (size_t at = 0; at < good.size(); at += step) {
      for (bool cut : {false, true}) {
        CAPTURE(name, at, cut);
        std::string bad = good;
        if (cut)
          bad.resize(at);
        else
          bad[at] = static_cast<char>(bad[at] ^ 0x15);
        write_file(path, bad);
        Tensor whole, rows;
        try {
          whole = decode_image(bad, "bad").pixels;
        } catch (const Error& error) {
          CHECK(error.code() == ErrorCode::bad_file);
        }
        try {
          rows = read_in_bands(path, 4);
        } catch (const Error& error) {
          CHECK(error.code() == ErrorCode::bad_file);
        }
        CHECK(whole.defined() == rows.defined());
        if (whole.defined() && rows.defined()) CHECK(same(whole, rows));
      }
    }
  }
}

TEST_CASE("a file is the same however its rows arrive, for any number of threads") {
  TempFolder folder;
  for (const char* name : {"a.png", "a.bmp", "a.jpg"}) {
    CAPTURE(name);
    Image image = test_picture(611, 700, 3, 8);  // of several parts that are compressed on their own
    write_image(folder / name, image);
    std::string expected = read_file(folder / name);
    if (std::string(name) != "a.jpg") CHECK(same(read_image(folder / name).pixels, image.pixels));
    int before = num_threads();
    for (int threads : {1, 3})
      for (int64_t band : {1, 5, 64, 610}) {
        set_num_threads(threads);
        ImageWriter writer(folder / name, {700, 611, 3, 8});
        for (int64_t y = 0; y < 611; y += band) writer.rows(image.pixels.slab(y, std::min(band, 611 - y)));
        writer.commit();
        CHECK(read_file(folder / name) == expected);
      }
    set_num_threads(before);
  }
  ImageWriter writer(folder / "b.bmp", {4, 4, 3, 8});
  writer.rows(Tensor::zeros({3, 4, 3}));
  CHECK_THROWS_WITH(writer.commit(), ContainsSubstring("given 3"));
  CHECK_THROWS_WITH(writer.rows(Tensor::zeros({2, 4, 3})), ContainsSubstring("given more"));
  CHECK_THROWS_WITH(writer.rows(Tensor::zeros({1, 3, 3})), ContainsSubstring("[R,4,3]"));
}
