#include "train/pool.h"

namespace dgp {
namespace {

enum Stream : uint64_t {
  kWhich = 101,
  kPlace = 102,
  kOther = 103
};                             // apart from those of a sample in data.cpp
constexpr int64_t kKept = 64;  // pairs behind the window, for threads that are behind

}  // namespace

PairPool::PairPool(const Dataset& data, const PoolConfig& config, uint64_t seed)
    : data_(data), config_(config), rng_(seed, 0x9a125) {
  if (config_.size == 0) config_.size = data.patch() * 3 / 2;
}

int64_t PairPool::number(const PoolConfig& config, int64_t index, Rng rng) {
  return index / config.reuse + rng.below(config.pairs);
}

void PairPool::sample(int64_t index, const Rng& rng, const AugmentConfig& augment, float* lr, float* hr) {
  const auto take = [&](uint64_t which) { return pair(number(config_, index, rng.split(which))); };
  const Made first = take(kWhich);
  data_.cut(*first, rng.split(kPlace), augment, lr, hr);
  data_.mix_in(rng, augment, lr, hr, [&](const Rng& partner, float* other_lr, float* other_hr) {
    data_.cut(*take(kOther), partner, augment, other_lr, other_hr);
  });
  forget(index);
}

// The first thread that asks for a pair makes it; others wait for it.
PairPool::Made PairPool::pair(int64_t number) {
  std::promise<Made> promise;
  std::shared_future<Made> future;
  {
    std::lock_guard lock(mutex_);
    auto at = pairs_.find(number);
    if (at != pairs_.end()) {
      future = at->second;
    } else {
      pairs_.emplace(number, promise.get_future().share());
    }
  }
  if (future.valid()) return future.get();
  try {
    auto made =
        std::make_shared<const Pair>(data_.pair(rng_.split(static_cast<uint64_t>(number)), config_.size));
    promise.set_value(made);
    return made;
  } catch (...) {
    promise.set_exception(std::current_exception());
    throw;
  }
}

void PairPool::forget(int64_t index) {
  std::lock_guard lock(mutex_);
  pairs_.erase(pairs_.begin(), pairs_.lower_bound(index / config_.reuse - kKept));
}

}  // namespace dgp
