// What a check of the data found, in words and as JSON.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "train/check.h"

namespace dgp {
namespace {

constexpr size_t kExamples = 3;  // of files that a note names

std::string mib(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, bytes < 10 << 20 ? "%.1f MiB" : "%.0f MiB",
                static_cast<double>(bytes) / (1 << 20));
  return text;
}

std::string counted(int64_t n, const std::string& one) {
  return std::to_string(n) + " " + one + (n == 1 ? "" : one.ends_with("ch") ? "es" : "s");
}

// Notes of one kind in one line, since they may be as many as the pictures.
std::string note_lines(const SourceCheck& source) {
  std::vector<std::pair<std::string, std::vector<const Finding*>>> kinds;
  for (const Finding& f : source.findings) {
    if (f.problem) continue;
    size_t k = 0;
    while (k < kinds.size() && kinds[k].first != f.kind) ++k;
    if (k == kinds.size()) kinds.push_back({f.kind, {}});
    kinds[k].second.push_back(&f);
  }
  std::string text;
  for (const auto& [kind, all] : kinds) {
    text += "  note: " + all[0]->file + " " + all[0]->text;
    if (all.size() > 1) text += "; likewise";
    for (size_t i = 1; i < all.size() && i < kExamples; ++i) text += (i > 1 ? ", " : " ") + all[i]->file;
    if (all.size() > kExamples) text += " and " + std::to_string(all.size() - kExamples) + " more";
    text += "\n";
  }
  return text;
}

std::string source_text(const SourceCheck& s, size_t most) {
  std::string text = s.where + ": " + s.folder + ": " + counted(s.pictures, s.pairs ? "pair" : "picture");
  if (s.usable < s.pictures) text += ", " + std::to_string(s.pictures - s.usable) + " of them unusable";
  text += "\n";
  size_t shown = 0, all = 0;
  for (const Finding& f : s.findings) {
    if (!f.problem || ++all > most) continue;
    text += "  " + f.file + ": " + f.text + "\n";
    ++shown;
  }
  if (all > shown) text += "  and " + std::to_string(all - shown) + " more\n";
  return text + note_lines(s);
}

}  // namespace

std::string to_text(const DataCheck& c, size_t most) {
  std::string text;
  for (const SourceCheck& source : c.sources) text += source_text(source, most);
  char often[32];
  std::snprintf(often, sizeof often, "%.3g",
                c.patches > 0 ? static_cast<double>(c.samples) / static_cast<double>(c.patches) : 0.0);
  text += "training: " + counted(c.patches, "patch") + " without overlap; the run draws " +
          std::to_string(c.samples) + ", " + often + " for each\n";
  text += "memory: " + mib(c.pixel_bytes[0]) + " of training pixels" +
          (c.packed ? ", mapped from data.pack" : "") + ", " + mib(c.pixel_bytes[1]) +
          " of validation (data.cache allows " + mib(c.cache) + " each), " + mib(c.batch_bytes) +
          " of batches, " + mib(c.weight_bytes) +
          " of weights, gradients, moments and average; the network's maps come on top: dgp train --dry-run "
          "measures all of it\n";
  const int64_t problems = c.problems();
  if (!c.fits()) text += "the pixels do not fit into data.cache: raise it, or set data.pack to a folder\n";
  text += problems == 0 ? c.decoded ? "no problems; every picture was decoded\n" : "no problems\n"
                        : counted(problems, "problem") + "; --skip-bad trains without these pictures\n";
  return text;
}

std::string to_json(const DataCheck& c) {
  using nlohmann::ordered_json;
  ordered_json sources = ordered_json::array();
  for (const SourceCheck& s : c.sources) {
    ordered_json findings = ordered_json::array();
    for (const Finding& f : s.findings)
      findings.push_back(
          {{"problem", f.problem}, {"kind", f.kind}, {"file", f.file}, {"name", f.name}, {"text", f.text}});
    sources.push_back({{"source", s.where},
                       {"folder", s.folder},
                       {"pairs", s.pairs},
                       {"pictures", s.pictures},
                       {"usable", s.usable},
                       {"patches", s.patches},
                       {"bytes", s.bytes},
                       {"findings", findings}});
  }
  const ordered_json all = {{"problems", c.problems()},
                            {"fits", c.fits()},
                            {"decoded", c.decoded},
                            {"patches", c.patches},
                            {"samples", c.samples},
                            {"bytes",
                             {{"training_pixels", c.pixel_bytes[0]},
                              {"validation_pixels", c.pixel_bytes[1]},
                              {"cache", c.cache},
                              {"batches", c.batch_bytes},
                              {"weights", c.weight_bytes}}},
                            {"sources", sources}};
  // A file's name may hold any bytes; JSON is UTF-8.
  return all.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace dgp
