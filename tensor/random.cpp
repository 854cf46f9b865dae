#include "tensor/random.h"

#include <cmath>
#include <numbers>

#include "tensor/error.h"
#include "tensor/philox.h"

namespace dgp {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  const PhiloxBlock b = philox_rounds({{c[0], c[1], c[2], c[3]}}, key[0], key[1]);
  return {b.word[0], b.word[1], b.word[2], b.word[3]};
}

namespace {
std::array<uint32_t, 4> block_at(uint64_t seed, uint64_t stream, uint64_t index) {
  const PhiloxBlock b = philox_block(seed, stream, index);
  return {b.word[0], b.word[1], b.word[2], b.word[3]};
}
}  // namespace

Rng Rng::split(uint64_t key) const {
  // The child's stream is a Philox hash of (stream, key), under a seed that no ordinary draw uses.
  auto h = block_at(seed_ ^ 0x5bd1e995a1c3f2d7ull, stream_, key);
  return Rng(seed_, h[0] | static_cast<uint64_t>(h[1]) << 32);
}

uint32_t Rng::bits() {
  if (position_ % 4 == 0) block_ = block_at(seed_, stream_, position_ / 4);
  return block_[position_++ % 4];
}

double Rng::uniform() {
  uint64_t high = bits() >> 5, low = bits() >> 6;
  return static_cast<double>(high << 26 | low) * 0x1p-53;
}

int64_t Rng::below(int64_t n) {
  check(n >= 1, "Rng::below: expects n >= 1, got ", n);
  uint64_t r = static_cast<uint64_t>(bits()) << 32;
  r |= bits();
  return static_cast<int64_t>(static_cast<unsigned __int128>(r) * static_cast<uint64_t>(n) >> 64);
}

double Rng::normal() {
  double u = 1 - uniform(), v = uniform();  // Box and Muller; u in (0, 1]
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

int64_t Rng::poisson(double mean) {
  check(mean >= 0, "Rng::poisson: expects a mean >= 0, got ", mean);
  if (mean > 30) {  // sums of independent Poisson variables are Poisson
    int64_t half = poisson(std::floor(mean / 2));
    return half + poisson(mean - std::floor(mean / 2));
  }
  double limit = std::exp(-mean), product = uniform();
  int64_t k = 0;
  for (; product > limit; ++k) product *= uniform();
  return k;
}

}  // namespace dgp
