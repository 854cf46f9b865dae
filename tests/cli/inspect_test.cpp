// dgp inspect as a process.
#include <nlohmann/json.hpp>

#include "image/image.h"
#include "models/state.h"
#include "report/operators.h"
#include "tests/cli/run.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;
using nlohmann::json;
namespace fs = std::filesystem;

TEST_CASE("inspect writes a page that needs nothing else, and a folder of pictures and numbers") {
  TempFolder folder;
  DGPNet net = random_net({2, 8, 1, 3, 1}, 4);
  save_model(folder / "net.safetensors", net);
  const Tensor image = random_tensor({20, 24, 3}, 3);
  write_image(folder / "a.png", {image, 8});
  const std::string what = "inspect " + (folder / "net.safetensors") + " " + (folder / "a.png") + " ";
  REQUIRE(dgp_run(what + "-o " + (folder / "look.html")).status == 0);
  const std::string page = contents(folder / "look.html");
  CHECK_THAT(page, ContainsSubstring("Features of head") && ContainsSubstring("body.0.struct_to_struct") &&
                       ContainsSubstring("data:image/png;base64,iVBORw0KGgo") &&
                       ContainsSubstring("</html>"));
  CHECK(page.find("http") == std::string::npos);
  CHECK(page.find("src=\"\"") == std::string::npos);

  REQUIRE(dgp_run(what + "--layer body.0.structural --channels 3 --crop 2,1,16,12 -o " + (folder / "look"))
              .status == 0);
  const json numbers = json::parse(contents(folder / "look/inspect.json"));
  CHECK(numbers["layer"] == "body.0.structural");
  CHECK(numbers["features"].size() == 4);  // csg, hg, vg, idg
  CHECK(numbers["balance"].size() == 8);
  for (const OperatorKernels& layer : operator_kernels(net))
    for (size_t j = 0; j < layer.operators.size(); ++j)
      CHECK(numbers["balance"][layer.name][to_string(layer.operators[j])].get<double>() ==
            Approx(layer.alpha[j]));
  int maps = 0;
  for (const auto& entry : fs::directory_iterator(folder / "look"))
    if (entry.path().filename().string().starts_with("features_")) {
      ++maps;
      CHECK(image_info(entry.path().string()).width == 16);
    }
  CHECK(maps == (1 + 4 + 1) * 3);
  CHECK(fs::exists(folder / "look/kernels_tail_idg.png"));
  CHECK(fs::exists(folder / "look/index.html"));
}

TEST_CASE("inspect says what it needs") {
  TempFolder folder;
  DGPNet net = random_net({2, 8, 1, 3, 1}, 4), fused = fuse(net);
  save_model(folder / "net.safetensors", net);
  save_model(folder / "fused.safetensors", fused);
  write_image(folder / "a.png", {random_tensor({20, 24, 3}, 3), 8});
  std::string rest(" ");
  rest += (folder / "a.png") + " -o " + (folder / "x.html");
  Outcome outcome = dgp_run("inspect " + (folder / "fused.safetensors") + rest);
  CHECK(outcome.status == 2);
  CHECK_THAT(outcome.err, ContainsSubstring("fused.safetensors") && ContainsSubstring("training form"));
  outcome = dgp_run("inspect " + (folder / "net.safetensors") + rest + " --layer body.9.structural");
  CHECK(outcome.status == 2);
  CHECK_THAT(outcome.err, ContainsSubstring("body.0.statistical"));
  CHECK(dgp_run("inspect " + (folder / "net.safetensors") + rest + " --crop 20,0,10,10").status == 2);
  CHECK(dgp_run("inspect " + (folder / "a.png") + rest).status == 3);
  CHECK(!fs::exists(folder / "x.html"));
}
