#include "autograd/observe.h"

#include "autograd/var.h"
#include "tests/test.h"

using namespace dgp;

namespace {

using Seen = std::vector<std::string>;

Observer note(Seen& seen) {
  return [&seen](std::string_view op, std::string_view part, const Shape& shape) {
    seen.push_back(std::string(op) + " " + std::string(part) + " " + to_string(shape));
  };
}

// y = x, recorded in this file.
Var same(const Var& x) {
  return record(x.value(), {x}, [](const Tensor& dy, const Wanted&) {
    observe("somewhere/inner.cpp", "part", {1});
    return std::vector<Tensor>{dy};
  });
}

}  // namespace

TEST_CASE("an observer hears of operations, their gradients and their parts, in order", "[autograd]") {
  Var x(Tensor::full({2}, 1, DType::f64), true);
  Seen seen;
  {
    Observing observing(note(seen));
    Var y = same(x);
    backward(y);
  }
  CHECK(seen == Seen{"observe_test forward [2]", "inner part [1]", "observe_test backward [2]",
                     "observe_test accumulate [2]"});
  backward(same(x));
  CHECK(seen.size() == 4);
}

TEST_CASE("constants are observed too; of two observers the later hears", "[autograd]") {
  Seen outer, inner;
  Observing one(note(outer));
  {
    Observing two(note(inner));
    same(Var(Tensor::full({1}, 1)));
  }
  same(Var(Tensor::full({3}, 1)));
  CHECK(inner == Seen{"observe_test forward [1]"});
  CHECK(outer == Seen{"observe_test forward [3]"});
}
