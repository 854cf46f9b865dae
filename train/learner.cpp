#include "train/learner.h"

#include <cmath>

namespace dgp {
namespace {

constexpr double kLargestNorm = 1e18;  // squares of larger gradients overflow the optimiser's second moments

std::vector<Var> all_tensors(Network& network) {
  std::vector<Var> all;
  network.visit([&](const std::string&, Var& value) { all.push_back(value); });
  return all;
}

std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& config, std::vector<Var> parameters) {
  const OptimizerKind* kind = optimizers().find(config.optimizer.type);
  check(kind != nullptr, "optimizer: no optimiser is called \"", config.optimizer.type, "\"");
  return kind->make(std::move(parameters), with_defaults(*kind, config.optimizer.options));
}

}  // namespace

Learner::Learner(const TrainConfig& config)
    : config_(config),
      loss_(config.loss),
      network_(make_network(config)),
      average_(make_network(config)),
      optimizer_(make_optimizer(config, parameters(*network_))),
      ema_(std::make_unique<Ema>(all_tensors(*average_), config.ema)) {}

void Learner::backpropagate(const Batch& batch, StepResult& result) {
  const double share = 1.0 / static_cast<double>(config_.accumulate);
  Var loss = loss_((*network_)(batch.lr), batch.hr, result.parts, share);
  result.loss += share * static_cast<double>(loss.value().item<float>());
  if (std::isfinite(result.loss)) backward(loss, Tensor::full({}, share));
}

StepResult Learner::step(const std::function<Batch()>& next, double lr) {
  StepResult result;
  for (int64_t i = 0; i < config_.accumulate; ++i) {
    const Batch batch = next();
    if (std::isfinite(result.loss)) backpropagate(batch, result);
  }
  result.norm = std::isfinite(result.loss) ? optimizer_->grad_norm() : result.loss;
  result.sound = std::isfinite(result.norm) && result.norm < kLargestNorm;
  if (result.sound) {
    const double clip = config_.clip;
    optimizer_->step(lr, clip > 0 && result.norm > clip ? clip / result.norm : 1);
    ema_->update(evaluated(), optimizer_->steps - 1);
  }
  optimizer_->clear_gradients();
  return result;
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
  network_->visit(
      [&](const std::string& name, Var& v) { state.tensors.emplace_back("model." + name, v.value()); });
  average_->visit(
      [&](const std::string& name, Var& v) { state.tensors.emplace_back("ema." + name, v.value()); });
  state.add("optimizer", *optimizer_, parameter_names(*network_));
  return state;
}

}  // namespace dgp
