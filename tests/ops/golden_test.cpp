// Ops against PyTorch, forward and backward: tests/reference/ops_reference.py made the numbers.
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "ops/attention.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pad.h"
#include "ops/pixel_shuffle.h"
#include "ops/pointwise.h"
#include "ops/resize.h"
#include "ops/softmax.h"
#include "tests/ops/op_checks.h"

using namespace dgp;
using nlohmann::json;

namespace {

Tensor stored(const json& t) {
  return tensor(t["shape"].get<Shape>(), t["values"].get<std::vector<double>>());
}

Var run_case(const std::string& op, const json& o, const std::vector<Var>& v) {
  static const std::map<std::string, ResizeMode> resize_modes = {
      {"nearest", ResizeMode::nearest}, {"bilinear", ResizeMode::bilinear}, {"bicubic", ResizeMode::bicubic}};
  static const std::map<std::string, PadMode> pad_modes = {
      {"zero", PadMode::zero}, {"reflect", PadMode::reflect}, {"replicate", PadMode::replicate}};
  static const std::map<std::string, Var (*)(const Var&)> unary = {
      {"gelu", gelu}, {"silu", silu}, {"sigmoid", sigmoid},
      {"tanh", tanh}, {"exp", exp},   {"softmax", softmax}};
  if (auto f = unary.find(op); f != unary.end()) return f->second(v[0]);
  if (op == "resize") return resize(v[0], o["h"], o["w"], resize_modes.at(o["mode"]));
  if (op == "pixel_shuffle") return pixel_shuffle(v[0], o["r"]);
  if (op == "pixel_unshuffle") return pixel_unshuffle(v[0], o["r"]);
  if (op == "pad2d")
    return pad2d(v[0], {o["top"], o["bottom"], o["left"], o["right"]}, pad_modes.at(o["mode"]));
  if (op == "prelu") return prelu(v[0], v[1]);
  if (op == "layer_norm") return layer_norm(v[0], v[1], v[2], o["eps"]);
  if (op == "attention") return multi_head_attention(v[0], v[1], v[2], o["heads"]);
  if (op == "ssim_loss") return ssim_loss(v[0], v[1]);
  if (op == "l1_loss") return l1_loss(v[0], v[1]);
  if (op == "mse_loss") return mse_loss(v[0], v[1]);
  if (op == "charbonnier_loss") return charbonnier_loss(v[0], v[1]);
  if (op == "linear") return linear(v[0], v[1], v[2]);
  if (op == "matmul") return matmul(v[0], v[1]);
  fail(ErrorCode::invalid, "no op ", op);
}

}  // namespace

TEST_CASE("ops agree with PyTorch, forward and backward", "[golden]") {
  std::ifstream file(DGP_SOURCE_DIR "/tests/golden/ops/ops.json");
  json cases = json::parse(file)["cases"];
  REQUIRE(cases.size() >= 40);
  for (const json& c : cases) {
    INFO(c["op"] << " " << c["options"]);
    std::vector<Var> leaves;
    for (const json& input : c["inputs"]) leaves.emplace_back(stored(input), true);
    Var y = run_case(c["op"], c["options"], leaves);
    auto same = [](const Tensor& got, const json& want) {
      check_values(got, want["shape"].get<Shape>(), want["values"].get<std::vector<double>>(), 1e-10);
    };
    same(y.value(), c["y"]);
    backward(y, stored(c["dy"]));
    for (size_t i = 0; i < leaves.size(); ++i) same(leaves[i].grad(), c["grads"][i]);
  }
}
