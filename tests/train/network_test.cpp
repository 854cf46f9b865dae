// The registry of networks: the example of docs/training.md, compiled here, trained, saved, loaded.
#include "train/network.h"

#include "models/initialise.h"
#include "models/state.h"
#include "ops/conv2d.h"
#include "ops/pixel_shuffle.h"
#include "ops/pointwise.h"
#include "ops/resize.h"
#include "tensor/file.h"
#include "tests/test.h"
#include "tests/train/outcome.h"
#include "tests/train/pictures.h"
#include "train/trainer.h"

using namespace dgp;

namespace mine {

// Two convolutions, and pixel shuffle: ESPCN (Shi et al., CVPR 2016), made smaller.
struct Espcn : dgp::Network {
  int64_t scale;
  dgp::Var w1, b1, w2, b2;

  Espcn(int64_t s, const dgp::Options& options, const dgp::Rng& rng) : scale(s) {
    const auto n = static_cast<int64_t>(options.at("features"));
    w1 = dgp::Var(dgp::uniform_tensor({n, 5, 5, 3}, dgp::he_bound(75), rng.split(1)), true);
    w2 = dgp::Var(dgp::uniform_tensor({3 * s * s, 3, 3, n}, dgp::he_bound(9 * n), rng.split(2)), true);
    b1 = dgp::Var(dgp::Tensor::zeros({n}), true);
    b2 = dgp::Var(dgp::Tensor::zeros({3 * s * s}), true);
  }
  dgp::Var operator()(const dgp::Var& lr) const override {
    dgp::Var h = dgp::tanh(dgp::conv2d(lr, w1, b1, {.padding = 2}));
    return dgp::pixel_shuffle(dgp::conv2d(h, w2, b2, {.padding = 1}), scale);
  }
  void visit(const dgp::Visitor& visitor) override {
    visitor("conv1.weight", w1), visitor("conv1.bias", b1);
    visitor("conv2.weight", w2), visitor("conv2.bias", b2);
  }
};

const bool added = dgp::networks().add({"espcn",
                                        {{"features", 16, 1, 512, true}},
                                        [](int64_t scale, const dgp::Options& o, const dgp::Rng& rng) {
                                          return std::make_unique<Espcn>(scale, o, rng);
                                        }});

}  // namespace mine

TEST_CASE(
    "a network of one's own is picked by name, trained, stopped, resumed, and saved in PyTorch's layout") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  TrainConfig other = parse_config(
      "data: {train: [{hr: '" + temp / "hr" + "'}]}\nmodel: {type: espcn, scale: 2, features: 6}\n",
      "my.yml");
  config.model = other.model;
  config.validate.data = config.data.train, config.validate.every = 6, config.validate.images = 0;
  train(config);
  TrainConfig parts = config;
  parts.out = temp / "parts";
  std::atomic<bool> stop = false;
  TrainHooks hooks;
  hooks.stop = &stop;
  hooks.progress = [&](const TrainProgress& p) { stop = p.iteration == 7; };
  train(parts, hooks);
  train(parts, {}, true);
  CHECK(outcome(parts) == outcome(config));

  const SafeTensors saved = read_safetensors(config.folder() + "/last.safetensors");
  CHECK(saved.metadata.at("architecture") == "espcn");
  CHECK(saved.metadata.at("config") == R"({"scale":2,"features":6})");
  for (const auto& [name, t] : saved.tensors)
    if (name == "conv1.weight") CHECK(t.shape() == Shape{6, 3, 5, 5});

  config.model.init = config.folder() + "/last.safetensors";
  auto loaded = make_network(config);
  save_network(temp / "again.safetensors", *loaded, config);
  CHECK(read_file(temp / "again.safetensors") == read_file(config.model.init));
  config.model.options["features"] = 7;
  CHECK_THROWS_WITH(make_network(config), ContainsSubstring("espcn {\"scale\":2,\"features\":7}") &&
                                              ContainsSubstring("conv1.weight is f32[6,3,5,5]"));
}

TEST_CASE("training starts from weights of either form") {
  TempFolder temp;
  TrainConfig config =
      parse_config("data: {train: [{hr: a}]}\nmodel: {scale: 2, channels: 4, blocks: 1, init: '" +
                       temp / "f.safetensors" + "'}\n",
                   "my.yml");
  DGPNet drawn({2, 4, 1}, Rng(5));
  save_model(temp / "drawn.safetensors", drawn);
  DGPNet fused = fuse(drawn);
  save_model(temp / "f.safetensors", fused);
  auto network = make_network(config);
  CHECK(!network->dgpnet()->deploy);
  const Var x(uniform_tensor({1, 6, 5, 3}, 1, Rng(6)));
  const Tensor expected = drawn(x).value(), found = (*network)(x).value();
  for (int64_t i = 0; i < expected.numel(); ++i)
    CHECK(std::abs(found.data<float>()[i] - expected.data<float>()[i]) <= 1e-5F);

  config.model.options["channels"] = 5;
  CHECK_THROWS_WITH(make_network(config),
                    ContainsSubstring(temp / "f.safetensors") && ContainsSubstring("\"channels\":4") &&
                        ContainsSubstring("asks for") && ContainsSubstring("\"channels\":5"));
  config.model.options["channels"] = 4;
  fused.body[0].structural->weight.value().fill(0.5);
  save_model(temp / "f.safetensors", fused);
  CHECK_THROWS_WITH(make_network(config),
                    ContainsSubstring("body.0.structural") && ContainsSubstring("cannot be trained further"));
}

TEST_CASE("a trained network's file says of its parts what the library's own does") {
  TempFolder temp;
  for (const char* parts : {"", ", hg: false", ", balance: false, interaction: false"}) {
    const TrainConfig c = parse_config(
        std::string("data: {train: [{hr: a}]}\nmodel: {preset: tiny, blocks: 1, scale: 2") + parts + "}\n",
        "my.yml");
    auto network = make_network(c);
    save_network(temp / "net.safetensors", *network, c);
    CHECK(read_safetensors(temp / "net.safetensors").metadata.at("config") ==
          to_json(network->dgpnet()->config));
    CHECK(load_model(temp / "net.safetensors").config == network->dgpnet()->config);
  }
}

TEST_CASE("names of networks: unknown, and options of another network") {
  const std::string data = "data: {train: [{hr: a}]}\n";
  CHECK_THROWS_WITH(parse_config(data + "model: {type: espnc}\n", "my.yml"),
                    ContainsSubstring("did you mean \"espcn\""));
  CHECK_THROWS_WITH(parse_config(data + "model: {type: espcn, channels: 3}\n", "my.yml"),
                    ContainsSubstring("unknown key \"model.channels\""));
  CHECK_THROWS_WITH(parse_config(data + "model: {type: espcn, preset: small}\n", "my.yml"),
                    ContainsSubstring("unknown key \"model.preset\""));
  TrainConfig c = parse_config(data + "model: {preset: base}\n", "my.yml");
  CHECK(parameter_count(*make_network(c)) > 400'000);
}

TEST_CASE("docs/training.md prints the network that is compiled here") {
  const std::string page = read_file(DGP_SOURCE_DIR "/docs/training.md");
  const std::string self = read_file(DGP_SOURCE_DIR "/tests/train/network_test.cpp");
  const size_t begin = self.find("// Two convolutions"), end = self.find("}  // namespace mine");
  CHECK(page.find(self.substr(begin, end - begin - 1)) != std::string::npos);
}
