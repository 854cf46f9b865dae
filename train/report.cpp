#include "train/report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/file.h"
#include "train/report_page.h"

namespace dgp {
namespace {

using Json = nlohmann::json;

struct Point {
  double x, y;
};

struct Curve {
  std::string name, style;  // style: the CSS class of its line
  std::vector<Point> points;
};

std::string number(double value, int digits = 4) {
  std::ostringstream text;
  text.precision(digits);
  text << value;
  return text.str();
}

std::string escaped(const std::string& text) {
  std::string result;
  for (char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else
      result += c;
  }
  return result;
}

std::string base64(const std::string& bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j)
      word = word << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0);
    for (int j = 3; j >= 0; --j) text += kDigits[word >> (6 * j) & 63];
  }
  for (size_t i = 0; i < (3 - bytes.size() % 3) % 3; ++i) text[text.size() - 1 - i] = '=';
  return text;
}

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

std::vector<Point> smoothed(const std::vector<Point>& points) {  // a running mean over a twentieth of the run
  std::vector<Point> result = points;
  const double keep = 1 - 1 / std::max(1.0, static_cast<double>(points.size()) / 20);
  for (size_t i = 1; i < result.size(); ++i) result[i].y = keep * result[i - 1].y + (1 - keep) * result[i].y;
  return result;
}

// Round numbers that cut [low, high] into about five.
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

std::string chart(const std::string& title, std::vector<Curve> curves, bool ignore_outliers = false) {
  constexpr double kWidth = 640, kHeight = 260, kLeft = 62, kRight = 12, kTop = 12, kBottom = 28;
  std::vector<double> ys;
  double last = 1;
  for (Curve& c : curves) {
    c.points = thinned(c.points, 600);
    for (const Point& p : c.points) ys.push_back(p.y), last = std::max(last, p.x);
  }
  if (ys.empty()) return "";
  std::sort(ys.begin(), ys.end());
  double low = ys.front(), high = ignore_outliers ? ys[(ys.size() - 1) * 98 / 100] : ys.back();
  double pad = std::max((high - low) * 0.06, std::abs(high) * 1e-6 + 1e-12);
  low -= pad, high += pad;
  auto px = [&](double x) { return kLeft + x / last * (kWidth - kLeft - kRight); };
  auto py = [&](double y) {
    return kTop + (high - std::clamp(y, low, high)) / (high - low) * (kHeight - kTop - kBottom);
  };
  std::ostringstream svg;
  svg << "<figure><figcaption>" << escaped(title);
  for (const Curve& c : curves)
    if (curves.size() > 1) svg << " <span class=\"key " << c.style << "\">" << escaped(c.name) << "</span>";
  svg << "</figcaption><svg viewBox=\"0 0 640 260\" role=\"img\" aria-label=\"" << escaped(title) << "\">";
  for (double t : ticks(low, high))
    svg << "<line class=\"grid\" x1=\"62\" x2=\"628\" y1=\"" << py(t) << "\" y2=\"" << py(t)
        << "\"/><text x=\"56\" y=\"" << py(t) + 4 << "\" text-anchor=\"end\">" << number(t) << "</text>";
  for (double t : ticks(0, last))
    svg << "<text x=\"" << px(t) << "\" y=\"252\" text-anchor=\"middle\">" << number(t, 7) << "</text>";
  for (const Curve& c : curves) {
    svg << "<polyline class=\"" << c.style << "\" points=\"";
    for (const Point& p : c.points) svg << number(px(p.x), 5) << "," << number(py(p.y), 5) << " ";
    svg << "\"/>";
  }
  svg << "</svg></figure>\n";
  return svg.str();
}

struct History {
  std::vector<Point> loss, lr, norm, waiting, psnr_y, base_y, psnr_rgb, base_rgb;
  std::map<std::string, std::vector<Point>> terms;  // of the loss
  std::vector<std::string> events;
  Json last_line, last_validation;
};

History read_history(const std::string& path) {
  History h;
  std::istringstream lines(read_file(path));
  std::string line;
  while (std::getline(lines, line)) {
    Json j = Json::parse(line, nullptr, false);
    if (!j.is_object() || !j.contains("iteration")) continue;
    const double x = j["iteration"];
    if (j.contains("validation")) {
      const Json& v = j["validation"];
      auto psnr = [&](const char* who, const char* what) {
        return v[who][what].is_number() ? v[who][what].get<double>() : 100.0;
      };
      h.psnr_y.push_back({x, psnr("mean", "psnr_y")}), h.base_y.push_back({x, psnr("baseline", "psnr_y")});
      h.psnr_rgb.push_back({x, psnr("mean", "psnr_rgb")}),
          h.base_rgb.push_back({x, psnr("baseline", "psnr_rgb")});
      h.last_validation = j;
      continue;
    }
    if (j.contains("event")) {
      h.events.push_back(j["event"]);
      continue;
    }
    if (j.contains("loss")) h.loss.push_back({x, j["loss"]});
    if (j.contains("losses"))
      for (const auto& [name, value] : j["losses"].items()) h.terms[name].push_back({x, value});
    if (j.contains("grad_norm")) h.norm.push_back({x, j["grad_norm"]});
    h.lr.push_back({x, j["lr"]}), h.waiting.push_back({x, 100 * j["waiting"].get<double>()});
    h.last_line = j;
  }
  return h;
}

// One chart a term, since their sizes differ by orders of magnitude.
std::string term_charts(const std::map<std::string, std::vector<Point>>& terms) {
  std::string html;
  if (terms.size() > 1)
    for (const auto& [name, points] : terms)
      html += chart("Loss, weighted term " + name,
                    {{"as it came", "faint", points}, {"smoothed", "main", smoothed(points)}}, true);
  return html;
}

std::string table(const Json& validation, const std::string& baseline) {
  if (!validation.is_object()) return "";
  const Json& v = validation["validation"];
  std::ostringstream html;
  html << "<h2>Validation, iteration " << validation["iteration"] << ", border " << v["border"]
       << "</h2>\n<table><tr><th>"
       << "picture<th colspan=\"2\">PSNR Y<th colspan=\"2\">PSNR RGB<th colspan=\"2\">SSIM Y<th "
          "colspan=\"2\">SSIM RGB</tr>"
       << "<tr><th>";
  for (int i = 0; i < 4; ++i) html << "<th>" << baseline << "<th>output";
  html << "</tr>\n";
  auto row = [&](const std::string& name, const Json& base, const Json& output) {
    html << "<tr><td>" << escaped(name);
    for (const char* key : {"psnr_y", "psnr_rgb", "ssim_y", "ssim_rgb"})
      for (const Json* q : {&base, &output}) {
        char text[32] = "equal";
        const Json& value = (*q)[key];
        if (value.is_number())
          std::snprintf(text, sizeof text, key[0] == 'p' ? "%.2f" : "%.4f", value.get<double>());
        html << "<td>" << text;
      }
    html << "</tr>\n";
  };
  row("mean", v["baseline"], v["mean"]);
  if (v["rows"].size() <= 100)
    for (const Json& r : v["rows"]) row(r["name"], r["baseline"], r["output"]);
  html << "</table>\n";
  return html.str();
}

std::string pictures(const std::string& folder, const std::vector<std::string>& shown,
                     const std::string& baseline) {
  std::ostringstream html;
  for (const std::string& name : shown) {
    std::string data[3];
    const char* kinds[] = {"_input.png", "_output.png", "_hr.png"};
    bool there = true;
    for (int i = 0; i < 3 && there; ++i) {
      const std::string path = folder + "/val/" + name + kinds[i];
      if ((there = std::filesystem::exists(path)))
        data[i] = "data:image/png;base64," + base64(read_file(path));
    }
    if (!there) continue;
    html
        << "<section class=\"pair\"><h3>" << escaped(name)
        << "</h3><div class=\"slider\"><img alt=\"output\" src=\"" << data[1]
        << "\"><img class=\"over\" alt=\"" << baseline << "\" src=\"" << data[0]
        << "\"><input type=\"range\" min=\"0\" max=\"100\" value=\"50\" aria-label=\"divide\"><b class=\"l\">"
        << baseline << "</b><b class=\"r\">output</b></div><div class=\"truth\"><img alt=\"original\" src=\""
        << data[2] << "\"><b class=\"l\">original</b></div></section>\n";
  }
  return html.str();
}

}  // namespace

void write_report(const TrainConfig& config, const std::string& folder, const std::vector<std::string>& shown,
                  const std::string& baseline) {
  const History h = read_history(folder + "/metrics.jsonl");
  std::ostringstream html;
  html << "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
          "content=\"width=device-width\"><title>"
       << escaped(config.name) << "</title>" << kReportStyle << "</head><body><main><h1>"
       << escaped(config.name) << "</h1><p>";
  if (h.last_line.is_object())
    html << "Iteration " << h.last_line["iteration"] << " of " << config.iterations << ", "
         << number(h.last_line["seconds"].get<double>() / 3600, 3) << " hours, "
         << number(h.last_line["it_per_s"].get<double>(), 3) << " iterations a second, "
         << h.last_line["skipped"] << " steps skipped.";
  for (const std::string& event : h.events) html << "<br>&#9888; " << escaped(event);
  html << "</p>\n<div class=\"charts\">"
       << chart("PSNR on Y, dB", {{baseline, "base", h.base_y}, {"output", "main", h.psnr_y}})
       << chart("PSNR on RGB, dB", {{baseline, "base", h.base_rgb}, {"output", "main", h.psnr_rgb}})
       << chart("Loss", {{"as it came", "faint", h.loss}, {"smoothed", "main", smoothed(h.loss)}}, true)
       << term_charts(h.terms) << chart("Learning rate", {{"", "main", h.lr}})
       << chart("Gradient norm", {{"", "main", h.norm}}, true)
       << chart("Share of time waiting for data, %", {{"", "main", h.waiting}}) << "</div>\n"
       << pictures(folder, shown, baseline) << table(h.last_validation, baseline)
       << "<h2>Configuration</h2><pre>" << escaped(to_yaml(config)) << "</pre></main>" << kReportScript
       << "</body></html>\n";
  write_file(folder + "/report.html", html.str());
}

}  // namespace dgp
