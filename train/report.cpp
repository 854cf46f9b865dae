#include "train/report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>

#include "image/image.h"
#include "image/metrics.h"
#include "report/html.h"
#include "report/pictures.h"
#include "report/score_table.h"
#include "tensor/file.h"
#include "train/environment.h"
#include "train/history.h"
#include "train/preview.h"

namespace dgp {
namespace {

std::string duration(double seconds) {
  const auto minutes = static_cast<int64_t>(seconds / 60);
  if (minutes >= 60) return std::to_string(minutes / 60) + " h " + std::to_string(minutes % 60) + " min";
  return minutes > 0 ? std::to_string(minutes) + " min" : number(seconds, 2) + " s";
}

std::string head(const TrainConfig& config, const History& h) {
  std::ostringstream html;
  html << "<h1>" << escaped(config.name) << "</h1><p class=\"note\">";
  if (h.iteration > 0)
    html << "Iteration " << h.iteration << " of " << config.iterations << ", " << duration(h.seconds) << ", "
         << number(h.rate, 3) << " iterations a second, " << h.skipped << " steps skipped.";
  for (const std::string& event : h.events) html << "<br>⚠ " << escaped(event);
  html << "</p>\n";
  return html.str();
}

// One chart a term, since their sizes differ by orders of magnitude.
std::string term_charts(const std::map<std::string, std::vector<Point>>& terms) {
  std::string html;
  if (terms.size() > 1)
    for (const auto& [name, points] : terms)
      html += chart("Loss, weighted term " + name,
                    {{"as it came", "faint", points}, {"smoothed", "main", smoothed(points)}},
                    {.ignore_outliers = true});
  return html;
}

std::string curves(const History& h, const std::string& baseline) {
  auto of = [&](const char* key) {
    auto found = h.curves.find(key);
    return found == h.curves.end() ? std::vector<Point>{} : found->second;
  };
  auto compared = [&](const char* title, const char* key) {
    if (!h.output.count(key)) return std::string();
    return chart(title, {{"output", "main", h.output.at(key)}, {baseline, "base", h.baseline.at(key)}});
  };
  return "<h2>Curves</h2><div class=\"charts\">" + compared("PSNR on Y, dB", "psnr_y") +
         compared("PSNR on RGB, dB", "psnr_rgb") + compared("SSIM on Y", "ssim_y") +
         compared("SSIM on RGB", "ssim_rgb") +
         chart("Loss", {{"as it came", "faint", of("loss")}, {"smoothed", "main", smoothed(of("loss"))}},
               {.ignore_outliers = true}) +
         term_charts(h.terms) + chart("Learning rate", {{"", "main", of("lr")}}) +
         chart("Gradient norm",
               {{"as it came", "faint", of("grad_norm")}, {"smoothed", "main", smoothed(of("grad_norm"))}},
               {.ignore_outliers = true}) +
         chart("Iterations a second", {{"", "main", of("it_per_s")}}, {.ignore_outliers = true}) +
         chart("Share of time waiting for data, %", {{"", "main", of("waiting")}}) +
         (of("communicating").empty()
              ? ""
              : chart("Share of time communicating, %", {{"", "main", of("communicating")}})) +
         "</div>\n";
}

// The centre of each picture with a slider between what went in and what came out.
std::string sliders(const std::string& folder, const ReportPictures& pictures) {
  std::ostringstream html;
  for (const std::string& name : pictures.shown) {
    const std::string stem = folder + "/val/" + name;
    const std::string input = png_file_uri(stem + "_input.png"), output = png_file_uri(stem + "_output.png"),
                      truth = png_file_uri(stem + "_hr.png");
    if (input.empty() || output.empty() || truth.empty()) continue;
    html
        << "<section class=\"pair\"><h3>" << escaped(name)
        << "</h3><div class=\"slider\"><img alt=\"output\" src=\"" << output
        << "\"><img class=\"over\" alt=\"" << pictures.baseline << "\" src=\"" << input
        << "\"><input type=\"range\" min=\"0\" max=\"100\" value=\"50\" aria-label=\"divide\"><b class=\"l\">"
        << pictures.baseline
        << "</b><b class=\"r\">output</b></div><div class=\"truth\"><img alt=\"original\" src=\"" << truth
        << "\"><b class=\"l\">original</b></div></section>\n";
  }
  return html.str();
}

std::string crops_over_time(const std::string& folder, const ReportPictures& pictures) {
  std::string html;
  for (const std::string& name : pictures.shown) {
    const Preview preview = read_preview(folder + "/val", name);
    if (!preview.truth.defined()) continue;
    auto note = [&](const Tensor& x) { return decimals(psnr(x, preview.truth, 0, false), 2) + " dB"; };
    std::vector<Labelled> row = {{"LR", "", preview.lr}};
    if (pictures.baseline == "input")
      row[0].note = note(preview.lr);
    else
      row.push_back({pictures.baseline, note(preview.enlarged), preview.enlarged});
    for (const auto& [iteration, picture] : preview.outputs)
      row.push_back({"iteration " + std::to_string(iteration), note(picture), picture});
    row.push_back({"HR", "", preview.truth});
    if (!preview.outputs.empty())
      row.push_back({"difference", "output − HR, 0 to 48 of 255",
                     difference_map(preview.outputs.back().second, preview.truth)});
    html += "<h3>" + escaped(name) + "</h3>" + strip(row);
  }
  if (html.empty()) return "";
  return "<h2>Fixed crops over time</h2><p class=\"note\">Where " + pictures.baseline +
         " is furthest from the original. PSNR on RGB, of the crop alone.</p>\n" + html;
}

std::string balance_charts(const History& h) {
  if (h.balance.empty()) return "";
  std::vector<Curve> key;
  for (Operator op : kAllOperators) key.push_back({to_string(op), to_string(op), {}});
  double low = 1, high = 1;
  for (const auto& [layer, operators] : h.balance)
    for (const auto& [name, points] : operators)
      for (const Point& p : points) low = std::min(low, p.y), high = std::max(high, p.y);
  const double pad = std::max(0.02, 0.05 * (high - low));
  std::string html =
      "<h2>Balance factors over time</h2><p class=\"note\">α of each operator in each DGConv, of the "
      "averaged weights; all begin at 1." +
      legend(key) + "</p>\n<div class=\"charts small\">";
  for (const auto& [layer, operators] : h.balance) {
    std::vector<Curve> curves;
    for (Operator op : kAllOperators)
      if (operators.count(to_string(op)))
        curves.push_back({to_string(op), to_string(op), operators.at(to_string(op))});
    html += chart(layer, curves, {.low = low - pad, .high = high + pad, .legend = false});
  }
  return html + "</div>\n";
}

std::string kernels(const std::vector<OperatorKernels>& layers) {
  if (layers.empty()) return "";
  return "<h2>Kernels of the operators</h2><p class=\"note\">α W of the averaged weights, now. Rows of a "
         "picture are "
         "outputs, columns inputs, the first eight of each; red above zero, blue below, one scale a "
         "DGConv.</p>\n"
         "<details><summary>" +
         std::to_string(layers.size()) + " DGConvs</summary>" + kernel_table(layers) + "</details>\n";
}

std::string table(const History& h, const std::string& baseline) {
  if (h.validated_at < 0) return "";
  std::vector<ScoreRow> rows;
  for (const ScoredPicture& p : h.pictures) rows.push_back({p.name, {p.baseline, p.output}});
  return "<h2>Pictures at iteration " + std::to_string(h.validated_at) +
         "</h2><p class=\"note\">8-bit values, border of " + std::to_string(h.border) +
         " pixels left out; those the network gains least on come first.</p>\n" +
         score_table({baseline, "output"}, {"psnr_y", "psnr_rgb", "ssim_y", "ssim_rgb"}, rows);
}

std::string surroundings(const TrainConfig& config) {
  std::string html = "<h2>Environment</h2><dl class=\"facts\">";
  for (const auto& [name, value] : environment())
    html += "<dt>" + escaped(name) + "</dt><dd>" + escaped(value) + "</dd>";
  return html + "</dl>\n<h2>Configuration</h2><pre>" + escaped(to_yaml(config)) + "</pre>\n";
}

}  // namespace

void write_report(const TrainConfig& config, const std::string& folder, const ReportPictures& pictures,
                  const std::vector<OperatorKernels>& layers) {
  const History h = read_history(folder + "/metrics.jsonl");
  write_file(
      folder + "/report.html",
      page(config.name, head(config, h) + curves(h, pictures.baseline) + crops_over_time(folder, pictures) +
                            sliders(folder, pictures) + table(h, pictures.baseline) + balance_charts(h) +
                            kernels(layers) + surroundings(config)));
}

}  // namespace dgp
