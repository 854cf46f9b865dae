#include "ops/fused_kernels.h"

#include <algorithm>
#include <cmath>

#include "ops/concat.h"
#include "ops/fused_kernels_cuda.h"
#include "ops/kernels/active.h"
#include "ops/linear.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/reshape.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

constexpr double kTinySquare = 1e-12, kTinyMean = 1e-8;  // as in kernel_rms and in the paper's normalisation
constexpr size_t kMostOperators = cuda::kMostOperators;

using Vector = std::vector<double>;

Vector to_vector(const Tensor& t) {
  Tensor d = t.to(DType::f64);
  return {d.data<double>(), d.data<double>() + d.numel()};
}

template <class T>
Tensor to_tensor(const Vector& v, const Shape& shape) {
  Tensor t(shape, dtype_of<T>());
  std::transform(v.begin(), v.end(), t.data<T>(), [](double x) { return static_cast<T>(x); });
  return t;
}

// The balance network at work: small, so it runs in double.
struct Balance {
  Vector rms, alpha, hidden;
  double mean;  // of rms, and a little more
};

struct BalanceGradient {
  Vector fc1_weight, fc1_bias, fc2_weight, fc2_bias;
  Vector rms;
};

Balance balance(Vector rms, const Vector& w1, const Vector& b1, const Vector& w2, const Vector& b2) {
  double mean = 0;
  for (double r : rms) mean += r / static_cast<double>(rms.size());
  Balance b{std::move(rms), b2, b1, mean + kTinyMean};
  size_t inputs = b.rms.size(), hidden = b1.size();
  for (size_t h = 0; h < hidden; ++h) {
    for (size_t p = 0; p < inputs; ++p) b.hidden[h] += w1[h * inputs + p] * (b.rms[p] / b.mean);
    b.hidden[h] = std::max(0.0, b.hidden[h]);
  }
  for (size_t j = 0; j < b2.size(); ++j) {
    for (size_t h = 0; h < hidden; ++h) b.alpha[j] += w2[j * hidden + h] * b.hidden[h];
    b.alpha[j] = 2 / (1 + std::exp(-b.alpha[j]));
  }
  return b;
}

BalanceGradient balance_gradient(const Balance& b, const Vector& dalpha, const Vector& w1, const Vector& w2) {
  size_t inputs = b.rms.size(), hidden = b.hidden.size(), n = b.alpha.size();
  BalanceGradient g{Vector(w1.size()), Vector(hidden), Vector(w2.size()), Vector(n), Vector(inputs)};
  for (size_t j = 0; j < n; ++j) {
    g.fc2_bias[j] = dalpha[j] * b.alpha[j] * (1 - b.alpha[j] / 2);
    for (size_t h = 0; h < hidden; ++h) {
      g.fc2_weight[j * hidden + h] = g.fc2_bias[j] * b.hidden[h];
      if (b.hidden[h] > 0) g.fc1_bias[h] += g.fc2_bias[j] * w2[j * hidden + h];
    }
  }
  double through_mean = 0;  // <dd, r>
  for (size_t p = 0; p < inputs; ++p) {
    for (size_t h = 0; h < hidden; ++h) {
      g.fc1_weight[h * inputs + p] = g.fc1_bias[h] * b.rms[p] / b.mean;
      g.rms[p] += g.fc1_bias[h] * w1[h * inputs + p];
    }
    through_mean += g.rms[p] * b.rms[p];
  }
  through_mean /= b.mean * static_cast<double>(inputs);
  for (double& d : g.rms) d = (d - through_mean) / b.mean;
  return g;
}

struct Set {
  std::vector<TapMap> maps;
  std::vector<Tensor> raw;
  Tensor location;
  Vector w1, b1, w2, b2;
  Balance balance;
};

struct Sizes {
  int64_t outputs, k, inputs, sets;
  int64_t taps() const { return k * k; }
  int64_t slab() const { return taps() * inputs; }
};

TapMap map_of(Operator op) {
  switch (op) {
    case Operator::csg:
      return TapMap::subtract_mean;
    case Operator::csa:
      return TapMap::add_mean;
    case Operator::hg:
      return TapMap::subtract_columns;
    case Operator::vg:
      return TapMap::subtract_rows;
    case Operator::vc:
      break;
    case Operator::idg:
      return TapMap::subtract_at;
  }
  return TapMap::identity;
}

template <class T>
const KernelSpace<T>& kernels_for() {
  if constexpr (std::is_same_v<T, float>)
    return *active_kernels().kernel_space_f32;
  else
    return *active_kernels().kernel_space_f64;
}

// f(set, output, kernels) for every output of every set.
template <class T, class F>
void for_each_output(const Sizes& s, const std::vector<Set>& sets, const F& f) {
  auto work = static_cast<int64_t>(kMostOperators) * std::max<int64_t>(1, s.slab());
  parallel_for(s.sets * s.outputs, std::max<int64_t>(1, kPointwiseGrain / work),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const Set& set = sets[static_cast<size_t>(i / s.outputs)];
                   int64_t o = i % s.outputs;
                   OutputKernels<T> kernels{
                       static_cast<int64_t>(set.raw.size()), s.k, s.inputs, set.maps.data(), {}, nullptr};
                   for (size_t j = 0; j < set.raw.size(); ++j)
                     kernels.raw[j] = set.raw[j].data<T>() + o * s.slab();
                   if (set.location.defined()) kernels.location = set.location.data<int64_t>() + o * s.inputs;
                   f(i / s.outputs, o, kernels);
                 }
               });
}

// Sums over the outputs of one set, in order: parts [sets, outputs, width] -> the first `count` of set i.
Vector sum_outputs(const Tensor& parts, int64_t i, size_t count) {
  Vector sum(count);
  const double* row = parts.data<double>() + i * parts.dim(1) * parts.dim(2);
  for (int64_t o = 0; o < parts.dim(1); ++o, row += parts.dim(2))
    for (size_t p = 0; p < count; ++p) sum[p] += row[p];
  return sum;
}

template <class T>
void run_forward(const Sizes& s, std::vector<Set>& sets, const Tensor& w) {
  const KernelSpace<T>& kernels = kernels_for<T>();
  Tensor squares({s.sets, s.outputs, static_cast<int64_t>(kMostOperators) * s.taps()}, DType::f64);
  for_each_output<T>(s, sets, [&](int64_t i, int64_t o, const OutputKernels<T>& raw) {
    kernels.squares(raw, squares.data<double>() + (i * s.outputs + o) * squares.dim(2));
  });
  for (int64_t i = 0; i < s.sets; ++i) {
    Set& set = sets[static_cast<size_t>(i)];
    Vector rms = sum_outputs(squares, i, set.raw.size() * static_cast<size_t>(s.taps()));
    for (double& r : rms) r = std::sqrt(r / static_cast<double>(s.outputs * s.inputs) + kTinySquare);
    set.balance = balance(std::move(rms), set.w1, set.b1, set.w2, set.b2);
  }
  for_each_output<T>(s, sets, [&](int64_t i, int64_t o, const OutputKernels<T>& raw) {
    kernels.weighted_sum(raw, sets[static_cast<size_t>(i)].balance.alpha.data(),
                         w.data<T>() + (i * s.outputs + o) * s.slab());
  });
}

// Gradients in the order of the inputs: of each set its raw kernels, then the balance network.
template <class T>
std::vector<Tensor> run_backward(const Sizes& s, const std::vector<Set>& sets, const Tensor& dy,
                                 const Wanted& wanted) {
  const KernelSpace<T>& kernels = kernels_for<T>();
  auto slab_of = [&](int64_t i, int64_t o) { return dy.data<T>() + (i * s.outputs + o) * s.slab(); };
  Tensor dots({s.sets, s.outputs, static_cast<int64_t>(kMostOperators)}, DType::f64);
  for_each_output<T>(s, sets, [&](int64_t i, int64_t o, const OutputKernels<T>& raw) {
    kernels.dots(raw, slab_of(i, o), dots.data<double>() + (i * s.outputs + o) * dots.dim(2));
  });
  std::vector<Tensor> grads;
  std::vector<Vector> scales;
  std::vector<size_t> first;  // of each set's gradients
  for (int64_t i = 0; i < s.sets; ++i) {
    const Set& set = sets[static_cast<size_t>(i)];
    size_t n = set.raw.size(), hidden = set.b1.size();
    BalanceGradient g = balance_gradient(set.balance, sum_outputs(dots, i, n), set.w1, set.w2);
    first.push_back(grads.size());
    for (const Tensor& raw : set.raw)
      grads.push_back(wanted[grads.size()] ? Tensor(raw.shape(), raw.dtype()) : Tensor());
    auto columns = static_cast<int64_t>(g.rms.size()), h = static_cast<int64_t>(hidden),
         rows = static_cast<int64_t>(n);
    grads.push_back(to_tensor<T>(g.fc1_weight, {h, columns}));
    grads.push_back(to_tensor<T>(g.fc1_bias, {h}));
    grads.push_back(to_tensor<T>(g.fc2_weight, {rows, h}));
    grads.push_back(to_tensor<T>(g.fc2_bias, {rows}));
    for (size_t p = 0; p < g.rms.size(); ++p)
      g.rms[p] /= static_cast<double>(s.outputs * s.inputs) * set.balance.rms[p];
    scales.push_back(std::move(g.rms));
  }
  for_each_output<T>(s, sets, [&](int64_t i, int64_t o, const OutputKernels<T>& raw) {
    auto at = static_cast<size_t>(i);
    T* draw[kMostOperators] = {};
    for (size_t j = 0; j < sets[at].raw.size(); ++j)
      if (const Tensor& grad = grads[first[at] + j]; grad.defined()) draw[j] = grad.data<T>() + o * s.slab();
    kernels.gradient(raw, sets[at].balance.alpha.data(), scales[at].data(), slab_of(i, o), draw);
  });
  return grads;
}

void check_location(const Tensor& location, const Shape& raw) {
  check(location.defined() && location.shape() == Shape{raw[0], raw[3]},
        "fused_kernels: idg expects a location [", raw[0], ",", raw[3], "], got ",
        location.defined() ? to_string(location.shape()) : "none");
  if (location.device() == Device::cuda) return;  // a tap that is none moves nothing there
  for (int64_t i = 0; i < location.numel(); ++i) {
    int64_t at = location.data<int64_t>()[i];
    check(at >= 0 && at < raw[1] * raw[2], "fused_kernels: location ", at, " is not a tap of a ", raw[1], "x",
          raw[2], " kernel");
  }
}

void check_set(const KernelSet& set, const Tensor& like) {
  auto n = static_cast<int64_t>(set.raw.size()), k = like.dim(1);
  check(n >= 1 && set.raw.size() <= kMostOperators && set.raw.size() == set.operators.size(),
        "fused_kernels: expects one raw kernel for each of 1 to ", kMostOperators, " operators, got ", n,
        " for ", set.operators.size());
  check(k == like.dim(2) && k % 2 == 1 && k <= kMostKernelSide,
        "fused_kernels: expects [O,k,k,I] with k odd, up to ", kMostKernelSide, ", got ",
        to_string(like.shape()));
  for (const Var& raw : set.raw) check_same("fused_kernels", like, raw.value());
  if (std::find(set.operators.begin(), set.operators.end(), Operator::idg) != set.operators.end())
    check_location(set.location, like.shape());
  int64_t hidden = set.fc1_bias.value().numel();
  auto expect = [&](const char* name, const Var& v, const Shape& shape) {
    check(v.shape() == shape && v.dtype() == like.dtype(), "fused_kernels: ", name, " expects ",
          to_string(like.dtype()), to_string(shape), ", got ", to_string(v.dtype()), to_string(v.shape()));
  };
  expect("fc1_weight", set.fc1_weight, {hidden, n * k * k});
  expect("fc1_bias", set.fc1_bias, {hidden});
  expect("fc2_weight", set.fc2_weight, {n, hidden});
  expect("fc2_bias", set.fc2_bias, {n});
}

}  // namespace

namespace {

// Inputs in the order of their gradients: of each set its raw kernels, then the balance network.
std::vector<Var> inputs_of(const std::vector<KernelSet>& sets) {
  std::vector<Var> inputs;
  for (const KernelSet& set : sets) {
    inputs.insert(inputs.end(), set.raw.begin(), set.raw.end());
    inputs.insert(inputs.end(), {set.fc1_weight, set.fc1_bias, set.fc2_weight, set.fc2_bias});
  }
  return inputs;
}

// The sets with the addresses of `tensors`, which are in the order of inputs_of; of gradients too, where
// there are some.
std::vector<cuda::FusedSet> on_gpu(const std::vector<KernelSet>& sets, const std::vector<Tensor>& tensors,
                                   const std::vector<Tensor>& gradients) {
  std::vector<cuda::FusedSet> all;
  size_t at = 0;
  const auto next = [&](const float*& value, float*& gradient) {
    value = tensors[at].device_data<float>();
    gradient = !gradients.empty() && gradients[at].defined() ? gradients[at].device_data<float>() : nullptr;
    ++at;
  };
  for (const KernelSet& set : sets) {
    cuda::FusedSet& s = all.emplace_back();
    s.operators = static_cast<int>(set.operators.size());
    s.hidden = static_cast<int>(set.fc1_bias.value().numel());
    s.location = set.location.defined() ? set.location.device_data<int64_t>() : nullptr;
    for (size_t j = 0; j < set.operators.size(); ++j) {
      s.op[j] = set.operators[j];
      next(s.raw[j], s.draw[j]);
    }
    next(s.fc1_weight, s.dfc1_weight), next(s.fc1_bias, s.dfc1_bias);
    next(s.fc2_weight, s.dfc2_weight), next(s.fc2_bias, s.dfc2_bias);
  }
  return all;
}

Var fused_kernels_on_gpu(const std::vector<KernelSet>& sets, const Shape& shape) {
  const std::vector<Var> inputs = inputs_of(sets);
  std::vector<Tensor> values;
  for (const Var& v : inputs) values.push_back(v.value());
  Tensor w(shape, DType::f32, Device::cuda);
  Tensor kept = cuda::fused_kernels(on_gpu(sets, values, {}), w);
  return record(w, inputs, [sets, values, kept](const Tensor& dy, const Wanted& wanted) {
    std::vector<Tensor> gradients;
    for (size_t i = 0; i < values.size(); ++i)
      gradients.push_back(wanted[i] ? Tensor(values[i].shape(), DType::f32, Device::cuda) : Tensor());
    cuda::fused_kernels_backward(on_gpu(sets, values, gradients), kept, dy);
    return gradients;
  });
}

}  // namespace

Var fused_kernels(const std::vector<KernelSet>& given) {
  check(!given.empty() && !given[0].raw.empty(), "fused_kernels: expects at least one set of raw kernels");
  const Tensor& like = given[0].raw[0].value();
  check_rank("fused_kernels", "raw kernel [O,k,k,I]", like, 4);
  const Shape shape = {static_cast<int64_t>(given.size()) * like.dim(0), like.dim(1), like.dim(2),
                       like.dim(3)};
  if (like.device() == Device::cuda) {
    for (const KernelSet& set : given) check_set(set, like);
    return fused_kernels_on_gpu(given, shape);
  }
  std::vector<Set> sets;
  for (const KernelSet& set : given) {
    check_set(set, like);
    Set s{{},
          {},
          set.location,
          to_vector(set.fc1_weight.value()),
          to_vector(set.fc1_bias.value()),
          to_vector(set.fc2_weight.value()),
          to_vector(set.fc2_bias.value()),
          {}};
    for (Operator op : set.operators) s.maps.push_back(map_of(op));
    for (const Var& raw : set.raw) s.raw.push_back(raw.value());
    sets.push_back(std::move(s));
  }
  Sizes s{like.dim(0), like.dim(1), like.dim(3), static_cast<int64_t>(sets.size())};
  Tensor w(shape, like.dtype());
  dispatch_float(w.dtype(), "fused_kernels", [&](auto zero) { run_forward<decltype(zero)>(s, sets, w); });
  return record(w, inputs_of(given), [s, sets = std::move(sets)](const Tensor& dy, const Wanted& wanted) {
    return dispatch_float(dy.dtype(), "fused_kernels",
                          [&](auto zero) { return run_backward<decltype(zero)>(s, sets, dy, wanted); });
  });
}

Var reference::fused_kernels(const std::vector<KernelSet>& sets) {
  std::vector<Var> parts;
  for (const KernelSet& set : sets) {
    Var w = operator_kernels(set.raw, set.operators, set.location), d = kernel_rms(w);
    d = div(d, add(mean(d), kTinyMean));
    Var hidden = relu(linear(reshape(d, {1, -1}), set.fc1_weight, set.fc1_bias));
    Var alpha = mul(sigmoid(linear(hidden, set.fc2_weight, set.fc2_bias)), 2.0);
    parts.push_back(weighted_sum(w, reshape(alpha, {-1})));
  }
  return parts.size() == 1 ? parts[0] : concat(parts, 0);
}

}  // namespace dgp
