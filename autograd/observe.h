// Watching a graph at work: where the time of a training step goes. Operations and their gradients tell an
// observer when they end; what passed since it was told last is theirs. Without an observer it costs a test.
#pragma once

#include <functional>
#include <string_view>

#include "tensor/tensor.h"

namespace dgp {

// `op`: the stem of the file that holds the operation ("conv2d" of ops/conv2d.cpp); `part`: "forward" or
// "backward", "accumulate" for a gradient added to another, or what an operation calls a part of its own;
// `shape`: of the operation's result. `op` and `part` live as long as the program.
using Observer = std::function<void(std::string_view op, std::string_view part, const Shape& shape)>;

// While one lives, it hears of what this thread does; of two, the later.
class Observing {
 public:
  explicit Observing(Observer observer);
  ~Observing();
  Observing(const Observing&) = delete;
  Observing& operator=(const Observing&) = delete;

 private:
  Observer observer_;
  const Observer* before_;
};

// Tells this thread's observer, if there is one, that a part of an operation has ended. `file`: __FILE__.
void observe(const char* file, std::string_view part, const Shape& shape);

}  // namespace dgp
