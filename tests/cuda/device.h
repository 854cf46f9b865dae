// For tests that run on a GPU where the build has one, and on the emulator elsewhere.
#pragma once

#include <string>

#include "tensor/cuda_memory.h"
#include "tests/test.h"

#ifdef DGP_CUDA_EMULATED
#include <emulator.h>
#endif

namespace device {

#ifdef DGP_CUDA_EMULATED
using Order = emulator::Order;
using Streams = emulator::Streams;
constexpr bool kEmulated = true;
#else
enum class Order { forward, reverse, shuffled };
enum class Streams { lazy, eager };
constexpr bool kEmulated = false;
#endif

// Emulated, for one scope: the order of threads and of streams, and without looking between launches where a
// run is long.
struct With {
#ifdef DGP_CUDA_EMULATED
  emulator::With settings;
  explicit With(Order order, bool thorough = true, Streams streams = Streams::lazy)
      : settings({.order = order, .streams = streams, .thorough = thorough}) {}
#else
  explicit With(Order, bool = true, Streams = Streams::lazy) {}
#endif
};

// Fails when device memory is still allocated; emulated, by a list of what.
inline void check_leaks() {
  dgp::cuda::synchronize();
#ifdef DGP_CUDA_EMULATED
  emulator::check_leaks();
#endif
  CHECK(dgp::cuda::memory_in_use() == 0);
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
