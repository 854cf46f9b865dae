// Losses on spectra, slopes and several scales: against PyTorch (tests/reference/loss_vectors.py), gradients,
// f32, threads, and what they must be by their definition.
#include <nlohmann/json.hpp>

#include "ops/edge_loss.h"
#include "ops/frequency_loss.h"
#include "ops/loss.h"
#include "ops/rfft2.h"
#include "tensor/file.h"
#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

using Loss = Var (*)(const Var&, const Var&);
Var tv(const Var& x, const Var&) { return tv_loss(x); }
Var focal_flat(const Var& x, const Var& t) { return focal_frequency_loss(x, t, 0); }
Var focal(const Var& x, const Var& t) { return focal_frequency_loss(x, t); }
Var ms_ssim_2(const Var& x, const Var& t) { return ms_ssim_loss(x, t, 2); }

OpUnderTest of(Loss loss) {
  return [=](const std::vector<Var>& v) { return loss(v[0], v[1]); };
}

std::vector<Tensor> pair_of(const Shape& shape) {
  return {random_tensor(shape, 1, 0, 1), random_tensor(shape, 2, 0, 1)};
}

// The second is the first with a little noise: where SSIM is far from 0.
std::vector<Tensor> close_pair(const Shape& shape) {
  Tensor x = random_tensor(shape, 1, 0, 1), t = random_tensor(shape, 2, -0.1, 0.1);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] += x.data<double>()[i];
  return {x, t};
}

Var run_case(const std::string& op, const nlohmann::json& o, const Var& x, const Var& t) {
  if (op == "fft_loss") return fft_loss(x, t);
  if (op == "fft_amplitude_loss") return fft_amplitude_loss(x, t);
  if (op == "focal_frequency_loss") return focal_frequency_loss(x, t, o["alpha"]);
  if (op == "sobel_loss") return sobel_loss(x, t);
  if (op == "gradient_loss") return gradient_loss(x, t);
  if (op == "tv_loss") return tv_loss(x);
  if (op == "ms_ssim_loss") return ms_ssim_loss(x, t, o["scales"]);
  fail(ErrorCode::invalid, "no loss ", op);
}

}  // namespace

TEST_CASE("image losses agree with PyTorch, forward and backward", "[loss]") {
  auto cases = nlohmann::json::parse(read_file(DGP_SOURCE_DIR "/tests/golden/ops/losses.json"))["cases"];
  REQUIRE(cases.size() == 20);
  for (const auto& c : cases) {
    INFO(c["op"] << " " << c["options"] << " " << c["shape"]);
    const Shape shape = c["shape"].get<Shape>();
    Var x(tensor(shape, c["x"].get<std::vector<double>>()), true);
    Var y = run_case(c["op"], c["options"], x, tensor(shape, c["t"].get<std::vector<double>>()));
    check_values(y.value(), {}, {c["y"].get<double>()}, 1e-10);
    backward(y);
    check_values(x.grad(), shape, c["grad"].get<std::vector<double>>(), 1e-9);
  }
}

TEST_CASE("losses on spectra and slopes: gradients, f32, threads", "[loss]") {
  for (Loss loss : {&fft_loss, &fft_amplitude_loss, &focal_flat, &sobel_loss, &gradient_loss, &tv}) {
    for (const Shape& shape : {Shape{3, 5, 4, 3}, {1, 3, 7, 1}}) {
      // Small steps: absolute values of many sums have a kink near any point.
      GradcheckResult result = gradcheck(of(loss), pair_of(shape), 1e-5);
      INFO(to_string(shape) << ", " << result.where);
      CHECK(result.worst <= 1e-6);
      check_large(of(loss), pair_of(shape));
    }
    check_large(of(loss), pair_of({2, 48, 50, 3}));
  }
  check_large(of(&focal), pair_of({2, 48, 50, 3}));  // its weights are constants for the gradient
}

TEST_CASE("ms_ssim_loss: gradients, f32, threads", "[loss]") {
  check_gradient(of(&ms_ssim_2), close_pair({1, 22, 23, 1}));
  check_f32(of(&ms_ssim_2), close_pair({2, 30, 25, 3}), 1e-9);  // variances: differences of near equals
  check_threads(of(&ms_ssim_2), close_pair({2, 30, 25, 3}));
  check_cuda(of(&ms_ssim_2), close_pair({2, 30, 25, 3}), 1e-9, 1e-9);
  Tensor same = random_tensor({1, 176, 177, 1}, 3, 0, 1);
  CHECK(ms_ssim_loss(same, same).value().item<double>() == Approx(0).margin(1e-12));
  auto in = close_pair({1, 16, 13, 3});
  const double ssim = ssim_loss(in[0], in[1]).value().item<double>();
  CHECK(ms_ssim_loss(in[0], in[1], 1).value().item<double>() == Approx(ssim).epsilon(1e-12));
}

TEST_CASE("rfft2 is the sum over waves, of any size", "[loss]") {
  const int64_t h = 6, w = 5;
  Tensor x = random_tensor({1, h, w, 1}, 4);
  Spectrum s = rfft2(x);
  REQUIRE(s.re.shape() == Shape{1, h, 3});
  for (int64_t u = 0; u < h; ++u)
    for (int64_t v = 0; v < 3; ++v) {
      double re = 0, im = 0;
      for (int64_t i = 0; i < h * w; ++i) {
        double angle = -2 * M_PI * (double(u * (i / w)) / double(h) + double(v * (i % w)) / double(w));
        re += x.data<double>()[i] * std::cos(angle), im += x.data<double>()[i] * std::sin(angle);
      }
      CHECK(s.re.value().data<double>()[u * 3 + v] == Approx(re).margin(1e-12));
      CHECK(s.im.value().data<double>()[u * 3 + v] == Approx(im).margin(1e-12));
    }
}

TEST_CASE("focal frequency loss without focus is the mean squared error (Parseval)", "[loss]") {
  for (const Shape& shape : {Shape{2, 9, 8, 3}, {1, 7, 5, 1}, {1, 1, 4, 2}}) {
    auto in = pair_of(shape);
    CHECK(focal_flat(in[0], in[1]).value().item<double>() ==
          Approx(mse_loss(in[0], in[1]).value().item<double>()).epsilon(1e-12));
  }
  Var x(random_tensor({1, 4, 4, 1}, 1), true);
  backward(focal(x, x.detach()));  // no largest difference to divide by
  check_values(x.grad(), {1, 4, 4, 1}, std::vector<double>(16, 0));
}

TEST_CASE("image losses: errors", "[loss]") {
  Var a = random_tensor({1, 5, 6, 3}, 1), b = random_tensor({1, 6, 5, 3}, 1), flat = random_tensor({5, 6}, 1);
  for (Loss loss : {&fft_loss, &fft_amplitude_loss, &focal, &sobel_loss, &gradient_loss, &ms_ssim_2}) {
    CHECK_THROWS_WITH(loss(a, b), ContainsSubstring("_loss: f64[1,5,6,3] and f64[1,6,5,3]"));
    CHECK_THROWS_WITH(loss(flat, flat), ContainsSubstring("_loss"));
  }
  Var line = random_tensor({1, 2, 9, 3}, 1);
  CHECK_THROWS_WITH(sobel_loss(line, line), ContainsSubstring("sobel_loss: expects images of 3x3"));
  CHECK_THROWS_WITH(tv_loss(random_tensor({1, 1, 9, 3}, 1)), ContainsSubstring("tv_loss"));
  CHECK_THROWS_WITH(focal_frequency_loss(a, a, -1), ContainsSubstring("alpha"));
  Var patch = random_tensor({1, 128, 128, 3}, 1);
  CHECK_THROWS_WITH(ms_ssim_loss(patch, patch), ContainsSubstring("images need 176x176"));
  CHECK_THROWS_WITH(ms_ssim_loss(patch, patch, 6), ContainsSubstring("1 to 5 scales"));
}
