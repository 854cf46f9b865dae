// The pool of pairs: which pair a sample comes from, that it is a piece of that pair, and that neither
// threads nor where a run begins change a bit.
#include "train/pool.h"

#include <algorithm>
#include <map>

#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/loader.h"

using namespace dgp;

namespace {

bool same(const Tensor& a, const Tensor& b) {
  return std::equal(a.bytes(), a.bytes() + a.nbytes(), b.bytes());
}

// Whether `patch` [n,n,3] stands at (y, x) of `whole`.
bool stands_at(const Tensor& whole, const Tensor& patch, int64_t y, int64_t x) {
  const int64_t n = patch.dim(0);
  for (int64_t r = 0; r < n; ++r)
    if (!std::equal(patch.data<float>() + r * n * 3, patch.data<float>() + (r + 1) * n * 3,
                    whole.data<float>() + ((y + r) * whole.dim(1) + x) * 3))
      return false;
  return true;
}

}  // namespace

TEST_CASE("every pair of the pool is drawn as often as asked, from a window that moves on") {
  const PoolConfig config{.pairs = 20, .reuse = 5};
  std::map<int64_t, int> uses;
  for (int64_t index = 0; index < 20000; ++index) {
    const int64_t number = PoolDraws::number(config, index, Rng(1).split(static_cast<uint64_t>(index)));
    REQUIRE(number >= index / 5);
    REQUIRE(number < index / 5 + 20);
    ++uses[number];
  }
  double sum = 0, pairs = 0;
  for (auto [number, count] : uses)
    if (number >= 20 && number < 3980) sum += count, ++pairs;
  CHECK(pairs == Approx(3960 * (1 - std::exp(-5))).epsilon(0.01));  // few are never drawn
  CHECK(sum / 3960 == Approx(5).epsilon(0.02));
}

TEST_CASE("a sample from the pool is a piece of its pair, LR and HR at the same place") {
  TempFolder temp;
  write_pictures(temp / "hr", 3, 80, 88);
  Dataset data({{.hr = temp / "hr", .degrade = degrade_preset("mild")}}, 2, 10, 1 << 24);
  const PoolConfig config{.pairs = 4, .reuse = 3, .size = 16};
  PairPool pool(data, config, 7);
  Tensor lr({10, 10, 3}), hr({20, 20, 3});
  for (int64_t index = 0; index < 30; ++index) {
    pool.sample(index, Rng(2).split(static_cast<uint64_t>(index)), AugmentConfig::none(), lr.data<float>(),
                hr.data<float>());
    int found = 0;
    for (int64_t j = index / 3; j < index / 3 + 4; ++j) {
      const Pair pair = data.pair(Rng(7, 0x9a125).split(static_cast<uint64_t>(j)), 16);
      REQUIRE(pair.lr.shape() == Shape{16, 16, 3});
      REQUIRE(pair.hr.shape() == Shape{32, 32, 3});
      for (int64_t y = 0; y <= 6; ++y)
        for (int64_t x = 0; x <= 6; ++x)
          found += stands_at(pair.lr, lr, y, x) && stands_at(pair.hr, hr, 2 * y, 2 * x);
    }
    REQUIRE(found >= 1);
  }
}

TEST_CASE("batches from the pool depend on their number alone, and a patch as large as a pair is the pair") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.data.train[0].degrade = degrade_preset("mild");
  config.data.pool = {.pairs = 5, .reuse = 3};
  Dataset data(config.data.train, 2, 12, 1 << 24);
  std::vector<Batch> batches;
  Loader one(data, config, 0);
  for (int i = 0; i < 12; ++i) batches.push_back(one.next());
  config.data.workers = 3;
  Loader three(data, config, 5);
  for (size_t i = 5; i < 12; ++i) {
    const Batch b = three.next();
    CHECK(same(b.lr, batches[i].lr));
    CHECK(same(b.hr, batches[i].hr));
  }
  CHECK_FALSE(same(batches[0].lr, batches[1].lr));
  const Pair whole = data.pair(Rng(1), 1000);  // no more than the picture
  CHECK(whole.lr.shape() == Shape{24, 26, 3});
  TrainConfig read = parse_config("data: {train: {hr: x}, pool: {pairs: 180, reuse: 8}}", "test");
  CHECK(read.data.pool.pairs == 180);
  CHECK(parse_config(to_yaml(read), "again").data.pool.reuse == 8);
}
