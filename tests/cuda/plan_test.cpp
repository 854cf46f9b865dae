// The GPU's plan: how an image is cut changes no bit, what it takes is known beforehand, and memory that does
// not suffice makes tiles.
#include "infer/gpu.h"
#include "infer/gpu_plan.h"
#include "infer/upscaler.h"
#include "tensor/cuda_math.h"
#include "tensor/cuda_memory.h"
#include "tests/cuda/device.h"
#include "tests/infer/networks.h"

using namespace dgp;

namespace {

Tensor run(GpuPlan& plan, const Tensor& lr, const Tiling& tiling, DType storage = DType::f32) {
  GpuWorkspace space(plan.config(), {lr.dim(0), lr.dim(1)}, tiling, storage);
  const int64_t scale = plan.config().scale, width = lr.dim(1) * scale;
  Tensor hr({lr.dim(0) * scale, width, 3}), flag({1}, DType::f32, Device::cuda);
  space.take(RowStore(lr));
  plan.run_body(space);
  for (int64_t i = 0; i < space.bands(); ++i) {
    const RowRange range = space.band(i);
    Tensor rows({range.end - range.begin, width, 3}, DType::f32, Device::cuda);
    plan.run_finish(space, range, rows, flag);
    hr.slab(range.begin, range.end - range.begin).copy_from(rows);
    CHECK(flag.item() == 0);
  }
  return hr;
}

}  // namespace

TEST_CASE("as a whole, in tiles and with features in the host's memory the GPU gives the same bits") {
  if (!device::usable()) return;
  struct Case {
    DGPNetConfig config;
    int64_t height, width;
  };
  for (const Case& c :
       {Case{{4, 8, 2, 3, 1}, 37, 11}, Case{{2, 8, 2, 5, 1}, 29, 9}, Case{{1, 4, 2, 3, 4}, 62, 37},
        Case{{2, 8, 1, 3, 3}, 28, 11}, Case{{3, 4, 2, 1, 1}, 9, 6}, Case{{1, 4, 1, 7, 2}, 35, 9},
        Case{{4, 8, 0, 3, 1}, 13, 8}, Case{{4, 8, 2, 3, 1}, 1, 1}, Case{{2, 16, 1, 3, 1}, 23, 19}}) {
    CAPTURE(c.config.scale, c.config.kernel, c.config.unshuffle, c.height, c.width);
    {
      DGPNet net = random_net(c.config, 7);
      GpuPlan plan(net);
      Tensor lr = random_tensor({c.height, c.width, 3}, 8);
      Tensor expected = run(plan, lr, {64, 64, true, false});
      CHECK(relative_difference(expected.reshape({1, expected.dim(0), expected.dim(1), 3}),
                                Upscaler(net)(lr.reshape({1, c.height, c.width, 3}))) <= 2e-6);
      for (const Tiling& t :
           {Tiling{64, 4, true, false}, Tiling{4, 4, false, false}, Tiling{12, 8, false, false},
            Tiling{4, 4, false, true}, Tiling{8, 12, false, true}, Tiling{64, 4, false, true}}) {
        for (auto streams : {device::Streams::lazy, device::Streams::eager}) {
          CAPTURE(t.rows, t.finish_rows, t.keep, t.spill, streams == device::Streams::eager);
          device::With quick(device::Order::shuffled, false, streams);
          CHECK(same_bits(run(plan, lr, t), expected));
        }
      }
    }
    device::check_leaks();
  }
}

// Rounded to 8 or 11 significant bits where they are stored, or multiplied.
TEST_CASE("features stored or multiplied in fewer bits on the GPU, as a whole, in tiles and as graphs") {
  if (!device::usable()) return;
  using cuda::Factors;
  struct Case {
    DType storage;
    Factors factors;
    double bound;
  };
  const DGPNetConfig config{2, 8, 2, 3, 1};
  for (const Case& c : {Case{DType::bf16, Factors::f32, 2e-2}, Case{DType::f16, Factors::f32, 2.5e-3},
                        Case{DType::f32, Factors::tf32, 2.5e-3}, Case{DType::f32, Factors::bf16, 2e-2}}) {
    CAPTURE(static_cast<int>(c.storage), static_cast<int>(c.factors));
    device::With quick(device::Order::reverse, false);
    {
      DGPNet net = random_net(config, 7);
      GpuPlan plan(net);
      Tensor lr = random_tensor({37, 11, 3}, 8);
      const Tensor exact = run(plan, lr, {64, 64, true, false});
      const cuda::Using using_factors(c.factors);
      const Tensor whole = run(plan, lr, {64, 64, true, false}, c.storage);
      const double difference = relative_difference(whole, exact);
      CHECK(difference <= c.bound);
      CHECK(difference > c.bound / 1000);
      for (const Tiling& t : {Tiling{4, 4, false, false}, Tiling{12, 8, false, false}})
        CHECK(same_bits(run(plan, lr, t, c.storage), whole));
      GpuUpscaler upscaler(net, {}, kBandBytes, c.storage);
      for (int i = 0; i < 3; ++i) {
        Tensor got(whole.shape());
        upscaler.run(RowStore(lr), [&](const Tensor& rows, int64_t first) {
          got.slab(first, rows.dim(0)).copy_from(rows);
        });
        CHECK(same_bits(got, whole));
      }
    }
    device::check_leaks();
  }
  auto bytes = [](DType dtype) {
    return GpuWorkspace::bytes(DGPNetConfig::base(4), {1080, 1920}, {1080, 180, true, false}, dtype);
  };
  for (DType storage : {DType::bf16, DType::f16}) {
    CHECK(bytes(storage) * 10 < bytes(DType::f32) * 7);
    for (const Tiling& way : gpu_tilings(config, {37, 11}, 0, kBandBytes, storage)) CHECK(!way.spill);
  }
}

TEST_CASE("ways to cut an image for the GPU, ever smaller") {
  for (const DGPNetConfig& config : {DGPNetConfig::tiny(4), DGPNetConfig::base(4), DGPNetConfig::small(1, 4)})
    for (const Extent& lr : {Extent{1, 1}, Extent{270, 480}, Extent{1080, 1920}, Extent{65535, 4000}}) {
      CAPTURE(config.channels, lr.height, lr.width);
      const std::vector<Tiling> ways = gpu_tilings(config, lr, 0);
      CHECK(ways.front().keep);
      CHECK(ways.back() == Tiling{kRowGrid, kRowGrid, false, true});
      for (size_t i = 0; i + 1 < ways.size(); ++i)
        if (ways[i].spill == ways[i + 1].spill)
          CHECK(GpuWorkspace::bytes(config, lr, ways[i + 1]) <= GpuWorkspace::bytes(config, lr, ways[i]));
      CHECK(gpu_tilings(config, lr, -1).size() == 1);
      for (const Tiling& way : gpu_tilings(config, lr, 30)) {
        CHECK(!way.keep);
        CHECK(way.rows % kRowGrid == 0);
        CHECK(way.rows <= 32);
      }
    }
}

TEST_CASE("a limit on the GPU's memory is kept by tiles, which are told of once") {
  if (!device::usable()) return;
  device::With quick(device::Order::forward, false);
  const DGPNetConfig config{2, 8, 2, 3, 1};
  DGPNet net = random_net(config, 3);
  Tensor lr = random_tensor({2, 61, 24, 3}, 5);
  const Extent extent{61, 24};
  Tensor expected = Upscaler(net, {.device = Device::cuda})(lr);
  const int64_t weights = GpuPlan(net).bytes();
  const std::vector<Tiling> ways = gpu_tilings(config, extent, 0);
  REQUIRE(ways.size() > 4);
  for (const Tiling& way : ways) {
    CAPTURE(way.rows, way.spill);
    const int64_t limit = weights + GpuWorkspace::bytes(config, extent, way), before = cuda::memory_in_use();
    std::vector<std::string> notices;
    UpscalerOptions options{.max_memory = limit, .device = Device::cuda};
    options.notice = [&](const std::string& text) { notices.push_back(text); };
    cuda::reset_peak_memory();
    Upscaler upscale(net, options);
    CHECK(same_bits(upscale(lr), expected));
    CHECK(cuda::peak_memory() - before <= limit);
    const bool whole = limit >= weights + GpuWorkspace::bytes(config, extent, ways.front());
    CHECK(notices.size() == (whole ? 0 : 1));
    if (!notices.empty()) CHECK_THAT(notices[0], ContainsSubstring("does not hold 24x61 pixels as a whole"));
  }
  UpscalerOptions low{.max_memory = weights + 1000, .device = Device::cuda};
  CHECK_THROWS_WITH(Upscaler(net, low)(lr), ContainsSubstring("upscaling 24x61 pixels takes at least"));
  low.tile_rows = -1, low.max_memory = weights + GpuWorkspace::bytes(config, extent, ways.front()) - 1;
  CHECK_THROWS_WITH(Upscaler(net, low)(lr), ContainsSubstring("without tiles"));
}

TEST_CASE("on the device itself the GPU gives the same bits") {
  if (!device::usable()) return;
  DGPNet net = random_net({2, 8, 1, 3, 1}, 3);
  Tensor lr = random_tensor({1, 9, 14, 3}, 5);
  {
    GpuUpscaler upscaler(net, {});
    const Tensor there = lr.to(Device::cuda);
    for (int i = 0; i < 3; ++i)
      CHECK(
          same_bits(upscaler.on_device(there).to(Device::cpu), Upscaler(net, {.device = Device::cuda})(lr)));
  }
  device::check_leaks();
}

// Images of two sizes, in several bands, started before the one before them is finished: from the second of a
// size on as graphs.
TEST_CASE("images that overlap on the GPU give the bits that each gives alone") {
  if (!device::usable()) return;
  DGPNet net = random_net({2, 4, 2, 3, 1}, 3);
  std::vector<Tensor> lr, expected;
  for (uint64_t i = 0; i < 9; ++i) {
    lr.push_back(random_tensor(i < 5 ? Shape{13, 9, 3} : Shape{7, 16, 3}, 10 + i));
    const Shape& s = lr.back().shape();
    expected.push_back(Upscaler(net, {.device = Device::cuda})(lr.back().reshape({1, s[0], s[1], 3})));
  }
  for (int64_t band_bytes : {int64_t{1} << 26, int64_t{1}})  // one band, and as many as can be
    for (auto streams : {device::Streams::lazy, device::Streams::eager}) {
      device::With quick(device::Order::reverse, false, streams);
      {
        GpuUpscaler upscaler(net, {}, band_bytes);
        std::vector<std::shared_ptr<GpuUpscaler::Image>> images;
        auto check_finished = [&](size_t i) {
          Tensor got(expected[i].shape());
          int64_t bands = 0;
          upscaler.finish(images[i], [&](const Tensor& rows, int64_t first) {
            got.reshape({got.dim(1), got.dim(2), 3}).slab(first, rows.dim(0)).copy_from(rows);
            ++bands;
          });
          CAPTURE(i, band_bytes, streams == device::Streams::eager);
          CHECK(bands == (band_bytes == 1 ? (lr[i].dim(0) + 3) / 4 : 1));
          CHECK(same_bits(got, expected[i]));
        };
        for (size_t i = 0; i < lr.size(); ++i) {
          images.push_back(upscaler.start(RowStore(lr[i])));
          if (i > 0) check_finished(i - 1);
        }
        check_finished(lr.size() - 1);
      }
      device::check_leaks();
    }
}

TEST_CASE("a large picture goes up in bands") {
  if (!device::usable()) return;
  device::With quick(device::Order::forward, false, device::Streams::eager);
  const DGPNetConfig config{1, 1, 0, 1, 1};
  const Extent extent{2400, 2400};
  Tensor lr({extent.height, extent.width, 3});
  for (int64_t i = 0; i < lr.numel(); ++i) lr.data<float>()[i] = static_cast<float>(i % 9973);
  {
    GpuWorkspace space(config, extent, {4, 4, false, false});
    space.take(RowStore(lr));
    CHECK(same_bits(space.lr_there.to(Device::cpu), lr));
  }
  device::check_leaks();
}

TEST_CASE("an image that fails, or is given up, leaves those beside it alone") {
  if (!device::usable()) return;
  DGPNet net = random_net({2, 4, 1, 3, 1}, 3);
  Tensor good = random_tensor({9, 7, 3}, 5), bad = Tensor::full({9, 7, 3}, 3e38);
  const Tensor expected = Upscaler(net, {.device = Device::cuda})(good.reshape({1, 9, 7, 3}));
  device::With quick(device::Order::forward, false);
  {
    const Upscaler upscaler(net, {.device = Device::cuda});
    auto result_of = [&](Upscaler::Running& running) {
      Tensor got({1, 18, 14, 3});
      running.finish([&](const Tensor& rows, int64_t first) {
        got.reshape({18, 14, 3}).slab(first, rows.dim(0)).copy_from(rows);
      });
      return got;
    };
    auto first = upscaler.start(bad), second = upscaler.start(good);
    CHECK_THROWS_WITH(result_of(first), ContainsSubstring("not finite"));
    CHECK(same_bits(result_of(second), expected));
    {
      auto given_up = upscaler.start(good), behind = upscaler.start(good);
      CHECK_THROWS_WITH(result_of(behind), ContainsSubstring("in the order in which they were started"));
    }
    auto third = upscaler.start(good), fourth = upscaler.start(good);
    auto full = [](const Tensor&, int64_t) { throw std::runtime_error("the disk is full"); };
    CHECK_THROWS_WITH(third.finish(full), ContainsSubstring("the disk is full"));
    CHECK(same_bits(result_of(fourth), expected));
    CHECK(same_bits(upscaler(good.reshape({1, 9, 7, 3})), expected));
  }
  device::check_leaks();
}
