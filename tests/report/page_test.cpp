// The parts of a page: text, pictures as data, charts, tables, strips.
#include <cmath>
#include <limits>
#include <regex>

#include "image/image.h"
#include "report/chart.h"
#include "report/html.h"
#include "report/pictures.h"
#include "report/score_table.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;

namespace {

std::string unbase64(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t word = 0;
  int bits = 0;
  for (char c : text) {
    if (c == '=') break;
    word = word << 6 | static_cast<uint32_t>(digits.find(c));
    if ((bits += 6) >= 8) bytes += static_cast<char>(word >> (bits -= 8) & 255);
  }
  return bytes;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

Tensor grey(int64_t height, int64_t width, int value) {
  return Tensor::full({height, width, 3}, value, DType::u8);
}

}  // namespace

TEST_CASE("base64 has the values of RFC 4648") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xfb\xff") == "+/8=");
}

TEST_CASE("a picture in a page is the PNG that a reader sees") {
  const Tensor x = random_tensor({5, 7, 4}, 3);
  const std::string uri = png_uri(x), head = "data:image/png;base64,";
  REQUIRE(uri.starts_with(head));
  const Image back = decode_image(unbase64(uri.substr(head.size())), "uri");
  REQUIRE(back.pixels.shape() == x.shape());
  for (int64_t i = 0; i < x.numel(); ++i)
    CHECK(std::abs(back.pixels.data<float>()[i] - x.data<float>()[i]) <= 0.5F / 255 + 1e-6F);
  CHECK(png_file_uri("/no/such/file.png") == "");
}

TEST_CASE("text in a page is text") {
  CHECK(escaped("a<b> & \"c\"") == "a&lt;b&gt; &amp; &quot;c&quot;");
  CHECK(with_sign(0.126, 2) == "+0.13");
  CHECK(with_sign(-0.5, 1) == "−0.5");
  CHECK(with_sign(-0.0004, 2) == "±0.00");
  CHECK(decimals(std::numeric_limits<double>::infinity(), 2) == "equal");
  const std::string html = page("<run>", "body");
  CHECK_THAT(html, ContainsSubstring("<title>&lt;run&gt;</title>") &&
                       ContainsSubstring("prefers-color-scheme:dark") && ContainsSubstring("</html>"));
  CHECK(html.find("http") == std::string::npos);
}

TEST_CASE("a chart places its points on its axes") {
  CHECK(chart("empty", {{"a", "main", {}}}) == "");
  const std::string svg =
      chart("A & B", {{"a", "main", {{0, 0}, {50, 10}, {100, 20}}}}, {.low = 0, .high = 20});
  // 64 to 470 across, 10 down to 190: the corners and the middle.
  CHECK_THAT(svg, ContainsSubstring("points=\"64,190 267,100 470,10 \"") && ContainsSubstring("A &amp; B") &&
                      ContainsSubstring(">20</text>"));
  CHECK(count_of(svg, "key") == 0);
  const std::string logarithmic =
      chart("L", {{"a", "main", {{0, 0.01}, {10, 1}, {5, -1}}}, {"b", "base", {}}},
            {.low = -2, .high = 0, .logarithmic = true});
  CHECK_THAT(logarithmic,
             ContainsSubstring("points=\"64,190 470,10 \"") && ContainsSubstring(">0.01</text>"));
  CHECK(count_of(logarithmic, "class=\"key ") == 2);
  std::vector<Point> many;
  for (int i = 0; i < 10000; ++i) many.push_back({static_cast<double>(i), std::sin(i)});
  CHECK(chart("many", {{"a", "main", many}}).size() < 20000);
}

TEST_CASE("a table puts the picture with the least gain first and says which way it went") {
  auto row = [](const char* name, double before, double after) {
    return ScoreRow{name, {{{"psnr_y", before}, {"lpips", 0.3}}, {{"psnr_y", after}, {"lpips", 0.2}}}};
  };
  const double inf = std::numeric_limits<double>::infinity();
  const std::string html = score_table({"bicubic", "out<put"}, {"psnr_y", "lpips"},
                                       {row("mean", 30, 31), row("good", 30, 33), row("equal", 30, inf),
                                        row("worse", 30, 29.5), row("fair", 20, 21)});
  const size_t mean = html.find(">mean<"), worse = html.find(">worse<"), fair = html.find(">fair<"),
               good = html.find(">good<"), equal = html.find(">equal<");
  CHECK((mean < worse && worse < fair && fair < good && good < equal && equal != std::string::npos));
  CHECK_THAT(html, ContainsSubstring("class=\"down\">−0.50") && ContainsSubstring("class=\"up\">+3.00") &&
                       ContainsSubstring("class=\"up\">−0.1000") && ContainsSubstring("out&lt;put") &&
                       ContainsSubstring("PSNR Y") && ContainsSubstring("LPIPS"));
  CHECK(measure_name("ms_ssim_rgb") == "MS-SSIM RGB");
}

TEST_CASE("the telling box is where the input is furthest from the truth") {
  Tensor truth = grey(60, 81, 100), enlarged = grey(60, 81, 100);
  for (int64_t y = 40; y < 48; ++y)
    for (int64_t x = 44; x < 52; ++x) truth.data<uint8_t>()[(y * 81 + x) * 3] = 255;
  const Box box = telling_box(enlarged, truth, 16, 4);
  CHECK((box.width == 16 && box.height == 16 && box.x % 4 == 0 && box.y % 4 == 0));
  CHECK((box.x <= 44 && box.x + 16 >= 52 && box.y <= 40 && box.y + 16 >= 48));
  const Box whole = telling_box(enlarged, truth, 128, 4);
  CHECK((whole.x == 0 && whole.y == 0 && whole.width == 80 && whole.height == 60));
  CHECK(shrunk(box, 4).width == 4);

  Tensor off = grey(2, 2, 100);
  off.data<uint8_t>()[0] = 244;  // a third of 144: the end of the scale
  const Tensor map = difference_map(grey(2, 2, 100), off);
  CHECK(map.data<float>()[0] == Approx(253 / 255.0));
  CHECK(map.data<float>()[3] == Approx(68 / 255.0));
  const std::string html = strip({{"LR", "8 px", grey(2, 2, 9)}, {"a<b", "", map}});
  CHECK(count_of(html, "<img ") == 2);
  CHECK_THAT(html, ContainsSubstring("a&lt;b") && ContainsSubstring("8 px"));
}
