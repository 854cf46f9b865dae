// The degradation pipelines: kernels and operations against float64 NumPy, noise by its moments, draws by
// their ranges, and that a degradation depends on nothing but its arguments.
#include "train/degradation.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>

#include "image/bytes.h"
#include "image/image.h"
#include "tensor/normals.h"
#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/config.h"
#include "train/degrade.h"

using namespace dgp;
using nlohmann::json;

namespace {

const json& golden() {
  static const json file = json::parse(std::ifstream(DGP_SOURCE_DIR "/tests/golden/degrade.json"));
  return file;
}

Tensor golden_picture() {
  Tensor x({golden()["height"], golden()["width"], 3});
  for (int64_t i = 0; i < x.numel(); ++i)
    x.data<float>()[i] = static_cast<float>(golden()["picture"][static_cast<size_t>(i)].get<double>() / 255);
  return x;
}

// Largest difference between every step-th row and column of x and the values recorded.
double error(const Tensor& x, const json& values, int64_t step) {
  double worst = 0;
  size_t at = 0;
  for (int64_t r = 0; r < x.dim(0); r += step)
    for (int64_t c = 0; c < x.dim(1); c += step)
      for (int64_t k = 0; k < 3; ++k)
        worst = std::max(
            worst, std::abs(x.data<float>()[(r * x.dim(1) + c) * 3 + k] - values.at(at++).get<double>()));
  REQUIRE(at == values.size());
  return worst;
}

BlurShape shape_of(const std::string& name) {
  return name == "sinc"          ? BlurShape::sinc
         : name == "plateau"     ? BlurShape::plateau
         : name == "generalized" ? BlurShape::generalized
                                 : BlurShape::gaussian;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.bytes(), a.bytes() + a.nbytes(), b.bytes());
}

struct Moments {
  double mean = 0, variance = 0;
};
Moments difference(const Tensor& a, const Tensor& b) {
  Moments m;
  const auto n = static_cast<double>(a.numel());
  for (int64_t i = 0; i < a.numel(); ++i) m.mean += (a.data<float>()[i] - b.data<float>()[i]) / n;
  for (int64_t i = 0; i < a.numel(); ++i)
    m.variance += std::pow(a.data<float>()[i] - b.data<float>()[i] - m.mean, 2) / n;
  return m;
}

}  // namespace

TEST_CASE("blur kernels are those of float64 NumPy") {
  REQUIRE(golden()["kernels"].size() == 9);
  for (const json& k : golden()["kernels"]) {
    INFO(k["shape"] << " " << k["size"]);
    auto weights = kernel_weights(
        {shape_of(k["shape"]), k["size"], k["sigma_x"], k["sigma_y"], k["angle"], k["beta"], k["cutoff"]});
    REQUIRE(weights.size() == k["weights"].size());
    for (size_t i = 0; i < weights.size(); ++i)
      REQUIRE(std::abs(weights[i] - k["weights"][i].get<double>()) < 1e-13);
  }
  CHECK_THROWS_AS(kernel_weights({.size = 8}), Error);
  CHECK_THROWS_AS(kernel_weights({.sigma_x = 0}), Error);
  CHECK_THROWS_AS(kernel_weights({.shape = BlurShape::sinc}), Error);
}

TEST_CASE("filter, resize, sharpening and DiffJPEG are those of float64 NumPy") {
  const Tensor x = golden_picture();
  CHECK(error(filter_picture(x, kernel_weights({.size = 9, .sigma_x = 0.8, .sigma_y = 2.9, .angle = 0.7})),
              golden()["filtered"], 3) < 1e-6);
  for (const json& r : golden()["resized"]) {
    const std::string name = r["mode"];
    INFO(name << " " << r["width"] << "x" << r["height"] << " " << r["ratio"]);
    const auto mode = name == "area"       ? Interpolation::area
                      : name == "bilinear" ? Interpolation::bilinear
                                           : Interpolation::bicubic;
    CHECK(error(interpolate_picture(x, r["height"], r["width"], mode, r["ratio"]), r["values"], 2) < 1e-6);
  }
  CHECK(error(sharpen_usm(x), golden()["usm"], 3) < 1e-6);
  for (const json& j : golden()["jpeg"]) {
    INFO(j["quality"]);
    CHECK(error(diff_jpeg(x, j["quality"]), j["values"], 3) < 1e-6);
  }
}

TEST_CASE("kernels that are two lines blur as the square does, small pictures and large kernels too") {
  const Tensor whole = golden_picture();
  for (const BlurKernel& k : {BlurKernel{.size = 13, .sigma_x = 2.1, .sigma_y = 2.1},
                              BlurKernel{.size = 21, .sigma_x = 0.6, .sigma_y = 3}})
    for (const auto& [H, W] : {std::pair<int64_t, int64_t>{37, 30}, {4, 30}, {1, 9}}) {
      const Tensor x = interpolate_picture(whole, H, W, Interpolation::nearest);
      const Tensor y = filter_picture(x, kernel_weights(k));
      const std::vector<double> w = kernel_weights(k);
      const auto mirrored = [](int64_t i, int64_t n) {
        while (n > 1 && (i < 0 || i >= n)) i = i < 0 ? -i : 2 * n - 2 - i;
        return n > 1 ? i : 0;
      };
      double worst = 0;
      for (int64_t i = 0; i < y.numel(); ++i) {
        double sum = 0;
        for (int64_t t = 0; t < k.size * k.size; ++t)
          sum += w[static_cast<size_t>(t)] *
                 x.data<float>()[(mirrored(i / 3 / W + t / k.size - k.size / 2, H) * W +
                                  mirrored(i / 3 % W + t % k.size - k.size / 2, W)) *
                                     3 +
                                 i % 3];
        worst = std::max(worst, std::abs(y.data<float>()[i] - sum));
      }
      INFO(k.size << " on " << W << "x" << H);
      CHECK(worst < 1e-6);
    }
}

TEST_CASE("normals are Box and Muller's of their bits") {
  Rng rng(3);
  for (int i = 0; i < 20000; ++i) {
    const uint32_t a = i < 4 ? 0xffffffffu << (8 * i) : rng.bits(), b = rng.bits();
    const double radius = std::sqrt(-2 * std::log(((a >> 8) + 1) * 0x1p-24)),
                 angle = b * 0x1p-31 * std::numbers::pi;
    const NormalPair pair = two_normals(a, b);
    REQUIRE(std::abs(pair.first - radius * std::cos(angle)) < 1.5e-6);
    REQUIRE(std::abs(pair.second - radius * std::sin(angle)) < 1.5e-6);
  }
}

TEST_CASE("a JPEG file's round trip is what writing and reading one gives") {
  TempFolder temp;
  const Tensor x = golden_picture();
  write_image(temp / "a.jpg", {x, 8});
  CHECK(same(file_jpeg(x, 95, false), read_image(temp / "a.jpg").pixels));
  for (const auto& [h, w] : {std::pair<int64_t, int64_t>{37, 30}, {16, 48}, {1, 1}, {5, 17}})
    for (bool halved : {false, true})
      for (int quality : {5, 50, 90, 100}) {
        const Tensor y = interpolate_picture(x, h, w, Interpolation::bilinear);
        const Tensor back = decode_rgb8(encode_jpeg(to_u8(y), quality, halved), "JPEG in memory");
        CHECK(same(file_jpeg(y, quality, halved), to_float(back)));
      }
  CHECK_THROWS_AS(file_jpeg(x, 0), Error);
  CHECK_THROWS_AS(diff_jpeg(x, 0), Error);
}

TEST_CASE("nearest resizing takes the pixel at the centre, and modes are drawn as often as asked") {
  Tensor x({4, 6, 3});
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = static_cast<float>(i / 3);
  const Tensor half = interpolate_picture(x, 2, 3, Interpolation::nearest);
  const Tensor more = interpolate_picture(x, 4, 9, Interpolation::nearest);
  const float rows[2][3] = {{7, 9, 11}, {19, 21, 23}};   // pixel 2o + 1 of 2o and 2o + 1
  const float columns[9] = {0, 1, 1, 2, 3, 3, 4, 5, 5};  // floor((o + 1/2) 6 / 9)
  for (int64_t i = 0; i < 6; ++i) CHECK(half.data<float>()[i * 3] == rows[i / 3][i % 3]);
  for (int64_t i = 0; i < 9; ++i) CHECK(more.data<float>()[i * 3] == columns[i]);

  DegradeConfig c = degrade_preset("realesrgan");
  c.first.modes = {0, 1, 0, 3};
  int nearest = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    const Degradation d = draw_degradation(c, 4, 100, 100, Rng(2).split(i));
    REQUIRE((d[2].mode == Interpolation::nearest || d[2].mode == Interpolation::bilinear));
    nearest += d[2].mode == Interpolation::nearest;
  }
  CHECK(nearest / 2000.0 == Approx(0.75).margin(0.04));
}

TEST_CASE("the file coder loses what libjpeg loses, whole and halved colour") {
  const Tensor x = golden_picture();
  REQUIRE(golden()["files"].size() == 6);
  for (const json& j : golden()["files"]) {
    INFO(j["quality"] << " halved " << j["halved"]);
    const Tensor y = file_jpeg(x, j["quality"], j["halved"]);
    double apart = 0, lost = 0;
    size_t at = 0;  // every second row and column is recorded
    for (int64_t r = 0; r < x.dim(0); r += 2)
      for (int64_t c = 0; c < x.dim(1); c += 2)
        for (int64_t k = 0; k < 3; ++k) {
          const int64_t i = (r * x.dim(1) + c) * 3 + k;
          const double theirs = j["values"].at(at++).get<double>();
          apart += std::pow(255 * y.data<float>()[i] - theirs, 2);
          lost += std::pow(255 * x.data<float>()[i] - theirs, 2);
        }
    // libjpeg's transform gives whole eighths, dgp's floats: with quantiser steps of about 8 and more, at
    // most one coefficient in 64 rounds the other way and is a step apart, where a step's twelfth of a square
    // is lost.
    CHECK(apart < 12.0 / 64 * lost);
  }
}

TEST_CASE("noise has the moments of its law, in colour and grey") {
  Tensor flat = Tensor::full({150, 150, 3}, 0.5);
  for (int64_t i = 0; i < 3; ++i) flat.data<float>()[i] = static_cast<float>(i) / 2;  // 0, 0.5, 1
  for (bool grey : {false, true}) {
    INFO(grey);
    Moments m = difference(add_gaussian_noise(flat, 12, grey, Rng(3)), flat);
    CHECK(std::sqrt(m.variance) * 255 == Approx(12).epsilon(0.03));
    // 0, 128 and 255 are three values, so four levels; grey, two, so two.
    const auto levels = static_cast<double>(poisson_levels(flat, grey));
    CHECK(levels == (grey ? 2 : 4));
    const double level = 128.0 / 255, scale = 0.2;
    m = difference(add_poisson_noise(flat, scale, grey, Rng(4)), flat);
    CHECK(m.variance == Approx(scale * scale * level / levels).epsilon(0.04));
    CHECK(std::abs(m.mean) < 0.003);
    Tensor y = add_poisson_noise(flat, scale, grey, Rng(4));
    bool alike = true;
    for (int64_t i = 3; i < y.numel(); i += 3) alike = alike && y.data<float>()[i] == y.data<float>()[i + 1];
    CHECK(alike == grey);
  }
}

TEST_CASE("what is drawn keeps to its ranges and frequencies") {
  const DegradeConfig c = degrade_preset("realesrgan");
  const int n = 3000;
  int sinc = 0, jpeg_last = 0, gaussian = 0, noises = 0, long_second = 0;
  for (int i = 0; i < n; ++i) {
    Degradation d = draw_degradation(c, 4, 400, 400, Rng(1).split(static_cast<uint64_t>(i)));
    REQUIRE(d[0].kind == StepKind::sharpen);
    REQUIRE(d[1].kind == StepKind::blur);
    sinc += d[1].blur.shape == BlurShape::sinc;
    REQUIRE((d[1].blur.size % 2 == 1 && d[1].blur.size >= 7 && d[1].blur.size <= 21));
    REQUIRE((d[1].blur.sigma_x >= 0.2 && d[1].blur.sigma_x <= 3));
    REQUIRE((d[2].kind == StepKind::resize && d[2].height >= 60 && d[2].height <= 600));
    jpeg_last += d.back().kind == StepKind::jpeg;
    long_second += d[5].kind == StepKind::blur;
    int64_t height = 400;
    for (const DegradeStep& s : d) {
      if (s.kind == StepKind::resize) height = s.height;
      if (s.kind == StepKind::jpeg) REQUIRE((s.quality >= 30 && s.quality <= 95));
      if (s.kind != StepKind::noise) continue;
      ++noises, gaussian += !s.poisson;
      REQUIRE(s.strength <= (s.poisson ? 3 : 30));
    }
    REQUIRE(height == 100);
  }
  CHECK(noises == 2 * n);
  CHECK(sinc == Approx(0.1 * n).epsilon(0.2));
  CHECK(jpeg_last == Approx(0.5 * n).epsilon(0.1));
  CHECK(gaussian == Approx(0.5 * noises).epsilon(0.1));
  CHECK(long_second == Approx(0.8 * n).epsilon(0.1));
}

TEST_CASE("every preset is a pure function onto the grid of bytes, and differs from draw to draw") {
  const Tensor x = test_picture(64, 80, 4), before = x.clone();
  for (const char* name : {"bicubic", "mild", "realesrgan", "bsrgan"})
    for (int64_t scale : {1, 2, 4}) {
      INFO(name << " x" << scale);
      const DegradeConfig c = degrade_preset(name);
      Tensor first;
      for (uint64_t seed = 0; seed < 6; ++seed) {
        Tensor a = degrade(x, scale, c, Rng(seed)), b = degrade(x, scale, c, Rng(seed));
        REQUIRE(a.shape() == Shape{64 / scale, 80 / scale, 3});
        CHECK(same(a, b));
        CHECK(same(a, to_float(to_u8(a))));
        if (seed == 0) first = a;
        if (seed == 1 && c.type != "bicubic") CHECK_FALSE(same(a, first));
      }
    }
  CHECK(same(x, before));
  CHECK_THROWS_AS(degrade_preset("harsh"), Error);
}

TEST_CASE("presets set values that other keys change, and keys of another type are refused") {
  const std::string head = "data:\n  train:\n    - hr: photos\n      degrade: ";
  const auto degrade_of = [&](const std::string& yaml) {
    TrainConfig c = parse_config(head + yaml + "\n", "my.yml");
    CHECK(to_yaml(parse_config(to_yaml(c), "again.yml")) == to_yaml(c));
    return c.data.train[0].degrade;
  };
  DegradeConfig c = degrade_of("{preset: realesrgan, second: {sigma: [0.3, 0.9]}, usm: false}");
  CHECK(c.type == "ordered");
  CHECK(c.second.sigma == Range{0.3, 0.9});
  CHECK(c.second.factor == Range{0.3, 1.2});
  CHECK_FALSE(c.usm);
  CHECK(degrade_of("{preset: mild}").orders == 1);
  CHECK(degrade_of("{type: real, noise: {poisson: 0.7}}").noise.poisson == 0.7);
  CHECK_THROWS_WITH(degrade_of("{preset: realesrgen}"), ContainsSubstring("\"realesrgan\""));
  CHECK_THROWS_WITH(degrade_of("{preset: realesrgan, blur: {probability: 1}}"),
                    ContainsSubstring("unknown key"));
  CHECK_THROWS_WITH(degrade_of("{preset: realesrgan, first: {size: [8, 21]}}"), ContainsSubstring("odd"));
  CHECK_THROWS_WITH(degrade_of("{preset: realesrgan, first: {kernels: [1, 1]}}"),
                    ContainsSubstring("6 shares"));
}
