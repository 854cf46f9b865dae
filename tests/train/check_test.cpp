// The check of a configuration's pictures: every kind of fault is found from headers, named, and left out on
// demand; what is only worth knowing is a note.
#include "train/check.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/data.h"

using namespace dgp;

namespace {

// Pairs p0 to p9 at scale 2, all sound.
TrainConfig pairs(const TempFolder& temp) {
  TrainConfig c = small_run(temp);
  write_pictures(temp / "big", 10, 40, 48);
  write_pictures(temp / "small", 10, 20, 24);
  c.data.train = {SourceConfig{.lr = temp / "small", .hr = temp / "big"}};
  return c;
}

// "kind name" of every finding of the first root, problems first.
std::vector<std::string> found(const DataCheck& check, bool problems = true) {
  std::vector<std::string> list;
  for (const Finding& f : check.sources.at(0).findings)
    if (f.problem == problems)
      list.push_back(f.kind + " " + std::filesystem::path(f.file).filename().string());
  std::sort(list.begin(), list.end());
  return list;
}

using List = std::vector<std::string>;

}  // namespace

TEST_CASE("the check lists every fault of every picture and names the files") {
  TempFolder temp;
  TrainConfig c = pairs(temp);
  CHECK(check_data(c, true).problems() == 0);
  std::filesystem::remove(temp / "small/p1.png");                    // no partner
  write_image(temp / "small/p2.png", {test_picture(20, 23, 2), 8});  // not the ratio
  write_file(temp / "big/p3.png", "no picture");                     // not readable
  std::filesystem::resize_file(temp / "small/p4.png", 100);          // cut off
  write_image(temp / "big/p5.png", {test_picture(20, 24, 5), 8});    // too small
  write_image(temp / "small/p5.png", {test_picture(10, 12, 5), 8});
  write_image(temp / "small/extra.png", {test_picture(20, 24, 2), 8});
  std::filesystem::copy(temp / "big/p6.png", temp / "big/p6.bmp");  // two of a name
  const DataCheck check = check_data(c, false);
  CHECK(found(check) == List{"name p6.png", "partner extra.png", "partner p1.png", "ratio p2.png",
                             "small p5.png", "unreadable p3.png", "unreadable p4.png"});
  const std::string text = to_text(check);
  CHECK_THAT(text, ContainsSubstring("small/p2.png: is 23x20, but its partner") &&
                       ContainsSubstring("big/p2.png is 48x40, not 2 times as large"));
  CHECK_THAT(text, ContainsSubstring("ends too early") && ContainsSubstring("7 problems"));
  auto json = nlohmann::json::parse(to_json(check));
  CHECK(json["problems"] == 7);
  CHECK(json["sources"][0]["findings"].size() == 7);

  const TrainConfig rest = without_bad(c, check);
  CHECK(check_data(rest, true).problems() == 0);
  Dataset data(rest.data.train, 2, 12, 1 << 24);
  CHECK(data.pictures().size() == 4);  // p0, p7, p8, p9
}

TEST_CASE("pixels that are damaged behind a sound header and end are found by decoding") {
  TempFolder temp;
  TrainConfig c = pairs(temp);
  std::string bytes = read_file(temp / "big/p7.png");
  bytes[bytes.size() / 2] ^= 0x40;
  write_file(temp / "big/p7.png", bytes);
  CHECK(check_data(c, false).problems() == 0);
  CHECK(found(check_data(c, true)) == List{"unreadable p7.png"});
}

TEST_CASE("grey, transparent, deep, foreign and repeated pictures are notes") {
  TempFolder temp;
  TrainConfig c = small_run(temp);
  const Tensor x = test_picture(40, 48, 1);
  std::filesystem::create_directories(temp / "mixed");
  const auto channels = [&](int64_t n) {
    Tensor y({40, 48, n});
    for (int64_t i = 0; i < y.numel(); ++i) y.data<float>()[i] = x.data<float>()[i % x.numel()];
    return y;
  };
  write_image(temp / "mixed/alpha.png", {channels(4), 8});
  write_image(temp / "mixed/deep.png", {x, 16});
  write_image(temp / "mixed/grey.png", {channels(1), 8});
  write_image(temp / "mixed/plain.png", {test_picture(40, 48, 2), 8});
  std::filesystem::copy(temp / "mixed/plain.png", temp / "mixed/twin.png");
  write_file(temp / "mixed/scan.tif", "II*");
  c.data.train[0].hr = temp / "mixed";
  c.validate.data = {SourceConfig{.hr = temp / "mixed", .only = {"grey"}}};
  const DataCheck check = check_data(c, false);
  CHECK(check.problems() == 0);
  CHECK(found(check, false) ==
        List{"alpha alpha.png", "depth deep.png", "format scan.tif", "grey grey.png", "same twin.png"});
  CHECK(check.sources.at(1).findings.back().kind == "leak");
  CHECK(without_bad(c, check).data.train[0].skip.empty());
}

TEST_CASE("the check's sizes are those of the data set, shrunk copies too") {
  TempFolder temp;
  TrainConfig c = small_run(temp);
  c.data.train[0].sizes = {1, 0.6};
  const DataCheck check = check_data(c, false);
  Dataset data(c.data.train, 2, 12, 1 << 24);
  CHECK(check.pixel_bytes[0] == data.bytes());
  CHECK(check.fits());
  // 48x52 at scale 2 holds 2x2 patches of 24x24, 28x32 one.
  CHECK(check.patches == 3 * (4 + 1));
  c.data.cache = 1;
  c.data.train[0].sizes = std::vector<double>(100, 1);
  CHECK_FALSE(check_data(c, false).fits());
}

TEST_CASE("a root with nothing left, a missing folder and an unknown name cannot be skipped over") {
  TempFolder temp;
  TrainConfig c = small_run(temp);
  c.data.train[0].hr = temp / "none";
  DataCheck check = check_data(c, false);
  CHECK(found(check) == List{"folder none"});
  CHECK_THROWS_AS(without_bad(c, check), Error);
  c.data.train[0].hr = temp / "hr";
  c.data.train[0].only = {"p0", "p7"};
  check = check_data(c, false);
  CHECK(found(check) == List{"name hr"});
  CHECK(without_bad(c, check).data.train[0].only == List{"p0"});
}
