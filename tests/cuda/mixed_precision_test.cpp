// Feature maps in bf16 and f16 on the GPU: the network's values and gradients beside the CPU's in f32, and
// training with its loss scaled.
#include <algorithm>
#include <cstring>

#include "infer/upscaler.h"
#include "models/edsr.h"
#include "models/state.h"
#include "ops/loss.h"
#include "tensor/cuda_math.h"
#include "tests/cli/run.h"
#include "tests/cuda/runs.h"
#include "tests/infer/networks.h"
#include "tests/test.h"
#include "tests/train/outcome.h"
#include "train/lr_finder.h"

using namespace dgp;

namespace {

DGPNet on_gpu(DGPNet net) {
  net.visit([](const std::string&, Var& v) { v = Var(v.value().to(Device::cuda), v.requires_grad()); });
  return net;
}

double nmse(const Tensor& got, const Tensor& want) {
  REQUIRE(got.shape() == want.shape());
  Tensor g = got.to(Device::cpu).to(DType::f64), w = want.to(DType::f64);
  double error = 0, power = 0;
  for (int64_t i = 0; i < w.numel(); ++i) {
    double e = w.data<double>()[i], d = g.data<double>()[i] - e;
    error += d * d;
    power += e * e;
  }
  return error / power;
}

// The result and then the gradients of all parameters, of a mean square; in the CPU's memory.
std::vector<Tensor> result_and_gradients(DGPNet& net, const Tensor& lr, const Tensor& hr, Form form) {
  Var y = net(lr, form);
  std::vector<Tensor> all{y.value().to(Device::cpu)};
  backward(mse_loss(y, hr));
  for (Var& p : parameters(net)) {
    REQUIRE(p.grad().defined());
    REQUIRE(p.grad().dtype() == DType::f32);
    all.push_back(p.grad().to(Device::cpu));
    p.set_grad({});
  }
  return all;
}

// Of all gradients together: small ones may be nothing but what rounding left.
Tensor joined(const std::vector<Tensor>& gradients) {
  int64_t n = 0, at = 0;
  for (const Tensor& g : gradients) n += g.numel();
  Tensor all({n});
  for (const Tensor& g : gradients) {
    std::memcpy(all.data<float>() + at, g.data<float>(), static_cast<size_t>(g.nbytes()));
    at += g.numel();
  }
  return all;
}

double scale_of(const TrainConfig& config) {
  const auto last = read_safetensors(list_checkpoints(config.folder() + "/checkpoints").at(0));
  const auto found = last.metadata.find("loss_scale");
  return found == last.metadata.end() ? 0 : std::stod(found->second);
}

// 1e4 times the usual gradients overflow f16 at the first loss scale.
TrainConfig overflowing(const TempFolder& temp, const char* out) {
  TrainConfig config = tiny_run(temp, "cuda");
  config.precision = "f16", config.out = temp / out, config.iterations = 12;
  config.loss[0].weight = 1e4, config.clip = 0.5;
  return config;
}

}  // namespace

TEST_CASE("a network that stores bf16 or f16 is f32's within rounding, in every form, and so are gradients") {
  if (!device::usable()) return;
  for (DGPNetConfig config : {DGPNetConfig{2, 8, 2, 3, 1}, DGPNetConfig{1, 5, 1, 5, 2},
                              DGPNetConfig{3, 17, 1, 3, 1, {Part::interaction, Part::attention}}}) {
    DGPNet net = random_net(config, 3), there = on_gpu(net);
    const int64_t s = config.scale;
    Tensor lr = random_tensor({2, 9, 7, 3}, 5), hr = random_tensor({2, 9 * s, 7 * s, 3}, 6);
    for (Form form : {Form::folded, Form::fused, Form::parallel}) {
      const std::vector<Tensor> want = result_and_gradients(net, lr, hr, form);
      for (auto [storage, limit] : {std::pair{DType::f16, 1e-6}, {DType::bf16, 1e-4}}) {
        INFO("scale " << s << ", form " << static_cast<int>(form) << ", " << to_string(storage));
        device::With with(device::Order::shuffled, false);
        cuda::Using in_use(cuda::Factors::f32, storage);
        std::vector<Tensor> got = result_and_gradients(there, lr.to(Device::cuda), hr.to(Device::cuda), form);
        CHECK(got[0].dtype() == DType::f32);
        const double error = nmse(got[0], want[0]);
        CHECK(error <= limit);
        CHECK(error > 1e-10);  // it did round
        CHECK(nmse(joined({got.begin() + 1, got.end()}), joined({want.begin() + 1, want.end()})) <= limit);
      }
    }
  }
  device::check_leaks();
}

#ifdef DGP_CUDA_EMULATED
TEST_CASE("a network that stores 16 bits has equal bits in every order of threads") {
  DGPNet there = on_gpu(random_net({2, 5, 1, 3, 1}, 3));
  Tensor lr = random_tensor({1, 5, 4, 3}, 5), hr = random_tensor({1, 10, 8, 3}, 6);
  for (DType storage : {DType::f16, DType::bf16}) {
    emulator::With with({.every_order = true});
    cuda::Using in_use(cuda::Factors::f32, storage);
    CHECK_NOTHROW(result_and_gradients(there, lr.to(Device::cuda), hr.to(Device::cuda), Form::folded));
  }
}
#endif

TEST_CASE("the upscaler stores the 16 bits in use when it is made, whole, in tiles and from a graph") {
  if (!device::usable()) return;
  DGPNet net = random_net({2, 8, 2, 3, 1}, 3);
  const Tensor lr = random_tensor({1, 21, 7, 3}, 5);
  {
    device::With with(device::Order::shuffled, false);
    const Tensor want = Upscaler(net, {.device = Device::cuda})(lr);
    for (auto [storage, limit] : {std::pair{DType::f16, 1e-6}, {DType::bf16, 1e-4}}) {
      cuda::Using in_use(cuda::Factors::f32, storage);
      Upscaler upscale(net, {.device = Device::cuda}), tiles(net, {.tile_rows = 8, .device = Device::cuda});
      const Tensor got = upscale(lr);
      CHECK(nmse(got, want) <= limit);
      CHECK(nmse(got, want) > 1e-10);
      for (int again = 0; again < 2; ++again) CHECK(same_bits(upscale(lr), got));
      CHECK(same_bits(tiles(lr), got));
    }
  }
  device::check_leaks();
}

TEST_CASE("EDSR that stores 16 bits is f32's within rounding") {
  if (!device::usable()) return;
  EDSR net({.scale = 2, .channels = 8, .blocks = 2}, Rng(3));
  const Tensor lr = random_tensor({1, 9, 7, 3}, 5);
  NoGrad no_grad;
  const Tensor want = net(lr).value();
  net.visit([](const std::string&, Var& v) { v = Var(v.value().to(Device::cuda)); });
  for (auto [storage, limit] : {std::pair{DType::f16, 1e-6}, {DType::bf16, 1e-4}}) {
    device::With with(device::Order::reverse, false);
    cuda::Using in_use(cuda::Factors::f32, storage);
    const Tensor got = net(lr.to(Device::cuda)).value();
    CHECK(got.dtype() == DType::f32);
    CHECK(nmse(got, want) <= limit);
    CHECK(nmse(got, want) > 1e-10);
  }
}

TEST_CASE("8-bit pictures of a bundled model that stores 16 bits differ from f32's by a level at most") {
  if (!device::usable()) return;
  DGPNet net = load_model(DGP_SOURCE_DIR "/weights/classic-x4.safetensors"), there = on_gpu(fuse(net));
  Tensor lr = test_picture(20, 24, 7).reshape({1, 20, 24, 3});
  NoGrad no_grad;
  const Tensor want = net(lr).value();
  // Of values that are off by e the share 255 |e| rounds to another level: with 3 bits less, 8 times as many.
  for (auto [storage, most] : {std::pair{DType::f16, 0.02}, {DType::bf16, 0.16}}) {
    device::With with(device::Order::forward, false);
    cuda::Using in_use(cuda::Factors::f32, storage);
    const Tensor got = there(lr.to(Device::cuda)).value().to(Device::cpu);
    int64_t different = 0, levels = 0;
    for (int64_t i = 0; i < got.numel(); ++i) {
      auto level = [](float v) { return std::lround(255 * std::min(1.0F, std::max(0.0F, v))); };
      const int64_t d = std::abs(level(got.data<float>()[i]) - level(want.data<float>()[i]));
      different += d > 0;
      levels = std::max(levels, d);
    }
    INFO(to_string(storage) << ": " << different << " of " << got.numel() << " differ, by " << levels);
    CHECK(levels <= 1);
    CHECK(static_cast<double>(different) <= most * static_cast<double>(got.numel()));
  }
}

TEST_CASE("training that stores bf16 and f16 follows f32, and no step is skipped") {
  if (!device::usable()) return;
  TempFolder temp;
  TrainConfig full = tiny_run(temp, "cuda");
  full.iterations = 30;
  const std::vector<double> want = losses_of(full);
  for (const char* precision : {"bf16", "f16"}) {
    TrainConfig config = full;
    config.precision = precision, config.out = temp / precision;
    const std::vector<double> got = losses_of(config);
    check_close(got, want, 1e-3);
    CHECK(got != want);
    CHECK(scale_of(config) == (precision == std::string("f16") ? LossScale::kFirst : 0));
    CHECK_THAT(read_file(config.out + "/metrics.jsonl"), ContainsSubstring("\"skipped\":0,\"seconds\""));
  }
}

TEST_CASE("a gradient that overflows f16 skips the step and halves the scale, which is no divergence") {
  if (!device::usable()) return;
  TempFolder temp;
  const TrainConfig whole = overflowing(temp, "whole");
  std::vector<std::string> messages;
  {
    device::With with(device::Order::forward, false);
    TrainHooks hooks;
    hooks.message = [&](const std::string& m) { messages.push_back(m); };
    const TrainResult result = train(whole, hooks);
    REQUIRE(result.skipped >= 2);
    CHECK(result.skipped < whole.iterations);
    CHECK(scale_of(whole) == std::ldexp(LossScale::kFirst, -static_cast<int>(result.skipped)));
    int64_t told = 0;
    for (const std::string& m : messages) told += m.find("a gradient overflowed at loss scale") < m.size();
    CHECK(told == result.skipped);
  }
  // The norm and its clipping are those of f32: the run is f32's without the first steps' updates.
  CHECK_THAT(read_file(whole.out + "/metrics.jsonl"), ContainsSubstring("\"loss_scale\":65536"));

  SECTION("a run stopped and resumed has the same bits, the scale among them") {
    TrainConfig parts = whole;
    parts.out = temp / "parts";
    losses_of(parts, 5);
    losses_of(parts, 1 << 20, true, device::Order::reverse);
    CHECK(outcome(parts) == outcome(whole));
  }
  SECTION("a checkpoint without a scale begins with the first") {
    TrainConfig other = whole;
    other.out = temp / "other", other.precision = "full";
    losses_of(other, 1);
    CHECK(scale_of(other) == 0);
    other.precision = "f16", other.iterations = 2;
    losses_of(other, 1 << 20, true);
    CHECK(scale_of(other) == LossScale::kFirst / 2);
  }
}

TEST_CASE(
    "a loss that overflows f16 skips the step and halves the scale; where that never helps, training gives "
    "up") {
  if (!device::usable()) return;
  TempFolder temp;
  device::With with(device::Order::forward, false);
  TrainConfig config = tiny_run(temp, "cuda");
  config.precision = "f16", config.watch.returns = 0, config.iterations = 40;
  std::vector<std::string> messages;
  TrainHooks hooks;
  hooks.message = [&](const std::string& m) { messages.push_back(m); };
  auto told = [&](const std::string& text) {
    return std::count_if(messages.begin(), messages.end(),
                         [&](const std::string& m) { return m.find(text) < m.size(); });
  };
  std::function<bool(int64_t)> too_bright;
  hooks.on_batch = [&](int64_t iteration, Batch& batch) {
    if (too_bright(iteration)) batch.lr = Tensor::full(batch.lr.shape(), 1e9).to(batch.lr.device());
  };
  SECTION("of two batches") {
    config.iterations = 5;
    too_bright = [](int64_t iteration) { return iteration == 1 || iteration == 2; };
    CHECK(train(config, hooks).skipped == 2);
    CHECK(told("the loss overflowed at loss scale") == 2);
    CHECK(told("the loss overflowed at loss scale 32768; the step is skipped, the scale halved") == 1);
    CHECK(scale_of(config) == LossScale::kFirst / 4);
  }
  SECTION("of every batch") {
    too_bright = [](int64_t) { return true; };
    CHECK_THROWS_WITH(train(config, hooks),
                      ContainsSubstring("10 steps in a row were not finite, up to iteration 26") &&
                          ContainsSubstring("try precision: bf16, a lower optimizer.lr"));
    CHECK(told("the loss overflowed at loss scale") == 16);
  }
}

TEST_CASE("f16's loss scale leaves the gradient's norm and its clipping as they are in f32") {
  if (!device::usable()) return;
  TempFolder temp;
  std::vector<double> norms[2];
  for (const char* precision : {"full", "f16"}) {
    TrainConfig config = tiny_run(temp, "cuda");
    config.precision = precision, config.out = temp / precision;
    config.iterations = 3, config.clip = 0.01;
    losses_of(config);
    std::istringstream lines(read_file(config.out + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line);
      if (json.contains("grad_norm")) norms[precision == std::string("f16")].push_back(json["grad_norm"]);
    }
  }
  REQUIRE(norms[0].size() == 3);
  check_close(norms[1], norms[0], 1e-2);
}

TEST_CASE("the learning rate's sweep in f16 takes no overflow for a loss that broke") {
  if (!device::usable()) return;
  TempFolder temp;
  device::With with(device::Order::forward, false);
  const LrFound found =
      find_learning_rate(overflowing(temp, "sweep"), {.low = 1e-6, .high = 1e-4, .steps = 4}, nullptr);
  CHECK(found.losses.size() == 4);
  CHECK_FALSE(found.diverged);
}

TEST_CASE("precision bf16 and f16: of the GPU, and refused on the CPU") {
  if (!device::usable()) return;
  TempFolder folder;
  DGPNet net = random_net({2, 4, 1, 3, 1}, 3);
  save_model(folder / "m.safetensors", net);
  write_image(folder / "a.png", {random_tensor({9, 8, 3}, 5), 8});
  const std::string upscale =
      "upscale " + folder / "a.png" + " -m " + folder / "m.safetensors" + " -o " + folder / "o.png";
  for (const std::string precision : {"bf16", "f16"}) {
    const std::string option = " --precision " + precision;
    for (const std::string& command : {upscale, std::string("bench conv"), std::string("bench model tiny"),
                                       std::string("bench step tiny")}) {
      const Outcome refused = dgp_run(command + option);
      CHECK(refused.status == 2);
      CHECK_THAT(refused.err, ContainsSubstring("--precision " + precision + ": is of "));
    }
    for (const std::string& command :
         {upscale, std::string("bench conv --shape 1x4x5x3x4x3 --seconds 0.01"),
          std::string("bench model tiny --scale 2 --size 4x3 --runs 1"),
          "bench step " + folder / "m.safetensors" + " --batch 1 --patch 4 --warmup 1 --runs 1"}) {
      const Outcome ran = dgp_run(command + option + " --device cuda", device::kQuick);
      INFO(command << option << ": " << ran.err);
      CHECK(ran.status == 0);
    }
  }
}
