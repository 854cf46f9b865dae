// Degradations on the GPU, or on its emulator, beside the CPU's, which tests/train holds against NumPy: every
// operation, every preset, batches, and the same bits whatever the order of threads.
#include <atomic>
#include <cmath>

#include "image/resize.h"
#include "tests/cuda/device.h"
#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/batch_plan.h"
#include "train/trainer.h"

using namespace dgp;

namespace {

// One step without the rounding to bytes that ends every degradation.
Tensor on_gpu(const DegradeStep& step, const Tensor& x) {
  DegradePlanner planner;
  const auto id = planner.add(x.dim(0), x.dim(1), {step});
  const int64_t begin = planner.at(id);
  planner.degrade({id});
  const Tensor given = x.to(Device::cuda);
  cuda::PlanRunner runner;
  const DegradePlan plan = planner.take();
  const Tensor workspace = runner.run(plan, runner.send(plan), {}, [&](const Tensor& w) {
    cuda::copy(w.device_data<float>() + begin, given.device_data<float>(), given.nbytes());
  });
  Tensor y({planner.height(id), planner.width(id), 3});
  return workspace.slab(planner.at(id), y.numel()).to(Device::cpu).reshape(y.shape());
}

Tensor on_cpu(const DegradeStep& s, const Tensor& x) {
  switch (s.kind) {
    case StepKind::sharpen:
      return sharpen_usm(x);
    case StepKind::blur:
      return filter_picture(x, kernel_weights(s.blur));
    case StepKind::resize:
      return interpolate_picture(x, s.height, s.width, s.mode, s.ratio);
    case StepKind::bicubic:
      return imresize(x, s.height, s.width);
    case StepKind::noise:
      return s.poisson ? add_poisson_noise(x, s.strength, s.grey, s.noise)
                       : add_gaussian_noise(x, s.strength, s.grey, s.noise);
    case StepKind::jpeg:
      break;
  }
  return s.file ? file_jpeg(x, static_cast<int>(s.quality)) : diff_jpeg(x, s.quality);
}

// How many of the results' values differ, and by how many levels of 255 at most.
struct Differing {
  double share = 0, most = 0;
};
Differing differing(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  Differing d;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double levels = std::abs(double{a.data<float>()[i]} - double{b.data<float>()[i]}) * 255;
    d.share += (levels > 0) / static_cast<double>(a.numel());
    if (!(levels <= d.most)) d.most = levels;  // also when it is not a number
  }
  return d;
}

// Of results on bytes: one value in a thousand may differ, by one level. A coefficient of a JPEG that lies on
// the edge between two steps may fall to the other side, though, and takes its block along: one result may.
struct Agreement {
  double share = 0;
  int results = 0, tipped = 0;
  void add(const Differing& d) {
    ++results;
    if (d.most <= 1.01)
      share += d.share;
    else
      ++tipped;
  }
  void check() const {
    INFO(share / results << " differ; " << tipped << " tipped");
    CHECK(share / results <= 1e-3);
    CHECK(tipped <= 1);
  }
};

// Within 2e-6 of the CPU's; a file's JPEG to the bit.
void check_same(const DegradeStep& step, const Tensor& x) {
  const Differing d = differing(on_gpu(step, x), on_cpu(step, x));
  CHECK(d.most <= (step.file ? 0 : 2e-6 * 255));
}

DegradeStep noise_step(bool poisson, bool grey, double strength) {
  return {
      .kind = StepKind::noise, .poisson = poisson, .grey = grey, .strength = strength, .noise = Rng(5, 9)};
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.bytes(), a.bytes() + a.nbytes(), b.bytes());
}

std::vector<DegradeStep> every_operation() {
  std::vector<DegradeStep> all = {{.kind = StepKind::sharpen}};
  all.push_back({.kind = StepKind::blur, .blur = {BlurShape::gaussian, 9, 0.8, 2.9, 0.7}});
  all.push_back({.kind = StepKind::blur, .blur = {.shape = BlurShape::sinc, .size = 21, .cutoff = 1.1}});
  for (auto mode :
       {Interpolation::area, Interpolation::bilinear, Interpolation::bicubic, Interpolation::nearest})
    for (auto [h, w] : {std::pair{17, 60}, {55, 12}})
      all.push_back({.kind = StepKind::resize, .mode = mode, .height = h, .width = w});
  all.push_back(
      {.kind = StepKind::resize, .mode = Interpolation::bicubic, .height = 20, .width = 23, .ratio = 1.71});
  all.push_back({.kind = StepKind::bicubic, .height = 9, .width = 10});
  all.push_back({.kind = StepKind::bicubic, .height = 25, .width = 61});
  for (bool poisson : {false, true})
    for (bool grey : {false, true}) all.push_back(noise_step(poisson, grey, poisson ? 2 : 20));
  for (double quality : {31.7, 62.5, 95.0}) all.push_back({.kind = StepKind::jpeg, .quality = quality});
  for (double quality : {11.0, 60.0, 100.0})
    all.push_back({.kind = StepKind::jpeg, .quality = quality, .file = true});
  return all;
}

}  // namespace

TEST_CASE("every operation of a degradation on the GPU is the CPU's") {
  if (!device::usable()) return;
  const Tensor x = test_picture(36, 40, 3), odd = test_picture(35, 23, 4);
  for (const DegradeStep& step : every_operation()) {
    INFO(to_json({step}));
    check_same(step, x);
    check_same(step, odd);
  }
  for (const auto& [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {2, 5}, {17, 3}, {3, 34}}) {
    INFO(w << "x" << h);
    Tensor tiny({h, w, 3});
    Rng rng(7);
    for (int64_t i = 0; i < tiny.numel(); ++i) tiny.data<float>()[i] = static_cast<float>(rng.uniform());
    check_same({.kind = StepKind::jpeg, .quality = 40, .file = true}, tiny);
    check_same({.kind = StepKind::jpeg, .quality = 40}, tiny);
    check_same({.kind = StepKind::sharpen}, tiny);
    check_same({.kind = StepKind::blur, .blur = {.size = 13, .sigma_x = 2, .sigma_y = 1}}, tiny);
    check_same(noise_step(true, false, 1), tiny);
  }
  device::check_leaks();
}

TEST_CASE("pictures of a batch are degraded side by side as each alone, in any order of threads") {
  if (!device::usable()) return;
  std::vector<Degradation> steps;
  std::vector<Tensor> pictures, expected;
  const std::vector<DegradeStep> all = every_operation();
  for (size_t i = 0; i < 6; ++i) {
    steps.push_back({all[i * 5 % all.size()], all[(i * 7 + 3) % all.size()]});
    pictures.push_back(test_picture(20 + static_cast<int64_t>(i) * 3, 31, i).to(Device::cuda));
  }
  {
#ifdef DGP_CUDA_EMULATED
    emulator::With with({.every_order = true});
#endif
    const std::vector<Tensor> results = apply_degradations(steps, pictures);
    for (size_t i = 0; i < results.size(); ++i)
      CHECK(
          same(results[i].to(Device::cpu), apply_degradations({steps[i]}, {pictures[i]})[0].to(Device::cpu)));
  }
  pictures.clear();
  device::check_leaks();
}

TEST_CASE("drawn pipelines of every preset on the GPU are the CPU's, but for a value in a thousand") {
  if (!device::usable()) return;
  device::With with(device::Order::forward, false);
  const Tensor x = test_picture(48, 64, 8);
  for (const char* name : {"bicubic", "mild", "realesrgan", "bsrgan"}) {
    std::vector<Degradation> steps;
    for (uint64_t seed = 0; seed < 8; ++seed)
      steps.push_back(draw_degradation(degrade_preset(name), 4, 48, 64, Rng(seed)));
    const std::vector<Tensor> results =
        apply_degradations(steps, std::vector<Tensor>(steps.size(), x.to(Device::cuda)));
    Agreement agreement;
    for (size_t i = 0; i < steps.size(); ++i)
      agreement.add(differing(results[i].to(Device::cpu), apply_degradation(steps[i], x)));
    INFO(name);
    agreement.check();
  }
}

TEST_CASE("batches that the GPU makes are the CPU's, of every kind of data and with every augmentation") {
  if (!device::usable()) return;
  device::With with(device::Order::shuffled, false);
  TempFolder temp;
  write_pictures(temp / "hr", 3, 52, 60);
  write_pictures(temp / "lr", 3, 26, 30);
  std::vector<SourceConfig> sources = {{.lr = temp / "lr", .hr = temp / "hr"}};
  for (const char* name : {"bicubic", "mild", "realesrgan", "bsrgan"})
    sources.push_back({.hr = temp / "hr", .degrade = degrade_preset(name)});
  sources.push_back({.hr = temp / "hr"});
  sources.back().degrade.type = "real";
  AugmentConfig augment;
  augment.channels = augment.cutblur = augment.mixup = 0.5;
  cuda::PlanRunner runner;
  for (int64_t scale : {2, 1}) {
    if (scale == 1) sources[0].hr = temp / "lr";
    const Dataset data(sources, scale, 11, 1 << 24);
    Agreement agreement;
    for (uint64_t n = 0; n < 6; ++n) {
      const Rng rng = Rng(3).split(n);
      const BatchPlan plan = plan_batch(data, rng, 5, augment, 2);
      const Batch got = run_batch(plan, runner.send(plan.plan), runner);
      const Batch want = data.batch(rng, 5, augment, 2);
      REQUIRE(got.lr.device() == Device::cuda);
      Differing lr = differing(got.lr.to(Device::cpu), want.lr);
      if (lr.most <= 2e-6 * 255) lr.share = 0;  // mixed samples are not on bytes
      agreement.add(lr);
      CHECK(differing(got.hr.to(Device::cpu), want.hr).most <= 2e-6 * 255);
    }
    INFO("scale " << scale);
    agreement.check();
  }
}

TEST_CASE("a run on the GPU with realesrgan's degradation has the CPU's losses, resumed or from a pool too") {
  if (!device::usable()) return;
  device::With with(device::Order::forward, false);
  TempFolder temp;
  for (int64_t pool : {0, 3}) {
    std::vector<double> losses[2];
    for (const char* device : {"cpu", "cuda"}) {
      TrainConfig config = small_run(temp);
      config.device = device, config.out = temp / (device + std::to_string(pool));
      config.data.train[0].degrade = degrade_preset("realesrgan");
      config.data.patch = 8, config.data.pool.pairs = pool;
      config.iterations = 4, config.log.every = 1, config.checkpoint.every = 2;
      TrainHooks hooks;
      std::atomic<bool> stop = false;
      hooks.stop = &stop;
      hooks.progress = [&](const TrainProgress& p) {
        losses[device == std::string("cuda")].push_back(p.loss);
        stop = p.iteration == 2;
      };
      hooks.on_batch = [&](int64_t, Batch& batch) {
        CHECK((batch.lr.device() == Device::cuda) == (device == std::string("cuda")));
      };
      train(config, hooks);
      stop = false;
      train(config, hooks, true);
    }
    REQUIRE(losses[0].size() == 4);
    REQUIRE(losses[1].size() == 4);
    for (size_t i = 0; i < 4; ++i) CHECK(losses[1][i] == Approx(losses[0][i]).epsilon(1e-4));
  }
  device::check_leaks();
}

TEST_CASE("degradations on the GPU refuse what they cannot do") {
  if (!device::usable()) return;
  const Tensor x = test_picture(20, 20, 1).to(Device::cuda);
  CHECK_THROWS_WITH(apply_degradations({{{.kind = StepKind::blur, .blur = {.size = 103}}}}, {x}),
                    ContainsSubstring("up to 101 pixels, got 103"));
  CHECK_THROWS_AS(apply_degradations({{{.kind = StepKind::jpeg, .quality = 0}}}, {x}), Error);
  CHECK_THROWS_AS(apply_degradations({{{.kind = StepKind::resize}}}, {x}), Error);
  CHECK_THROWS_AS(apply_degradations({}, {x}), Error);
  CHECK_THROWS_AS(apply_degradations({{}}, {test_picture(8, 8, 1)}), Error);
}
