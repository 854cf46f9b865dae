// Perceptual loss and discriminator against PyTorch (tests/reference/adversarial_vectors.py); adversarial
// runs.
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/state.h"
#include "ops/pointwise.h"
#include "tensor/file.h"
#include "tests/models/golden.h"
#include "tests/test.h"
#include "tests/train/outcome.h"
#include "tests/train/pictures.h"
#include "train/discriminator.h"
#include "train/perceptual.h"
#include "train/trainer.h"

using namespace dgp;

namespace {

const std::string kVgg = DGP_SOURCE_DIR "/tests/golden/perceptual.safetensors";

nlohmann::json golden(const char* part) {
  return nlohmann::json::parse(read_file(DGP_SOURCE_DIR "/tests/golden/adversarial.json"))[part];
}

Tensor tensor_of(const nlohmann::json& values, const Shape& shape) {
  return Tensor::from<double>(shape, values.get<std::vector<double>>());
}

// Of what PyTorch started from: f32 numbers, printed with the nine digits that tell them apart.
Tensor input_of(const nlohmann::json& values, const Shape& shape) {
  return tensor_of(values, shape).to(DType::f32).to(DType::f64);
}

void check_close(const Tensor& got, const nlohmann::json& want, double limit = 1e-9) {
  CHECK(relative_l2(got, tensor_of(want, got.shape())) <= limit);
}

// A vector that PyTorch keeps in its own order of axes, as [1,k,k,I] or a kernel.
Tensor from_torch(const nlohmann::json& values, const Shape& shape) {
  if (shape.size() != 4) return tensor_of(values, shape);
  return from_file_layout(tensor_of(values, {shape[0], shape[3], shape[1], shape[2]}));
}

LossTerm perceptual_term(double weight) { return {"perceptual", weight, {}, kVgg}; }

}  // namespace

TEST_CASE("the perceptual loss and its gradient are PyTorch's") {
  const auto g = golden("perceptual");
  const Shape shape = g["shape"].get<Shape>();
  const Options weights = with_defaults(*losses().find("perceptual"), {});
  Var x(input_of(g["x"], shape), true);
  Var loss = Vgg19(kVgg).distance(x, input_of(g["t"], shape), weights);
  CHECK(loss.value().item<double>() == Approx(g["loss"].get<double>()).epsilon(1e-9));
  backward(loss);
  check_close(x.grad(), g["grad"], 1e-8);
}

TEST_CASE("the discriminator, its gradients and its spectral vectors are PyTorch's") {
  const auto g = golden("discriminator");
  Discriminator net(2, Rng(1));
  const auto& state = g["state"];
  size_t names = 0;
  net.visit([&](const std::string& name, Var& v) {
    INFO(name);
    REQUIRE(state.contains(name));
    v.set_value(from_torch(state[name]["values"], v.shape()).to(DType::f32).to(DType::f64));
    ++names;
  });
  CHECK(names == state.size());
  const Shape shape = g["shape"].get<Shape>();
  Var x(input_of(g["x"], shape), true);
  Var y = net(x);
  check_close(y.value(), g["y"]);
  backward(y, input_of(g["seed"], y.shape()));
  check_close(x.grad(), g["grad"]);
  net.visit([&](const std::string& name, Var& v) {
    INFO(name);
    const bool buffer = g["after"].contains(name);
    const Tensor want = from_torch(buffer ? g["after"][name] : g["gradients"][name], v.shape());
    CHECK(relative_l2(buffer ? v.value() : v.grad(), want) <= 1e-7);
  });
  net.visit([&](const std::string&, Var& v) {
    if (v.requires_grad()) v.set_grad({});
  });
  Var z(input_of(g["x"], shape), true);
  backward(net(z, true), input_of(g["seed"], y.shape()));
  CHECK(z.grad().defined());
  net.visit([&](const std::string&, Var& v) { CHECK((!v.requires_grad() || !v.grad().defined())); });
}

TEST_CASE("adversarial losses are PyTorch's, also far from zero") {
  Tensor z({7}, DType::f64), far({2}, DType::f64);
  for (int i = 0; i < 7; ++i) z.data<double>()[i] = i - 3;
  far.data<double>()[0] = 800, far.data<double>()[1] = -800;
  for (const char* type : {"vanilla", "lsgan", "hinge"}) {
    INFO(type);
    const auto want = golden("losses")[type];
    CHECK(generator_loss(type, z).value().item<double>() == Approx(want[0].get<double>()));
    CHECK(real_loss(type, z).value().item<double>() == Approx(want[1].get<double>()));
    CHECK(fake_loss(type, z).value().item<double>() == Approx(want[2].get<double>()));
  }
  CHECK(fake_loss("vanilla", far).value().item<double>() == Approx(400));
  Var zero(Tensor::zeros({1}, DType::f64), true);
  backward(fake_loss("vanilla", zero));
  CHECK(zero.grad().data<double>()[0] == Approx(0.5));
}

TEST_CASE("an adversarial run stops and resumes to the same bits, its optimiser's state included") {
  TempFolder temp;
  TrainConfig whole = small_run(temp);
  whole.data.patch = 16, whole.log.every = 1, whole.iterations = 6, whole.checkpoint.every = 2;
  whole.loss = {{"l1"}, perceptual_term(0.1)};
  whole.accumulate = 2;
  for (const char* type : {"vanilla", "lsgan", "hinge"}) {
    INFO(type);
    whole.gan.type = type, whole.gan.features = 2, whole.gan.alone = 1;
    whole.out = temp / type;
    CHECK(train(whole).skipped == 0);
    TrainConfig parts = whole;
    parts.out = temp / (std::string(type) + "-parts");
    std::atomic<bool> stop = false;
    TrainHooks hooks;
    hooks.stop = &stop;
    hooks.progress = [&](const TrainProgress& p) { stop = p.iteration == 3; };
    train(parts, hooks);
    train(parts, {}, true);
    CHECK(outcome(parts) == outcome(whole));
  }
  std::istringstream lines(read_file(whole.folder() + "/metrics.jsonl"));
  std::string line;
  std::getline(lines, line);
  const auto json = nlohmann::json::parse(line)["losses"];
  for (const char* name : {"l1", "perceptual", "gan", "d_real", "d_fake"}) CHECK(json.contains(name));
  CHECK(json["perceptual"].get<double>() > 0);
}

TEST_CASE("a discriminator learns alone at first, and tells originals from results") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.data.patch = 16, config.data.batch = 4, config.log.every = 1, config.iterations = 60;
  config.gan.type = "vanilla", config.gan.features = 4, config.gan.alone = 60, config.gan.optimizer.lr = 5e-3;
  config.schedule.type = "constant", config.ema = 0;
  std::vector<double> seen;
  TrainHooks hooks;
  hooks.on_batch = [](int64_t, Batch& batch) {  // originals of black and white dots
    for (int64_t i = 0; i < batch.hr.numel(); ++i) batch.hr.data<float>()[i] = static_cast<float>(i / 3 % 2);
  };
  hooks.progress = [&](const TrainProgress& p) { seen.push_back(p.terms[2].second + p.terms[3].second); };
  train(config, hooks);
  CHECK(seen.back() < 0.8 * seen.front());
  TrainConfig untrained = config;
  untrained.iterations = 1, untrained.optimizer.lr = 0, untrained.gan.type = "none",
  untrained.out = temp / "untrained";
  train(untrained);
  CHECK(read_file(config.folder() + "/last.safetensors") ==
        read_file(untrained.folder() + "/last.safetensors"));
}

TEST_CASE("mistakes in perceptual and adversarial configurations are told") {
  const std::string data = "data: {patch: 9, train: [{hr: a}]}\n";
  auto parse = [&](const std::string& rest) { return parse_config(data + rest, "my.yml"); };
  CHECK_THROWS_WITH(parse("loss: {perceptual: 1}\n"), ContainsSubstring("weights: FILE"));
  CHECK_THROWS_WITH(parse("loss: [{type: perceptual}]\n"),
                    ContainsSubstring("loss.0.weights: expects a weights file"));
  CHECK_THROWS_WITH(parse("gan: {type: wgan}\n"), ContainsSubstring("gan.type: expects one of"));
  CHECK_THROWS_WITH(parse("gan: {type: hinge}\n"),
                    ContainsSubstring("multiple of 8 pixels") && ContainsSubstring("36"));
  TrainConfig c = parse(
      "loss: [{type: perceptual, weights: v.safetensors, conv5_4: 0.5}]\nmodel: {scale: 8}\n"
      "gan: {type: hinge, optimizer: {type: adan, lr: 2e-4}}\n");
  CHECK(c.loss[0].weights == "v.safetensors");
  CHECK(c.loss[0].options.at("conv5_4") == 0.5);
  CHECK(c.gan.optimizer.options.at("beta3") == 0.99);
  CHECK(to_yaml(parse_config(to_yaml(c), "again.yml")) == to_yaml(c));
  CHECK_THROWS_WITH(
      Vgg19(DGP_SOURCE_DIR "/tests/golden/dgconv_all_k3.safetensors"),
      ContainsSubstring("expected torchvision's vgg19") && ContainsSubstring("features.0.weight"));
}
