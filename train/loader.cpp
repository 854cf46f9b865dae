// Batches ahead of time: worker threads take numbers in turn, make those batches, and wait when they are
// too far ahead of the trainer.
#include <chrono>

#include "train/data.h"

namespace dgp {
namespace {
constexpr int64_t kAhead = 4;  // batches ready or in the making, besides one a worker
}  // namespace

Loader::Loader(const Dataset& data, const TrainConfig& config, int64_t first)
    : data_(data), config_(config), next_made_(first), next_taken_(first) {
  for (int64_t i = 0; i < config.data.workers; ++i) workers_.emplace_back([this] { work(); });
}

Loader::~Loader() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Loader::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || next_made_ < next_taken_ + kAhead + config_.data.workers; });
    if (stop_) return;
    const int64_t number = next_made_++;
    lock.unlock();
    Batch batch;
    std::exception_ptr failure;
    try {
      batch = make(number);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) {
      failure_ = failure;
      stop_ = true;
    }
    ready_.emplace(number, std::move(batch));
    changed_.notify_all();
  }
}

Batch Loader::make(int64_t number) const {
  const Rng rng(static_cast<uint64_t>(config_.seed), 0xda7a);
  return data_.batch(rng.split(static_cast<uint64_t>(number)), config_.data.batch, config_.data.augment);
}

Batch Loader::next() {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || ready_.count(next_taken_); });
  if (failure_) std::rethrow_exception(failure_);
  Batch batch = std::move(ready_.extract(next_taken_++).mapped());
  changed_.notify_all();
  waited_ += std::chrono::duration<double>(Clock::now() - start).count();
  return batch;
}

}  // namespace dgp
