// Line charts as inline SVG.
#pragma once

#include <string>
#include <vector>

namespace dgp {

struct Point {
  double x, y;
};

struct Curve {
  std::string name, style;  // style: a CSS class: main, base (dashed), faint, or an operator's name
  std::vector<Point> points;
};

struct ChartOptions {
  bool ignore_outliers = false;  // the axis ends at the 98th of a hundred values
  double low = 0, high = 0;      // the axis; equal: as the values are
  bool logarithmic = false;      // of values above zero
  bool legend = true;            // for more than one curve
};

// Empty when there are no points.
std::string chart(const std::string& title, std::vector<Curve> curves, const ChartOptions& options = {});

std::vector<double> ticks(double low, double high);  // round numbers that cut the range into about five

// A key to curves that several charts share.
std::string legend(const std::vector<Curve>& curves);

std::vector<Point> smoothed(const std::vector<Point>& points);  // a running mean over a twentieth of them

}  // namespace dgp
