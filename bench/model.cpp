// dgp bench model: networks as they run (DGPNet fused and folded, EDSR) on an LR picture of random pixels.
// Effective GFLOP/s counts the multiply-adds (DGPNet's: folded) as if every convolution were computed
// directly, so a ratio to the FMA peak above 1 is what Winograd's algorithm saves.
// --interactive runs once for every line read, so that another program can take turns with this one
// (bench/peers).
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/bench.h"
#include "bench/peak.h"
#include "bench/runner.h"
#include "cli/cli.h"
#include "infer/upscaler.h"
#include "models/state.h"
#include "tensor/allocator.h"
#include "tensor/isa.h"
#include "tensor/npy.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

struct ModelBenchOptions {
  std::vector<std::string> models{"tiny", "small", "base", "large"};
  std::string size = "480x270";
  std::string input, output, save, precision = "full";
  int64_t scale = 4, unshuffle = 1, runs = 5;
  bool json = false, interactive = false, layers = false;
  DeviceOptions device;
};

struct Limits {
  double gflops, gbs;  // of arithmetic and of memory, measured in this run
};

// A step of the network (infer/layer_time.h), its bands and all blocks together.
struct Layer {
  std::string name;
  double ms = 0, multiply_adds = 0, bytes = 0;  // a run
};

struct Row {
  std::string model;
  Runner runner;
  double ms = 0, gflops = 0;
  int64_t multiply_adds = 0, peak_bytes = 0;
  std::vector<Layer> layers = {};  // in the order they run
};

Device device_of(const ModelBenchOptions& options) {
  return options.device.device == "cuda" ? Device::cuda : Device::cpu;
}

RunnerOptions runner_options(const ModelBenchOptions& options) {
  return {.scale = options.scale,
          .unshuffle = options.unshuffle,
          .precision = options.precision == "fast" && device_of(options) == Device::cpu ? Precision::fast
                                                                                        : Precision::full,
          .device = device_of(options)};
}

// f32 [1,height,width,3]: --input's array, or random pixels of the size that --size says.
Tensor input_pixels(const ModelBenchOptions& options, int64_t height, int64_t width) {
  if (!options.input.empty()) {
    Tensor lr = read_npy(options.input);
    const Shape& shape = lr.shape();
    bool fits = lr.dtype() == DType::f32 && shape.size() == 4 && shape[0] == 1 && shape[3] == 3;
    if (!fits || lr.numel() == 0)
      fail(ErrorCode::bad_file, options.input, ": expects f32 [1,height,width,3]; has ",
           to_string(lr.dtype()), " ", to_string(shape));
    return lr;
  }
  Tensor lr({1, height, width, 3});
  Rng rng(1);
  for (int64_t i = 0; i < lr.numel(); ++i) lr.data<float>()[i] = static_cast<float>(rng.uniform());
  return lr;
}

// "block.3.first" and its like are one layer, "block.first".
std::string layer_name(const std::string& step) {
  if (!step.starts_with("block.")) return step;
  return "block" + step.substr(step.find('.', 6));
}

// Where the time of a run goes, from runs of their own: a clock in every step must not slow the others down.
std::vector<Layer> profile(const std::string& name, const Tensor& lr, const ModelBenchOptions& options) {
  std::vector<Layer> layers;
  RunnerOptions settings = runner_options(options);
  settings.observe = [&](const LayerTime& step) {
    std::string layer = layer_name(step.name);
    auto at = std::find_if(layers.begin(), layers.end(), [&](const Layer& l) { return l.name == layer; });
    if (at == layers.end()) at = layers.insert(at, Layer{layer});
    at->ms += step.seconds * 1e3;
    at->multiply_adds += step.multiply_adds;
    at->bytes += step.bytes;
  };
  Runner runner = make_runner(name, settings);
  runner.run(lr);
  layers.clear();  // the first run fills the allocator's cache
  for (int64_t i = 0; i < options.runs; ++i) runner.run(lr);
  for (Layer& layer : layers) {
    layer.ms /= static_cast<double>(options.runs);
    layer.multiply_adds /= static_cast<double>(options.runs);
    layer.bytes /= static_cast<double>(options.runs);
  }
  return layers;
}

Row measure(const std::string& name, const Tensor& lr, const ModelBenchOptions& options) {
  Row row{name, make_runner(name, runner_options(options))};
  const Runner& runner = row.runner;
  const Device device = lr.device();
  release_cached_memory();
  reset_peak_bytes(device);
  int64_t before = peak_bytes(device);  // what is in use now
  Tensor hr = runner.run(lr);
  if (!options.output.empty()) write_npy(options.output, hr.to(Device::cpu));
  row.peak_bytes = peak_bytes(device) - before;
  std::vector<double> times;
  for (int64_t i = 0; i < options.runs; ++i) times.push_back(milliseconds(device, [&] { runner.run(lr); }));
  std::nth_element(times.begin(), times.begin() + options.runs / 2, times.end());
  row.ms = times[static_cast<size_t>(options.runs / 2)];
  row.multiply_adds = runner.multiply_adds(lr.shape()[1], lr.shape()[2]);
  row.gflops = 2 * static_cast<double>(row.multiply_adds) / row.ms / 1e6;
  if (device == Device::cpu && (options.json || options.layers)) row.layers = profile(name, lr, options);
  return row;
}

// The result is written and "ready" printed; then each line of standard input asks for one run and is
// answered by its milliseconds. Ends with the input.
void answer_lines(const Tensor& lr, const ModelBenchOptions& options) {
  Runner runner = make_runner(options.models[0], runner_options(options));
  Tensor hr = runner.run(lr);
  if (!options.output.empty()) write_npy(options.output, hr.to(Device::cpu));
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);)
    std::cout << milliseconds(lr.device(), [&] { runner.run(lr); }) << std::endl;
}

// Effective GFLOP/s and GB/s of a layer, and their shares of the two limits.
struct Rates {
  double gflops, gbs, of_peak, of_bandwidth;
};
Rates rates_of(const Layer& layer, const Limits& limits) {
  double gflops = 2 * layer.multiply_adds / layer.ms / 1e6, gbs = layer.bytes / layer.ms / 1e6;
  return {gflops, gbs, gflops / limits.gflops, gbs / limits.gbs};
}

nlohmann::ordered_json layers_json(const Row& row, const Limits& limits) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Layer& layer : row.layers) {
    Rates rates = rates_of(layer, limits);
    list.push_back({{"layer", layer.name},
                    {"ms", layer.ms},
                    {"gflops", rates.gflops},
                    {"bytes", layer.bytes},
                    {"share_of_peak", rates.of_peak},
                    {"share_of_bandwidth", rates.of_bandwidth}});
  }
  return list;
}

void print_layers(const Row& row, const Limits& limits) {
  std::printf("  %-14s %9s %6s %9s %7s %9s %7s\n", "layer", "ms", "share", "GFLOP/s", "ratio", "GB/s",
              "ratio");
  double all = 0;
  for (const Layer& layer : row.layers) all += layer.ms;
  for (const Layer& layer : row.layers) {
    Rates rates = rates_of(layer, limits);
    std::printf("  %-14s %9.2f %5.1f%% %9.1f %7.2f %9.2f %7.2f\n", layer.name.c_str(), layer.ms,
                100 * layer.ms / all, rates.gflops, rates.of_peak, rates.gbs, rates.of_bandwidth);
  }
}

void print_json(const std::vector<Row>& rows, const Tensor& lr, const Limits& limits) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Row& row : rows)
    list.push_back({{"model", row.model},
                    {"scale", row.runner.scale},
                    {"channels", row.runner.channels},
                    {"blocks", row.runner.blocks},
                    {"unshuffle", row.runner.unshuffle},
                    {"parameters", row.runner.parameters},
                    {"multiply_adds", row.multiply_adds},
                    {"ms", row.ms},
                    {"gflops", row.gflops},
                    {"ratio", row.gflops / limits.gflops},
                    {"peak_bytes", row.peak_bytes},
                    {"layers", layers_json(row, limits)}});
  nlohmann::ordered_json all{{"height", lr.dim(1)},
                             {"width", lr.dim(2)},
                             {"machine", machine_name(lr.device())},
                             {"threads", num_threads()},
                             {"isa", to_string(current_isa())},
                             {"peak_gflops", limits.gflops},
                             {"bandwidth_gbs", limits.gbs},
                             {"rows", list}};
  std::cout << all.dump(2) << "\n";
}

void print_table(const std::vector<Row>& rows, const Tensor& lr, const Limits& limits) {
  std::printf("LR %lldx%lld, %s, FMA peak %.0f GFLOP/s, memory %.1f GB/s\n",
              static_cast<long long>(lr.dim(2)), static_cast<long long>(lr.dim(1)),
              machine_name(lr.device()).c_str(), limits.gflops, limits.gbs);
  std::printf("%-12s %3s %10s %12s %10s %10s %7s %10s\n", "model", "x", "parameters", "mult-adds", "ms",
              "GFLOP/s", "ratio", "memory");
  for (const Row& row : rows) {
    std::printf("%-12s %3lld %10s %12s %10.1f %10.1f %7.2f %7.0f MB\n", row.model.c_str(),
                static_cast<long long>(row.runner.scale), with_commas(row.runner.parameters).c_str(),
                with_unit(static_cast<double>(row.multiply_adds)).c_str(), row.ms, row.gflops,
                row.gflops / limits.gflops, static_cast<double>(row.peak_bytes) / 1e6);
    if (!row.layers.empty()) print_layers(row, limits);
  }
}

void run_bench(const ModelBenchOptions& options) {
  const Device device = apply_with_cuda(options.device);
  check(device == Device::cpu || !options.layers,
        "--layers: times the CPU's plan alone; leave it out with --device cuda");
  const ChosenPrecision in_use(options.precision, device);
  long long width = 0, height = 0;
  char rest = 0;
  bool read = std::sscanf(options.size.c_str(), "%lldx%lld%c", &width, &height, &rest) == 2;
  check(read && width > 0 && height > 0 && width <= 65535 && height <= 65535, "--size ", options.size,
        ": expects WIDTHxHEIGHT, 480x270 for instance");
  bool one_model = options.interactive || !options.output.empty() || !options.save.empty();
  check(
      options.models.size() == 1 || !one_model,
      "--output, --save and --interactive: take one model, dgp bench model base --interactive for instance");
  if (!options.save.empty()) {
    DGPNet net = bench_network(options.models[0], options.scale, options.unshuffle);
    save_model(options.save, net);
  }
  const Tensor lr = input_pixels(options, height, width).to(device);
  std::vector<Row> rows;
  Limits limits{};
  if (!options.interactive) limits = {peak_gflops(device), bandwidth_gbs(device)};
  release_cached_memory();
  try {
    if (options.interactive) return answer_lines(lr, options);
    for (const std::string& name : options.models) rows.push_back(measure(name, lr, options));
  } catch (const Cancelled&) {
    throw Exit{stop_exit_code()};
  }
  (options.json ? print_json : print_table)(rows, lr, limits);
}

}  // namespace

void add_bench_model(CLI::App& bench) {
  auto options = std::make_shared<ModelBenchOptions>();
  CLI::App* command = add_command(bench, "model", "Whole networks: time, arithmetic, memory",
                                  "dgp bench model base large --size 960x540 --json");
  command->add_option("model", options->models, "tiny, small, base, large, edsr or a model");
  command->add_option("--size", options->size, "LR width x height");
  command->add_option("--input", options->input, ".npy f32 [1,height,width,3] instead of random pixels");
  command->add_option("--output", options->output, "write the result to this .npy; one model");
  command->add_option("--save", options->save, "write the network's weights to this .safetensors; one model");
  command->add_flag("--interactive", options->interactive,
                    "one run for each line of standard input, answered by its milliseconds; one model");
  command->add_option("--scale", options->scale, "of the presets")->check(CLI::Range(1, 8));
  command->add_option("--unshuffle", options->unshuffle, "of the presets")->check(CLI::Range(1, 8));
  command->add_option("--runs", options->runs, "the median of so many")->check(CLI::Range(1, 1000));
  command->add_flag("--layers", options->layers,
                    "each layer's time, and its arithmetic and memory traffic against the machine's limits");
  command->add_flag("--json", options->json, "print JSON, with the layers");
  add_precision_option(*command, options->precision);
  add_device_options(*command, options->device);
  command->callback([options] { run_bench(*options); });
}

}  // namespace dgp
