#include "autograd/var.h"

#include <atomic>
#include <queue>
#include <unordered_set>
#include <utility>

#include "autograd/observe.h"
#include "autograd/take_sum.h"
#include "tensor/parallel.h"
#include "tensor/storage.h"

namespace dgp {

struct Node {
  int64_t id = 0;  // order of creation: an op's id is larger than its inputs'
  Shape shape;
  const char* file = "";  // where the op stands
  Tensor grad;
  BackwardFn backward;                        // empty in a leaf and after it has run
  std::vector<std::shared_ptr<Node>> inputs;  // null where no gradient is needed

  ~Node();
};

namespace {

thread_local bool grad_enabled = true;
std::atomic<int64_t> next_id{1};
// Of the operation whose closure backward() runs on this thread, for take_sum().
thread_local const std::vector<std::shared_ptr<Node>>* running_inputs = nullptr;

struct Running {
  explicit Running(const std::vector<std::shared_ptr<Node>>& inputs) : before(running_inputs) {
    running_inputs = &inputs;
  }
  ~Running() { running_inputs = before; }
  const std::vector<std::shared_ptr<Node>>* before;  // of a backward() around this one
};

std::shared_ptr<Node> new_node(const Shape& shape) {
  auto node = std::make_shared<Node>();
  node->id = next_id++;
  node->shape = shape;
  return node;
}

}  // namespace

// Frees a chain of nodes in a loop: a graph may be deeper than the call stack.
Node::~Node() {
  std::vector<std::shared_ptr<Node>> doomed = std::move(inputs);
  while (!doomed.empty()) {
    std::shared_ptr<Node> node = std::move(doomed.back());
    doomed.pop_back();
    if (node && node.use_count() == 1) {
      for (auto& input : node->inputs) doomed.push_back(std::move(input));
      node->inputs.clear();
    }
  }
}

Var::Var(Tensor value, bool requires_grad) : value_(std::move(value)) {
  if (requires_grad) node_ = new_node(value_.shape());
}

const Tensor& Var::grad() const {
  check(node_ != nullptr, "grad: this variable does not require a gradient");
  return node_->grad;
}

void Var::set_grad(Tensor grad) {
  check(node_ != nullptr, "set_grad: this variable does not require a gradient");
  if (grad.defined()) check_same("set_grad", value_, grad);
  node_->grad = std::move(grad);
}

void Var::set_value(Tensor value) {
  check(!node_ || !node_->backward, "set_value: the result of an operation cannot be replaced");
  value_ = std::move(value);
  if (node_) node_ = new_node(value_.shape());
}

bool recording(const std::vector<Var>& inputs) {
  if (!grad_enabled) return false;
  for (const Var& input : inputs)
    if (input.requires_grad()) return true;
  return false;
}

Var record(Tensor value, const std::vector<Var>& inputs, BackwardFn backward, const char* file) {
  Var result(std::move(value), recording(inputs));
  if (result.node_) {
    result.node_->file = file;
    result.node_->backward = std::move(backward);
    for (const Var& input : inputs) result.node_->inputs.push_back(input.node_);
  }
  observe(file, "forward", result.shape());
  return result;
}

Tensor take_sum(size_t i) {
  check(running_inputs && i < running_inputs->size(), "take_sum: no operation with an input ", i,
        " runs its gradient");
  const std::shared_ptr<Node>& input = (*running_inputs)[i];
  return input ? std::exchange(input->grad, Tensor()) : Tensor();
}

void accumulate(Tensor& into, const Tensor& part) {
  if (!part.defined()) return;
  if (!into.defined()) {
    into = part;
    return;
  }
  check_same("accumulate", into, part);
  Tensor sum = into.sole_owner() ? into : Tensor(into.shape(), into.dtype(), into.device());
  if (sum.device() == Device::cuda) {
    cuda::add(into, part, sum);
    into = sum;
    return;
  }
  dispatch_float(into.dtype(), "accumulate", [&](auto zero) {
    using T = decltype(zero);
    const T *a = into.data<T>(), *b = part.data<T>();
    T* s = sum.data<T>();
    parallel_for(sum.numel(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
      if (s == a)  // of its own: a loop over overlapping arrays would go element by element
        for (int64_t i = begin; i < end; ++i) s[i] += b[i];
      else
        for (int64_t i = begin; i < end; ++i) s[i] = a[i] + b[i];
    });
  });
  into = sum;
}

void backward(const Var& root, const Tensor& seed) {
  check(root.node_ != nullptr, "backward: nothing that led to this value requires a gradient");
  if (seed.defined()) check_same("backward", root.value_, seed);
  NoGrad no_grad;

  auto older = [](const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) { return a->id < b->id; };
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, decltype(older)> ready(
      older);
  std::unordered_set<Node*> seen{root.node_.get()};
  accumulate(root.node_->grad,
             seed.defined() ? seed : Tensor::full(root.shape(), 1, root.dtype(), root.value().device()));
  ready.push(root.node_);

  while (!ready.empty()) {
    std::shared_ptr<Node> node = ready.top();
    ready.pop();
    if (!node->backward) continue;  // a leaf keeps its gradient
    Wanted wanted;
    for (const auto& input : node->inputs) wanted.push_back(input != nullptr);
    Tensor dy = std::move(node->grad);
    BackwardFn run = std::move(node->backward);
    auto inputs = std::move(node->inputs);
    node->backward = nullptr;
    node->inputs.clear();
    std::vector<Tensor> grads;
    {
      Running running(inputs);
      grads = run(dy, wanted);
    }
    dy = {};
    run = nullptr;  // frees what the closure saved
    observe(node->file, "backward", node->shape);
    check(grads.size() == inputs.size(), "backward: an op returned ", grads.size(), " gradients for ",
          inputs.size(), " inputs");
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i] || !grads[i].defined()) continue;
      check(grads[i].shape() == inputs[i]->shape, "backward: gradient ", to_string(grads[i].shape()),
            " of an input ", to_string(inputs[i]->shape));
      accumulate(inputs[i]->grad, grads[i]);
      grads[i] = {};
      if (seen.insert(inputs[i].get()).second) ready.push(inputs[i]);
    }
    observe(node->file, "accumulate", node->shape);
  }
}

NoGrad::NoGrad() : before_(grad_enabled) { grad_enabled = false; }
NoGrad::~NoGrad() { grad_enabled = before_; }

}  // namespace dgp
