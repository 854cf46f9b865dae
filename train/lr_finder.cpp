#include "train/lr_finder.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "report/chart.h"
#include "report/html.h"
#include "train/learner.h"
#include "train/loader.h"

namespace dgp {
namespace {

constexpr double kSmooth = 0.85;  // of the running mean, corrected for its start as Adam's moments are
constexpr double kBroken = 1.5;   // times the least smoothed loss: learning has broken

// A network's loss on a batch, without learning from it.
class Yardstick {
 public:
  explicit Yardstick(const TrainConfig& config)
      : device_(config.computes_on()), loss_(config.loss), network_(make_network(config)) {
    move(*network_, device_);
  }
  double operator()(const Batch& given) const {
    NoGrad inference;
    const Batch batch = given.to(device_);
    std::vector<double> parts;
    return static_cast<double>(loss_((*network_)(batch.lr), batch.hr, parts).value().item<float>());
  }

 private:
  Device device_;
  Loss loss_;
  std::unique_ptr<Network> network_;
};

void read_off(LrFound& found) {
  const auto least = std::min_element(found.smoothed.begin(), found.smoothed.end());
  if (least == found.smoothed.end() || *least >= 1)
    fail(ErrorCode::numeric,
         "no learning rate of the sweep lowered the loss; check the data, or sweep other rates");
  found.least = found.rates[static_cast<size_t>(least - found.smoothed.begin())];
  found.suggested = found.least / 3;
}

std::string text_of(double value, const char* format = "%.2g") {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Places in a picture of 900x420: the logarithm of the rate across, the loss up.
struct Axes {
  double left, right, bottom, top;
  double x(double rate) const { return 60 + 820 * (std::log10(rate) - left) / (right - left); }
  double y(double loss) const {
    return 380 - 350 * (std::clamp(loss, bottom, top) - bottom) / (top - bottom);
  }
};

std::string polyline(const Axes& axes, const char* style, const std::vector<double>& rates,
                     const std::vector<double>& losses) {
  std::string text = std::string("<polyline class=\"") + style + "\" points=\"";
  for (size_t i = 0; i < losses.size(); ++i)
    text += text_of(axes.x(rates[i]), "%.1f") + "," + text_of(axes.y(losses[i]), "%.1f") + " ";
  return text + "\"/>";
}

std::string marker(const Axes& axes, double rate, const std::string& name, int row) {
  const std::string x = text_of(axes.x(rate), "%.1f");
  return "<line class=\"grid\" x1=\"" + x + "\" x2=\"" + x + "\" y1=\"30\" y2=\"380\"/><text x=\"" + x +
         "\" y=\"" + std::to_string(14 + 14 * row) + "\" text-anchor=\"middle\">" + name + " " +
         text_of(rate) + "</text>";
}

}  // namespace

LrFound find_learning_rate(const TrainConfig& config, const LrSweep& sweep, const std::atomic<bool>* stop) {
  check(sweep.low > 0 && sweep.high > sweep.low && sweep.steps >= 2,
        "learning rate sweep: expects 0 < low < high");
  const auto precision = precision_of(config);
  const Dataset data(config.data.train,
                     {config.model.scale, config.data.patch, config.data.cache << 20, config.data.pack});
  Learner learner(config);
  const Yardstick untrained(config);
  Loader loader(data, config, 0);
  LrFound found;
  double mean = 0, weight = 0, least = 1e300;
  for (int64_t step = 0; step < sweep.steps && !(stop && *stop); ++step) {
    const double share = static_cast<double>(step) / static_cast<double>(sweep.steps - 1);
    const double lr = sweep.low * std::pow(sweep.high / sweep.low, share);
    double reference = 0;
    const StepResult result = learner.step(
        [&] {
          Batch batch = loader.next();
          reference += untrained(batch) / static_cast<double>(config.accumulate);
          return batch;
        },
        lr, step, [&] { loader.send(); });
    if (result.overflow) {  // says nothing of the rate: the same again, at a lower loss scale
      --step;
      continue;
    }
    double own = 0;  // the discriminator's part is no measure: it changes as the discriminator learns
    for (size_t i = 0; i < config.loss.size() && i < result.parts.size(); ++i) own += result.parts[i];
    const double relative = result.sound ? own / std::max(reference, 1e-300) : HUGE_VAL;
    mean = kSmooth * mean + (1 - kSmooth) * relative;
    weight = kSmooth * weight + (1 - kSmooth);
    found.diverged = !std::isfinite(mean) || mean / weight > kBroken * least;
    if (found.diverged) break;
    found.rates.push_back(lr), found.losses.push_back(relative), found.smoothed.push_back(mean / weight);
    least = std::min(least, found.smoothed.back());
  }
  read_off(found);
  return found;
}

std::string to_html(const LrFound& found, const TrainConfig& config) {
  Axes axes{std::log10(found.rates.front()), std::log10(found.rates.back()),
            *std::min_element(found.smoothed.begin(), found.smoothed.end()),
            *std::max_element(found.smoothed.begin(), found.smoothed.end())};
  const double pad = std::max(0.02, 0.1 * (axes.top - axes.bottom));
  axes.bottom -= pad, axes.top += pad;
  const std::string title = config.name + ": learning rate";
  std::ostringstream html;
  html << "<h1>" << escaped(title) << "</h1><p>Suggested: optimizer.lr " << text_of(found.suggested)
       << " for " << escaped(config.optimizer.type) << ". Least loss at " << text_of(found.least)
       << (found.diverged ? ", broken at " + text_of(found.rates.back()) : std::string()) << ". "
       << found.rates.size()
       << " steps, each at a higher rate than the one before; loss relative to the untrained "
       << "network's on the same batches.</p><figure><svg viewBox=\"0 0 900 420\" role=\"img\" "
          "aria-label=\"loss by "
       << "learning rate\">";
  for (double loss : ticks(axes.bottom, axes.top))
    html << "<line class=\"grid\" x1=\"60\" x2=\"880\" y1=\"" << axes.y(loss) << "\" y2=\"" << axes.y(loss)
         << "\"/><text x=\"54\" y=\"" << axes.y(loss) + 4 << "\" text-anchor=\"end\">"
         << text_of(loss, "%.4g") << "</text>";
  for (double power = std::ceil(axes.left); power <= axes.right; ++power)
    html << "<text x=\"" << axes.x(std::pow(10, power)) << "\" y=\"400\" text-anchor=\"middle\">1e" << power
         << "</text>";
  html << polyline(axes, "faint", found.rates, found.losses)
       << polyline(axes, "main", found.rates, found.smoothed) << marker(axes, found.suggested, "suggested", 0)
       << marker(axes, found.least, "least", 1) << "</svg></figure>\n";
  return page(title, html.str());
}

}  // namespace dgp
