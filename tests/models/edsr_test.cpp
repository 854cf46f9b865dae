// EDSR against PyTorch: files that PyTorch wrote, their results and gradients; and what the model promises.
#include "models/edsr.h"

#include "tests/models/golden.h"
#include "tests/temp_folder.h"

using namespace dgp;

namespace {

EDSR load(int64_t scale) {
  std::string path = DGP_SOURCE_DIR "/tests/golden/edsr_x" + std::to_string(scale) + ".safetensors";
  return edsr_from(read_safetensors(path), path);
}

void convert(EDSR& net, DType dtype) {
  net.visit([&](const std::string&, Var& v) { v.set_value(v.value().to(dtype)); });
}

}  // namespace

TEST_CASE("EDSR: files written by PyTorch give PyTorch's result and gradients") {
  for (int64_t scale : {1, 2, 3, 4}) {
    Golden io("edsr_x" + std::to_string(scale) + "_io");
    for (auto [dtype, tolerance] : {std::pair(DType::f64, 1e-10), std::pair(DType::f32, 1e-5)}) {
      INFO("scale " << scale << " " << to_string(dtype));
      EDSR net = load(scale);
      convert(net, dtype);
      Var x(io["x"].to(dtype), true);
      Var y = net(x);
      CHECK(relative_l2(y.value(), io["y"]) <= tolerance);
      backward(y, io["dy"].to(dtype));
      CHECK(relative_l2(x.grad(), io["dx"]) <= tolerance);
      net.visit(gradient_checker(io, tolerance));
    }
  }
}

TEST_CASE("EDSR: a saved file gives the same bits, a file that does not fit is refused with the reason") {
  TempFolder folder;
  EDSR net({4, 6, 2}, Rng(3));
  net.visit(randomiser(5));
  convert(net, DType::f32);
  save_model(folder / "a.safetensors", net);
  SafeTensors state = read_safetensors(folder / "a.safetensors");
  EDSR back = edsr_from(state, "a");
  Tensor x = random_tensor({1, 5, 6, 3}, 1, DType::f32);
  CHECK(largest_difference(back(x).value(), net(x).value()) == 0);

  SafeTensors lacks = state, huge = state, wrong = state;
  std::string gone = lacks.tensors.back().first;
  lacks.tensors.pop_back();
  CHECK_THROWS_WITH(edsr_from(lacks, "a"), ContainsSubstring("missing " + gone));
  huge.metadata["config"] = R"({"scale": 4, "channels": 1024, "blocks": 1000})";
  CHECK_THROWS_WITH(edsr_from(huge, "a"), ContainsSubstring("does not fit its tensors"));
  wrong.metadata["config"] = R"({"scale": 5, "channels": 6, "blocks": 2})";
  CHECK_THROWS_WITH(edsr_from(wrong, "a"), ContainsSubstring("scale expects"));
  wrong.metadata["config"] = R"({"scale": 4})";
  CHECK_THROWS_WITH(edsr_from(wrong, "a"), ContainsSubstring("channels"));
}

TEST_CASE("EDSR: parameters of the published baseline, multiply-adds of its layers") {
  EDSR net(EDSRConfig::baseline(4));
  int64_t count = 0;
  for (const Var& v : parameters(net)) count += v.value().numel();
  CHECK(count == 1517571);  // BasicSR's model zoo: EDSR_Mx4_f64b16
  int64_t body = 9 * (3 * 64 + 33 * 64 * 64), up = 9 * 64 * 256;
  CHECK(multiply_adds(net.config, 2, 3) == 6 * (body + up + 4 * up + 16 * 9 * 64 * 3));
  CHECK_THROWS_AS(EDSR({5, 8, 1}), Error);
  CHECK_THROWS_AS(EDSR({2, 0, 1}), Error);
  CHECK_THROWS_AS(net(Var(Tensor({1, 4, 4, 4}))), Error);
}
