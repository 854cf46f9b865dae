// How batches that the GPU makes come there: beside the step before, in parts where memory is short, from a
// pool of pairs that stay there. What is made of them: degrade_test.cpp.
#include <cmath>

#include "tests/cuda/device.h"
#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/loader.h"

using namespace dgp;

namespace {

bool same(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to(Device::cpu), y = b.to(Device::cpu);
  return x.shape() == y.shape() && std::equal(x.bytes(), x.bytes() + x.nbytes(), y.bytes());
}
bool same(const Batch& a, const Batch& b) { return same(a.lr, b.lr) && same(a.hr, b.hr); }

// Share of the values that differ by more than rounding.
double differing(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to(Device::cpu), y = b.to(Device::cpu);
  REQUIRE(x.shape() == y.shape());
  int64_t count = 0;
  for (int64_t i = 0; i < x.numel(); ++i)
    count += !(std::abs(x.data<float>()[i] - y.data<float>()[i]) <= 2e-6F);
  return static_cast<double>(count) / static_cast<double>(x.numel());
}

// Small pictures, of one side less than a pair; degraded, sharpened, in pairs, and by `type: real`.
TrainConfig pictures_of_every_kind(const TempFolder& temp) {
  write_pictures(temp / "hr", 3, 44, 19);
  write_pictures(temp / "lr", 3, 22, 9);
  write_pictures(temp / "hr2", 3, 44, 18);
  TrainConfig config;
  config.model.scale = 2, config.data.patch = 7, config.data.batch = 5, config.seed = 3;
  config.data.train = {{.lr = temp / "lr", .hr = temp / "hr2"}};
  for (const char* name : {"bicubic", "realesrgan"})
    config.data.train.push_back({.hr = temp / "hr", .degrade = degrade_preset(name)});
  config.data.train.push_back({.hr = temp / "hr"});
  config.data.train.back().degrade.type = "real";
  AugmentConfig& augment = config.data.augment;
  augment.channels = augment.cutblur = augment.mixup = 0.5;
  return config;
}

Dataset dataset_of(const TrainConfig& config) {
  return Dataset(config.data.train, config.model.scale, config.data.patch, 1 << 24);
}

}  // namespace

TEST_CASE("plans that go up while the one before runs are there in time, whichever stream comes first") {
  if (!device::usable()) return;
  TempFolder temp;
  write_pictures(temp / "hr", 2, 40, 36);
  SourceConfig source{.hr = temp / "hr", .degrade = degrade_preset("mild")};
  const Dataset data({source}, 2, 7, 1 << 24);
  std::vector<BatchPlan> plans;
  for (uint64_t n = 0; n < 5; ++n)  // one is larger than those before it
    plans.push_back(plan_batch(data, Rng(4).split(n), n == 3 ? 4 : 2, AugmentConfig::none()));
  for (auto streams : {device::Streams::lazy, device::Streams::eager}) {
    device::With with(device::Order::forward, true, streams);
    cuda::PlanRunner runner;
    std::vector<Batch> got;
    Tensor sent = runner.send(plans[0].plan);
    for (size_t i = 0; i < plans.size(); ++i) {
      got.push_back(run_batch(plans[i], sent, runner));
      if (i + 1 < plans.size()) sent = runner.send(plans[i + 1].plan);
    }
    for (size_t i = 0; i < plans.size(); ++i) {
      cuda::PlanRunner alone;
      const Batch want = run_batch(plans[i], alone.send(plans[i].plan), alone);
      CHECK(same(got[i].lr.to(Device::cpu), want.lr.to(Device::cpu)));
      CHECK(same(got[i].hr.to(Device::cpu), want.hr.to(Device::cpu)));
    }
  }
  device::check_leaks();
}

TEST_CASE("a pool's batches on the GPU are the CPU's, in whatever order they are planned") {
  if (!device::usable()) return;
  TempFolder temp;
  TrainConfig config = pictures_of_every_kind(temp);
  config.data.pool = {.pairs = 3, .reuse = 4, .size = 10};
  const Dataset data = dataset_of(config);
  TrainConfig on_cpu = config;
  Loader cpu(data, on_cpu, 2, {1, 4});
  config.device = "cuda";
  for (auto streams : {device::Streams::lazy, device::Streams::eager}) {
    device::With with(device::Order::shuffled, false, streams);
    GpuBatches gpu(data, config, {1, 4}), again(data, config, {1, 4});
    std::vector<GpuBatches::Plan> plans(8);
    for (int64_t n : {5, 2, 3, 7, 4, 6}) plans[static_cast<size_t>(n)] = gpu.plan(n);
    for (size_t n = 2; n < 8; ++n) {
      INFO("batch " << n);
      const Batch got = gpu.make(plans[n]);
      if (n + 1 < 8) gpu.send(plans[n + 1]);
      if (streams == device::Streams::lazy) {
        const Batch want = cpu.next();
        CHECK(differing(got.lr, want.lr) <= 0.02);
        CHECK(differing(got.hr, want.hr) == 0);
      }
      if (n % 2 == 1)
        CHECK(same(got, again.make(again.plan(static_cast<int64_t>(n)))));  // others are left out
    }
  }
  device::check_leaks();
}

#ifdef DGP_CUDA_EMULATED

TEST_CASE("a batch that the GPU's memory does not hold is made in parts, to the same bits") {
  TempFolder temp;
  TrainConfig config = pictures_of_every_kind(temp);
  config.device = "cuda";
  const Dataset data = dataset_of(config);
  {
    emulator::With quick({.thorough = false});
    GpuBatches whole(data, config, {0, 5});
    const int64_t before = emulator::allocation_count();
    const Batch want = whole.make(whole.plan(1)), next = whole.make(whole.plan(2));
    const int64_t allocations = emulator::allocation_count() - before;
    for (int64_t i = 0; i < allocations / 2; ++i) {
      emulator::With refused({.thorough = false, .fail_allocation = i});
      GpuBatches parts(data, config, {0, 5});
      CHECK(same(parts.make(parts.plan(1)), want));
      GpuBatches::Plan plan = parts.plan(2);
      CHECK(plan.parts.size() == 2);  // from then on
      parts.send(plan);
      CHECK(same(parts.make(plan), next));
    }
    emulator::With small({.thorough = false, .memory = emulator::live_bytes() + 20000});
    GpuBatches refused(data, config, {0, 5});
    CHECK_THROWS_WITH(refused.make(refused.plan(0)), ContainsSubstring("out of memory on the GPU"));
    CHECK(refused.plan(1).parts.size() == 5);
  }
  cuda::synchronize();
  emulator::check_leaks();
}

TEST_CASE("a pool that the GPU's memory does not hold says what takes less") {
  TempFolder temp;
  TrainConfig config = pictures_of_every_kind(temp);
  config.device = "cuda", config.data.pool.pairs = 100;
  const Dataset data = dataset_of(config);
  emulator::With small({.thorough = false, .memory = emulator::live_bytes() + 20000});
  GpuBatches gpu(data, config, {0, 5});
  CHECK_THROWS_WITH(gpu.make(gpu.plan(0)), ContainsSubstring("data.pool keeps 106 pairs there"));
}

#endif
