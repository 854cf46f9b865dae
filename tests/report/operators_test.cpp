// DGConv's operators in a network, against the PyTorch reference (tests/reference/inspect_vectors.py).
#include "report/operators.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "models/state.h"
#include "report/colour.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;

namespace {

const std::string kGolden = DGP_SOURCE_DIR "/tests/golden/";

Tensor first_image(const std::string& name) {
  for (const auto& [key, value] : read_safetensors(kGolden + name + "_io.safetensors").tensors)
    if (key == "x") {
      const Tensor x = from_file_layout(value).slab(0, 1);
      return x.reshape({x.dim(1), x.dim(2), x.dim(3)});
    }
  throw std::runtime_error("no x");
}

}  // namespace

TEST_CASE("features of each operator are the reference's") {
  const auto golden = nlohmann::json::parse(std::ifstream(kGolden + "inspect.json"));
  const std::string name = golden["network"];
  DGPNet net = load_model(kGolden + name + ".safetensors");
  const Tensor image = first_image(name);
  for (const auto& [layer, expected] : golden["layers"].items()) {
    CAPTURE(layer);
    const LayerFeatures found = layer_features(net, image, layer);
    REQUIRE(found.operators.size() == expected.size());
    Tensor sum = Tensor::zeros(found.output.shape());
    for (const OperatorFeatures& o : found.operators) {
      const auto& e = expected[to_string(o.op)];
      CAPTURE(to_string(o.op));
      CHECK(o.alpha == Approx(e["alpha"].get<double>()).epsilon(1e-5));
      CHECK(o.rms == Approx(e["rms"].get<double>()).epsilon(1e-5));
      const Tensor last = channel(o.features, o.features.dim(2) - 1);
      CHECK(static_cast<double>(last.data<float>()[2 * last.dim(1) + 3]) ==
            Approx(e["at_2_3_last"].get<double>()).epsilon(1e-4).margin(1e-6));
      for (int64_t i = 0; i < sum.numel(); ++i) sum.data<float>()[i] += o.features.data<float>()[i];
    }
    NamedDGConv chosen{};
    for (const NamedDGConv& c : dgconvs(net))
      if (c.name == layer) chosen = c;
    for (int64_t i = 0; i < sum.numel(); ++i)
      sum.data<float>()[i] += chosen.conv->bias.value().data<float>()[i % sum.dim(2)];
    CHECK(relative_difference(sum, found.output) < 1e-5);
    CHECK(!chosen.conv->on_input);
  }
  CHECK_THROWS_WITH(layer_features(net, image, "body.7.structural"), ContainsSubstring("body.1.structural"));
}

TEST_CASE("a fused network has no operators to show, and the error says what is needed") {
  const DGPNet net = fuse(DGPNet({2, 4, 1, 3, 1}));
  CHECK_THROWS_WITH(check_has_operators(net, "small.safetensors"),
                    ContainsSubstring("small.safetensors") && ContainsSubstring("training form"));
}

TEST_CASE("every DGConv of a network is named once, as in its weights file") {
  DGPNet net({2, 4, 2, 3, 1});
  std::vector<std::string> names, biases;
  for (const NamedDGConv& layer : dgconvs(net)) names.push_back(layer.name + ".bias");
  net.visit([&](const std::string& name, Var&) {
    if (name.ends_with(".bias") && name.find("balance") == std::string::npos &&
        name.find("attend") == std::string::npos && !name.starts_with("upsample"))
      biases.push_back(name);
  });
  CHECK(names == biases);
}

TEST_CASE("colours run through viridis, kernels through blue, white and red") {
  const Tensor map = viridis(Tensor::from<float>({1, 4}, {-1, 0, 0.5F, 9}), 0, 1);
  const float* p = map.data<float>();
  // The ends and the middle of Matplotlib's table.
  CHECK(p[0] == Approx(0.267004).margin(2e-3));
  CHECK(p[5] == Approx(0.329415).margin(2e-3));
  CHECK(p[7] == Approx(0.566).margin(4e-3));
  CHECK(p[9] == Approx(0.993248).margin(2e-3));

  Tensor kernels = Tensor::zeros({9, 3, 3, 2});
  kernels.data<float>()[(1 * 3 + 2) * 2 + 1] = 1;  // output 0, tap (1,2), input 1
  const Tensor picture = kernel_mosaic(kernels, 1);
  REQUIRE(picture.shape() == Shape{8 * 4 - 1, 2 * 4 - 1, 4});
  const float* red = picture.data<float>() + (1 * picture.dim(1) + 4 + 2) * 4;
  CHECK((red[0] > 0.6F && red[1] < 0.2F && red[3] == 1));
  CHECK(picture.data<float>()[3 * 4 + 3] == 0);  // between two kernels: transparent
  CHECK(picture.data<float>()[0] == Approx(247 / 255.0));

  const Limits limits = limits_of(Tensor::from<float>({5}, {5, 1, 4, 2, 3}), 1);
  CHECK(limits.low == 1);
  CHECK(limits.high == 5);
}
