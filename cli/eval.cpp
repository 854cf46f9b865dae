// dgp eval: PSNR and SSIM of a model on pictures whose sharp version is known, beside what bicubic gives.
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/cli.h"
#include "cli/pairs.h"
#include "image/image.h"
#include "image/metrics.h"
#include "image/resize.h"
#include "infer/upscaler.h"
#include "models/state.h"

namespace dgp {
namespace {

using nlohmann::ordered_json;

struct EvalOptions {
  std::string model = "classic-x4";
  PictureSource hr, lr;
  int64_t border = -1;
  bool json = false, quiet = false;
  std::string save, max_memory = "none", precision = "full";
  DeviceOptions device;
};

struct Scores {
  double psnr_rgb = 0, ssim_rgb = 0, psnr_y = 0, ssim_y = 0;
};

// One way to make HR from LR ("model", "bicubic", "input") and how well it did on each picture.
struct Method {
  std::string name;
  std::vector<Scores> scores;
};

Scores score(const Tensor& made, const Tensor& hr, int64_t border) {
  return {psnr(made, hr, border, false), ssim(made, hr, border, false), psnr(made, hr, border, true),
          ssim(made, hr, border, true)};
}

Scores mean(const std::vector<Scores>& all) {
  Scores sum;
  auto n = static_cast<double>(all.size());
  for (const Scores& s : all) {
    sum.psnr_rgb += s.psnr_rgb / n;
    sum.ssim_rgb += s.ssim_rgb / n;
    sum.psnr_y += s.psnr_y / n;
    sum.ssim_y += s.ssim_y / n;
  }
  return sum;
}

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

Tensor run_model(const Upscaler& upscaler, const Tensor& lr) {
  Tensor y = upscaler(to_float(lr).reshape({1, lr.dim(0), lr.dim(1), 3}));
  return to_u8(y.reshape({y.dim(1), y.dim(2), 3}));
}

std::vector<Method> evaluate(const Upscaler& upscaler, const std::vector<Pair>& pairs, int64_t border,
                             const EvalOptions& options) {
  int64_t scale = upscaler.scale();
  std::vector<Method> methods{{"model", {}}, {"bicubic", {}}};
  if (scale == 1) methods.push_back({"input", {}});
  bool show = !options.quiet && is_terminal(2);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (show) std::cerr << "\r\033[K" << i + 1 << "/" << pairs.size() << " " << pairs[i].name << std::flush;
    auto [lr, hr] = read_pair(pairs[i], scale);
    Tensor made = run_model(upscaler, lr);
    if (!options.save.empty()) {
      std::filesystem::create_directories(options.save);
      write_image((std::filesystem::path(options.save) / (pairs[i].name + ".png")).string(),
                  {to_float(made), 8});
    }
    methods[0].scores.push_back(score(made, hr, border));
    methods[1].scores.push_back(score(resized(lr, static_cast<double>(scale)), hr, border));
    if (scale == 1) methods[2].scores.push_back(score(lr, hr, border));
  }
  if (show) std::cerr << "\r\033[K";
  return methods;
}

void print_row(const std::string& name, const std::string& method, const Scores& s) {
  std::printf("%-24s %-8s %9.3f %8.4f %9.3f %8.4f\n", name.c_str(), method.c_str(), s.psnr_rgb, s.ssim_rgb,
              s.psnr_y, s.ssim_y);
}

void print_table(const std::string& model, const DGPNetConfig& config, const std::vector<Pair>& pairs,
                 const std::vector<Method>& methods, int64_t border, bool made_lr) {
  std::printf("%s: x%lld, %lld channels, %lld blocks; %zu pictures, LR %s\n", model.c_str(),
              static_cast<long long>(config.scale), static_cast<long long>(config.channels),
              static_cast<long long>(config.blocks), pairs.size(),
              made_lr ? "made by MATLAB's bicubic" : "as given");
  std::printf("8-bit values, border of %lld pixels left out (b%lld); PSNR in dB\n\n",
              static_cast<long long>(border), static_cast<long long>(border));
  std::string b = " b" + std::to_string(border);
  std::printf("%-24s %-8s %9s %8s %9s %8s\n", "", "", "PSNR RGB", "SSIM RGB", "PSNR Y", "SSIM Y");
  std::printf("%-24s %-8s %9s %8s %9s %8s\n", "picture", "method", b.c_str(), b.c_str(), b.c_str(),
              b.c_str());
  for (size_t i = 0; i < pairs.size(); ++i)
    for (const Method& method : methods) print_row(pairs[i].name, method.name, method.scores[i]);
  for (const Method& method : methods) print_row("mean", method.name, mean(method.scores));
}

// Equal pictures have infinite PSNR, which JSON cannot say: null.
ordered_json to_json(const Scores& s, int64_t border) {
  auto number = [](double v) { return std::isfinite(v) ? ordered_json(v) : ordered_json(nullptr); };
  return {{"border", border},
          {"psnr_rgb", number(s.psnr_rgb)},
          {"ssim_rgb", number(s.ssim_rgb)},
          {"psnr_y", number(s.psnr_y)},
          {"ssim_y", number(s.ssim_y)}};
}

void print_json(const std::string& model, const DGPNetConfig& config, const std::vector<Pair>& pairs,
                const std::vector<Method>& methods, int64_t border, bool made_lr) {
  ordered_json images = ordered_json::array(), means;
  for (size_t i = 0; i < pairs.size(); ++i) {
    ordered_json image{{"name", pairs[i].name}};
    for (const Method& method : methods) image[method.name] = to_json(method.scores[i], border);
    images.push_back(image);
  }
  for (const Method& method : methods) means[method.name] = to_json(mean(method.scores), border);
  ordered_json all{{"model", model},   {"scale", config.scale},
                   {"border", border}, {"lr", made_lr ? "matlab bicubic" : "given"},
                   {"mean", means},    {"images", images}};
  std::cout << all.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
}

void run_eval(const EvalOptions& options) {
  apply(options.device);
  PictureSource lr = options.lr;
  if (lr.folder.empty() && !lr.pattern.empty()) lr.folder = options.hr.folder;
  std::vector<Pair> pairs = find_pairs(options.hr, lr);
  std::string file = find_model(options.model).string();
  DGPNet net = load_model(file);
  check(net.config.scale > 1 || !lr.folder.empty(),
        "--lr is needed: a model of scale 1 restores given pictures");
  Upscaler upscaler(net, {.max_memory = parse_bytes("--max-memory", options.max_memory),
                          .progress = [](double) { return !stop_flag(); },
                          .precision = parse_precision(options.precision)});
  int64_t border = options.border >= 0 ? options.border : net.config.scale > 1 ? net.config.scale : 0;
  try {
    std::vector<Method> methods = evaluate(upscaler, pairs, border, options);
    (options.json ? print_json : print_table)(file, net.config, pairs, methods, border, lr.folder.empty());
  } catch (const Cancelled&) {
    throw Exit{stop_exit_code()};
  }
}

}  // namespace

void add_eval(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command =
      add_command(app, "eval", "Measure PSNR and SSIM (RGB and Y) on pictures with a known answer",
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
  command->add_flag("--json", options->json, "print JSON instead of a table");
  command->add_flag("-q,--quiet", options->quiet, "no progress line");
  add_memory_option(*command, options->max_memory);
  add_precision_option(*command, options->precision);
  add_device_options(*command, options->device);
  command->callback([options] { run_eval(*options); });
}

}  // namespace dgp
