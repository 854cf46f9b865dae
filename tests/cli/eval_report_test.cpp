// dgp eval --metrics and --report as processes.
#include <nlohmann/json.hpp>

#include "image/crop.h"
#include "image/image.h"
#include "image/metrics.h"
#include "image/niqe.h"
#include "models/lpips.h"
#include "models/state.h"
#include "tests/cli/run.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

// A network of scale 1 and three pairs: one equal, one a little and one badly off.
struct Scene : TempFolder {
  Tensor truth = read_image(DGP_SOURCE_DIR "/docs/demo.png").pixels;

  Scene() {
    fs::create_directories(path / "lr");
    fs::create_directories(path / "hr");
    DGPNet net({1, 4, 1, 3, 1});  // untrained: what goes in comes out
    save_model(*this / "net.safetensors", net);
    pair("equal", 0);
    pair("fair", 0.02F);
    pair("bad", 0.1F);
  }
  void pair(const std::string& name, float noise) const {
    Tensor worse = truth.clone();
    for (int64_t i = 0; i < worse.numel(); ++i) worse.data<float>()[i] += i % 7 < 3 ? noise : -noise;
    write_image(*this / ("lr/" + name + ".png"), {worse, 8});
    write_image(*this / ("hr/" + name + ".png"), {truth, 8});
  }
  Outcome eval(const std::string& rest) const {
    std::string arguments("eval -m ");
    arguments += (*this / "net.safetensors") + " --hr " + (*this / "hr") + " --lr " + (*this / "lr") + " ";
    return dgp_run(arguments + rest);
  }
};

const std::string kNiqe = DGP_SOURCE_DIR "/tests/golden/niqe_model.npz";
const std::string kLpips = DGP_SOURCE_DIR "/tests/golden/lpips_alex.safetensors";

}  // namespace

TEST_CASE("eval measures what --metrics names, no more") {
  const Scene scene;
  const Outcome outcome = scene.eval("--json --border 3 --metrics psnr,ms-ssim,niqe,lpips --niqe-model " +
                                     kNiqe + " --lpips-weights " + kLpips);
  REQUIRE(outcome.status == 0);
  const json result = json::parse(outcome.out);
  const json bad = result["images"][0]["model"];
  CHECK(result["images"][0]["name"] == "bad");
  const Tensor lr = read_rgb8(scene / "lr/bad.png"), hr = read_rgb8(scene / "hr/bad.png");
  CHECK(bad["psnr_y"].get<double>() == Approx(psnr(lr, hr, 3, true)).epsilon(1e-6));
  CHECK(bad["ms_ssim_rgb"].get<double>() == Approx(ms_ssim(lr, hr, 3, false)).epsilon(1e-6));
  CHECK(bad["niqe"].get<double>() == Approx(niqe(lr, 3, read_niqe_model(kNiqe))).epsilon(1e-6));
  const Box inside{3, 3, lr.dim(1) - 6, lr.dim(0) - 6};
  CHECK(bad["lpips"].get<double>() ==
        Approx(Lpips(kLpips)(to_float(cut(lr, inside)), to_float(cut(hr, inside)))).epsilon(1e-6));
  CHECK(!bad.contains("ssim_y"));
  CHECK(result["mean"]["input"].contains("ms_ssim_y"));
  const Outcome table = scene.eval("--metrics ms-ssim,ssim");
  CHECK_THAT(table.out, ContainsSubstring("MS-SSIM RGB") && ContainsSubstring("SSIM Y"));
  CHECK(table.out.find("PSNR RGB") == std::string::npos);
}

TEST_CASE("eval says which file a measure needs and which measures there are") {
  const Scene scene;
  Outcome outcome = scene.eval("--metrics psnr,dists");
  CHECK(outcome.status == 2);
  CHECK_THAT(outcome.err, ContainsSubstring("'dists'") && ContainsSubstring("ms-ssim"));
  outcome = scene.eval("--metrics niqe");
  CHECK(outcome.status == 2);
  CHECK_THAT(outcome.err, ContainsSubstring("--niqe-model") && ContainsSubstring("niqe_pris_params.npz"));
  CHECK_THAT(scene.eval("--metrics lpips").err, ContainsSubstring("--lpips-weights"));
  CHECK(scene.eval("--metrics niqe --niqe-model " + kLpips).status == 3);
  CHECK(scene.eval("--metrics lpips --lpips-weights " + kNiqe).status == 3);
}

TEST_CASE("eval's report has every picture in its table and shows the worst") {
  const Scene scene;
  REQUIRE(scene.eval("--report " + (scene / "page.html") + " --report-images 2").status == 0);
  const std::string page = contents(scene / "page.html");
  CHECK_THAT(page, ContainsSubstring("border of 0 pixels") &&
                       ContainsSubstring("<b>difference of output</b>") &&
                       ContainsSubstring("<h3>bad</h3>") && ContainsSubstring("<h3>fair</h3>") &&
                       ContainsSubstring("</html>"));
  CHECK(page.find("http") == std::string::npos);
  size_t strips = 0;
  for (size_t at = page.find("class=\"strip\""); at != std::string::npos;
       at = page.find("class=\"strip\"", at + 1))
    ++strips;
  CHECK(strips == 2);
  for (const char* name : {">mean<", ">bad<", ">fair<", ">equal<"}) CHECK_THAT(page, ContainsSubstring(name));
}
