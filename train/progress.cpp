// What a run says about itself on the console and in its log.
#include <cmath>

#include "train/trainer.h"

namespace dgp {

std::string to_text(const TrainProgress& p, const std::string& best_name) {
  char text[256], best[64] = "";
  std::string terms;
  for (const auto& [name, value] : p.terms) {
    std::snprintf(text, sizeof text, " %s %.5f", name.c_str(), value);
    if (p.terms.size() > 1) terms += text;
  }
  if (!terms.empty()) terms = " (" + terms.substr(1) + ")";
  if (p.has_best) std::snprintf(best, sizeof best, "  best %s %.3f", best_name.c_str(), p.best);
  const auto left = static_cast<long long>(std::isfinite(p.seconds_left) ? p.seconds_left : 0);
  std::snprintf(text, sizeof text, "  lr %.2e  %.2f it/s  waiting %.0f%%%s  %lld:%02lld:%02lld left", p.lr,
                p.rate, 100 * p.waiting, best, left / 3600, left / 60 % 60, left % 60);
  char head[96];
  std::snprintf(head, sizeof head, "%lld/%lld  loss %.5f", static_cast<long long>(p.iteration),
                static_cast<long long>(p.iterations), p.loss);
  return head + terms + text;
}

}  // namespace dgp
