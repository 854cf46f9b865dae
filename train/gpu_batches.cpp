#include "train/gpu_batches.h"

#include <algorithm>

namespace dgp {

namespace {
// Of a batch, the oldest pair of its first sample and the newest of its last are at most so many apart.
int64_t slots_of(const TrainConfig& config) {
  return config.data.pool.pairs + config.data.batch / config.data.pool.reuse + 1;
}
}  // namespace

GpuBatches::Pool::Pool(const Dataset& data, const TrainConfig& config, const PoolDraws& drawn, BatchPart part)
    : draws(drawn),
      room(data, slots_of(config), drawn.config().size, part.count),
      plans([&data, this](int64_t number) { return plan_pair(data, draws.recipe(number), room, number); }),
      held(static_cast<size_t>(room.slots), -1) {}

GpuBatches::GpuBatches(const Dataset& data, const TrainConfig& config, BatchPart part)
    : data_(data), config_(config), part_(part) {
  if (config.data.pool.pairs > 0)
    pool_.emplace(data, config, PoolDraws(data, config.data.pool, static_cast<uint64_t>(config.seed)), part);
}

GpuBatches::Plan GpuBatches::plan(int64_t number) {
  if (pool_) return plan_from_pool(number);
  const Rng rng = batch_rng(config_, number);
  Plan plan{number};
  const int64_t parts = parts_;
  for (int64_t k = 0; k < parts; ++k) {
    const int64_t begin = part_.count * k / parts, end = part_.count * (k + 1) / parts;
    plan.parts.push_back(plan_batch(data_, rng, end - begin, config_.data.augment, part_.first + begin));
  }
  return plan;
}

GpuBatches::Plan GpuBatches::plan_from_pool(int64_t number) {
  const Rng rng = batch_rng(config_, number);
  const PoolDraws& draws = pool_->draws;
  const AugmentConfig& augment = config_.data.augment;
  Plan plan{number};
  const auto from = [&](const PoolDraws::From& at) {
    plan.pairs.emplace_back(at.number, pool_->plans.get(at.number));
    const PairPlan& pair = *plan.pairs.back().second;
    return PooledSample{at.number, pair.width, data_.place(at.place, augment, pair.height, pair.width)};
  };
  std::vector<PooledSample> samples;
  std::vector<PooledMix> mixed;
  for (int64_t i = 0; i < part_.count; ++i) {
    const int64_t sample = part_.first + i, index = number * config_.data.batch + sample;
    const Rng own = rng.split(static_cast<uint64_t>(sample));
    samples.push_back(from(draws.first(index, own)));
    const Partner partner = data_.partner(own, augment);
    if (partner.share < 1) mixed.push_back({i, partner.share, from(draws.other(index, own, partner))});
  }
  plan.parts.push_back(plan_from_pairs(data_, pool_->room, samples, mixed));
  pool_->plans.forget_below(draws.oldest(number * config_.data.batch) - kPairsBehind);
  return plan;
}

void GpuBatches::send(Plan& plan) {
  if (pool_) return make_pairs(plan);
  DegradePlan& first = plan.parts[0].plan;
  plan.data = runner_.send(first), first.data = {};
}

void GpuBatches::make_pairs(const Plan& plan) {
  Pool& pool = *pool_;
  if (!pool.memory.defined()) try {
      pool.memory = Tensor({pool.room.floats}, DType::f32, Device::cuda);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::limit) throw;
      fail(ErrorCode::limit, error.what(), "; data.pool keeps ", pool.held.size(),
           " pairs there: fewer or smaller ones take less");
    }
  for (const auto& [number, pair] : plan.pairs) {
    int64_t& held = pool.held[static_cast<size_t>(pool.room.slot(number))];
    if (held == number) continue;
    runner_.run(pair->plan, runner_.send(pair->plan), {.pool = pool.memory});
    held = number;
  }
}

Batch GpuBatches::make(Plan plan) {
  if (pool_) {
    make_pairs(plan);
    const BatchPlan& batch = plan.parts[0];
    return run_batch(batch, runner_.send(batch.plan), runner_, pool_->memory);
  }
  while (true) try {
      return make_parts(plan);
    } catch (const Error& error) {  // fewer samples at a time take less memory
      if (error.code() != ErrorCode::limit || parts_ >= part_.count) throw;
      parts_ = std::min(2 * parts_, part_.count);
      plan = this->plan(plan.number);
    }
}

Batch GpuBatches::make_parts(const Plan& plan) {
  const auto part = [&](size_t k) {
    const BatchPlan& batch = plan.parts[k];
    return run_batch(batch, k == 0 && plan.data.defined() ? plan.data : runner_.send(batch.plan), runner_);
  };
  if (plan.parts.size() == 1) return part(0);
  const int64_t p = data_.patch(), P = p * data_.scale();
  Batch whole{Tensor({part_.count, p, p, 3}, DType::f32, Device::cuda),
              Tensor({part_.count, P, P, 3}, DType::f32, Device::cuda)};
  int64_t at = 0;
  for (size_t k = 0; k < plan.parts.size(); ++k) {
    const Batch made = part(k);
    const int64_t count = made.lr.dim(0);
    whole.lr.slab(at, count).copy_from(made.lr);
    whole.hr.slab(at, count).copy_from(made.hr);
    at += count;
  }
  return whole;
}

}  // namespace dgp
