// Worker threads take numbers in turn, make those batches, and wait when they are
// too far ahead of the trainer.
#include "train/loader.h"

#include <chrono>
#include <utility>

#include "train/pool.h"

namespace dgp {
namespace {
constexpr double kMostWaiting = 0.05;  // share of the time without a word
}  // namespace

Loader::Loader(const Dataset& data, const TrainConfig& config, int64_t first, BatchPart part)
    : data_(data), config_(config), part_(part), next_made_(first), next_taken_(first) {
  if (config.computes_on() == Device::cuda)
    gpu_ = std::make_unique<GpuBatches>(data, config, part);
  else if (config.data.pool.pairs > 0)
    pool_ = std::make_unique<PairPool>(data, config.data.pool, static_cast<uint64_t>(config.seed));
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
    changed_.wait(lock,
                  [&] { return stop_ || next_made_ < next_taken_ + kBatchesAhead + config_.data.workers; });
    if (stop_) return;
    const int64_t number = next_made_++;
    lock.unlock();
    Made made;
    std::exception_ptr failure;
    try {
      made = make(number);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) {
      failure_ = failure;
      stop_ = true;
    }
    ready_.emplace(number, std::move(made));
    changed_.notify_all();
  }
}

Loader::Made Loader::make(int64_t number) const {
  if (gpu_) return {{}, gpu_->plan(number)};
  const Rng rng = batch_rng(config_, number);
  if (pool_) return {make_from_pool(rng, number), {}};
  return {data_.batch(rng, part_.count, config_.data.augment, part_.first), {}};
}

Batch Loader::make_from_pool(const Rng& rng, int64_t number) const {
  const int64_t n = part_.count, p = data_.patch(), P = p * data_.scale();
  Batch batch{Tensor({n, p, p, 3}), Tensor({n, P, P, 3})};
  for (int64_t i = 0; i < n; ++i) {
    const int64_t sample = part_.first + i;
    pool_->sample(number * config_.data.batch + sample, rng.split(static_cast<uint64_t>(sample)),
                  config_.data.augment, batch.lr.data<float>() + i * p * p * 3,
                  batch.hr.data<float>() + i * P * P * 3);
  }
  return batch;
}

Batch Loader::next() {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || sent_ || ready_.count(next_taken_); });
  if (failure_) std::rethrow_exception(failure_);
  Made made = sent_ ? *std::exchange(sent_, std::nullopt) : take(lock);
  waited_ += std::chrono::duration<double>(Clock::now() - start).count();
  return gpu_ ? gpu_->make(std::move(made.plan)) : made.batch;
}

void Loader::send() {
  std::unique_lock lock(mutex_);
  if (!gpu_ || failure_ || sent_ || !ready_.count(next_taken_)) return;
  sent_ = take(lock);
  gpu_->send(sent_->plan);
}

Loader::Made Loader::take(std::unique_lock<std::mutex>& lock) {
  Made made = std::move(ready_.extract(next_taken_++).mapped());
  changed_.notify_all();
  lock.unlock();
  return made;
}

std::string waiting_advice(const TrainConfig& config, double waiting, int64_t cores) {
  if (waiting <= kMostWaiting) return "";
  char share[64];
  std::snprintf(share, sizeof share, "training waits for data %.0f%% of the time: ", 100 * waiting);
  std::string advice;
  const auto add = [&](const std::string& text) { advice += (advice.empty() ? "" : "; or ") + text; };
  if (config.data.workers < cores)
    add("set data.workers to " + std::to_string(std::min(cores, config.data.workers * 2)));
  bool degraded = false;
  const bool on_gpu = config.computes_on() == Device::cuda;
  for (const SourceConfig& source : config.data.train)
    degraded = degraded || (source.lr.empty() && source.degrade.type != "bicubic" &&
                            (!on_gpu || source.degrade.type == "real"));
  if (degraded)
    add("let several patches come from one degraded pair (data.pool: {pairs: 180, reuse: 8}); or choose a "
        "shorter degradation (degrade.orders: 1, usm: false, smaller kernels), or make the pairs "
        "beforehand");
  if (!config.data.pack.empty())
    add("put data.pack on a faster disk, or leave it out if the pixels fit into memory");
  if (advice.empty()) advice = "the machine is busy with something else, or the network is too small for it";
  return share + advice;
}

}  // namespace dgp
