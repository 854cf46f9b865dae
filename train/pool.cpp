#include "train/pool.h"

namespace dgp {
namespace {

enum Stream : uint64_t {
  kWhich = 101,
  kPlace = 102,
  kOther = 103
};  // apart from those of a sample in data.cpp

}  // namespace

PoolDraws::PoolDraws(const Dataset& data, const PoolConfig& config, uint64_t seed)
    : data_(data), config_(config), rng_(seed, 0x9a125) {
  if (config_.size == 0) config_.size = data.patch() * 3 / 2;
}

int64_t PoolDraws::number(const PoolConfig& config, int64_t index, Rng rng) {
  return index / config.reuse + rng.below(config.pairs);
}

PoolDraws::From PoolDraws::first(int64_t index, const Rng& rng) const {
  return {number(config_, index, rng.split(kWhich)), rng.split(kPlace)};
}
PoolDraws::From PoolDraws::other(int64_t index, const Rng& rng, const Partner& partner) const {
  return {number(config_, index, rng.split(kOther)), partner.rng};
}

Recipe PoolDraws::recipe(int64_t number) const {
  return data_.recipe(rng_.split(static_cast<uint64_t>(number)), config_.size);
}

PairPool::PairPool(const Dataset& data, const PoolConfig& config, uint64_t seed)
    : data_(data),
      draws_(data, config, seed),
      pairs_([this](int64_t number) { return data_.make(draws_.recipe(number)); }) {}

void PairPool::sample(int64_t index, const Rng& rng, const AugmentConfig& augment, float* lr, float* hr) {
  const auto cut = [&](const PoolDraws::From& from, float* to_lr, float* to_hr) {
    data_.cut(*pairs_.get(from.number), from.place, augment, to_lr, to_hr);
  };
  cut(draws_.first(index, rng), lr, hr);
  data_.mix_in(rng, augment, lr, hr, [&](const Rng& partner, float* other_lr, float* other_hr) {
    cut(draws_.other(index, rng, {.share = 0, .rng = partner}), other_lr, other_hr);
  });
  pairs_.forget_below(draws_.oldest(index) - kPairsBehind);
}

}  // namespace dgp
