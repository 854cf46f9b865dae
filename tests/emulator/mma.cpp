// Warp-level matrix products, D[16,8] += A[16,k] B[k,8], on fragments laid out as the PTX manual has them
// ("Matrix fragments for mma.m16n8k8" and ".m16n8k16"): with g = lane / 4 and t = lane % 4, a lane holds rows
// g and g + 8 of A and D, column g of B.
#include <cmath>
#include <emulator.h>

#include "memory.h"
#include "tensor/half.h"

namespace emulator {
namespace {

float as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// A and B as f32 matrices, from the registers of all lanes.
struct Operands {
  float a[16][16], b[16][8];
};

void multiply(float (&d)[4], const Operands& m, int k) {
  unsigned g = lane() / 4, t = lane() % 4;
  for (unsigned i = 0; i < 4; ++i) {
    unsigned row = g + i / 2 * 8, column = 2 * t + i % 2;
    for (int j = 0; j < k; ++j) d[i] += m.a[row][j] * m.b[j][column];
  }
}

const Payload* gather(const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  Payload mine{{a[0], a[1], a[2], a[3], b[0], b[1], 0, 0}};
  return exchange(~0U, mine, "mma", site);
}

// Two values a register, each made an f32 by `value`.
template <class Value>
void multiply_pairs(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site, Value value) {
  const Payload* all = gather(a, b, site);
  auto half = [&](uint32_t pair, unsigned i) { return value(static_cast<uint16_t>(pair >> 16 * i)); };
  Operands m;
  for (unsigned l = 0; l < 32; ++l) {
    unsigned g = l / 4, t = l % 4;
    for (unsigned i = 0; i < 8; ++i)
      m.a[g + i / 2 % 2 * 8][2 * t + i % 2 + i / 4 * 8] = half(all[l].word[i / 2], i % 2);
    for (unsigned i = 0; i < 4; ++i) m.b[2 * t + i % 2 + i / 2 * 8][g] = half(all[l].word[4 + i / 2], i % 2);
  }
  multiply(d, m, 16);
}

}  // namespace

void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  const Payload* all = gather(a, b, site);
  auto tf32 = [](uint32_t bits) { return as_float(bits & 0xFFFFE000U); };  // the unit drops the low 13 bits
  Operands m;
  for (unsigned l = 0; l < 32; ++l) {
    unsigned g = l / 4, t = l % 4;
    for (unsigned i = 0; i < 4; ++i) m.a[g + i % 2 * 8][t + i / 2 * 4] = tf32(all[l].word[i]);
    for (unsigned i = 0; i < 2; ++i) m.b[t + i * 4][g] = tf32(all[l].word[4 + i]);
  }
  multiply(d, m, 8);
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  multiply_pairs(d, a, b, site, [](uint16_t bits) { return as_float(uint32_t{bits} << 16); });
}

void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  multiply_pairs(d, a, b, site, dgp::half_detail::from_f16_bits);
}

void load_matrices(uint32_t (&d)[4], const void* row, bool transposed, Site site) {
  if (!is_shared(row) || reinterpret_cast<uintptr_t>(row) % 16 != 0)
    throw Fault(where() + ", " + site.file + ":" + std::to_string(site.line) +
                ": the row of a matrix is not in shared memory at a multiple of 16 bytes");
  Payload mine{};
  std::memcpy(mine.word, &row, sizeof(row));
  const Payload* all = exchange(~0U, mine, "load_matrices", site);
  unsigned g = lane() / 4, t = lane() % 4;
  for (unsigned i = 0; i < 4; ++i) {
    auto value = [&](unsigned r, unsigned column) {
      const uint16_t* values = nullptr;
      std::memcpy(&values, all[8 * i + r].word, sizeof(values));
      return values[column];
    };
    uint32_t low = transposed ? value(2 * t, g) : value(g, 2 * t);
    uint32_t high = transposed ? value(2 * t + 1, g) : value(g, 2 * t + 1);
    d[i] = low | high << 16;
  }
}

}  // namespace emulator
