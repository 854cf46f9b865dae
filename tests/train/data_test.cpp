// Finding and pairing pictures, patches that stay aligned, batches that depend on nothing but their number.
#include "train/data.h"

#include <algorithm>
#include <cmath>

#include "image/resize.h"
#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/degrade.h"
#include "train/loader.h"

using namespace dgp;

namespace {

std::string complaint(const SourceConfig& source, int64_t scale = 2, int64_t patch = 8) {
  try {
    Dataset({source}, scale, patch, 1 << 24);
  } catch (const Error& e) {
    CHECK(e.code() == ErrorCode::bad_file);
    return e.what();
  }
  return "accepted";
}

bool same(const Tensor& a, const Tensor& b) {
  return std::equal(a.bytes(), a.bytes() + a.nbytes(), b.bytes());
}

double largest_difference(const Tensor& a, const Tensor& b) {
  double worst = 0;
  for (int64_t i = 0; i < a.numel(); ++i)
    worst = std::max<double>(worst, std::abs(a.data<float>()[i] - b.data<float>()[i]));
  return worst;
}

}  // namespace

TEST_CASE("pictures without a partner, of the wrong size, too small or damaged are all listed") {
  TempFolder temp;
  write_pictures(temp / "hr", 4, 40, 48);
  write_pictures(temp / "lr", 3, 20, 24);
  SourceConfig source{.lr = temp / "lr", .hr = temp / "hr"};
  CHECK_THAT(complaint(source), ContainsSubstring("p3.png: has no partner"));
  source.skip = {"p3"};
  CHECK(complaint(source) == "accepted");
  CHECK_THAT(complaint(source, 3), ContainsSubstring("p0.png: is 24x20, but its partner") &&
                                       ContainsSubstring("is 48x40, not 3 times") &&
                                       ContainsSubstring("p2.png"));
  CHECK_THAT(complaint(source, 2, 21), ContainsSubstring("smaller than a patch of 42x42"));
  std::filesystem::resize_file(temp / "hr/p1.png", 100);
  CHECK_THAT(complaint(source), ContainsSubstring("p1.png") && !ContainsSubstring("p2.png"));
  CHECK_THAT(complaint({.hr = temp / "none"}), ContainsSubstring("none"));
  source.only = {"p0", "p9"};
  CHECK_THAT(complaint(source), ContainsSubstring("no picture is called p9"));
}

TEST_CASE("one folder holds pairs told apart by patterns") {
  TempFolder temp;
  for (const char* name : {"a_LR.png", "a_HR.png", "b_LR.png", "b_HR.png"})
    write_image(temp / name, {test_picture(16, 16, 1), 8});
  std::vector<Finding> findings;
  auto found = find_pictures(
      {.lr = temp / "", .hr = temp / "", .lr_pattern = "*_LR.png", .hr_pattern = "*_HR.png"}, findings);
  CHECK(findings.empty());
  REQUIRE(found.size() == 2);
  CHECK(found[1].name == "b");
  CHECK_THAT(found[1].lr, ContainsSubstring("b_LR.png"));
}

TEST_CASE("the memory limit is kept") {
  TempFolder temp;
  write_pictures(temp / "hr", 2, 40, 48);
  CHECK_THROWS_AS(Dataset({{.hr = temp / "hr"}}, 2, 8, 6000), Error);
}

TEST_CASE("patches of pairs stay aligned under flips and transposition") {
  TempFolder temp;
  std::filesystem::create_directories(temp / "hr");
  std::filesystem::create_directories(temp / "lr");
  Tensor lr = test_picture(20, 24, 5), hr({60, 72, 3});
  for (int64_t y = 0; y < 60; ++y)  // each LR pixel three times each way
    for (int64_t x = 0; x < 72; ++x)
      for (int64_t c = 0; c < 3; ++c)
        hr.data<float>()[(y * 72 + x) * 3 + c] = lr.data<float>()[(y / 3 * 24 + x / 3) * 3 + c];
  write_image(temp / "lr/a.png", {lr, 8});
  write_image(temp / "hr/a.png", {hr, 8});
  Dataset data({{.lr = temp / "lr", .hr = temp / "hr"}}, 3, 7, 1 << 20);
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Tensor a({7, 7, 3}), b({21, 21, 3});
    data.sample(Rng(seed), {}, a.data<float>(), b.data<float>());
    for (int64_t y = 0; y < 21; ++y)
      for (int64_t x = 0; x < 21; ++x)
        REQUIRE(b.data<float>()[(y * 21 + x) * 3] == a.data<float>()[(y / 3 * 7 + x / 3) * 3]);
  }
}

TEST_CASE("bicubic on the fly is imresize of the whole picture, up to the borders") {
  for (int64_t s : {2, 3, 4}) {
    Tensor x = test_picture(48, 60, 9);
    CHECK(largest_difference(shrink_bicubic(x, s), imresize(x, 1.0 / static_cast<double>(s))) < 2e-6);
  }
  TempFolder temp;
  write_pictures(temp / "hr", 1, 48, 52);
  Dataset data({{.hr = temp / "hr"}}, 4, 12, 1 << 20);  // a patch is the whole height
  Tensor hr = to_float(read_rgb8(temp / "hr/p0.png"));
  Tensor lr = to_float(to_u8(imresize(hr, 0.25)));
  int matches = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Tensor a({12, 12, 3}), b({48, 48, 3});
    data.sample(Rng(seed), AugmentConfig::none(), a.data<float>(), b.data<float>());
    for (int64_t x : {0, 4}) {  // the patch begins on the grid of the whole picture's LR
      if (!std::equal(b.data<float>(), b.data<float>() + 48 * 3, hr.data<float>() + x * 3)) continue;
      ++matches;
      double worst = 0;
      for (int64_t i = 0; i < 12; ++i)
        for (int64_t j = 0; j < 36; ++j)
          worst = std::max<double>(
              worst, std::abs(a.data<float>()[i * 36 + j] - lr.data<float>()[(i * 13 + x / 4) * 3 + j]));
      CHECK(worst < 1.01 / 255);
    }
  }
  CHECK(matches > 3);
}

TEST_CASE("batches depend on their number alone, not on workers or where loading began") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.data.train[0].degrade.type = "real";
  Dataset data(config.data.train, 2, 12, 1 << 24);
  std::vector<Batch> batches;
  Loader one(data, config, 0);
  for (int i = 0; i < 9; ++i) batches.push_back(one.next());
  config.data.workers = 3;
  Loader three(data, config, 4);
  for (size_t i = 4; i < 9; ++i) {
    Batch b = three.next();
    CHECK(same(b.lr, batches[i].lr));
    CHECK(same(b.hr, batches[i].hr));
  }
  CHECK_FALSE(same(batches[0].lr, batches[1].lr));
}
