// dgp bench conv: one convolution at a time against this machine's FMA peak, measured in the same run.
// Effective GFLOP/s = 2 n h w cin cout k^2 / (stride^2 groups) / time, three times that for a step (forward
// and backward): what a direct convolution would have to do. Winograd does less, so ratios above 1 are
// possible.
#include <algorithm>
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
  std::string isa;
  double seconds = 0.6;  // a row
  DeviceOptions device;
};

struct Case {
  int64_t n, h, w, cin, cout, kernel = 3;
  bool step = false;
  int64_t stride = 1, dilation = 1, groups = 1;
};

struct Row {
  Case shape;
  double ms = 0, gflops = 0, ratio = 0;
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

Row measure(const Case& c, double peak, double seconds) {
  Conv2dOptions options{.stride = c.stride,
                        .padding = c.dilation * (c.kernel / 2),
                        .dilation = c.dilation,
                        .groups = c.groups,
                        .activation = Activation::leaky_relu};
  Var x(random_tensor({c.n, c.h, c.w, c.cin}, 1, 1), c.step);
  Var w(random_tensor({c.cout, c.kernel, c.kernel, c.cin / c.groups}, 2, 0.1), c.step);
  Var b(random_tensor({c.cout}, 3, 0.1), c.step);
  Tensor dy;
  auto run = [&] {
    Var y = conv2d(x, w, b, options);
    if (!c.step) return;
    if (!dy.defined()) dy = random_tensor(y.shape(), 4, 1);
    backward(y, dy);
    for (Var* v : {&x, &w, &b}) v->set_grad({});
  };
  run();  // fills the allocator's cache
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (times.size() < 5 || (Clock::now() < end && times.size() < 1000)) {
    auto start = Clock::now();
    run();
    times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + static_cast<int64_t>(times.size() / 2), times.end());
  Row row{c};
  row.ms = times[times.size() / 2] * 1e3;
  row.gflops = operations(c) / row.ms / 1e6;
  row.ratio = row.gflops / peak;
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

void print_json(const std::vector<Row>& rows, double peak) {
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
  nlohmann::ordered_json all{
      {"peak_gflops", peak}, {"isa", to_string(current_isa())}, {"threads", num_threads()}, {"rows", list}};
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
  apply(options.device);
  if (!options.isa.empty()) set_isa(parse_isa(options.isa));
  double peak = peak_gflops();
  if (!options.json) {
    std::printf("FMA peak %.1f GFLOP/s: %s, %d threads, f32\n", peak, to_string(current_isa()),
                num_threads());
    std::printf("%-24s %-14s %-8s %9s %9s %7s\n", "convolution", "n x h x w", "pass", "ms", "GFLOP/s",
                "ratio");
  }
  std::vector<Row> rows;
  for (const Case& c : options.sweep ? kSweep : kCases) {
    if (stop_flag()) throw Exit{stop_exit_code()};
    peak = std::max(peak, peak_gflops());  // a machine that speeds up must not flatter the ratios
    rows.push_back(measure(c, peak, options.seconds));
    if (!options.json) print_row(rows.back());
  }
  if (options.json) print_json(rows, peak);
}

}  // namespace

void add_bench_conv(CLI::App& bench) {
  auto options = std::make_shared<ConvBenchOptions>();
  CLI::App* command = add_command(bench, "conv", "One convolution at a time, against the machine's FMA peak",
                                  "dgp bench conv --json");
  command->add_flag("--sweep", options->sweep, "awkward sizes instead of the usual ones");
  command->add_option("--isa", options->isa, "portable, avx2 or avx512; none: the best there is");
  command->add_option("--seconds", options->seconds, "a row")->check(CLI::Range(0.01, 60.0));
  command->add_flag("--json", options->json, "print JSON");
  add_device_options(*command, options->device);
  command->callback([options] { run_bench(*options); });
}

}  // namespace dgp
