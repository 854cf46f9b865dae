// dgp fuse: every DGConv of a model becomes one convolution; what that saves, and proof that nothing changed.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "cli/cli.h"
#include "models/state.h"

namespace dgp {
namespace {

struct FuseOptions {
  std::string model, output;
  DeviceOptions device;
};

constexpr int64_t kHeight = 270, kWidth = 480;  // the LR picture multiply-adds are given for

void print_cost(const char* what, const DGPNetConfig& config, int64_t parameters, Form form) {
  auto all = static_cast<double>(multiply_adds(config, form, kHeight, kWidth));
  std::printf("%-46s %12s %14s %14s\n", what, with_commas(parameters).c_str(),
              with_unit(all / (kHeight * kWidth)).c_str(), with_unit(all).c_str());
}

struct Difference {
  double largest = 0, value = 0;  // of the difference, of the result
};

// Between both forms on random pixels, borders included.
Difference compare_forms(const DGPNet& before, const DGPNet& after) {
  NoGrad no_grad;
  Rng rng(1);
  Tensor x({1, 45, 38, 3});
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = static_cast<float>(rng.uniform());
  Tensor a = before(x, before.deploy ? Form::fused : Form::parallel).value(),
         b = after(x, Form::fused).value();
  Difference found;
  for (int64_t i = 0; i < a.numel(); ++i) {
    double left = a.data<float>()[i], right = b.data<float>()[i];
    if (!(std::abs(left - right) <= found.largest)) found.largest = std::abs(left - right);
    found.value = std::max(found.value, std::abs(left));
  }
  return found;
}

void run_fuse(const FuseOptions& options) {
  apply(options.device);
  std::filesystem::path file = find_model(options.model);
  std::error_code none;
  check(!std::filesystem::equivalent(file, options.output, none), "output ", options.output,
        " would overwrite the model; choose another output");
  DGPNet before = load_model(file.string());
  DGPNet after = fuse(before);
  Difference difference = compare_forms(before, after);
  if (!std::isfinite(difference.largest))
    fail(ErrorCode::numeric, file.string(), ": the network's result is not finite");
  save_model(options.output, after);

  std::printf("%-46s %12s %14s %14s\n", "", "parameters", "multiply-adds", "multiply-adds");
  std::printf("%-46s %12s %14s %14s\n", "", "", "per LR pixel", "for 480x270");
  if (!before.deploy)
    print_cost("before: one convolution an operator", before.config, parameter_count(before), Form::parallel);
  print_cost("after: one convolution a DGConv", after.config, parameter_count(after), Form::fused);
  print_cost("as it runs: blocks folded to two convolutions", after.config, parameter_count(after),
             Form::folded);
  std::printf("largest difference on random input: %.2e, values up to %.2f\n%s\n", difference.largest,
              difference.value, options.output.c_str());
  if (before.deploy) std::printf("the model was fused already\n");
}

}  // namespace

void add_fuse(CLI::App& app) {
  auto options = std::make_shared<FuseOptions>();
  CLI::App* command =
      add_command(app, "fuse", "Turn a trained model into its smaller, equal form for inference",
                  "dgp fuse runs/mine/best.safetensors -o mine.safetensors");
  command->add_option("model", options->model, kModelHelp)->required();
  command->add_option("-o,--output", options->output, "the fused model, .safetensors")->required();
  add_device_options(*command, options->device);
  command->callback([options] { run_fuse(*options); });
}

}  // namespace dgp
