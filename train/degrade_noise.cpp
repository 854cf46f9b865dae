// Noise: Gaussian, and Poisson of as many levels as a picture has values.
#include <algorithm>

#include "tensor/kernels/picture_kernels.h"
#include "train/degrade_ops.h"
#include "train/noise_functions.h"
#include "train/picture_values.h"

namespace dgp {
namespace {

constexpr int64_t kBlocks = 512, kWords = 4 * kBlocks;  // of random bits at a time

// Calls use(first, count, words) for all draws of 32 bits of a generator up to `draws`, some at a time.
template <class Use>
void for_bits(const Rng& rng, int64_t draws, Use use) {
  const Rng::State state = rng.state();
  check(state.position == 0, "noise: expects a generator that nothing was drawn from");
  uint32_t words[kWords];
  for (int64_t first = 0; first < draws; first += kWords) {
    const int64_t count = std::min(kWords, draws - first);
    active_picture_kernels().random_bits(state.seed, state.stream, static_cast<uint64_t>(first / 4),
                                         (count + 3) / 4, words);
    use(first, count, words);
  }
}

}  // namespace

Tensor add_gaussian_noise(const Tensor& x, double sigma, bool grey, Rng rng) {
  check_picture("add_gaussian_noise", x);
  Tensor result(x.shape());
  const float *p = x.data<float>(), deviation = static_cast<float>(sigma / 255);
  float* out = result.data<float>();
  const int64_t each = grey ? 3 : 1;  // values that one normal is added to
  for_bits(rng, x.numel() / each, [&](int64_t first, int64_t count, const uint32_t* words) {
    float normal[kWords];
    active_picture_kernels().normals(words, (count + 1) / 2 * 2, normal);
    if (grey)
      for (int64_t i = 3 * first; i < 3 * (first + count); ++i)
        out[i] = clamped(p[i] + normal[i / 3 - first] * deviation);
    else
      for (int64_t i = 0; i < count; ++i) out[first + i] = clamped(p[first + i] + normal[i] * deviation);
  });
  return result;
}

namespace {

int log2_levels(const Tensor& x, bool grey) {
  bool seen[256] = {};
  const float* p = x.data<float>();
  for (int64_t i = 0; i < x.numel(); i += grey ? 3 : 1) seen[byte_of(grey ? luma(p + i) : p[i])] = true;
  int log2 = 0;
  while (1 << log2 < std::count(seen, seen + 256, true)) ++log2;
  return log2;
}

void append_table(double mean, std::vector<double>& cumulative) {
  double probability = std::exp(-mean), sum = 0;
  const double last =
      mean + 12 * std::sqrt(mean) + 20;  // beyond it less is left than a double can tell from 0
  for (int64_t k = 0; static_cast<double>(k) <= last; ++k) {
    cumulative.push_back(sum += probability);
    probability *= mean / static_cast<double>(k + 1);
  }
}

}  // namespace

const PoissonTables& poisson_tables() {
  static const PoissonTables tables = [] {
    PoissonTables t;
    t.first.push_back(0);
    for (int log2 = 0; log2 <= 8; ++log2)
      for (int byte = 0; byte < 256; ++byte) {
        append_table(byte / 255.0 * (1 << log2), t.cumulative);
        const double* begin = t.cumulative.data() + t.first.back();
        const double* end = t.cumulative.data() + t.cumulative.size();
        for (int g = 0; g < PoissonTables::kGuides; ++g)
          t.guide.push_back(static_cast<uint16_t>(
              poisson_count(begin, end, static_cast<double>(g) / PoissonTables::kGuides)));
        t.first.push_back(static_cast<int64_t>(t.cumulative.size()));
      }
    return t;
  }();
  return tables;
}

int64_t poisson_levels(const Tensor& x, bool grey) {
  check_picture("poisson_levels", x);
  return int64_t{1} << log2_levels(x, grey);
}

namespace {

// Counts of the tables for one number of levels.
struct Counts {
  const PoissonTables& tables = poisson_tables();
  int log2;
  int64_t operator()(int byte, double uniform) const {
    const auto mean = static_cast<size_t>(log2 * 256 + byte);
    const auto g = static_cast<size_t>(uniform * PoissonTables::kGuides);
    const double* cumulative = tables.cumulative.data() + tables.first[mean];
    const int64_t last = tables.first[mean + 1] - tables.first[mean] - 1;
    int64_t count = tables.guide[mean * PoissonTables::kGuides + g];
    while (count < last && cumulative[count] <= uniform) ++count;
    return count;
  }
};

}  // namespace

Tensor add_poisson_noise(const Tensor& x, double scale, bool grey, Rng rng) {
  check_picture("add_poisson_noise", x);
  const Counts counts{.log2 = log2_levels(x, grey)};
  Tensor result(x.shape());
  const float* p = x.data<float>();
  float* out = result.data<float>();
  const int64_t each = grey ? 3 : 1;
  for_bits(rng, 2 * (x.numel() / each), [&](int64_t first, int64_t count, const uint32_t* words) {
    for (int64_t k = 0; k < count; k += 2) {
      const int64_t i = (first + k) / 2 * each;
      const int byte = byte_of(grey ? luma(p + i) : p[i]);
      const int64_t drawn = counts(byte, uniform_of(words[k], words[k + 1]));
      const double noise = static_cast<double>(drawn) / (1 << counts.log2) - byte / 255.0;
      for (int64_t c = i; c < i + each; ++c) out[c] = clamped(p[c] + static_cast<float>(noise * scale));
    }
  });
  return result;
}

}  // namespace dgp
