// Reverse-mode automatic differentiation. A Var is a tensor value and its place in the graph of operations
// that made it. An op computes its result and calls record() with a closure that returns gradients;
// backward() runs the closures from the newest operation to the oldest and frees each as soon as it has run.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace dgp {

using Wanted = std::vector<bool>;  // for each input of an op: is its gradient needed?

// dy -> one gradient per input, shaped like that input; undefined where not wanted. The closure captures
// tensors, never Vars: a Var would tie the graph into a cycle.
using BackwardFn = std::function<std::vector<Tensor>(const Tensor& dy, const Wanted& wanted)>;

struct Node;

class Var {
 public:
  Var() = default;
  Var(Tensor value, bool requires_grad = false);  // a leaf; implicit, so that constants mix with Vars

  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  int64_t dim(int axis) const { return value_.dim(axis); }
  DType dtype() const { return value_.dtype(); }
  bool defined() const { return value_.defined(); }

  bool requires_grad() const { return node_ != nullptr; }
  // d loss / d this, filled by backward() and added to by the next; undefined before. Leaves only.
  const Tensor& grad() const;
  void set_grad(Tensor grad);  // an undefined tensor clears it
  Var detach() const { return Var(value_); }
  // Another tensor as the leaf's value (moving, loading, converting); the gradient is cleared.
  void set_value(Tensor value);

 private:
  friend Var record(Tensor, const std::vector<Var>&, BackwardFn, const char*);
  friend void backward(const Var&, const Tensor&);
  Tensor value_;
  std::shared_ptr<Node> node_;
};

// The result of an op on `inputs`. Without an input that needs a gradient, or under NoGrad, the closure is
// dropped at once and the result is a constant. `file`: the caller's, which names the op to an observer
// (autograd/observe.h).
Var record(Tensor value, const std::vector<Var>& inputs, BackwardFn backward,
           const char* file = __builtin_FILE());

// True when record() would keep a closure: ops skip saving for backward otherwise.
bool recording(const std::vector<Var>& inputs);

// Adds d root / d leaf, weighted by `seed` (shaped like root; ones when undefined), to every leaf's grad.
// The graph behind root is consumed: interior buffers are freed as soon as they have been used.
void backward(const Var& root, const Tensor& seed = {});

// While one lives, nothing is recorded on this thread.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

// into += part, in place when nothing else shares `into`, else in a new tensor. Either may be undefined.
void accumulate(Tensor& into, const Tensor& part);

}  // namespace dgp
