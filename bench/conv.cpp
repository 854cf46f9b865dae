// dgp bench conv: one convolution at a time against this machine's or GPU's FMA peak, measured around
// its runs. Effective GFLOP/s = 2 n h w cin cout k^2 / (stride^2 groups) / time, three times that for a step
// (forward and backward): what a direct convolution would have to do. Winograd does less, so ratios above 1
// are possible.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "autograd/var.h"
#include "bench/bench.h"
#include "bench/peak.h"
#include "cli/cli.h"
#include "ops/conv2d.h"
#include "tensor/isa.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace dgp {
namespace {

struct ConvBenchOptions {
  bool json = false, sweep = false;
  std::string isa, shape, precision = "full";
  double seconds = 0.6;  // a row
  int rounds = 1;
  DeviceOptions device;
};

struct Case {
  int64_t n, h, w, cin, cout, kernel = 3;
  bool step = false;
  int64_t stride = 1, dilation = 1, groups = 1;
};

struct Row {
  Case shape;
  double ms = 0, gflops = 0, ratio = 0, peak = 0;  // peak: the highest around its runs
};

const std::vector<Case> kCases = {
    {1, 256, 256, 64, 64},
    {1, 256, 256, 64, 128},
    {1, 256, 256, 128, 128},
    {1, 256, 256, 128, 64},
    {1, 256, 256, 48, 48},
    {1, 256, 256, 64, 48},
    {1, 256, 256, 32, 32},
    {1, 256, 256, 16, 16},
    {1, 256, 256, 3, 64},
    {1, 256, 256, 32, 12},
    {1, 256, 256, 128, 64, 1},
    {1, 256, 256, 64, 64, 5},
    {1, 256, 256, 64, 64, 3, false, 2},
    {1, 256, 256, 64, 64, 3, false, 1, 2},
    {1, 256, 256, 64, 64, 3, false, 1, 1, 4},
    {8, 64, 64, 64, 64, 3, true},
    {16, 64, 64, 64, 64, 3, true},
};

// Sizes on which an engine might stumble: odd ones, one row, one image of a few pixels.
const std::vector<Case> kSweep = {
    {1, 16, 16, 64, 64},   {1, 31, 33, 64, 64},   {1, 61, 67, 64, 64},   {1, 127, 129, 64, 64},
    {1, 251, 253, 64, 64}, {1, 257, 255, 64, 64}, {1, 540, 960, 64, 64}, {1, 256, 256, 40, 56},
    {1, 256, 256, 17, 33}, {4, 48, 48, 64, 64},   {1, 1, 4096, 64, 64},  {1, 4096, 1, 64, 64},
};

Tensor random_tensor(const Shape& shape, uint64_t seed, double scale) {
  Tensor t(shape);
  Rng rng(seed);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = static_cast<float>(scale * rng.uniform(-1, 1));
  return t;
}

double operations(const Case& c) {
  double positions = static_cast<double>(c.n) * static_cast<double>((c.h + c.stride - 1) / c.stride) *
                     static_cast<double>((c.w + c.stride - 1) / c.stride);
  double each =
      2.0 * static_cast<double>(c.cin * c.cout * c.kernel * c.kernel) / static_cast<double>(c.groups);
  return positions * each * (c.step ? 3 : 1);
}

// --shape NxHxWxCINxCOUTxK, forward and as a step.
std::vector<Case> cases_of(const ConvBenchOptions& options) {
  if (options.shape.empty()) return options.sweep ? kSweep : kCases;
  std::array<long long, 6> n{};
  char rest = 0;
  const int found = std::sscanf(options.shape.c_str(), "%lldx%lldx%lldx%lldx%lldx%lld%c", &n[0], &n[1], &n[2],
                                &n[3], &n[4], &n[5], &rest);
  check(found == 6 && std::all_of(n.begin(), n.end(), [](long long v) { return v >= 1 && v <= 65535; }),
        "--shape ", options.shape, ": expects NxHxWxCINxCOUTxK, 1x1080x1920x64x64x3 for instance");
  Case one{n[0], n[1], n[2], n[3], n[4], n[5]}, step = one;
  step.step = true;
  return {one, step};
}

double median(std::vector<double> values) {
  auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The clock of a machine that others use as well changes by the second: a few slices of runs, the peak
// measured before and after each, and the ratio of a slice to the higher of its two.
Row measure(const Case& c, double seconds, Device device) {
  Conv2dOptions options{.stride = c.stride,
                        .padding = c.dilation * (c.kernel / 2),
                        .dilation = c.dilation,
                        .groups = c.groups,
                        .activation = Activation::leaky_relu};
  const DType stored = device == Device::cuda ? cuda::storage() : DType::f32;
  Var x(random_tensor({c.n, c.h, c.w, c.cin}, 1, 1).to(device).to(stored), c.step);
  Var w(random_tensor({c.cout, c.kernel, c.kernel, c.cin / c.groups}, 2, 0.1).to(device), c.step);
  Var b(random_tensor({c.cout}, 3, 0.1).to(device), c.step);
  Tensor dy;
  auto run = [&] {
    Var y = conv2d(x, w, b, options);
    if (!c.step) return;
    if (!dy.defined()) dy = random_tensor(y.shape(), 4, 1).to(device).to(stored);
    backward(y, dy);
    for (Var* v : {&x, &w, &b}) v->set_grad({});
  };
  run();  // fills the allocator's cache
  using Clock = std::chrono::steady_clock;
  const int slices = device == Device::cpu ? 5 : 1;
  std::vector<double> times, ratios;
  Row row{c};
  double before = peak_gflops(device, 3);
  for (int i = 0; i < slices; ++i) {
    std::vector<double> slice;
    auto end = Clock::now() + std::chrono::duration<double>(seconds / slices);
    while (slice.size() < 3 || (Clock::now() < end && slice.size() < 1000))
      slice.push_back(milliseconds(device, run));
    double after = peak_gflops(device, 3), gflops = operations(c) / median(slice) / 1e6;
    ratios.push_back(gflops / std::max(before, after));
    row.peak = std::max({row.peak, before, after});
    before = after;
    times.insert(times.end(), slice.begin(), slice.end());
  }
  row.ms = median(times);
  row.gflops = operations(c) / row.ms / 1e6;
  row.ratio = median(ratios);
  return row;
}

std::string describe(const Case& c) {
  std::string text = std::to_string(c.kernel) + "x" + std::to_string(c.kernel) + " " + std::to_string(c.cin) +
                     "->" + std::to_string(c.cout);
  if (c.stride > 1) text += " stride " + std::to_string(c.stride);
  if (c.dilation > 1) text += " dilation " + std::to_string(c.dilation);
  if (c.groups > 1) text += " groups " + std::to_string(c.groups);
  return text;
}

void print_json(const std::vector<Row>& rows, double peak, Device device) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Row& r : rows) {
    const Case& c = r.shape;
    list.push_back({{"n", c.n},
                    {"h", c.h},
                    {"w", c.w},
                    {"cin", c.cin},
                    {"cout", c.cout},
                    {"kernel", c.kernel},
                    {"stride", c.stride},
                    {"dilation", c.dilation},
                    {"groups", c.groups},
                    {"pass", c.step ? "step" : "forward"},
                    {"isa", to_string(current_isa())},
                    {"ms", r.ms},
                    {"gflops", r.gflops},
                    {"ratio", r.ratio}});
  }
  nlohmann::ordered_json all{{"peak_gflops", peak},
                             {"machine", machine_name(device)},
                             {"isa", to_string(current_isa())},
                             {"threads", num_threads()},
                             {"rows", list}};
  std::cout << all.dump(2) << "\n";
}

void print_row(const Row& r) {
  const Case& c = r.shape;
  std::string size = std::to_string(c.n) + "x" + std::to_string(c.h) + "x" + std::to_string(c.w);
  std::printf("%-24s %-14s %-8s %9.2f %9.1f %7.2f\n", describe(c).c_str(), size.c_str(),
              c.step ? "step" : "forward", r.ms, r.gflops, r.ratio);
  std::fflush(stdout);
}

void run_bench(const ConvBenchOptions& options) {
  const Device device = apply_with_cuda(options.device);
  check(device == Device::cpu || options.isa.empty(),
        "--isa: is of the CPU; leave it out with --device cuda");
  if (!options.isa.empty()) set_isa(parse_isa(options.isa));
  check(device == Device::cuda || options.precision == "full", "--precision ", options.precision,
        ": is of --device cuda; on the CPU dgp bench model has it");
  const ChosenPrecision in_use(options.precision, device);
  const std::vector<Case> cases = cases_of(options);
  double peak = peak_gflops(device);
  if (!options.json) {
    std::printf("FMA peak %.1f GFLOP/s: %s, f32\n", peak, machine_name(device).c_str());
    std::printf("%-24s %-14s %-8s %9s %9s %7s\n", "convolution", "n x h x w", "pass", "ms", "GFLOP/s",
                "ratio");
  }
  // Of several rounds each row's fastest, against the highest peak of them all.
  std::vector<Row> rows;
  for (int round = 0; round < options.rounds; ++round)
    for (size_t i = 0; i < cases.size(); ++i) {
      if (stop_flag()) throw Exit{stop_exit_code()};
      Row row = measure(cases[i], options.seconds, device);
      peak = std::max(peak, row.peak);
      if (round == 0)
        rows.push_back(row);
      else if (row.ms < rows[i].ms)
        rows[i] = row;
      if (!options.json && options.rounds == 1) print_row(row);
    }
  if (options.rounds > 1)
    for (Row& row : rows) {
      row.ratio = row.gflops / peak;
      if (!options.json) print_row(row);
    }
  if (!options.json && options.rounds > 1) std::printf("highest FMA peak %.1f GFLOP/s\n", peak);
  if (options.json) print_json(rows, peak, device);
}

}  // namespace

void add_bench_conv(CLI::App& bench) {
  auto options = std::make_shared<ConvBenchOptions>();
  CLI::App* command = add_command(bench, "conv", "One convolution at a time, against the machine's FMA peak",
                                  "dgp bench conv --json");
  command->add_flag("--sweep", options->sweep, "awkward sizes instead of the usual ones");
  command->add_option("--shape", options->shape, "one of your own, NxHxWxCINxCOUTxK: 1x1080x1920x64x64x3");
  command
      ->add_option("--precision", options->precision,
                   "full; on a GPU also tf32, fast (factors in bf16), bf16 and f16 (storage)")
      ->check(CLI::IsMember({"full", "tf32", "fast", "bf16", "f16"}));
  command->add_option("--isa", options->isa, "portable, avx2 or avx512; none: the best there is");
  command->add_option("--seconds", options->seconds, "a row")->check(CLI::Range(0.01, 60.0));
  command
      ->add_option("--rounds", options->rounds,
                   "through all rows so often, on a machine that others use: each row's fastest, against the "
                   "highest peak")
      ->check(CLI::Range(1, 1000));
  command->add_flag("--json", options->json, "print JSON");
  add_device_options(*command, options->device);
  command->callback([options] { run_bench(*options); });
}

}  // namespace dgp
