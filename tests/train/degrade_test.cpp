// Blur, noise and JPEG do what they say.
#include "train/degrade.h"

#include <cmath>

#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/degrade_ops.h"

using namespace dgp;

namespace {

double rms(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.numel(); ++i) sum += std::pow(a.data<float>()[i] - b.data<float>()[i], 2);
  return std::sqrt(sum / static_cast<double>(a.numel()));
}

DegradeConfig only_noise(double sigma, double grey) {
  DegradeConfig c;
  c.type = "real";
  c.blur.probability = c.jpeg.probability = 0;
  c.noise.probability = 1, c.noise.poisson = 0, c.noise.grey = grey;
  c.noise.sigma = {sigma, sigma};
  return c;
}

}  // namespace

TEST_CASE("lower quality loses more, the grid moves with the offset, flat pictures stay") {
  Tensor x = test_picture(40, 56, 3);
  double at95 = rms(file_jpeg(x, 95), x), at70 = rms(file_jpeg(x, 70), x), at30 = rms(file_jpeg(x, 30), x);
  CHECK(at95 < at70);
  CHECK(at70 < at30);
  CHECK(rms(file_jpeg(x, 70, true), file_jpeg(x, 70, true, 3, 5)) > 0.1 * at70);
  Tensor flat = Tensor::full({20, 20, 3}, 128.0 / 255);
  CHECK(rms(file_jpeg(flat, 20, true, 7, 2), flat) < 1.5 / 255);
}

TEST_CASE("noise has the deviation asked for, in colour or alike in all channels") {
  Tensor flat = Tensor::full({120, 120, 3}, 128.0 / 255);
  Tensor colour = degrade(flat, 1, only_noise(8, 0), Rng(1)),
         grey = degrade(flat, 1, only_noise(8, 1), Rng(1));
  CHECK(rms(colour, flat) * 255 == Approx(8).epsilon(0.03));
  CHECK(rms(grey, flat) * 255 == Approx(8).epsilon(0.03));
  bool equal = true, differs = false;
  for (int64_t i = 0; i < flat.numel(); i += 3) {
    equal = equal && grey.data<float>()[i] == grey.data<float>()[i + 1];
    differs = differs || colour.data<float>()[i] != colour.data<float>()[i + 1];
  }
  CHECK(equal);
  CHECK(differs);
}

TEST_CASE("a blurred point is a Gaussian of the right widths") {
  Tensor x = Tensor::zeros({41, 41, 3});
  x.data<float>()[(20 * 41 + 20) * 3] = 1;
  for (double angle : {0.0, 0.5}) {
    Tensor y = gaussian_blur(x, 2, 1, angle);
    double sum = 0, xx = 0, yy = 0;
    for (int64_t r = 0; r < 41; ++r)
      for (int64_t c = 0; c < 41; ++c) {
        double v = y.data<float>()[(r * 41 + c) * 3];
        sum += v, xx += v * static_cast<double>((c - 20) * (c - 20)),
            yy += v * static_cast<double>((r - 20) * (r - 20));
      }
    CHECK(sum == Approx(1).epsilon(1e-5));
    CHECK(xx == Approx(4 * std::pow(std::cos(angle), 2) + std::pow(std::sin(angle), 2)).epsilon(0.1));
    CHECK(yy == Approx(4 * std::pow(std::sin(angle), 2) + std::pow(std::cos(angle), 2)).epsilon(0.1));
  }
  Tensor round = gaussian_blur(x, 1.5, 1.5, 0), almost = gaussian_blur(x, 1.5, 1.5 + 1e-9, 0);
  CHECK(rms(round, almost) < 1e-6);
}

TEST_CASE("degrading is a pure function, on the grid of bytes, and the input stays as it was") {
  DegradeConfig c;
  c.type = "real";
  Tensor x = test_picture(48, 64, 4), before = x.clone();
  for (int64_t scale : {1, 2, 4})
    for (uint64_t seed = 0; seed < 8; ++seed) {
      Tensor a = degrade(x, scale, c, Rng(seed)), b = degrade(x, scale, c, Rng(seed));
      REQUIRE(a.shape() == Shape{48 / scale, 64 / scale, 3});
      CHECK(rms(a, b) == 0);
      CHECK(rms(a, to_float(to_u8(a))) < 1e-7);
    }
  CHECK(rms(x, before) == 0);
}
