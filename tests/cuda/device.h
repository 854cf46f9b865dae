// For tests that run on a GPU where the build has one, and on the emulator elsewhere.
#pragma once

#include <string>

#include "tensor/cuda.h"
#include "tests/test.h"

#ifdef DGP_CUDA_EMULATED
#include <emulator.h>
#endif

namespace device {

#ifdef DGP_CUDA_EMULATED
using Order = emulator::Order;
constexpr bool kEmulated = true;
#else
enum class Order { forward, reverse, shuffled };
constexpr bool kEmulated = false;
#endif

// Emulated, for one scope: the order of threads, and without looking between launches where a run is long.
struct With {
#ifdef DGP_CUDA_EMULATED
  emulator::With settings;
  explicit With(Order order, bool thorough = true) : settings({.order = order, .thorough = thorough}) {}
#else
  explicit With(Order, bool = true) {}
#endif
};

// Emulated: throws when device memory is still allocated.
inline void check_leaks() {
  dgp::cuda::synchronize();
#ifdef DGP_CUDA_EMULATED
  emulator::check_leaks();
#endif
}

// Stands before the program in a shell.
inline const std::string kQuick = kEmulated ? "DGP_EMULATOR_QUICK=1" : "";

// False, with a warning, where there is no GPU to test on.
inline bool usable() {
  if (dgp::cuda::status().empty()) return true;
  WARN("not run: " << dgp::cuda::status());
  return false;
}

}  // namespace device
