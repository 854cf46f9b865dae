// What a run leaves to be seen: its history read back, the crops kept over time, the report.
#include <regex>
#include <set>

#include "tensor/file.h"
#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/history.h"
#include "train/preview.h"
#include "train/trainer.h"

using namespace dgp;

namespace {

std::set<std::string> files_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

}  // namespace

TEST_CASE("history is what metrics.jsonl says, line by line") {
  TempFolder temp;
  DGPNet net({2, 4, 1, 3, 1});
  write_file(
      temp / "metrics.jsonl",
      R"({"iteration":10,"lr":0.001,"it_per_s":2.5,"waiting":0.25,"skipped":0,"seconds":4,"loss":0.5,"losses":{"l1":0.4,"fft":0.1},"grad_norm":3}
{"iteration":20,"validation":{"border":2,"mean":{"psnr_y":30,"psnr_rgb":29,"ssim_y":0.9,"ssim_rgb":0.8},"baseline":{"psnr_y":28,"psnr_rgb":null,"ssim_y":0.7,"ssim_rgb":0.6},"rows":[{"name":"a","output":{"psnr_y":30,"psnr_rgb":29,"ssim_y":0.9,"ssim_rgb":0.8},"baseline":{"psnr_y":28,"psnr_rgb":null,"ssim_y":0.7,"ssim_rgb":0.6}}]},"best":30}
)" + balance_line(20, operator_kernels(net)) +
          "\n{\"iteration\":30,\"lr\":0.0005,\"it_per_s\":3,\"waiting\":0,\"skipped\":1,\"seconds\":9}\n{"
          "\"iterat");
  const History h = read_history(temp / "metrics.jsonl");
  REQUIRE(h.curves.at("lr").size() == 2);
  CHECK(h.curves.at("lr")[1].y == 0.0005);
  CHECK(h.curves.at("loss").size() == 1);
  CHECK(h.curves.at("waiting")[0].y == 25);
  CHECK(h.terms.at("fft")[0].y == 0.1);
  CHECK((h.iteration == 30 && h.skipped == 1 && h.seconds == 9 && h.rate == 3));
  CHECK((h.validated_at == 20 && h.border == 2));
  REQUIRE(h.pictures.size() == 2);
  CHECK(h.pictures[1].name == "a");
  CHECK(std::isinf(h.pictures[1].baseline.at("psnr_rgb")));
  CHECK(h.output.at("ssim_y")[0].y == 0.9);
  CHECK(h.baseline.at("psnr_rgb")[0].y == 100);
  REQUIRE(h.balance.size() == 8);  // head, six in the block, tail
  CHECK(h.balance[1].layer == "body.0.statistical");
  CHECK(h.balance[1].operators.size() == 2);
  CHECK(h.balance[0].operators.at("idg")[0].y == 1);  // untrained
}

TEST_CASE("crops over time are few, evenly spread, and end with the latest") {
  TempFolder temp;
  const Tensor crop = Tensor::full({4, 4, 3}, 7, DType::u8);
  for (int64_t i = 1; i <= 100; ++i) {
    add_preview(temp.path, "a", i * 50, 50, crop);
    const auto outputs = read_preview(temp.path, "a").outputs;
    CHECK(outputs.size() <= static_cast<size_t>(kMostPreviews) + 1);
    CHECK(outputs.back().first == i * 50);
  }
  std::vector<int64_t> at;
  for (const auto& [iteration, picture] : read_preview(temp.path, "a").outputs) at.push_back(iteration / 50);
  CHECK(at == std::vector<int64_t>{16, 32, 48, 64, 80, 96, 100});
  add_preview(temp.path, "a", 1000, 50, crop);  // gone back to an older checkpoint
  CHECK(read_preview(temp.path, "a").outputs.back().first == 1000);
}

TEST_CASE("a report shows curves, crops with their difference, tables, balance factors, kernels, machine") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.name = "a <run>";
  config.iterations = 12, config.validate.data = config.data.train;
  config.validate.every = 4, config.validate.border = 2, config.validate.images = 1;
  train(config);
  const std::string report = read_file(config.folder() + "/report.html");
  for (const char* part :
       {"a &lt;run&gt;", "Learning rate", "Gradient norm", "Iterations a second", "waiting for data",
        "SSIM on Y", "Fixed crops over time", "<b>iteration 8</b>", "<b>LR</b>", "<b>bicubic</b>",
        "<b>HR</b>", "<b>difference</b>", "Pictures at iteration 12", "Balance factors over time",
        "body.0.struct_to_stat", "kernels of idg in tail", "processor", "Configuration"})
    CHECK_THAT(report, ContainsSubstring(part));
  CHECK(report.find("http") == std::string::npos);
  CHECK(report.find("src=\"\"") == std::string::npos);
  const History h = read_history(config.folder() + "/metrics.jsonl");
  CHECK(h.balance.back().operators.at("vc").size() == 3);
  const auto files = files_in(config.folder() + "/val");
  for (const char* name :
       {"p0_crop_lr.png", "p0_crop_input.png", "p0_crop_hr.png", "p0_crop_4.png", "p0_crop_12.png"})
    CHECK(files.count(name) == 1);
  CHECK(files.count("p1_crop_lr.png") == 0);
  const Preview crop = read_preview(config.folder() + "/val", "p0");
  CHECK(crop.truth.dim(1) == 2 * crop.lr.dim(1));
}

TEST_CASE("without validation pictures balance factors are noted all the same, once an iteration") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.iterations = 6, config.validate.every = 2;
  train(config);
  train(config, {}, true);  // already at its end
  const History h = read_history(config.folder() + "/metrics.jsonl");
  std::vector<double> at;
  for (const Point& p : h.balance.at(0).operators.at("csg")) at.push_back(p.x);
  CHECK(at == std::vector<double>{2, 4, 6});
}
