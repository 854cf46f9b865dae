#include "train/watch.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace dgp {
namespace {

constexpr int64_t kWindow = 128, kLeast = 32, kSteps = 16, kAlarm = 8;
// Places in the state after the window of losses.
constexpr int64_t kCount = kWindow, kRecent = kWindow + 1, kDrift = kWindow + 2, kArmed = kWindow + 3;

double median(std::vector<double>& values) {
  auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

Watch::Watch(const TrainConfig& config)
    : outlier_(config.watch.outlier),
      colour_(config.watch.colour),
      state_(Tensor::zeros({kArmed + 1}, DType::f64)) {}

void Watch::step(bool sound, double loss) {
  const auto count = static_cast<int64_t>(at(kCount));
  bool outlier = !sound;
  if (sound && count >= kLeast) {
    const double* losses = state_.data<double>();
    std::vector<double> values(losses, losses + std::min(count, kWindow));
    const double middle = median(values);
    for (double& v : values) v = std::abs(v - middle);
    outlier = loss > middle + outlier_ * 1.4826 * median(values) && loss > 2 * middle;
  }
  if (!outlier) {
    at(count % kWindow) = loss;
    at(kCount) += 1;
  }
  const auto recent = static_cast<uint32_t>(at(kRecent));
  at(kRecent) = (recent << 1 | (outlier ? 1U : 0U)) & ((1U << kSteps) - 1);
}

void Watch::preview(double drift) {
  at(kDrift) = std::isfinite(drift) ? drift : 1e9;
  if (drift < colour_ / 2) at(kArmed) = 1;
}

int Watch::outliers() const { return std::popcount(static_cast<uint32_t>(at(kRecent))); }

bool Watch::calm() const { return outliers() == 0 && diverged().empty(); }

std::string Watch::diverged() const {
  if (outliers() >= kAlarm)
    return std::to_string(outliers()) + " of the last " + std::to_string(kSteps) +
           " steps were not finite or had a loss far above the others";
  if (at(kArmed) != 0 && at(kDrift) > colour_)
    return "the mean colour of a fixed picture drifted by " + std::to_string(at(kDrift)).substr(0, 5) +
           " of the range";
  return "";
}

}  // namespace dgp
