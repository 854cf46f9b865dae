// dgp bench step: one training step of DGPNet in its training form: forward, L1 loss, backward, Adam; data
// are random pixels, or .npy arrays so that another framework can be given the same. The loss of every step
// is printed beside its time: two implementations that start from the same file and agree in the losses of
// several steps agree in forward, gradients and optimiser. --ops says where the time goes, and how near the
// step comes to its convolutions alone: GFLOP/s as dgp bench conv counts them.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "autograd/observe.h"
#include "bench/bench.h"
#include "bench/peak.h"
#include "cli/cli.h"
#include "ops/loss.h"
#include "tensor/cuda_math.h"
#include "tensor/isa.h"
#include "tensor/npy.h"
#include "tensor/parallel.h"
#include "train/loss_scale.h"
#include "train/optimizer.h"

namespace dgp {
namespace {

struct StepBenchOptions {
  std::string model = "base", input, target, precision = "full";
  int64_t batch = 8, patch = 64, scale = 4, unshuffle = 1, warmup = 2, runs = 7;
  double rate = 3e-4;
  bool json = false, ops = false;
  DeviceOptions device;
};

Tensor random_pixels(const Shape& shape, uint64_t seed) {
  Tensor t(shape);
  Rng rng(seed);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = static_cast<float>(rng.uniform());
  return t;
}

// f32 of the shape the network takes or gives: `path`'s array, or random pixels where there is none.
Tensor pixels(const std::string& path, const Shape& shape, uint64_t seed) {
  if (path.empty()) return random_pixels(shape, seed);
  Tensor t = read_npy(path);
  if (t.dtype() != DType::f32 || t.shape() != shape)
    fail(ErrorCode::bad_file, path, ": expects f32 ", to_string(shape),
         ", as --batch, --patch and the model's scale say; has ", to_string(t.dtype()), " ",
         to_string(t.shape()));
  return t;
}

struct Step {
  double ms, loss;
};

// Of the timed ones, counted from the first of them: the step that takes the median time.
size_t median_step(const std::vector<Step>& steps, size_t warmup) {
  std::vector<size_t> order(steps.size() - warmup);
  std::iota(order.begin(), order.end(), 0);
  auto middle = order.begin() + static_cast<std::ptrdiff_t>(order.size() / 2);
  std::nth_element(order.begin(), middle, order.end(),
                   [&](size_t a, size_t b) { return steps[warmup + a].ms < steps[warmup + b].ms; });
  return *middle;
}

// Wall time by operation and part, convolutions by shape too. Adds up what passes between two calls.
class OpTimes {
 public:
  explicit OpTimes(Device device) : device_(device) {}

  void start_step() {
    ++steps_;
    last_ = Clock::now();
  }
  void operator()(std::string_view op, std::string_view part, const Shape& shape) {
    std::string name = std::string(op) + " " + std::string(part);
    if (op == "conv2d") name += " " + to_string(shape);
    if (device_ == Device::cuda) cuda::synchronize();  // so that each has its own time, not its queueing's
    Clock::time_point now = Clock::now();
    Steps& entry = entries_[name];
    entry.ms.resize(steps_);
    entry.ms.back() += std::chrono::duration<double, std::milli>(now - last_).count();
    ++entry.count;
    last_ = Clock::now();  // the lookup is nobody's time
  }
  struct Entry {
    double ms = 0;
    int64_t count = 0;
  };
  // Of step `index`, those that take longest first.
  std::vector<std::pair<std::string, Entry>> of_step(size_t index) const {
    std::vector<std::pair<std::string, Entry>> all;
    for (const auto& [name, entry] : entries_)
      all.push_back(
          {name,
           {index < entry.ms.size() ? entry.ms[index] : 0, entry.count / static_cast<int64_t>(steps_)}});
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second.ms > b.second.ms; });
    return all;
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Steps {
    std::vector<double> ms;  // of each step
    int64_t count = 0;       // of all
  };
  Device device_;
  Clock::time_point last_;
  size_t steps_ = 0;
  std::map<std::string, Steps> entries_;
};

struct Measured {
  std::vector<Step> steps;
  std::vector<std::pair<std::string, OpTimes::Entry>> ops;
  double gflop = 0;  // of a step's convolutions, computed directly, forward and backward
  int64_t peak_bytes = 0;
};

Step one_step(DGPNet& net, Adam& adam, LossScale& scale, const Var& lr, const Var& hr, double rate,
              OpTimes* times = nullptr) {
  Var loss;
  const double time = milliseconds(lr.value().device(), [&] {
    if (times) times->start_step();
    loss = l1_loss(net(lr), hr);
    backward(loss, Tensor::full({}, scale.value(), DType::f32, loss.value().device()));
    const bool finite = !scale.dynamic() || std::isfinite(adam.grad_norm());
    if (finite) {
      adam.step(rate, 1 / scale.value());
      scale.good_step();
    } else {
      scale.lower();
    }
    adam.clear_gradients();
    observe("train/optimizer.cpp", "step", {});
  });
  return {time, static_cast<double>(loss.value().item())};
}

Measured measure(const StepBenchOptions& options, Device device) {
  DGPNet net = bench_network(options.model, options.scale, options.unshuffle);
  int64_t n = options.batch, p = options.patch, s = p * net.config.scale;
  net.visit([&](const std::string&, Var& v) { v.set_value(v.value().to(device)); });
  Var lr(pixels(options.input, {n, p, p, 3}, 1).to(device)),
      hr(pixels(options.target, {n, s, s, 3}, 2).to(device));
  Adam adam(parameters(net), {.beta1 = 0.9, .beta2 = 0.99});
  LossScale scale(options.precision == "f16");
  Measured all;
  all.gflop = 6e-9 * static_cast<double>(n * multiply_adds(net.config, Form::folded, p, p));
  for (int64_t i = 0; i < options.warmup && !stop_flag(); ++i)
    all.steps.push_back(one_step(net, adam, scale, lr, hr, options.rate));
  OpTimes times(device);
  reset_peak_bytes(device);
  std::unique_ptr<Observing> observing;
  if (options.ops)
    observing = std::make_unique<Observing>([&](auto op, auto part, auto& shape) { times(op, part, shape); });
  for (int64_t i = 0; i < options.runs && !stop_flag(); ++i)
    all.steps.push_back(one_step(net, adam, scale, lr, hr, options.rate, &times));
  if (stop_flag()) throw Exit{stop_exit_code()};
  // Of the median step, not each operation's median: parts of one step add up to no more than that step.
  all.ops = times.of_step(median_step(all.steps, static_cast<size_t>(options.warmup)));
  all.peak_bytes = peak_bytes(device);
  return all;
}

void print_ops(const Measured& measured, double ms, Device device) {
  double total = 0, conv = 0;
  for (const auto& [name, entry] : measured.ops) {
    total += entry.ms;
    if (name.starts_with("conv2d") && !name.starts_with("conv2d accumulate")) conv += entry.ms;
  }
  std::printf("%-44s %6s %9s %7s\n", "operation", "times", "ms", "share");
  for (const auto& [name, entry] : measured.ops)
    std::printf("%-44s %6lld %9.3f %6.1f%%\n", name.c_str(), static_cast<long long>(entry.count), entry.ms,
                100 * entry.ms / total);
  double peak = peak_gflops(device);
  auto line = [&](const char* what, double time) {
    std::printf("%-28s %9.2f ms %9.1f GFLOP/s, %.2f of the FMA peak\n", what, time,
                measured.gflop * 1e3 / time, measured.gflop * 1e3 / time / peak);
  };
  line("step", ms);
  line("of it convolutions", conv);
}

void run_bench(const StepBenchOptions& options) {
  const Device device = apply_with_cuda(options.device);
  check(device == Device::cuda || options.precision == "full", "--precision ", options.precision,
        ": is of --device cuda; training on the CPU is in f32");
  const ChosenPrecision in_use(options.precision, device);
  Measured measured = measure(options, device);
  const std::vector<Step>& steps = measured.steps;
  std::vector<double> times, losses;
  for (const Step& step : steps) losses.push_back(step.loss);
  for (size_t i = static_cast<size_t>(options.warmup); i < steps.size(); ++i) times.push_back(steps[i].ms);
  double median = times[median_step(steps, static_cast<size_t>(options.warmup))];
  auto [least, most] = std::minmax_element(times.begin(), times.end());
  if (options.json) {
    nlohmann::ordered_json all{{"model", options.model},
                               {"batch", options.batch},
                               {"patch", options.patch},
                               {"precision", options.precision},
                               {"machine", machine_name(device)},
                               {"threads", num_threads()},
                               {"isa", to_string(current_isa())},
                               {"median_ms", median},
                               {"gflop", measured.gflop},
                               {"peak_bytes", measured.peak_bytes},
                               {"ms", times},
                               {"losses", losses}};
    for (const auto& [name, entry] : measured.ops)
      all["ops"].push_back({{"name", name}, {"times", entry.count}, {"ms", entry.ms}});
    std::cout << all.dump(2) << "\n";
    return;
  }
  std::printf("%s, batch %lld of %lldx%lld, %s: %.1f ms a step (%.1f to %.1f), loss %.6f -> %.6f\n",
              options.model.c_str(), static_cast<long long>(options.batch),
              static_cast<long long>(options.patch), static_cast<long long>(options.patch),
              machine_name(device).c_str(), median, *least, *most, losses.front(), losses.back());
  if (options.ops) print_ops(measured, median, device);
}

}  // namespace

void add_bench_step(CLI::App& bench) {
  auto options = std::make_shared<StepBenchOptions>();
  CLI::App* command = add_command(bench, "step", "Training steps: forward, L1, backward, Adam",
                                  "dgp bench step base --batch 16 --patch 64");
  command->add_option("model", options->model, "tiny, small, base, large or a model");
  command->add_option("--batch", options->batch, "patches a step")->check(CLI::Range(1, 1024));
  command->add_option("--patch", options->patch, "LR height and width of a patch")
      ->check(CLI::Range(4, 1024));
  command->add_option("--scale", options->scale, "of the presets")->check(CLI::Range(1, 8));
  command->add_option("--unshuffle", options->unshuffle, "of the presets")->check(CLI::Range(1, 8));
  command->add_option("--input", options->input, ".npy [batch,patch,patch,3]; without it random pixels");
  command->add_option("--target", options->target, ".npy [batch,scale patch,scale patch,3]; likewise");
  command->add_option("--rate", options->rate, "Adam's learning rate")->check(CLI::Range(0.0, 1.0));
  command->add_option("--warmup", options->warmup, "steps before timing")->check(CLI::Range(0, 1000));
  command->add_option("--runs", options->runs, "the median of so many")->check(CLI::Range(1, 1000));
  command
      ->add_option("--precision", options->precision,
                   "full; on a GPU also tf32, fast (factors in bf16), bf16 and f16 (storage; f16 with its "
                   "loss scaled)")
      ->check(CLI::IsMember({"full", "tf32", "fast", "bf16", "f16"}));
  command->add_flag("--ops", options->ops, "the time of each operation, forward and backward");
  command->add_flag("--json", options->json, "print JSON");
  add_device_options(*command, options->device);
  command->callback([options] { run_bench(*options); });
}

}  // namespace dgp
