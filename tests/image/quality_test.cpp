// MS-SSIM and NIQE against NumPy (tests/reference/metric_vectors.py).
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "image/image.h"
#include "image/metrics.h"
#include "image/niqe.h"
#include "tensor/parallel.h"
#include "tests/test.h"

using namespace dgp;

namespace {

const nlohmann::json& golden() {
  static const auto json = nlohmann::json::parse(std::ifstream(DGP_SOURCE_DIR "/tests/golden/metrics.json"));
  return json;
}

Tensor picture() { return read_rgb8(DGP_SOURCE_DIR "/docs/demo.png"); }

// As the reference's worse().
Tensor worse(const Tensor& a) {
  Tensor b(a.shape(), DType::u8);
  const int64_t W = a.dim(1);
  for (int64_t i = 0; i < a.numel(); ++i) {
    const int64_t x = i / 3 % W;
    const uint8_t* p = a.data<uint8_t>() + i;
    const int sum = p[x > 0 ? -3 : 0] + p[0] + p[x + 1 < W ? 3 : 0];
    b.data<uint8_t>()[i] = static_cast<uint8_t>(std::min(sum / 4 + 40, 255));
  }
  return b;
}

}  // namespace

TEST_CASE("MS-SSIM equals its definition, even and odd sizes, at any number of threads") {
  const Tensor a = picture(), b = worse(a);
  for (const auto& c : golden()["ms_ssim"]) {
    CAPTURE(c.dump());
    CHECK(ms_ssim(a, b, c["border"], false) == Approx(c["rgb"].get<double>()).epsilon(1e-10));
    CHECK(ms_ssim(a, b, c["border"], true) == Approx(c["luma"].get<double>()).epsilon(1e-10));
  }
  CHECK(ms_ssim(a, a, 0, true) == Approx(1).epsilon(1e-12));
  const int before = num_threads();
  set_num_threads(1);
  const double one = ms_ssim(a, b, 0, false);
  set_num_threads(3);
  CHECK(ms_ssim(a, b, 0, false) == one);
  set_num_threads(before);
  CHECK_THROWS_WITH(ms_ssim(a, a, 70, true), ContainsSubstring("at least 161x161"));
}

TEST_CASE("NIQE's features are the reference's, block by block") {
  const Tensor features = niqe_features(worse(picture()), 0);
  const auto& expected = golden()["niqe_features"];
  REQUIRE(features.dim(0) == static_cast<int64_t>(expected.size()));
  for (int64_t b = 0; b < features.dim(0); ++b)
    for (int64_t j = 0; j < kNiqeFeatures; ++j) {
      CAPTURE(b, j);
      CHECK(features.data<double>()[b * kNiqeFeatures + j] ==
            Approx(expected[static_cast<size_t>(b)][static_cast<size_t>(j)].get<double>()).epsilon(1e-8));
    }
}

TEST_CASE("NIQE equals the reference's, with a border and with blocks that have no features") {
  const NiqeModel model = read_niqe_model(DGP_SOURCE_DIR "/tests/golden/niqe_model.npz");
  const auto& expected = golden()["niqe"];
  const Tensor a = picture(), b = worse(a);
  CHECK(niqe(a, 0, model) == Approx(0).margin(1e-5));
  CHECK(niqe(b, 0, model) == Approx(expected["worse"].get<double>()).epsilon(1e-6));
  CHECK(niqe(b, 5, model) == Approx(expected["border"].get<double>()).epsilon(1e-6));
  Tensor flat = b.clone();
  for (int64_t y = 0; y < 200; ++y) std::fill_n(flat.data<uint8_t>() + y * flat.dim(1) * 3, 300, uint8_t{90});
  CHECK(niqe(flat, 0, model) == Approx(expected["flat"].get<double>()).epsilon(1e-6));
  CHECK_THROWS_WITH(niqe(a, 110, model), ContainsSubstring("two blocks"));
  CHECK_THROWS_WITH(read_niqe_model(DGP_SOURCE_DIR "/docs/demo.png"), ContainsSubstring("demo.png"));
}
