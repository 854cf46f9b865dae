// Training on the GPU: the same losses as on the CPU, the same bits in every run, checkpoints that
// go from one to the other.
#include "tensor/random.h"
#include "tests/cli/run.h"
#include "tests/cuda/runs.h"
#include "tests/test.h"
#include "tests/train/outcome.h"
#include "train/learner.h"
#include "train/lr_finder.h"

using namespace dgp;

namespace {

// Also of other lengths than a piece or a block has; the second has no gradient.
std::vector<Var> some_parameters(Device device) {
  std::vector<Var> all;
  for (int64_t size : {5, 300, 16384 + 77}) {
    Tensor t({size});
    Rng rng(static_cast<uint64_t>(size));
    for (int64_t i = 0; i < size; ++i) t.data<float>()[i] = static_cast<float>(rng.normal());
    all.emplace_back(t.to(device), true);
  }
  return all;
}

void set_gradients(const std::vector<Var>& parameters, uint64_t step) {
  for (size_t p : {0, 2}) {
    Var w = parameters[p];
    Tensor g(w.shape());
    Rng rng(step, p);
    for (int64_t i = 0; i < g.numel(); ++i) g.data<float>()[i] = static_cast<float>(rng.normal());
    w.set_grad(g.to(w.value().device()));
  }
}

std::vector<std::string> plain_losses() {
  std::vector<std::string> names;
  for (const std::string& name : dgp::losses().names())
    if (!dgp::losses().find(name)->make_from_file) names.push_back(name);
  return names;
}

double difference(const Tensor& a, const Tensor& b) {
  Tensor x = a.to(Device::cpu), y = b.to(Device::cpu);
  double most = 0;
  for (int64_t i = 0; i < x.numel(); ++i)
    most = std::max(most, std::abs(double{x.data<float>()[i]} - double{y.data<float>()[i]}));
  return most;
}

}  // namespace

TEST_CASE("every optimiser, the gradient's norm and the average on the GPU are the CPU's") {
  if (!device::usable()) return;
  for (const std::string& name : optimizers().names()) {
    INFO(name);
    const OptimizerKind& kind = *optimizers().find(name);
    Options options = with_defaults(kind, {{"weight_decay", 0.1}});
    const std::vector<Var> on_cpu = some_parameters(Device::cpu);
    auto expected = kind.make(on_cpu, options);
    {
#ifdef DGP_CUDA_EMULATED
      emulator::With with({.every_order = true});
#endif
      const std::vector<Var> on_gpu = some_parameters(Device::cuda);
      auto optimizer = kind.make(on_gpu, options);
      std::vector<Var> average, expected_average;
      for (const Var& p : on_cpu) expected_average.emplace_back(p.value().clone());
      for (const Var& p : expected_average) average.emplace_back(p.value().to(Device::cuda));
      for (double decay : {0.9, 0.0}) {
        for (uint64_t step = 0; step < 2; ++step) {
          set_gradients(on_cpu, step), set_gradients(on_gpu, step);
          CHECK(optimizer->grad_norm() == Approx(expected->grad_norm()).epsilon(1e-12));
          optimizer->step(0.01, 0.5), expected->step(0.01, 0.5);
        }
        Ema(average, decay).update(optimizer->evaluated(), 5);
        Ema(expected_average, decay).update(expected->evaluated(), 5);
      }
      for (size_t i = 0; i < on_cpu.size(); ++i) {
        CHECK(difference(on_gpu[i].value(), on_cpu[i].value()) <= 1e-6);
        CHECK(difference(average[i].value(), expected_average[i].value()) <= 1e-6);
        for (size_t s = 0; s < expected->slots().size(); ++s)
          CHECK(difference(optimizer->slots()[s].tensors[i], expected->slots()[s].tensors[i]) <= 1e-6);
      }
    }
    device::check_leaks();
  }
}

TEST_CASE("a run on the GPU has the CPU's losses, and the same bits every time") {
  if (!device::usable()) return;
  TempFolder temp;
  TrainConfig cpu = tiny_run(temp, "cpu"), gpu = tiny_run(temp, "cuda");
  for (TrainConfig* config : {&cpu, &gpu}) config->iterations = 20, config->clip = 0.5;
  TrainConfig again = gpu;
  again.out = temp / "again";
  losses_of(again, 4, false, device::Order::reverse);
  std::vector<double> got = losses_of(gpu, 4);
  CHECK(outcome(again) == outcome(gpu));
  for (double loss : losses_of(gpu, 1 << 20, true)) got.push_back(loss);
  check_close(got, losses_of(cpu));
  CHECK(outcome(cpu) != outcome(gpu));  // it did run elsewhere
  device::check_leaks();
}

TEST_CASE("a run begun on one device goes on on the other") {
  if (!device::usable()) return;
  TempFolder temp;
  TrainConfig whole = tiny_run(temp, "cpu");
  whole.iterations = 6, whole.optimizer.type = "schedulefree", whole.schedule.type = "constant";
  whole.validate.data = whole.data.train, whole.validate.every = 6, whole.validate.border = 2;
  whole.validate.crop = 16;
  const std::vector<double> want = losses_of(whole);
  for (const char* first : {"cpu", "cuda"}) {
    TrainConfig parts = whole;
    parts.out = temp / (std::string("from_") + first), parts.device = first;
    std::vector<double> got = losses_of(parts, 3);
    parts.device = first == std::string("cpu") ? "cuda" : "cpu";
    for (double loss : losses_of(parts, 1 << 20, true)) got.push_back(loss);
    check_close(got, want);
  }
}

TEST_CASE("every loss, accumulation and a discriminator learn on the GPU as on the CPU") {
  if (!device::usable()) return;
  TempFolder temp;
  for (const char* gan : {"vanilla", "none"}) {
    std::vector<double> losses[2];
    for (const char* device : {"cpu", "cuda"}) {
      TrainConfig config = tiny_run(temp, device);
      config.out = temp / (std::string(gan) + device);
      config.iterations = 2, config.data.batch = 1;
      if (gan == std::string("none")) {
        config.loss.clear();
        for (const std::string& name : plain_losses()) config.loss.push_back({name, 0.25});
        config.loss.push_back(
            {"perceptual", 1, {{"conv1_2", 1}}, DGP_SOURCE_DIR "/tests/golden/perceptual.safetensors"});
        for (LossTerm& term : config.loss)
          if (term.type == "ms_ssim") term.options["scales"] = 1;
      } else {
        config.gan.type = gan, config.gan.features = 2, config.accumulate = 2;
      }
      losses[device == std::string("cuda")] = losses_of(config);
    }
    check_close(losses[1], losses[0]);
  }
}

TEST_CASE("training in tf32 and bf16 has f32's losses within their rounding") {
  if (!device::usable()) return;
  TempFolder temp;
  TrainConfig full = tiny_run(temp, "cuda");
  full.iterations = 3;
  const std::vector<double> want = losses_of(full);
  for (const char* precision : {"tf32", "fast"}) {
    TrainConfig config = full;
    config.precision = precision, config.out = temp / precision;
    const std::vector<double> got = losses_of(config);
    check_close(got, want, 1e-2);
    CHECK(got != want);
  }
}

TEST_CASE("the learning rate's sweep runs on the GPU") {
  if (!device::usable()) return;
  TempFolder temp;
  const LrSweep sweep{.low = 1e-5, .high = 1e-3, .steps = 4};
  const LrFound want = find_learning_rate(tiny_run(temp, "cpu"), sweep, nullptr);
  device::With with(device::Order::forward, false);
  check_close(find_learning_rate(tiny_run(temp, "cuda"), sweep, nullptr).losses, want.losses);
}

TEST_CASE("dgp train --device cuda trains, and says where") {
  if (!device::usable()) return;
  TempFolder temp;
  TrainConfig config = tiny_run(temp, "cpu");
  config.iterations = 2, config.out = temp / "run";
  write_file(temp / "c.yml", to_yaml(config));
  const Outcome ran = dgp_run("train " + temp / "c.yml" + " --device cuda", device::kQuick);
  INFO(ran.err);
  CHECK(ran.status == 0);
  CHECK_THAT(ran.out, ContainsSubstring("on " + cuda::device_name()) && ContainsSubstring("finished"));
  CHECK_THAT(read_file(temp / "run/config.yml"), ContainsSubstring("device: cuda"));
}
