// Whole images through DGPNet on the GPU, by the library and by the program.
#include <filesystem>
#include <fstream>

#include "image/image.h"
#include "infer/gpu_plan.h"
#include "infer/upscaler.h"
#include "models/state.h"
#include "tensor/npy.h"
#include "tests/cli/run.h"
#include "tests/cuda/device.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;

namespace {

// The network in f64: what both devices approximate.
Tensor exact(const DGPNet& net, const Tensor& lr) {
  NoGrad no_grad;
  DGPNet precise = fuse(net);
  precise.to(DType::f64);
  return precise(lr.to(DType::f64)).value().to(DType::f32);
}

}  // namespace

// Differences are relative to the largest value, which these networks make about 15.
TEST_CASE("the upscaler on the GPU is the CPU's within 2e-6, and f64's within 1e-6") {
  if (!device::usable()) return;
  for (DGPNetConfig config :
       {DGPNetConfig{4, 16, 2, 3, 1}, DGPNetConfig{1, 8, 2, 3, 2}, DGPNetConfig{2, 8, 1, 5, 1},
        DGPNetConfig{2, 8, 1, 3, 1, {Part::interaction, Part::attention}},
        DGPNetConfig{2, 8, 1, 3, 1, {Part::structural}}}) {
    DGPNet net = random_net(config, 3);
    Tensor lr = random_tensor({2, 9, 13, 3}, 5);
    Tensor want = Upscaler(net)(lr);
    {
      device::With with(device::Order::shuffled);
      Upscaler upscale(net, {.device = Device::cuda});
      Tensor got = upscale(lr);
      CHECK(relative_difference(got, want) <= 2e-6);
      CHECK(relative_difference(got, exact(net, lr)) <= 1e-6);
      device::With reversed(device::Order::reverse);
      Tensor again = upscale(lr);
      CHECK(same_bits(got, again));
    }
    device::check_leaks();
  }
}

TEST_CASE("a result that is not finite is refused on the GPU, tiles are not") {
  if (!device::usable()) return;
  DGPNet net = random_net({2, 8, 1, 3, 1}, 3);
  CHECK_THROWS_WITH(Upscaler(net, {.device = Device::cuda})(Tensor::full({1, 5, 6, 3}, 3e38)),
                    ContainsSubstring("not finite"));
  Tensor lr = random_tensor({1, 21, 9, 3}, 5);
  const Tensor whole = Upscaler(net, {.tile_rows = -1, .device = Device::cuda})(lr);
  for (int64_t rows : {0, 1, 8, 100})
    CHECK(same_bits(Upscaler(net, {.tile_rows = rows, .device = Device::cuda})(lr), whole));
}

TEST_CASE("dgp upscale --device cuda writes what --device cpu writes") {
  if (!device::usable()) return;
  TempFolder folder;
  DGPNet net = random_net({2, 8, 2, 3, 1}, 3);
  save_model(folder / "m.safetensors", net);
  write_image((folder.path / "a.png").string(), {random_tensor({9, 13, 4}, 5), 8});
  std::string common = "upscale " + folder / "a.png" + " -m " + folder / "m.safetensors" + " -o ";
  CHECK(dgp_run(common + folder / "cpu.png --device cpu").status == 0);
  Outcome gpu = dgp_run(common + folder / "gpu.png --device cuda");
  INFO(gpu.err);
  REQUIRE(gpu.status == 0);
  Tensor a = read_image(folder / "cpu.png").pixels, b = read_image(folder / "gpu.png").pixels;
  REQUIRE(a.shape() == b.shape());
  int64_t different = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    float d = std::abs(a.data<float>()[i] - b.data<float>()[i]);
    CHECK(d <= 1.01F / 255);
    different += d > 0;
  }
  CHECK(different * 1000 <= a.numel());
  const std::vector<Tiling> ways = gpu_tilings(net.config, {9, 13}, 0);
  const std::string limit =
      "--max-memory " +
      std::to_string(GpuPlan(net).bytes() + GpuWorkspace::bytes(net.config, {9, 13}, ways[1]));
  for (const std::string& options : {std::string("--tile 4"), limit}) {
    Outcome tiled = dgp_run(common + folder / "t.png --device cuda " + options);
    INFO(tiled.err);
    REQUIRE(tiled.status == 0);
    CHECK(same_bits(read_image(folder / "t.png").pixels, b));
    CHECK((tiled.err.find("does not hold 13x9 pixels as a whole") != std::string::npos) ==
          (options == limit));
  }
  Outcome low = dgp_run(common + folder / "t.png --device cuda --max-memory 1K");
  CHECK(low.status == 4);
  CHECK_THAT(low.err, ContainsSubstring("takes at least"));
}

// Each is computed while the one before is written; what is wrong with one is told of that one.
TEST_CASE("dgp upscale --device cuda takes a folder") {
  if (!device::usable()) return;
  TempFolder folder;
  DGPNet net = random_net({2, 4, 1, 3, 1}, 3);
  save_model(folder / "m.safetensors", net);
  const std::string common = " -m " + folder / "m.safetensors" + " --device cuda -o ";
  std::filesystem::create_directory(folder.path / "in");
  for (const auto& [name, height] : {std::pair{"a", 9}, {"b", 9}, {"d", 9}, {"e", 6}})
    write_image(folder / "in/" + name + ".png", {random_tensor({height, 7, 3}, 5 + name[0]), 8});
  std::ofstream(folder / "in/c.png") << "not a picture";
  const Outcome all = dgp_run("upscale " + folder / "in" + common + folder / "out");
  INFO(all.err);
  CHECK(all.status == 3);
  CHECK_THAT(all.err, ContainsSubstring("c.png: ") && ContainsSubstring("1 of 5 files failed"));
  for (const std::string name : {"a", "b", "d", "e"}) {
    REQUIRE(dgp_run("upscale " + folder / "in/" + name + ".png" + common + folder / "one.png").status == 0);
    CHECK(
        same_bits(read_image(folder / "out/" + name + ".png").pixels, read_image(folder / "one.png").pixels));
  }
}

TEST_CASE("dgp upscale --device cuda takes the images of a .npy") {
  if (!device::usable()) return;
  TempFolder folder;
  DGPNet net = random_net({2, 4, 1, 3, 1}, 3);
  save_model(folder / "m.safetensors", net);
  const Tensor lr = random_tensor({4, 3, 7, 9}, 5);
  write_npy(folder / "lr.npy", lr);
  const Outcome ran = dgp_run("upscale " + folder / "lr.npy" + " -m " + folder / "m.safetensors" + " -o " +
                              folder / "hr.npy --device cuda");
  INFO(ran.err);
  REQUIRE(ran.status == 0);
  const Tensor hr = read_npy(folder / "hr.npy");
  REQUIRE(hr.shape() == Shape{4, 3, 14, 18});
  const Upscaler upscaler(net, {.device = Device::cuda});
  for (int64_t n = 0; n < 4; ++n) {
    Tensor image({1, 7, 9, 3}), got({1, 14, 18, 3});
    auto gather = [](const Tensor& planes, const Tensor& pixels) {
      for (int64_t i = 0, plane = planes.numel() / 3; i < planes.numel(); ++i)
        pixels.data<float>()[i % plane * 3 + i / plane] = planes.data<float>()[i];
    };
    gather(lr.slab(n, 1), image);
    gather(hr.slab(n, 1), got);
    CHECK(same_bits(got, upscaler(image)));
  }
}
