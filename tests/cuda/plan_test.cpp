// The GPU's plan: how an image is cut changes no bit, what it takes is known beforehand, and memory that does
// not suffice makes tiles.
#include "infer/gpu.h"
#include "infer/gpu_plan.h"
#include "infer/upscaler.h"
#include "tensor/cuda_memory.h"
#include "tests/cuda/device.h"
#include "tests/infer/networks.h"

using namespace dgp;

namespace {

Tensor run(const GpuPlan& plan, const Tensor& lr, const Tiling& tiling) {
  GpuWorkspace space(plan.config(), {lr.dim(0), lr.dim(1)}, tiling);
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
  device::With quick(device::Order::shuffled, false);
  for (const Case& c :
       {Case{{4, 8, 2, 3, 1}, 37, 11}, Case{{2, 8, 2, 5, 1}, 29, 9}, Case{{1, 4, 2, 3, 4}, 62, 37},
        Case{{2, 8, 1, 3, 3}, 28, 11}, Case{{3, 4, 2, 1, 1}, 9, 6}, Case{{1, 4, 1, 7, 2}, 35, 9},
        Case{{4, 8, 0, 3, 1}, 13, 8}, Case{{4, 8, 2, 3, 1}, 1, 1}}) {
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
        CAPTURE(t.rows, t.finish_rows, t.keep, t.spill);
        CHECK(same_bits(run(plan, lr, t), expected));
      }
    }
    device::check_leaks();
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
