// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011). A draw is a pure function of (seed, stream, position), so that a sample's randomness can depend
// on (seed, iteration, index) alone: resuming and the number of threads change nothing.
#pragma once

#include <array>
#include <cstdint>

namespace dgp {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

class Rng {
 public:
  explicit Rng(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  // An independent generator, a pure function of this one's seed and stream and of `key`.
  Rng split(uint64_t key) const;

  uint32_t bits();   // 32 random bits
  double uniform();  // [0, 1), 53 bits
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  int64_t below(int64_t n);      // 0 <= result < n, n >= 1
  double normal();               // mean 0, variance 1
  int64_t poisson(double mean);  // mean >= 0

  // What the next draws are functions of: tensor/philox.h makes them in any order.
  struct State {
    uint64_t seed, stream, position;
  };
  State state() const { return {seed_, stream_, position_}; }

 private:
  uint64_t seed_, stream_, position_ = 0;
  std::array<uint32_t, 4> block_{};
};

}  // namespace dgp
