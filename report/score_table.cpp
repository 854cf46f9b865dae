#include "report/score_table.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "report/html.h"

namespace dgp {
namespace {

// How much better the last method is than the first, then how good it is; what is no number comes first.
std::pair<double, double> gain(const ScoreRow& row, const std::string& measure) {
  const double last = row.methods.back().at(measure), first = row.methods.front().at(measure);
  const double sign = less_is_better(measure) ? -1 : 1;
  if (std::isnan(last) || std::isnan(first)) return {-HUGE_VAL, -HUGE_VAL};
  const bool equal = std::isinf(last) && std::isinf(first);
  return {row.methods.size() == 1 || equal ? 0 : sign * (last - first), sign * last};
}

std::string cells(const ScoreRow& row, const std::vector<std::string>& measures) {
  std::ostringstream html;
  for (const std::string& m : measures) {
    for (const Scores& scores : row.methods)
      html << "<td data-v=\"" << std::min(scores.at(m), 1e9) << "\">"
           << decimals(scores.at(m), measure_decimals(m));
    if (row.methods.size() < 2) continue;
    const double change = row.methods.back().at(m) - row.methods.front().at(m);
    html << "<td data-v=\"" << (std::isfinite(change) ? change : 0) << "\" class=\""
         << (std::isnan(change) || change == 0   ? ""
             : (change > 0) != less_is_better(m) ? "up"
                                                 : "down")
         << "\">" << with_sign(change, measure_decimals(m));
  }
  return html.str();
}

}  // namespace

std::string measure_name(const std::string& key) {
  std::string name;
  for (const char* known : {"psnr", "ms_ssim", "ssim", "niqe", "lpips"})
    if (name.empty() && key.starts_with(known)) {
      name = known;
      std::transform(name.begin(), name.end(), name.begin(),
                     [](char c) { return c == '_' ? '-' : std::toupper(c); });
    }
  if (name.empty()) return key;
  return key.ends_with("_y") ? name + " Y" : key.ends_with("_rgb") ? name + " RGB" : name;
}

int measure_decimals(const std::string& key) { return key.starts_with("psnr") ? 2 : key == "niqe" ? 3 : 4; }

bool less_is_better(const std::string& key) { return key == "niqe" || key == "lpips"; }

bool worse(const ScoreRow& a, const ScoreRow& b, const std::string& measure) {
  return gain(a, measure) < gain(b, measure);
}

std::string score_table(const std::vector<std::string>& methods, const std::vector<std::string>& measures,
                        std::vector<ScoreRow> rows) {
  std::ostringstream html;
  const size_t columns = methods.size() + (methods.size() > 1 ? 1 : 0);
  html << "<div class=\"wide\"><table><thead><tr><th>";
  for (const std::string& m : measures) html << "<th colspan=\"" << columns << "\">" << measure_name(m);
  html << "</tr><tr><th data-sort=\"0\">picture";
  size_t column = 1;
  for (size_t i = 0; i < measures.size(); ++i) {
    for (const std::string& method : methods)
      html << "<th data-sort=\"" << column++ << "\">" << escaped(method);
    if (methods.size() > 1) html << "<th data-sort=\"" << column++ << "\">gain";
  }
  html << "</tr></thead><tbody>\n";
  auto put = [&](const ScoreRow& row, const char* css) {
    html << "<tr class=\"" << css << "\"><td>" << escaped(row.name) << cells(row, measures) << "</tr>\n";
  };
  if (!rows.empty()) {
    put(rows[0], "mean");
    rows.erase(rows.begin());
    std::stable_sort(rows.begin(), rows.end(),
                     [&](const ScoreRow& a, const ScoreRow& b) { return worse(a, b, measures.at(0)); });
  }
  for (const ScoreRow& row : rows) put(row, "");
  html << "</tbody></table></div>\n";
  return html.str();
}

}  // namespace dgp
