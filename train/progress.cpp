// What a run says about itself on the console and in its log.
#include <cmath>

#include "train/trainer.h"

namespace dgp {

namespace {

std::string format(const char* pattern, auto... values) {
  char text[128];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

}  // namespace

std::string time_text(double seconds) {
  const auto s = static_cast<long long>(std::isfinite(seconds) ? seconds + 0.5 : 0);
  if (s >= 86400) return format("%lldd %02lldh", s / 86400, s / 3600 % 24);
  if (s >= 3600) return format("%lldh %02lldm", s / 3600, s / 60 % 60);
  return s >= 60 ? format("%lldm %02llds", s / 60, s % 60) : format("%llds", s);
}

std::string to_text(const TrainProgress& p, const std::string& best_name) {
  const double share =
      p.iterations > 0 ? 100.0 * static_cast<double>(p.iteration) / static_cast<double>(p.iterations) : 0;
  std::string text = format("%lld/%lld %.0f%%  loss %.5f", static_cast<long long>(p.iteration),
                            static_cast<long long>(p.iterations), std::floor(share), p.loss);
  if (p.terms.size() > 1) {
    std::string terms;
    for (const auto& [name, value] : p.terms)
      terms += (terms.empty() ? "" : " ") + name + format(" %.5f", value);
    text += " (" + terms + ")";
  }
  text += format("  lr %.2e  %.2f it/s  waiting %.0f%%", p.lr, p.rate, 100 * p.waiting);
  if (p.loss_scale > 0)
    text += format("  scale %g (%lld skipped)", p.loss_scale, static_cast<long long>(p.skipped));
  if (p.ranks > 1) text += format("  communicating %.0f%%", 100 * p.communicating);
  if (p.memory > 0) text += format("  %.2f GiB", static_cast<double>(p.memory) / (1 << 30));
  if (p.has_best) text += "  best " + best_name + format(" %.3f", p.best);
  return text + "  " + time_text(p.seconds_left) + " left";
}

}  // namespace dgp
