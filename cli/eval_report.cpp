#include "cli/eval_report.h"

#include <algorithm>
#include <cmath>

#include "cli/scorer.h"
#include "image/crop.h"
#include "image/metrics.h"
#include "report/html.h"
#include "report/pictures.h"
#include "tensor/file.h"

namespace dgp {
namespace {

constexpr int64_t kSide = 128;  // of the crops, HR pixels

std::string decibels(const Tensor& a, const Tensor& b) { return decimals(psnr(a, b, 0, false), 2) + " dB"; }

std::string scores_line(const ScoreRow& row, const std::vector<std::string>& methods,
                        const std::vector<std::string>& measures) {
  std::string text;
  for (const std::string& m : measures) {
    text += (text.empty() ? "" : "; ") + measure_name(m);
    for (size_t i = 0; i < methods.size(); ++i)
      text += (i ? ", " : " ") + methods[i] + " " + decimals(row.methods[i].at(m), measure_decimals(m));
  }
  return text;
}

}  // namespace

EvalReport::EvalReport(std::vector<std::string> methods, std::vector<std::string> measures, size_t images)
    : methods_(std::move(methods)), measures_(std::move(measures)), images_(images) {}

std::string EvalReport::crop(const std::string& name, const std::vector<Scores>& methods, const Tensor& lr,
                             const Tensor& enlarged, const Tensor& made, const Tensor& hr) const {
  if (images_ == 0) return "";
  const int64_t scale = hr.dim(1) / lr.dim(1);
  const Box box = telling_box(made, hr, std::max(kSide, scale), scale);
  const Tensor in = cut(enlarged, box), out = cut(made, box), truth = cut(hr, box);
  std::vector<Labelled> row = {{"LR", "", cut(lr, shrunk(box, scale))}};
  if (scale == 1)
    row[0].note = decibels(in, truth);
  else
    row.push_back({methods_.front(), decibels(in, truth), in});
  row.push_back({"output", decibels(out, truth), out});
  row.push_back({"HR", "", truth});
  row.push_back({"difference of " + methods_.front(), "0 to 48 of 255", difference_map(in, truth)});
  row.push_back({"difference of output", "0 to 48 of 255", difference_map(out, truth)});
  return "<h3>" + escaped(name) + "</h3><p class=\"note\">" +
         escaped(scores_line({name, methods}, methods_, measures_)) + "</p>" + strip(row);
}

void EvalReport::add(const std::string& name, const std::vector<Scores>& methods, const std::string& crop) {
  rows_.push_back({name, methods});
  if (images_ == 0) return;
  worst_.push_back({rows_.back(), crop});
  std::stable_sort(worst_.begin(), worst_.end(),
                   [&](const Crop& a, const Crop& b) { return worse(a.row, b.row, measures_.front()); });
  if (worst_.size() > images_) worst_.pop_back();
}

void EvalReport::write(const std::string& path, const std::string& title, const std::string& protocol) const {
  std::vector<ScoreRow> rows = {{"mean", {}}};
  for (size_t i = 0; i < methods_.size(); ++i) {
    std::vector<Scores> of_method;
    for (const ScoreRow& row : rows_) of_method.push_back(row.methods[i]);
    rows[0].methods.push_back(mean(of_method));
  }
  rows.insert(rows.end(), rows_.begin(), rows_.end());
  std::string body = "<h1>" + escaped(title) + "</h1><p class=\"note\">" + escaped(protocol) +
                     "</p>\n<h2>Pictures, those with the least gain in " + measure_name(measures_.front()) +
                     " first</h2>\n" + score_table(methods_, measures_, rows);
  if (!worst_.empty()) {
    body += "<h2>The worst of them, where the output is furthest from the original</h2>\n";
    for (const Crop& crop : worst_) body += crop.html;
  }
  write_file(path, page(title, body));
}

}  // namespace dgp
