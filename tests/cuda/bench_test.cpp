// dgp eval and dgp bench on the GPU, and the clock they measure with.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "image/image.h"
#include "models/state.h"
#include "tensor/cuda_measure.h"
#include "tests/cli/run.h"
#include "tests/cuda/device.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;
using nlohmann::json;

using device::kQuick;

TEST_CASE("events time what is queued between them") {
  if (!device::usable()) return;
  Tensor a({1 << 20}, DType::u8, Device::cuda), b = Tensor::zeros({1 << 20}, DType::u8, Device::cuda);
  auto copies = [&](int count) {
    return [&, count] {
      for (int i = 0; i < count; ++i) a.copy_from(b);
    };
  };
  double one = cuda::milliseconds(copies(1));  // the first of a process takes longer
  for (int i = 0; i < 5; ++i) one = std::min(one, cuda::milliseconds(copies(1)));
  const double many = cuda::milliseconds(copies(200));
  CHECK(one > 0);
  CHECK(many > 5 * one);
  CHECK(cuda::peak_gflops() > 0);
  CHECK(cuda::bandwidth_gbs() > 0);
}

TEST_CASE("dgp eval --device cuda measures what --device cpu measures") {
  if (!device::usable()) return;
  TempFolder folder;
  DGPNet net = random_net({2, 8, 1, 3, 1}, 3);
  save_model(folder / "m.safetensors", net);
  write_image(folder / "a.png", {random_tensor({24, 26, 3}, 5), 8});
  const std::string command = "eval --json -m " + folder / "m.safetensors" + " --hr " + folder / "a.png";
  const Outcome cpu = dgp_run(command), gpu = dgp_run(command + " --device cuda", kQuick);
  INFO(gpu.err);
  REQUIRE(gpu.status == 0);
  for (const char* measure : {"psnr_rgb", "ssim_y"}) {
    auto value = [&](const Outcome& o) { return json::parse(o.out)["mean"]["model"][measure].get<double>(); };
    CHECK(value(gpu) == Approx(value(cpu)).margin(1e-3));
  }
  CHECK(dgp_run(command + " --device cuda --max-memory 1G", kQuick).status == 0);
  CHECK_THAT(dgp_run("fuse -o x.safetensors --device cuda " + folder / "m.safetensors").err,
             ContainsSubstring("this command computes on the CPU alone"));
}

TEST_CASE("dgp bench runs on the GPU and names it") {
  if (!device::usable()) return;
  const Outcome conv = dgp_run("bench conv --device cuda --shape 1x4x5x3x4x3 --seconds 0.01 --json", kQuick);
  INFO(conv.err);
  REQUIRE(conv.status == 0);
  const json rows = json::parse(conv.out);
  CHECK(rows["machine"] == cuda::device_name());
  REQUIRE(rows["rows"].size() == 2);
  CHECK(rows["rows"][1]["pass"] == "step");
  CHECK(rows["rows"][0]["ms"].get<double>() > 0);
  CHECK(dgp_run("bench conv --shape 1x4x5x3x4").status == 2);
  CHECK(dgp_run("bench conv --device cuda --isa portable").status == 2);

  const Outcome model =
      dgp_run("bench model tiny --scale 2 --size 4x3 --runs 1 --json --device cuda", kQuick);
  INFO(model.err);
  REQUIRE(model.status == 0);
  const json row = json::parse(model.out)["rows"][0];
  CHECK(row["ms"].get<double>() > 0);
  CHECK(row["peak_bytes"].get<int64_t>() > 4 * 3 * 32 * 4);

  TempFolder folder;
  DGPNet net(DGPNetConfig{2, 4, 1, 3, 1}, Rng(1));
  save_model(folder / "m.safetensors", net);
  const std::string step =
      "bench step " + folder / "m.safetensors" + " --batch 1 --patch 4 --warmup 0 --runs 3 --ops --json";
  const Outcome cpu = dgp_run(step), gpu = dgp_run(step + " --device cuda", kQuick);
  INFO(gpu.err);
  REQUIRE(gpu.status == 0);
  const json want = json::parse(cpu.out)["losses"], got = json::parse(gpu.out);
  REQUIRE(got["losses"].size() == 3);
  for (size_t i = 0; i < 3; ++i)
    CHECK(got["losses"][i].get<double>() == Approx(want[i].get<double>()).epsilon(1e-5));
  CHECK(got["ops"].size() > 5);
}
