#include "tensor/random.h"

#include <cmath>
#include <set>
#include <vector>

#include "tensor/error.h"
#include "tests/test.h"

using namespace dgp;

TEST_CASE("Philox: the known answers of Random123", "[random]") {  // kat_vectors, philox4x32 10
  using Four = std::array<uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  uint32_t f = 0xffffffff;
  CHECK(philox({f, f, f, f}, {f, f}) == Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a generator draws Philox blocks in order", "[random]") {
  Rng rng(0x0123456789abcdefull, 0xfedcba9876543210ull);
  for (uint32_t block = 0; block < 3; ++block)
    for (uint32_t want : philox({block, 0, 0x76543210, 0xfedcba98}, {0x89abcdef, 0x01234567}))
      CHECK(rng.bits() == want);
}

TEST_CASE("equal seeds draw alike, other seeds, streams and keys do not", "[random]") {
  auto draws = [](Rng rng) {
    std::vector<uint32_t> bits(64);
    for (uint32_t& b : bits) b = rng.bits();
    return bits;
  };
  Rng rng(7, 3);
  CHECK(draws(rng) == draws(Rng(7, 3)));
  std::set<std::vector<uint32_t>> all = {draws(rng), draws(Rng(8, 3)), draws(Rng(7, 4))};
  for (uint64_t key = 0; key < 100; ++key) all.insert(draws(rng.split(key)));
  all.insert(draws(rng.split(1).split(2)));
  all.insert(draws(rng.split(2).split(1)));
  CHECK(all.size() == 105);
  CHECK(draws(rng.split(5)) == draws(Rng(7, 3).split(5)));
}

TEST_CASE("splitting does not depend on what was drawn before", "[random]") {
  Rng fresh(1), used(1);
  for (int i = 0; i < 5; ++i) used.bits();
  CHECK(fresh.split(9).bits() == used.split(9).bits());
}

TEST_CASE("uniform numbers fill [0, 1) evenly", "[random]") {
  Rng rng(1);
  constexpr int n = 40000;
  int bins[20] = {};
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    double u = rng.uniform();
    REQUIRE((u >= 0 && u < 1));
    ++bins[static_cast<int>(u * 20)];
    sum += u;
  }
  double chi = 0;
  for (int count : bins) chi += (count - n / 20.0) * (count - n / 20.0) / (n / 20.0);
  CHECK(chi < 50);  // 19 degrees of freedom: 1 in 10^4
  CHECK(std::abs(sum / n - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
  double v = rng.uniform(-3, -2);
  CHECK((v >= -3 && v < -2));
}

TEST_CASE("below draws every number of its range, and no other", "[random]") {
  Rng rng(2);
  std::vector<int> counts(7);
  for (int i = 0; i < 14000; ++i) {
    int64_t k = rng.below(7);
    REQUIRE((k >= 0 && k < 7));
    ++counts[static_cast<size_t>(k)];
  }
  for (int count : counts) CHECK(std::abs(count - 2000) < 5 * 45);
  CHECK(rng.below(1) == 0);
  CHECK_THROWS_AS(rng.below(0), Error);
  for (int i = 0; i < 100; ++i) CHECK(rng.below(INT64_MAX) >= 0);
}

TEST_CASE("normal and Poisson numbers have their mean and variance", "[random]") {
  Rng rng(3);
  auto moments = [](auto draw) {
    constexpr int n = 40000;
    double sum = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
      double x = draw();
      sum += x, squares += x * x;
    }
    return std::pair<double, double>{sum / n, squares / n - sum / n * (sum / n)};
  };
  auto [mean, variance] = moments([&] { return rng.normal(); });
  CHECK(std::abs(mean) < 0.025);
  CHECK(std::abs(variance - 1) < 0.04);
  for (double rate : {0.0, 0.3, 4.0, 29.0, 31.0, 500.0}) {
    auto [m, v] = moments([&] { return static_cast<double>(rng.poisson(rate)); });
    CHECK(std::abs(m - rate) <= 5 * std::sqrt(rate / 40000));
    CHECK(std::abs(v - rate) <= 0.05 * rate);
  }
  CHECK_THROWS_AS(rng.poisson(-1), Error);
}
