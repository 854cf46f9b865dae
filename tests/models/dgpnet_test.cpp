// DGPNet against PyTorch: files that PyTorch wrote, their results, gradients; and what the model promises.
#include "models/dgpnet.h"

#include "ops/loss.h"
#include "ops/resize.h"
#include "tests/models/golden.h"

using namespace dgp;

namespace {

const std::vector<const char*> kNetworks = {
    "dgpnet_x1_c2_b1_k3_u1", "dgpnet_x1_c2_b1_k3_u4", "dgpnet_x1_c8_b1_k3_u4", "dgpnet_x2_c2_b2_k3_u1",
    "dgpnet_x2_c5_b1_k3_u2", "dgpnet_x2_c5_b1_k5_u2", "dgpnet_x3_c2_b1_k5_u1", "dgpnet_x3_c9_b1_k3_u1",
    "dgpnet_x4_c4_b1_k3_u1", "dgpnet_x4_c8_b2_k3_u1"};

const std::vector<std::pair<int64_t, int64_t>> kScalesUnshuffles = {{1, 1}, {1, 4}, {2, 1},
                                                                    {2, 2}, {3, 1}, {4, 1}};

DGPNet load(const std::string& name) {
  return load_model(DGP_SOURCE_DIR "/tests/golden/" + name + ".safetensors");
}

}  // namespace

TEST_CASE("DGPNet: files written by PyTorch give PyTorch's result, in every form and fused here") {
  for (const char* name : kNetworks) {
    Golden io(std::string(name) + "_io");
    for (Form form : {Form::parallel, Form::fused, Form::folded}) {
      DGPNet net = load(name);
      if (net.deploy && form == Form::parallel) continue;
      INFO(name << " form " << static_cast<int>(form));
      CHECK(relative_l2(net(io["x"], form).value(), io["y"]) <= 1e-5);
      DGPNet fused = fuse(net);
      CHECK(fused.deploy);
      CHECK(relative_l2(fused(io["x"], form == Form::parallel ? Form::fused : form).value(), io["y"]) <=
            1e-5);
      // A fused file holds kernels rounded to f32; the training form computes them in double here.
      bool rounded = net.deploy;
      net.to(DType::f64);
      CHECK(relative_l2(net(io["x"].to(DType::f64), form).value(), io["y"]) <= (rounded ? 1e-6 : 1e-10));
    }
  }
}

TEST_CASE("DGPNet: every parameter's gradient is PyTorch's") {
  Golden golden("dgpnet_adam");
  for (auto [dtype, tolerance] : {std::pair(DType::f64, 1e-10), std::pair(DType::f32, 1e-5)}) {
    for (Form form : {Form::parallel, Form::fused, Form::folded}) {
      INFO(to_string(dtype) << " form " << static_cast<int>(form));
      DGPNet net({.scale = 2, .channels = 2, .blocks = 1});
      net.visit(golden.loader(dtype));
      Var loss = l1_loss(net(golden["x"].to(dtype), form), golden["target"].to(dtype));
      CHECK(relative_l2(loss.value().reshape({1}), golden["losses"].slab(0, 1)) <= tolerance);
      backward(loss);
      net.visit(gradient_checker(golden, tolerance));
    }
  }
}

TEST_CASE("DGPNet: parallel, fused and folded are one function") {
  for (auto [scale, unshuffle] : kScalesUnshuffles) {
    for (int64_t kernel : {3, 5}) {
      INFO("scale " << scale << " unshuffle " << unshuffle << " kernel " << kernel);
      DGPNet net({scale, 4, 2, kernel, unshuffle}, Rng(9));
      net.visit(randomiser(21));
      net.to(DType::f64);
      Tensor x = random_tensor({2, 9, 7, 3}, 5, DType::f64, 0, 1);
      Tensor folded = net(x).value();
      CHECK(folded.shape() == Shape{2, 9 * scale, 7 * scale, 3});
      CHECK(relative_l2(net(x, Form::fused).value(), folded) < 1e-12);
      CHECK(relative_l2(net(x, Form::parallel).value(), folded) < 1e-12);
      DGPNet deployed = fuse(net);
      CHECK(relative_l2(deployed(x, Form::folded).value(), folded) < 1e-12);
      CHECK(relative_l2(deployed(x, Form::fused).value(), folded) < 1e-12);
    }
  }
}

TEST_CASE("DGPNet: the untrained network is bilinear upsampling") {
  for (auto [scale, unshuffle] : kScalesUnshuffles) {
    INFO("scale " << scale << " unshuffle " << unshuffle);
    DGPNet net({scale, 8, 2, 3, unshuffle}, Rng(3));
    net.to(DType::f64);
    Tensor x = random_tensor({1, 9, 7, 3}, 6, DType::f64, 0, 1);
    Tensor bilinear = resize(x, 9 * scale, 7 * scale, ResizeMode::bilinear).value();
    CHECK(largest_difference(net(x).value(), bilinear) < 1e-14);
    if (scale == 1) CHECK(largest_difference(net(x).value(), x) == 0);
  }
}

TEST_CASE("DGPNet: seeds and configurations decide the initial weights, fusing leaves the source alone") {
  DGPNet one({4, 8, 1, 3, 1}, Rng(3)), same({4, 8, 1, 3, 1}, Rng(3)), other({4, 8, 1, 3, 1}, Rng(4));
  CHECK(largest_difference(one.head.raw[0].value(), same.head.raw[0].value()) == 0);
  CHECK(largest_difference(one.head.raw[0].value(), other.head.raw[0].value()) > 0);
  CHECK(largest_difference(one.head.raw[0].value(), one.head.raw[1].value()) > 0);
  Tensor x = random_tensor({1, 5, 5, 3}, 1, DType::f32, 0, 1);
  backward(l1_loss(one(x), Tensor::zeros({1, 20, 20, 3})));
  Tensor grad = one.tail.bias.grad().clone();
  fuse(one);
  CHECK(one.head.raw[0].dtype() == DType::f32);
  REQUIRE(one.tail.bias.grad().defined());
  CHECK(largest_difference(one.tail.bias.grad(), grad) == 0);
}

TEST_CASE("DGPNet: parameters and multiply-adds") {
  DGPNet net(DGPNetConfig::large(4));
  CHECK(parameter_count(net) == 13'675'245);
  DGPNet fused = fuse(net);
  CHECK(parameter_count(fused) == 2'988'292);
  auto c = DGPNetConfig::large(4);
  int64_t folded = multiply_adds(c, Form::folded, 180, 320),
          in_parallel = multiply_adds(c, Form::parallel, 180, 320);
  CHECK(static_cast<double>(in_parallel) / static_cast<double>(folded) > 5);
}

TEST_CASE("DGPNet: configurations and inputs out of range are refused") {
  for (const DGPNetConfig& config :
       {DGPNetConfig{0, 8, 1, 3, 1}, DGPNetConfig{4, 0, 1, 3, 1}, DGPNetConfig{4, 8, -1, 3, 1},
        DGPNetConfig{4, 8, 1, 4, 1}, DGPNetConfig{4, 8, 1, 3, 0}, DGPNetConfig{4, int64_t{1} << 40, 1, 3, 1}})
    CHECK_THROWS_AS(DGPNet(config), Error);
  DGPNet net({2, 4, 1, 3, 1});
  CHECK_THROWS_AS(net(Tensor::zeros({1, 4, 4, 4})), Error);
  CHECK_THROWS_AS(net(Tensor::zeros({4, 4, 3})), Error);
}
