// What the steps of a network cost while it runs on an image: the hook that a profile hangs on.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace dgp {

// One step on one band of rows. A step comes once a band: sum by name. Names: head, block.I.first,
// block.I.sums, block.I.fold, block.I.second, upsample, shuffle, tail, check.
struct LayerTime {
  std::string name;
  double seconds;        // of wall clock
  double multiply_adds;  // as a direct convolution counts them; 0 where the step is none
  double bytes;          // of activations, f32, that the step reads and writes, halos left out
};

using LayerObserver = std::function<void(const LayerTime&)>;

// body(), timed when somebody looks. block: index of the AIIBlock it belongs to, or -1.
template <class Body>
void observed(const LayerObserver& observe, const char* name, int64_t block, double multiply_adds,
              double bytes, Body&& body) {
  if (!observe) return body();
  auto start = std::chrono::steady_clock::now();
  body();
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::string full = block < 0 ? name : "block." + std::to_string(block) + "." + name;
  observe({full, seconds.count(), multiply_adds, bytes});
}

}  // namespace dgp
