// From [0,1] to whole numbers.
#pragma once

#include <cstdint>

#include "tensor/error.h"

namespace dgp {

// put(i, round(clamp(x[i], 0, 1) * most)) for each i, halves rounded to even; NaN is Error(numeric). Adding
// and taking away 2^23 rounds a float in [0, 2^22] in the processor's mode, round half to even, and
// vectorises.
template <class Put>
void quantise(const float* x, int64_t count, float most, Put put) {
  constexpr float kRound = 8388608.0f;
  bool sound = true;
  for (int64_t i = 0; i < count; ++i) {
    float v = x[i] * most;
    sound &= v == v;
    v = v > 0 ? v : 0;
    v = v < most ? v : most;
    put(i, static_cast<int>((v + kRound) - kRound));
  }
  if (!sound) fail(ErrorCode::numeric, "image has values that are not numbers (NaN)");
}

}  // namespace dgp
