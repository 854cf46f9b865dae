// dgp eval, fuse, info and compare as processes, on small pictures and networks of their own.
#include <nlohmann/json.hpp>
#include <sstream>

#include "image/image.h"
#include "image/metrics.h"
#include "image/resize.h"
#include "models/edsr.h"
#include "models/state.h"
#include "tensor/npy.h"
#include "tests/cli/run.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

// Something smooth with an edge, so that resizing has something to lose; u8-valued.
void write_scene(const std::string& path, int64_t height, int64_t width, int64_t seed) {
  Image image{Tensor({height, width, 3}), 8};
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < 3; ++c)
        image.pixels.data<float>()[(y * width + x) * 3 + c] =
            static_cast<float>(0.4 + 0.2 * std::sin(0.3 * static_cast<double>(x * (c + 1) + seed)) +
                               (x + y > width ? 0.3 : 0.0));
  write_image(path, image);
}

std::string untrained(const TempFolder& folder, const DGPNetConfig& config) {
  DGPNet net(config);
  std::string path = folder / (std::to_string(config.scale) + ".safetensors");
  save_model(path, net);
  return path;
}

}  // namespace

TEST_CASE("eval makes LR with MATLAB's bicubic, crops HR to a multiple of the scale, names the border") {
  TempFolder folder;
  write_scene(folder / "a.png", 50, 63, 1);
  write_scene(folder / "b.png", 48, 48, 2);
  Outcome outcome =
      dgp_run("eval -m " + untrained(folder, {2, 8, 1, 3, 1}) + " --hr " + folder.path.string() + " --json");
  REQUIRE(outcome.status == 0);
  json result = json::parse(outcome.out);
  CHECK(result["scale"] == 2);
  CHECK(result["border"] == 2);
  REQUIRE(result["images"].size() == 2);

  Image hr = read_image(folder / "a.png");
  Tensor cropped({50, 62, 3});
  for (int64_t y = 0; y < 50; ++y)
    std::copy_n(hr.pixels.data<float>() + y * 63 * 3, 62 * 3, cropped.data<float>() + y * 62 * 3);
  Tensor lr = to_u8(imresize(cropped, 0.5)), bicubic = to_u8(imresize(to_float(lr), 2.0));
  json scores = result["images"][0]["bicubic"];
  CHECK(scores["border"] == 2);
  CHECK(scores["psnr_rgb"].get<double>() == Approx(psnr(bicubic, to_u8(cropped), 2, false)));
  CHECK(scores["ssim_y"].get<double>() == Approx(ssim(bicubic, to_u8(cropped), 2, true)));
  double sum = 0;
  for (const json& image : result["images"]) sum += image["model"]["psnr_y"].get<double>();
  CHECK(result["mean"]["model"]["psnr_y"].get<double>() == Approx(sum / 2));
}

TEST_CASE("eval of scale 1: pairs by pattern, the input has its row, equal pictures are infinitely good") {
  TempFolder folder;
  for (const char* name : {"one_HR.png", "two_HR.png"}) write_scene(folder / name, 32, 40, 1);
  write_scene(folder / "one_LR.png", 32, 40, 2);
  write_scene(folder / "two_LR.png", 32, 40, 1);
  std::string arguments = "eval -m " + untrained(folder, {1, 8, 1, 3, 2}) + " --hr " + folder.path.string() +
                          " --lr-pattern '*_LR.png' --hr-pattern '*_HR.png'";
  json result = json::parse(dgp_run(arguments + " --json").out);
  CHECK(result["border"] == 0);
  CHECK(result["images"][0]["name"] == "one");
  CHECK(result["images"][0]["input"]["psnr_rgb"].get<double>() < 40);
  CHECK(result["images"][1]["input"]["psnr_rgb"].is_null());  // infinite
  CHECK(result["images"][1]["input"]["ssim_rgb"].get<double>() == Approx(1));
  Outcome table = dgp_run(arguments + " --border 3");
  CHECK_THAT(table.out, ContainsSubstring("b3") && ContainsSubstring("input") && ContainsSubstring("mean"));
}

TEST_CASE("eval says which pictures lack a partner or have the wrong size") {
  TempFolder folder;
  std::string model = untrained(folder, {2, 8, 1, 3, 1});
  fs::create_directory(folder.path / "hr");
  fs::create_directory(folder.path / "lr");
  write_scene(folder / "hr/a.png", 32, 40, 1);
  write_scene(folder / "hr/alone.png", 32, 40, 1);
  write_scene(folder / "lr/a.png", 16, 21, 1);
  std::string arguments = "eval -m " + model + " --hr " + folder / "hr --lr " + folder / "lr";
  Outcome outcome = dgp_run(arguments);
  CHECK(outcome.status == 3);
  CHECK_THAT(outcome.err, ContainsSubstring("alone.png"));
  fs::remove(folder.path / "hr/alone.png");
  outcome = dgp_run(arguments);
  CHECK(outcome.status == 3);
  CHECK_THAT(outcome.err, ContainsSubstring("42x32"));
  CHECK(dgp_run(arguments + " --hr-pattern noStar.png").status == 2);
  CHECK(dgp_run("eval -m " + untrained(folder, {1, 8, 1, 3, 1}) + " --hr " + folder / "hr").status == 2);
}

TEST_CASE("fuse writes an equal, smaller model and says what it saved") {
  TempFolder folder;
  DGPNet net = random_net({2, 8, 2, 3, 1}, 4);
  save_model(folder / "net.safetensors", net);
  Outcome outcome = dgp_run("fuse " + folder / "net.safetensors -o " + folder / "fused.safetensors");
  REQUIRE(outcome.status == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("multiply-adds") && ContainsSubstring("largest difference"));
  DGPNet fused = load_model(folder / "fused.safetensors");
  CHECK(fused.deploy);
  CHECK(fs::file_size(folder.path / "fused.safetensors") <
        fs::file_size(folder.path / "net.safetensors") / 3);
  NoGrad no_grad;
  Tensor x = random_tensor({1, 9, 11, 3}, 1);
  CHECK(relative_difference(fused(x).value(), net(x).value()) < 1e-5);
  CHECK(dgp_run("fuse " + folder / "net.safetensors -o " + folder / "net.safetensors").status == 2);
}

TEST_CASE("info tells models from pictures") {
  TempFolder folder;
  std::string model = untrained(folder, {2, 8, 3, 5, 2});
  write_scene(folder / "a.png", 20, 30, 1);
  json info = json::parse(dgp_run("info --json --tensors " + model + " " + folder / "a.png").out);
  CHECK(info[0]["blocks"] == 3);
  CHECK(info[0]["kernel"] == 5);
  CHECK(info[0]["tensors"].size() > 20);
  CHECK(info[1]["kind"] == "PNG");
  CHECK(info[1]["width"] == 30);
  std::ofstream(folder / "text.png") << "no picture";
  CHECK(dgp_run("info " + folder / "text.png").status == 3);
  CHECK(dgp_run("info no-such-thing").status == 2);
}

TEST_CASE("compare writes a page that needs nothing else, and a strip with an enlarged crop") {
  TempFolder folder;
  write_scene(folder / "lr.png", 24, 30, 1);
  write_scene(folder / "hr<b>.png", 48, 60, 1);
  std::string pictures = folder / "lr.png '" + folder / "hr<b>.png'";
  REQUIRE(dgp_run("compare " + pictures + " -o " + folder / "page.html").status == 0);
  std::string page = contents(folder / "page.html");
  CHECK_THAT(page, ContainsSubstring("data:image/png;base64,iVBORw0KGgo") &&
                       ContainsSubstring("hr&lt;b&gt;.png") && ContainsSubstring("</html>"));
  CHECK(page.find("http") == std::string::npos);
  REQUIRE(dgp_run("compare " + pictures + " -o " + folder / "strip.png --crop 10,12,20,16").status == 0);
  ImageInfo strip = image_info(folder / "strip.png");
  CHECK(strip.width == 2 * 480 + 3 * 8);
  CHECK(strip.height == 48 + 16 * 24 + 3 * 8);
  CHECK(dgp_run("compare " + pictures + " -o " + folder / "strip.png --crop 50,0,20,20").status == 2);
  CHECK(dgp_run("compare " + pictures + " -o " + folder / "lr.png").status == 2);
  write_scene(folder / "odd.png", 25, 30, 1);
  CHECK(dgp_run("compare " + folder / "odd.png '" + folder / "hr<b>.png' -o " + folder / "x.png").status ==
        2);
}

TEST_CASE("help shows defaults and an example for every subcommand") {
  for (const char* command : {"upscale", "train", "eval", "fuse", "info", "inspect", "compare", "bench",
                              "bench model", "bench step"}) {
    CAPTURE(command);
    Outcome outcome = dgp_run(std::string(command) + " --help");
    CHECK(outcome.status == 0);
    CHECK_THAT(outcome.out, ContainsSubstring("Example:\n  dgp "));
  }
  CHECK_THAT(dgp_run("upscale --help").out, ContainsSubstring("=real-x4"));
  CHECK_THAT(dgp_run("--help").out, ContainsSubstring("Exit status"));
  CHECK_THAT(dgp_run("--version").out, ContainsSubstring("dgp "));
}

TEST_CASE("bench step runs training steps whose loss falls, on data it is given") {
  TempFolder folder;
  Tensor lr({2, 6, 6, 3}), hr({2, 12, 12, 3});
  for (int64_t i = 0; i < lr.numel(); ++i) lr.data<float>()[i] = 0.5F;
  for (int64_t i = 0; i < hr.numel(); ++i) hr.data<float>()[i] = 0.75F;
  write_npy(folder / "lr.npy", lr);
  write_npy(folder / "hr.npy", hr);
  std::string given = "bench step tiny --scale 2 --batch 2 --warmup 1 --runs 4 --json --input '" +
                      (folder / "lr.npy") + "' --target '" + (folder / "hr.npy") + "' --patch ";
  Outcome outcome = dgp_run(given + "6");
  REQUIRE(outcome.status == 0);
  json result = json::parse(outcome.out);
  CHECK(result["ms"].size() == 4);
  REQUIRE(result["losses"].size() == 5);
  CHECK(result["losses"][4] < result["losses"][0]);
  CHECK(!result.contains("ops"));
  CHECK(dgp_run(given + "8").status == 3);

  result = json::parse(dgp_run(given + "6 --ops").out);
  double sum = 0, conv = 0;
  for (const json& op : result["ops"]) {
    sum += op["ms"].get<double>();
    if (op["name"].get<std::string>().starts_with("conv2d dw")) conv += op["ms"].get<double>();
  }
  const double step = result["median_ms"];  // of which the operations are parts
  CHECK(conv > 0);
  CHECK(sum <= step);
  CHECK(sum > step / 2);
}

TEST_CASE("bench model takes pixels, writes the result and runs once for each line it reads") {
  TempFolder folder;
  DGPNet net = random_net({2, 8, 1, 3, 1}, 5);
  save_model(folder / "net.safetensors", net);
  Tensor lr = random_tensor({1, 9, 11, 3}, 6);
  write_npy(folder / "lr.npy", lr);
  write_npy(folder / "wrong.npy", random_tensor({9, 11, 3}, 6));
  std::string command = "bench model '" + (folder / "net.safetensors") + "' --input '" + (folder / "lr.npy") +
                        "' --output '" + (folder / "hr.npy") + "'";
  std::string lines =
      "printf '\\n\\n\\n' | '" DGP_PROGRAM "' " + command + " --interactive >'" + (folder / "log") + "'";
  REQUIRE(std::system(lines.c_str()) == 0);
  CHECK(relative_difference(read_npy(folder / "hr.npy"), net(Var(lr), Form::fused).value()) < 1e-5);
  std::istringstream log(contents(folder / "log"));
  std::string ready;
  double first = 0, second = 0, third = 0, fourth = 0;
  CHECK((log >> ready >> first >> second >> third && ready == "ready"));
  CHECK(std::min({first, second, third}) > 0);
  CHECK_FALSE(log >> fourth);

  fs::remove(folder / "hr.npy");
  CHECK(dgp_run(command + " --runs 1").status == 0);
  CHECK(fs::exists(folder / "hr.npy"));
  CHECK(dgp_run("bench model tiny --input '" + (folder / "wrong.npy") + "'").status == 3);
  CHECK(dgp_run("bench model tiny small --interactive").status == 2);
}

TEST_CASE("bench model runs EDSR, the preset and a file, and counts its layers") {
  TempFolder folder;
  EDSR net({2, 8, 1}, Rng(7));
  save_model(folder / "net.safetensors", net);
  Tensor lr = random_tensor({1, 9, 11, 3}, 6);
  write_npy(folder / "lr.npy", lr);
  std::string given = "' --input '" + (folder / "lr.npy") + "' --runs 1 --json";
  Outcome outcome = dgp_run("bench model '" + (folder / "net.safetensors") + given + " --output '" +
                            (folder / "hr.npy") + "'");
  REQUIRE(outcome.status == 0);
  CHECK(relative_difference(read_npy(folder / "hr.npy"), net(Var(lr)).value()) < 1e-5);
  json row = json::parse(outcome.out)["rows"][0];
  CHECK(row["multiply_adds"] == multiply_adds(net.config, 9, 11));
  CHECK(row["channels"] == 8);
  CHECK(row["layers"].dump().find("block.conv2") != std::string::npos);
  row = json::parse(dgp_run("bench model edsr --size 8x4 --runs 1 --json").out)["rows"][0];
  CHECK(row["blocks"] == 16);
  CHECK(row["parameters"] == 1517571);
  CHECK(dgp_run("bench model edsr --unshuffle 2").status == 2);
  CHECK(dgp_run("bench model edsr --scale 5").status == 2);
}
