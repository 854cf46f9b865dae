#include "train/learner.h"

#include <cmath>

#include "ops/pointwise.h"
#include "tensor/cuda.h"

namespace dgp {
namespace {

constexpr double kLargestNorm = 1e18;  // squares of larger gradients overflow the optimiser's second moments

std::vector<Var> all_tensors(Network& network) {
  std::vector<Var> all;
  network.visit([&](const std::string&, Var& value) { all.push_back(value); });
  return all;
}

template <class Module>
void visit_as(Module& module, const std::string& prefix, TrainState& state) {
  module.visit(
      [&](const std::string& name, Var& v) { state.tensors.emplace_back(prefix + name, v.value()); });
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, std::vector<Var> parameters) {
  const OptimizerKind* kind = optimizers().find(config.type);
  check(kind != nullptr, "optimizer: no optimiser is called \"", config.type, "\"");
  return kind->make(std::move(parameters), with_defaults(*kind, config.options));
}

std::vector<Var> parameters_of(Discriminator& discriminator) {
  std::vector<Var> all;
  discriminator.visit([&](const std::string&, Var& v) {
    if (v.requires_grad()) all.push_back(v);
  });
  return all;
}

bool is_sound(double norm) { return std::isfinite(norm) && norm < kLargestNorm; }

// The factor that brings a gradient's norm down to `clip`, where it is larger and there is a clip.
double clip_scale(double clip, double norm) { return clip > 0 && norm > clip ? clip / norm : 1; }

double number(const Var& loss) { return static_cast<double>(loss.value().item<float>()); }

void weighted_backward(const Var& loss, double weight) {
  backward(loss, Tensor::full({}, weight, loss.dtype(), loss.value().device()));
}

std::unique_ptr<Network> network_there(const TrainConfig& config) {
  if (config.computes_on() == Device::cuda) cuda::require();
  auto network = make_network(config);
  move(*network, config.computes_on());
  return network;
}

Discriminator discriminator_there(const TrainConfig& config) {
  Discriminator d(config.gan.features, Rng(static_cast<uint64_t>(config.seed), 0xd15c));
  d.visit([&](const std::string&, Var& v) { v.set_value(v.value().to(config.computes_on())); });
  return d;
}

}  // namespace

std::unique_ptr<cuda::Using> precision_of(const TrainConfig& config) {
  return config.precision == "full" ? nullptr : std::make_unique<cuda::Using>(config.precision);
}

Learner::Adversary::Adversary(const TrainConfig& config)
    : discriminator(discriminator_there(config)),
      optimizer(make_optimizer(config.gan.optimizer, parameters_of(discriminator))) {}

Learner::Learner(const TrainConfig& config, Ranks* ranks)
    : config_(config),
      ranks_(ranks),
      loss_(config.loss),
      network_(network_there(config)),
      average_(network_there(config)),
      optimizer_(make_optimizer(config.optimizer, parameters(*network_))),
      ema_(std::make_unique<Ema>(all_tensors(*average_), config.ema)),
      loss_scale_(config.precision == "f16"),
      terms_(loss_.names()) {
  if (config.gan.type == "none") return;
  adversary_ = std::make_unique<Adversary>(config);
  terms_.insert(terms_.end(), {"gan", "d_real", "d_fake"});
}

double Learner::share(const Batch& batch) const {
  const double batches = 1.0 / static_cast<double>(config_.accumulate);
  if (!ranks_ || ranks_->size() == 1) return batches;
  return batches * static_cast<double>(batch.lr.dim(0)) / static_cast<double>(config_.data.batch);
}

void Learner::backpropagate(const Batch& batch, StepResult& result) {
  const double share = this->share(batch);
  Var output = (*network_)(batch.lr);
  Var loss = loss_(output, batch.hr, result.parts, share);
  if (adversary_) {
    result.parts.resize(terms_.size());
    Var fooled = generator_loss(config_.gan.type, adversary_->discriminator(output, true));
    fooled = mul(fooled, config_.gan.weight);
    result.parts[loss_.names().size()] += share * number(fooled);
    loss = add(loss, fooled);
  }
  result.loss += share * number(loss);
  if (!std::isfinite(result.loss)) return;
  weighted_backward(loss, share * loss_scale_.value());
  if (adversary_) backpropagate_adversary(batch, output.detach(), result);
}

void Learner::backpropagate_adversary(const Batch& batch, const Var& output, StepResult& result) {
  const double share = this->share(batch);
  const size_t first = loss_.names().size() + 1;
  Var real = real_loss(config_.gan.type, adversary_->discriminator(batch.hr));
  result.parts[first] += share * number(real);
  weighted_backward(real, share);
  Var fake = fake_loss(config_.gan.type, adversary_->discriminator(output));
  result.parts[first + 1] += share * number(fake);
  weighted_backward(fake, share);
}

void Learner::combine(StepResult& result) {
  if (!ranks_ || ranks_->size() == 1) return;
  result.parts.resize(terms_.size());
  std::vector<double> values = result.parts;
  values.push_back(result.loss);
  ranks_->sum(values);
  result.loss = values.back();
  values.pop_back();
  result.parts = values;
  if (!std::isfinite(result.loss)) return;
  std::vector<Tensor> gradients = optimizer_->gradients();
  if (adversary_)
    for (const Tensor& gradient : adversary_->optimizer->gradients()) gradients.push_back(gradient);
  ranks_->sum(gradients);
}

StepResult Learner::step(const std::function<Batch()>& next, double lr, int64_t iteration,
                         const std::function<void()>& meanwhile) try {
  StepResult result;
  for (int64_t i = 0; i < config_.accumulate; ++i) {
    const Batch batch = next().to(config_.computes_on());
    if (std::isfinite(result.loss)) backpropagate(batch, result);
    if (meanwhile) meanwhile();
  }
  combine(result);
  result = update(std::move(result), lr, iteration);
  clear_gradients();
  return result;
} catch (const Error& error) {
  clear_gradients();
  if (error.code() != ErrorCode::limit) throw;
  fail(ErrorCode::limit, error.what(),
       "; a smaller data.batch or data.patch takes less, and accumulate makes up for the batch");
} catch (...) {
  clear_gradients();
  throw;
}

StepResult Learner::update(StepResult result, double lr, int64_t iteration) {
  const bool finite = std::isfinite(result.loss);
  const double scale = loss_scale_.value();
  if (loss_scale_.dynamic()) result.loss_scale = scale;
  result.norm = finite ? optimizer_->grad_norm() / scale : result.loss;
  const double adversary_norm = adversary_ && finite ? adversary_->optimizer->grad_norm() : 0;
  result.sound = is_sound(result.norm) && is_sound(adversary_norm);
  if (!is_sound(result.norm)) result.overflow = loss_scale_.lower();
  if (!result.sound) return result;
  loss_scale_.good_step();
  if (!adversary_ || iteration >= config_.gan.alone) {
    optimizer_->step(lr, clip_scale(config_.clip, result.norm) / scale);
    ema_->update(evaluated(), optimizer_->steps - 1);
  }
  if (!adversary_) return result;
  const double ratio = config_.optimizer.lr > 0 ? lr / config_.optimizer.lr : 1;
  adversary_->optimizer->step(config_.gan.optimizer.lr * ratio, clip_scale(config_.clip, adversary_norm));
  return result;
}

void Learner::clear_gradients() {
  optimizer_->clear_gradients();
  if (adversary_) adversary_->optimizer->clear_gradients();
}

std::vector<Var> Learner::evaluated() const {
  std::vector<Var> all = all_tensors(*network_);
  size_t i = 0;
  for (Var& value : all)
    if (value.requires_grad()) value = optimizer_->evaluated()[i++];
  return all;
}

TrainState Learner::state() {
  TrainState state;
  visit_as(*network_, "model.", state);
  visit_as(*average_, "ema.", state);
  state.add("optimizer", *optimizer_, parameter_names(*network_));
  state.loss_scale = &loss_scale_;
  if (!adversary_) return state;
  visit_as(adversary_->discriminator, "discriminator.", state);
  std::vector<std::string> names;
  adversary_->discriminator.visit([&](const std::string& name, Var& v) {
    if (v.requires_grad()) names.push_back(name);
  });
  state.add("discriminator_optimizer", *adversary_->optimizer, names);
  return state;
}

}  // namespace dgp
