#include "report/chart.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "report/html.h"

namespace dgp {
namespace {

constexpr double kWidth = 480, kHeight = 220, kLeft = 64, kRight = 10, kTop = 10, kBottom = 30;
constexpr size_t kMostPoints = 600;

// At most `most` points, each the mean of its neighbours.
std::vector<Point> thinned(const std::vector<Point>& points, size_t most) {
  if (points.size() <= most) return points;
  std::vector<Point> result;
  for (size_t i = 0; i < most; ++i) {
    size_t begin = i * points.size() / most, end = (i + 1) * points.size() / most;
    Point sum{0, 0};
    for (size_t j = begin; j < end; ++j) sum.x += points[j].x, sum.y += points[j].y;
    auto n = static_cast<double>(end - begin);
    result.push_back({sum.x / n, sum.y / n});
  }
  return result;
}

std::string iterations(double x) {
  if (x >= 1e6) return number(x / 1e6, 4) + "M";
  return x >= 1e4 ? number(x / 1e3, 4) + "k" : number(x, 5);
}

struct Axis {
  double low, high;
};

// `ys` sorted and not empty.
Axis axis_of(const std::vector<double>& ys, const ChartOptions& options) {
  if (options.low < options.high) return {options.low, options.high};
  double low = ys.front(), high = options.ignore_outliers ? ys[(ys.size() - 1) * 98 / 100] : ys.back();
  double pad = std::max((high - low) * 0.06, std::abs(high) * 1e-3 + 1e-12);
  return {low >= 0 && low < pad ? 0 : low - pad, high + pad};
}

}  // namespace

std::vector<double> ticks(double low, double high) {
  double raw = (high - low) / 5, unit = std::pow(10, std::floor(std::log10(raw)));
  double step = raw / unit < 1.5   ? unit
                : raw / unit < 3.5 ? 2 * unit
                : raw / unit < 7.5 ? 5 * unit
                                   : 10 * unit;
  std::vector<double> result;
  for (double t = std::ceil(low / step) * step; t <= high + step * 1e-6; t += step)
    result.push_back(std::abs(t) < step * 1e-6 ? 0 : t);
  return result;
}

std::string legend(const std::vector<Curve>& curves) {
  std::string html;
  for (const Curve& c : curves) html += " <span class=\"key " + c.style + "\">" + escaped(c.name) + "</span>";
  return html;
}

std::string chart(const std::string& title, std::vector<Curve> curves, const ChartOptions& options) {
  std::vector<double> ys;
  double last = 1;
  for (Curve& c : curves) {
    if (options.logarithmic) {
      std::erase_if(c.points, [](const Point& p) { return p.y <= 0; });
      for (Point& p : c.points) p.y = std::log10(p.y);
    }
    c.points = thinned(c.points, kMostPoints);
    for (const Point& p : c.points) ys.push_back(p.y), last = std::max(last, p.x);
  }
  if (ys.empty()) return "";
  std::sort(ys.begin(), ys.end());
  const Axis axis = axis_of(ys, options);
  auto px = [&](double x) { return kLeft + x / last * (kWidth - kLeft - kRight); };
  auto py = [&](double y) {
    const double inside = std::clamp(y, axis.low, axis.high);
    return kTop + (axis.high - inside) / (axis.high - axis.low) * (kHeight - kTop - kBottom);
  };
  std::ostringstream svg;
  svg << "<figure><figcaption>" << escaped(title);
  if (options.legend && curves.size() > 1) svg << legend(curves);
  svg << "</figcaption><svg viewBox=\"0 0 480 220\" role=\"img\" aria-label=\"" << escaped(title) << "\">";
  for (double t : ticks(axis.low, axis.high))
    svg << "<line class=\"grid\" x1=\"" << kLeft << "\" x2=\"" << kWidth - kRight << "\" y1=\"" << py(t)
        << "\" y2=\"" << py(t) << "\"/><text x=\"" << kLeft - 6 << "\" y=\"" << py(t) + 4
        << "\" text-anchor=\"end\">"
        << number(options.logarithmic ? std::pow(10, t) : t, options.logarithmic ? 2 : 4) << "</text>";
  for (double t : ticks(0, last))
    svg << "<text x=\"" << px(t) << "\" y=\"212\" text-anchor=\"" << (t > 0.97 * last ? "end" : "middle")
        << "\">" << iterations(t) << "</text>";
  for (const Curve& c : curves) {
    if (c.points.size() == 1)
      svg << "<circle class=\"dot " << c.style << "\" r=\"3\" cx=\"" << px(c.points[0].x) << "\" cy=\""
          << py(c.points[0].y) << "\"/>";
    svg << "<polyline class=\"" << c.style << "\" points=\"";
    for (const Point& p : c.points) svg << number(px(p.x), 5) << "," << number(py(p.y), 5) << " ";
    svg << "\"/>";
  }
  svg << "</svg></figure>\n";
  return svg.str();
}

std::vector<Point> smoothed(const std::vector<Point>& points) {
  std::vector<Point> result = points;
  const double keep = 1 - 1 / std::max(1.0, static_cast<double>(points.size()) / 20);
  for (size_t i = 1; i < result.size(); ++i) result[i].y = keep * result[i - 1].y + (1 - keep) * result[i].y;
  return result;
}

}  // namespace dgp
