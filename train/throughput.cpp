#include "train/throughput.h"

#include <algorithm>

namespace dgp {
namespace {
constexpr double kShortest = 2;  // seconds
}  // namespace

double Throughput::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

Throughput::Rates Throughput::rates(const Seconds& now) const {
  const double seconds = std::max(1e-9, this->seconds());
  if (seconds < kShortest && shown_.iterations > 0) return shown_;
  return {static_cast<double>(iterations_) / seconds, (now.waiting - before_.waiting) / seconds,
          (now.communicating - before_.communicating) / seconds};
}

void Throughput::close(const Seconds& now) {
  if (shown_.iterations > 0 && seconds() < kShortest) return;
  shown_ = rates(now);
  restart(now);
}

void Throughput::restart(const Seconds& now) {
  start_ = std::chrono::steady_clock::now();
  iterations_ = 0;
  before_ = now;
}

}  // namespace dgp
