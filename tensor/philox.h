// Philox4x32-10 for code that draws many numbers at once, on the CPU and in kernels, with equal bits: of a
// generator at position p (Rng::state()), the i-th draw of 32 bits is word (p + i) % 4 of block (p + i) / 4.
#pragma once

#include <cstdint>

#include "tensor/device_function.h"

namespace dgp {
namespace {  // of each file its own: these are compiled for different instruction sets

struct PhiloxBlock {
  uint32_t word[4];
};

DGP_DEVICE inline PhiloxBlock philox_rounds(PhiloxBlock c, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c.word[0], b = uint64_t{0xCD9E8D57} * c.word[2];
    c = {{static_cast<uint32_t>(b >> 32) ^ c.word[1] ^ key0, static_cast<uint32_t>(b),
          static_cast<uint32_t>(a >> 32) ^ c.word[3] ^ key1, static_cast<uint32_t>(a)}};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c;
}

DGP_DEVICE inline PhiloxBlock philox_block(uint64_t seed, uint64_t stream, uint64_t index) {
  return philox_rounds({{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                         static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)}},
                       static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

}  // namespace
}  // namespace dgp
