// dgp eval: PSNR, SSIM and other measures of a model on pictures whose sharp version is known, beside what
// bicubic gives.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "cli/cli.h"
#include "cli/eval_report.h"
#include "cli/pairs.h"
#include "cli/scorer.h"
#include "image/crop.h"
#include "image/image.h"
#include "image/resize.h"
#include "infer/upscaler.h"
#include "models/state.h"
#include "train/ranks.h"

namespace dgp {
namespace {

using nlohmann::ordered_json;

struct EvalOptions {
  std::string model = "classic-x4";
  PictureSource hr, lr;
  int64_t border = -1;
  bool json = false, quiet = false;
  std::string save, report, max_memory = "none", precision = "full";
  int64_t report_images = 12;
  MetricOptions metrics;
  DeviceOptions device;
};

// One way to make HR from LR ("model", "bicubic", "input") and how well it did on each picture.
struct Method {
  std::string name;
  std::vector<Scores> scores;
};

Tensor resized(const Tensor& u8, double scale) { return to_u8(imresize(to_float(u8), scale)); }

struct Pictures {
  Tensor lr, hr;  // u8 [H,W,3], [scale H, scale W, 3]
};

// Without an LR file MATLAB's bicubic makes one of HR, rounded to 8 bits.
Pictures read_pair(const Pair& pair, int64_t scale) {
  Tensor hr = read_rgb8(pair.hr.string());
  if (pair.lr.empty()) {
    hr = cut(hr, {0, 0, hr.dim(1) / scale * scale, hr.dim(0) / scale * scale});
    if (hr.numel() == 0) fail(ErrorCode::bad_file, pair.hr.string(), ": smaller than the scale, ", scale);
    return {resized(hr, 1.0 / static_cast<double>(scale)), hr};
  }
  Tensor lr = read_rgb8(pair.lr.string());
  int64_t height = lr.dim(0) * scale, width = lr.dim(1) * scale;
  bool fits =
      hr.dim(0) >= height && hr.dim(0) < height + scale && hr.dim(1) >= width && hr.dim(1) < width + scale;
  if (!fits)
    fail(ErrorCode::bad_file, pair.hr.string(), ": is ", hr.dim(1), "x", hr.dim(0), ", expected ", scale,
         " times ", pair.lr.string(), ", ", width, "x", height);
  return {lr, cut(hr, {0, 0, width, height})};
}

// A pair whose picture is under way.
struct Started {
  Pictures pictures;
  Upscaler::Running running;

  Started(const Pair& pair, const Upscaler& upscaler)
      : pictures(read_pair(pair, upscaler.scale())), running(upscaler.start(to_float(pictures.lr))) {}

  Tensor finish(int64_t scale) {  // u8 [H,W,3]
    const Tensor& lr = pictures.lr;
    Tensor y({lr.dim(0) * scale, lr.dim(1) * scale, 3});
    running.finish([&](const Tensor& rows, int64_t first) { y.slab(first, rows.dim(0)).copy_from(rows); });
    return to_u8(y);
  }
};

// What is known of one picture: scores of what the model is compared with, then of the model, and a crop for
// the report.
struct Result {
  std::vector<Scores> methods;
  std::string crop;
};

// To bytes and back: scores as doubles in the order of `measures`, then the crop.
std::string pack(const Result& result, const std::vector<std::string>& measures) {
  std::string bytes;
  for (const Scores& scores : result.methods)
    for (const std::string& m : measures)
      bytes.append(reinterpret_cast<const char*>(&scores.at(m)), sizeof(double));
  return bytes + result.crop;
}

Result unpack(const std::string& bytes, const std::vector<std::string>& measures) {
  Result result{std::vector<Scores>(2), ""};
  size_t at = 0;
  for (Scores& scores : result.methods)
    for (const std::string& m : measures) {
      std::memcpy(&scores[m], bytes.data() + at, sizeof(double));
      at += sizeof(double);
    }
  result.crop = bytes.substr(at);
  return result;
}

Result measure(const Pair& pair, Started started, int64_t scale, int64_t border, const EvalOptions& options,
               const Scorer& score, const EvalReport* report) {
  const auto& [lr, hr] = started.pictures;
  const Tensor made = started.finish(scale);
  const Tensor enlarged = scale == 1 ? lr : resized(lr, static_cast<double>(scale));
  if (!options.save.empty()) {
    std::filesystem::create_directories(options.save);
    write_image((std::filesystem::path(options.save) / (pair.name + ".png")).string(), {to_float(made), 8});
  }
  Result result{{score(enlarged, hr, border), score(made, hr, border)}, ""};
  if (report) result.crop = report->crop(pair.name, result.methods, lr, enlarged, made, hr);
  return result;
}

// Each rank takes every so manieth picture; the first gets all results, in order.
std::vector<Method> evaluate(const Upscaler& upscaler, const std::vector<Pair>& pairs, int64_t border,
                             const EvalOptions& options, const Scorer& score, EvalReport* report,
                             Ranks& ranks) {
  std::vector<Method> methods{{"model", {}}, {upscaler.scale() == 1 ? "input" : "bicubic", {}}};
  const bool show = !options.quiet && is_terminal(2);
  const auto rank = static_cast<size_t>(ranks.rank()), size = static_cast<size_t>(ranks.size());
  std::optional<Started> next;
  for (size_t begin = 0; begin < pairs.size(); begin += size) {
    std::string mine;
    if (const size_t i = begin + rank; i < pairs.size()) {
      if (show) std::cerr << "\r\033[K" << i + 1 << "/" << pairs.size() << " " << pairs[i].name << std::flush;
      Started now = next ? *std::exchange(next, std::nullopt) : Started(pairs[i], upscaler);
      if (options.device.device == "cuda" && i + size < pairs.size())
        next.emplace(pairs[i + size], upscaler);  // computed while this one is measured
      mine = pack(measure(pairs[i], std::move(now), upscaler.scale(), border, options, score, report),
                  score.measures());
    }
    const auto all = ranks.gather(mine);
    for (size_t r = 0; r < all.size() && begin + r < pairs.size(); ++r) {
      const Result result = unpack(all[r], score.measures());
      methods[0].scores.push_back(result.methods[1]);
      methods[1].scores.push_back(result.methods[0]);
      if (report) report->add(pairs[begin + r].name, result.methods, result.crop);
    }
  }
  if (show) std::cerr << "\r\033[K";
  return methods;
}

std::string protocol(const DGPNetConfig& config, size_t pictures, int64_t border, bool made_lr) {
  std::string b = std::to_string(border);
  return "x" + std::to_string(config.scale) + ", " + std::to_string(config.channels) + " channels, " +
         std::to_string(config.blocks) + " blocks; " + std::to_string(pictures) + " pictures, LR " +
         (made_lr ? "made by MATLAB's bicubic" : "as given") + "; 8-bit values, border of " + b +
         " pixels left out (b" + b + "); PSNR in dB";
}

void print_row(const std::string& name, const std::string& method, const Scores& scores,
               const std::vector<std::string>& measures) {
  std::printf("%-24s %-8s", name.c_str(), method.c_str());
  for (const std::string& m : measures) std::printf(" %11.*f", m.starts_with("psnr") ? 3 : 4, scores.at(m));
  std::printf("\n");
}

void print_table(const std::string& title, const std::vector<Pair>& pairs, const std::vector<Method>& methods,
                 const std::vector<std::string>& measures, int64_t border) {
  std::printf("%s\n\n%-24s %-8s", title.c_str(), "", "");
  for (const std::string& m : measures) std::printf(" %11s", measure_name(m).c_str());
  std::printf("\n%-24s %-8s", "picture", "method");
  for (size_t i = 0; i < measures.size(); ++i) std::printf(" %11s", ("b" + std::to_string(border)).c_str());
  std::printf("\n");
  for (size_t i = 0; i < pairs.size(); ++i)
    for (const Method& method : methods) print_row(pairs[i].name, method.name, method.scores[i], measures);
  for (const Method& method : methods) print_row("mean", method.name, mean(method.scores), measures);
}

// Equal pictures have infinite PSNR, which JSON cannot say: null.
ordered_json to_json(const Scores& scores, int64_t border, const std::vector<std::string>& measures) {
  ordered_json all{{"border", border}};
  for (const std::string& m : measures)
    all[m] = std::isfinite(scores.at(m)) ? ordered_json(scores.at(m)) : ordered_json(nullptr);
  return all;
}

void print_json(const std::string& model, const DGPNetConfig& config, const std::vector<Pair>& pairs,
                const std::vector<Method>& methods, const std::vector<std::string>& measures, int64_t border,
                bool made_lr) {
  ordered_json images = ordered_json::array(), means;
  for (size_t i = 0; i < pairs.size(); ++i) {
    ordered_json image{{"name", pairs[i].name}};
    for (const Method& method : methods) image[method.name] = to_json(method.scores[i], border, measures);
    images.push_back(image);
  }
  for (const Method& method : methods) means[method.name] = to_json(mean(method.scores), border, measures);
  ordered_json all{{"model", model},   {"scale", config.scale},
                   {"border", border}, {"lr", made_lr ? "matlab bicubic" : "given"},
                   {"mean", means},    {"images", images}};
  std::cout << all.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
}

void run_eval(const EvalOptions& options, Ranks& ranks) {
  join(ranks);
  if (!ranks.first())
    ranks.wait();  // until the first has gone through the options: what is wrong is told once
  const Device device = apply_with_cuda(options.device);
  const ChosenPrecision precision(options.precision, device);
  const int64_t max_memory = memory_limit(options.max_memory);
  PictureSource lr = options.lr;
  if (lr.folder.empty() && !lr.pattern.empty()) lr.folder = options.hr.folder;
  std::vector<Pair> pairs = find_pairs(options.hr, lr);
  std::string file = find_model(options.model).string();
  DGPNet net = load_model(file);
  check(net.config.scale > 1 || !lr.folder.empty(),
        "--lr is needed: a model of scale 1 restores given pictures");
  Upscaler upscaler(net, {.max_memory = max_memory,
                          .progress = [](double) { return !stop_flag(); },
                          .device = device,
                          .notice =
                              [&](const std::string& text) {
                                if (!options.quiet) std::cerr << "dgp: " << text << "\n";
                              },
                          .precision = precision.on_cpu()});
  int64_t border = options.border >= 0 ? options.border : net.config.scale > 1 ? net.config.scale : 0;
  const Scorer scorer(options.metrics);
  const bool made_lr = lr.folder.empty();
  const std::string text = protocol(net.config, pairs.size(), border, made_lr);
  EvalReport report({net.config.scale == 1 ? "input" : "bicubic", "model"}, scorer.measures(),
                    static_cast<size_t>(options.report_images));
  if (ranks.first()) ranks.wait();
  try {
    const auto methods =
        evaluate(upscaler, pairs, border, options, scorer, options.report.empty() ? nullptr : &report, ranks);
    if (!ranks.first()) return;
    if (options.json)
      print_json(file, net.config, pairs, methods, scorer.measures(), border, made_lr);
    else
      print_table(file + ": " + text, pairs, methods, scorer.measures(), border);
    if (!options.report.empty())
      report.write(options.report, std::filesystem::path(file).filename().string(), text);
  } catch (const Cancelled&) {
    throw Exit{stop_exit_code()};
  }
}

}  // namespace

void add_eval(CLI::App& app, Ranks& ranks) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command =
      add_command(app, "eval", "Measure PSNR, SSIM (RGB and Y) and more on pictures with a known answer",
                  "dgp eval -m classic-x4 --hr Set5/HR\n  dgp eval -m real-x1 --hr pairs --lr-pattern "
                  "'*_LR.png' --hr-pattern '*_HR.png' --border 0");
  command->add_option("-m,--model", options->model, kModelHelp);
  command->add_option("--hr", options->hr.folder, "folder of sharp pictures, or one picture")->required();
  command->add_option(
      "--lr", options->lr.folder,
      "folder of low-resolution pictures of the same names; none: made from HR, MATLAB's bicubic");
  command->add_option("--hr-pattern", options->hr.pattern,
                      "names of HR files, * is what pairs share: '*_HR.png'");
  command->add_option("--lr-pattern", options->lr.pattern,
                      "names of LR files; alone, LR lies in the HR folder");
  command->add_option("--border", options->border,
                      "pixels left out on each side; -1: the scale, 0 for scale 1");
  command->add_option("--save", options->save, "folder to write the results to, as PNG");
  command
      ->add_option("--metrics", options->metrics.names,
                   "psnr, ssim, ms-ssim, niqe, lpips, with commas between them")
      ->delimiter(',');
  command->add_option("--niqe-model", options->metrics.niqe_model,
                      "for niqe: BasicSR's niqe_pris_params.npz");
  command->add_option("--lpips-weights", options->metrics.lpips_weights,
                      "for lpips: state_dict of lpips.LPIPS as safetensors");
  command->add_option("--report", options->report,
                      "FILE.html: table and crops of the worst pictures, one page that opens anywhere");
  command->add_option("--report-images", options->report_images, "pictures the report shows")
      ->check(CLI::Range(0, 1000));
  command->add_flag("--json", options->json, "print JSON instead of a table");
  command->add_flag("-q,--quiet", options->quiet, "no progress line");
  add_memory_option(*command, options->max_memory);
  add_precision_option(*command, options->precision);
  add_device_options(*command, options->device);
  command->callback([options, &ranks] { run_eval(*options, ranks); });
}

}  // namespace dgp
