// Augmentations: what they do to patches whose values tell where they came from, how often, and that nothing
// but the sample's number decides.
#include "train/augment.h"

#include <algorithm>
#include <set>

#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/loader.h"

using namespace dgp;

namespace {

constexpr int64_t kPatch = 20;

AugmentConfig only(double AugmentConfig::*which) {
  AugmentConfig c = AugmentConfig::none();
  c.*which = 1;
  return c;
}

Tensor colours(int64_t side) {  // red 0.1, green 0.2, blue 0.3
  Tensor x({side, side, 3});
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = 0.1f * static_cast<float>(1 + i % 3);
  return x;
}

bool same(const Tensor& a, const Tensor& b) {
  return std::equal(a.bytes(), a.bytes() + a.nbytes(), b.bytes());
}

}  // namespace

TEST_CASE("channels are put in every order, the same in both patches") {
  std::set<std::vector<float>> orders;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Tensor lr = colours(kPatch), hr = colours(2 * kPatch);
    apply_colours(draw_colours(only(&AugmentConfig::channels), kPatch, Rng(seed)), 2, kPatch,
                  lr.data<float>(), hr.data<float>());
    const std::vector<float> first(lr.data<float>(), lr.data<float>() + 3);
    orders.insert(first);
    for (const Tensor& x : {lr, hr})
      for (int64_t i = 0; i < x.numel(); ++i)
        REQUIRE(x.data<float>()[i] == first[static_cast<size_t>(i % 3)]);
  }
  CHECK(orders.size() == 6);
}

TEST_CASE("cutblur pastes the sharp patch inside or outside a rectangle and leaves the target alone") {
  for (int64_t scale : {1, 3}) {
    std::set<int64_t> kept;
    for (uint64_t seed = 0; seed < 40; ++seed) {
      Tensor lr = Tensor::zeros({kPatch, kPatch, 3}),
             hr = Tensor::full({kPatch * scale, kPatch * scale, 3}, 1);
      AugmentConfig c = only(&AugmentConfig::cutblur);
      apply_colours(draw_colours(c, kPatch, Rng(seed)), scale, kPatch, lr.data<float>(), hr.data<float>());
      int64_t sharp = 0, top = kPatch, left = kPatch, bottom = -1, right = -1;
      const float* p = lr.data<float>();  // a rectangle holds one corner at most
      const int sharp_corners = (p[0] > 0) + (p[(kPatch - 1) * 3] > 0) + (p[lr.numel() - 1] > 0);
      const bool inside = sharp_corners <= 1;
      for (int64_t i = 0; i < kPatch * kPatch; ++i) {
        const bool pasted = std::abs(lr.data<float>()[3 * i] - 1) < 1e-6;
        REQUIRE((pasted || lr.data<float>()[3 * i] == 0));
        sharp += pasted;
        if (pasted != inside) continue;
        top = std::min(top, i / kPatch), bottom = std::max(bottom, i / kPatch);
        left = std::min(left, i % kPatch), right = std::max(right, i % kPatch);
      }
      const int64_t side = bottom - top + 1, area = side * side;  // a rectangle, filled
      CHECK(side == right - left + 1);
      CHECK(sharp == (inside ? area : kPatch * kPatch - area));
      CHECK((side == 13 || side == 14));  // 0.7 of 20, a little more or less
      kept.insert(sharp);
      CHECK(*std::min_element(hr.data<float>(), hr.data<float>() + hr.numel()) == 1);
    }
    CHECK(*kept.begin() <= 400 - 13 * 13);  // both ways happen: 169 or 196 pasted, or 231 or 204
    CHECK(kept.count(169) + kept.count(196) > 0);
    CHECK(kept.count(231) + kept.count(204) > 0);
  }
}

TEST_CASE("mixup's shares have Beta(a, a)'s mean and variance") {
  for (double alpha : {0.4, 1.2, 3.0}) {
    AugmentConfig c = only(&AugmentConfig::mixup);
    c.mixup_alpha = alpha;
    double sum = 0, squares = 0;
    constexpr int kDraws = 20000;
    for (uint64_t i = 0; i < kDraws; ++i) {
      const double v = draw_mixup(c, Rng(9).split(i));
      sum += v, squares += v * v;
    }
    const double mean = sum / kDraws, variance = squares / kDraws - mean * mean;
    CHECK(mean == Approx(0.5).margin(0.01));
    CHECK(variance == Approx(1 / (4 * (2 * alpha + 1))).epsilon(0.05));
  }
}

TEST_CASE("a mixed sample is the same mixture of two samples in LR and HR") {
  TempFolder temp;
  std::filesystem::create_directories(temp / "hr");
  for (int i = 0; i < 2; ++i)  // a black and a white picture: a patch's value is its share
    write_image(temp / "hr/" + std::to_string(i) + ".png", {Tensor::full({24, 24, 3}, i), 8});
  Dataset data({{.hr = temp / "hr"}}, 2, 8, 1 << 20);
  AugmentConfig c = only(&AugmentConfig::mixup);
  Tensor lr({8, 8, 3}), hr({16, 16, 3});
  int between = 0;
  for (uint64_t i = 0; i < 40; ++i) {
    data.sample(Rng(i), c, lr.data<float>(), hr.data<float>());
    const float v = lr.data<float>()[0];
    between += v > 0 && v < 1;
    for (const Tensor& x : {lr, hr})
      for (int64_t k = 0; k < x.numel(); ++k) REQUIRE(std::abs(x.data<float>()[k] - v) < 1e-6f);
  }
  CHECK(between > 10);
  CHECK(between < 30);
}

TEST_CASE("flips and transposition happen as often as asked and turn both patches alike") {
  CHECK(draw_orientation(only(&AugmentConfig::vflip), Rng(1)).vflip);
  CHECK_FALSE(draw_orientation(only(&AugmentConfig::vflip), Rng(1)).hflip);
  int transposed = 0;
  AugmentConfig c;
  c.transpose = 0.2;
  for (uint64_t i = 0; i < 5000; ++i) transposed += draw_orientation(c, Rng(4).split(i)).transpose;
  CHECK(transposed / 5000.0 == Approx(0.2).margin(0.025));

  TempFolder temp;
  write_pictures(temp / "hr", 1, 20, 20);
  Dataset data({{.hr = temp / "hr"}}, 1, 20, 1 << 20);
  Tensor straight({20, 20, 3}), turned({20, 20, 3}), unused({20, 20, 3});
  data.sample(Rng(2), AugmentConfig::none(), unused.data<float>(), straight.data<float>());
  AugmentConfig turn = only(&AugmentConfig::hflip);
  turn.transpose = 1;
  data.sample(Rng(2), turn, unused.data<float>(), turned.data<float>());
  for (int64_t y = 0; y < 20; ++y)
    for (int64_t x = 0; x < 20; ++x)  // the picture mirrored, then its rows read as columns
      REQUIRE(turned.data<float>()[(y * 20 + x) * 3] == straight.data<float>()[(x * 20 + 19 - y) * 3]);
}

TEST_CASE("augmentations are read from a configuration, on, off and one by one") {
  const auto read = [](const std::string& augment) {
    return parse_config("data: {train: {hr: x}, augment: " + augment + "}", "test").data.augment;
  };
  CHECK(read("false").hflip == 0);
  CHECK(read("true").transpose == 0.5);
  CHECK(read("{cutblur: 0.1, hflip: 0}").cutblur == 0.1);
  CHECK(read("{cutblur: 0.1, hflip: 0}").vflip == 0.5);
  CHECK_THROWS_AS(read("{cutblurr: 0.1}"), Error);
  CHECK_THROWS_AS(read("{mixup: 1.1}"), Error);
  CHECK_THROWS_AS(read("maybe"), Error);
  TrainConfig c = parse_config("data: {train: {hr: x}, augment: {mixup: 0.25}}", "test");
  CHECK(parse_config(to_yaml(c), "again").data.augment.mixup == 0.25);
}

TEST_CASE("augmented batches depend on their number alone") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  AugmentConfig& a = config.data.augment;
  a.channels = a.cutblur = a.mixup = 0.5;
  Dataset data(config.data.train, 2, 12, 1 << 24);
  Loader one(data, config, 0);
  std::vector<Batch> batches;
  for (int i = 0; i < 8; ++i) batches.push_back(one.next());
  config.data.workers = 3;
  Loader three(data, config, 3);
  for (size_t i = 3; i < 8; ++i) {
    const Batch b = three.next();
    CHECK(same(b.lr, batches[i].lr));
    CHECK(same(b.hr, batches[i].hr));
  }
}
