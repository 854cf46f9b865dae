// Resize and metrics against float64 NumPy (tests/reference/image_reference.py), and against what must hold.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "image/metrics.h"
#include "image/resize.h"
#include "tensor/parallel.h"
#include "tests/test.h"

using namespace dgp;

namespace {

const nlohmann::json& golden() {
  static const nlohmann::json values = [] {
    std::ifstream file(std::string(DGP_SOURCE_DIR) + "/tests/golden/image.json");
    return nlohmann::json::parse(file);
  }();
  return values;
}

template <class T>
Tensor tensor_of(const char* values, const char* shape) {
  return Tensor::from<T>(golden()[shape].get<Shape>(), golden()[values].get<std::vector<T>>());
}

Tensor first_channels(const Tensor& x, int64_t count) {
  Tensor y({x.dim(0), x.dim(1), count}, DType::u8);
  for (int64_t i = 0; i < y.numel(); ++i)
    y.data<uint8_t>()[i] = x.data<uint8_t>()[i / count * x.dim(2) + i % count];
  return y;
}

double largest_difference(const Tensor& x, const std::vector<double>& expected) {
  REQUIRE(x.numel() == static_cast<int64_t>(expected.size()));
  Tensor wide = x.to(DType::f64);
  double most = 0;
  for (int64_t i = 0; i < x.numel(); ++i)
    most = std::max(most, std::abs(wide.data<double>()[i] - expected[static_cast<size_t>(i)]));
  return most;
}

}  // namespace

TEST_CASE("imresize equals its definition, both ways and in both types") {
  Tensor x = tensor_of<double>("small", "small_shape");
  for (const auto& c : golden()["resize"]) {
    auto shape = c["shape"].get<Shape>();
    double scale = c["scale"];
    INFO("scale " << scale << " to " << to_string(shape));
    auto resized = [&](const Tensor& t) {
      return scale > 0 ? imresize(t, scale) : imresize(t, shape[0], shape[1]);
    };
    auto expected = c["values"].get<std::vector<double>>();
    CHECK(resized(x).shape() == shape);
    CHECK(largest_difference(resized(x), expected) < 1e-11);
    CHECK(largest_difference(resized(x.to(DType::f32)), expected) < 3e-7);
  }
}

TEST_CASE("imresize keeps a flat picture flat, for any number of channels") {
  for (int64_t channels : {1, 2, 3, 4, 5})
    for (double scale : {0.25, 1.0 / 3, 1.0, 3.7}) {
      Tensor y = imresize(Tensor::full({13, 9, channels}, 0.375, DType::f64), scale);
      CHECK(y.dim(2) == channels);
      CHECK(largest_difference(y, std::vector<double>(static_cast<size_t>(y.numel()), 0.375)) < 1e-14);
    }
}

TEST_CASE("imresize, PSNR and SSIM do not depend on the number of threads") {
  Tensor a = tensor_of<uint8_t>("a", "shape"), b = tensor_of<uint8_t>("b", "shape");
  Tensor big = imresize(a.to(DType::f64), 7.0);
  Tensor u = imresize(big, 90, 110), p({90, 110, 3}, DType::u8), q({90, 110, 3}, DType::u8);
  for (int64_t i = 0; i < u.numel(); ++i) {
    p.data<uint8_t>()[i] = static_cast<uint8_t>(std::min(255.0, std::max(0.0, u.data<double>()[i])));
    q.data<uint8_t>()[i] = static_cast<uint8_t>(p.data<uint8_t>()[i] ^ (i % 5));
  }
  int before = num_threads();
  set_num_threads(1);
  Tensor one = imresize(a.to(DType::f64), 7.0);
  double one_psnr = psnr(p, q, 3, false), one_ssim = ssim(p, q, 3, false);
  for (int threads : {2, 3, 8}) {
    set_num_threads(threads);
    Tensor many = imresize(a.to(DType::f64), 7.0);
    CHECK(std::memcmp(one.bytes(), many.bytes(), static_cast<size_t>(one.nbytes())) == 0);
    CHECK(psnr(p, q, 3, false) == one_psnr);
    CHECK(ssim(p, q, 3, false) == one_ssim);
  }
  set_num_threads(before);
}

TEST_CASE("luma is MATLAB's") {
  for (const auto& c : golden()["luma"]) {
    Tensor y = luma_of(Tensor::from<uint8_t>({1, 1, 3}, c["rgb"].get<std::vector<uint8_t>>()));
    CHECK(y.item<double>() == Approx(c["y"].get<double>()).epsilon(1e-13));
  }
}

TEST_CASE("PSNR and SSIM equal their definitions") {
  Tensor a = tensor_of<uint8_t>("a", "shape"), b = tensor_of<uint8_t>("b", "shape");
  for (const auto& c : golden()["metrics"]) {
    INFO(c.dump());
    Tensor p = first_channels(a, c["channels"]), q = first_channels(b, c["channels"]);
    CHECK(psnr(p, q, c["border"], c["luma"]) == Approx(c["psnr"].get<double>()).epsilon(1e-12));
    CHECK(ssim(p, q, c["border"], c["luma"]) == Approx(c["ssim"].get<double>()).epsilon(1e-10));
    CHECK(std::isinf(psnr(p, p, c["border"], c["luma"])));
    CHECK(ssim(p, p, c["border"], c["luma"]) == Approx(1).epsilon(1e-12));
  }
}

TEST_CASE("resize and metrics refuse what they cannot do") {
  Tensor a = tensor_of<uint8_t>("a", "shape"), x = Tensor::zeros({4, 4, 3});
  CHECK_THROWS_WITH(psnr(a, a, 10, true), ContainsSubstring("border of 10"));
  CHECK_THROWS_WITH(ssim(a, a, 5, true), ContainsSubstring("at least 11x11"));
  CHECK_THROWS_WITH(psnr(a, first_channels(a, 1), 0, true), ContainsSubstring("differ"));
  CHECK_THROWS_WITH(psnr(x, x, 0, true), ContainsSubstring("expects u8"));
  CHECK_THROWS_WITH(imresize(a, 2.0), ContainsSubstring("f32 or f64"));
  CHECK_THROWS_WITH(imresize(x, -1.0), ContainsSubstring("positive"));
  CHECK_THROWS_WITH(imresize(x, std::nan("")), ContainsSubstring("positive"));
  CHECK_THROWS_WITH(imresize(x, 0, 4), ContainsSubstring("positive"));
  CHECK_THROWS_WITH(imresize(x.reshape({16, 3}), 2.0), ContainsSubstring("3 axes"));
}
