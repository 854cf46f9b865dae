// DGPNet without some of its parts: the same function in every form, the function that it should be, its
// files and what it costs.
#include "models/parts.h"

#include "infer/plan.h"
#include "models/unfuse.h"
#include "ops/loss.h"
#include "ops/resize.h"
#include "tensor/file.h"
#include "tests/models/golden.h"
#include "tests/temp_folder.h"

using namespace dgp;

namespace {

const Without kVanilla = {Part::csg, Part::csa, Part::hg, Part::vg, Part::idg, Part::balance};

const std::vector<Without> kVariants = {kVanilla,
                                        {Part::csg},
                                        {Part::csa},
                                        {Part::hg},
                                        {Part::vg},
                                        {Part::vc},
                                        {Part::idg},
                                        {Part::balance},
                                        {Part::statistical},
                                        {Part::structural},
                                        {Part::interaction},
                                        {Part::attention},
                                        {Part::structural, Part::attention, Part::balance, Part::idg},
                                        {Part::interaction, Part::attention, Part::vc}};

std::string names(const Without& without) {
  std::string all;
  for (Part part : without)
    all += std::string(all.empty() ? "" : ", ") + kPartNames[static_cast<size_t>(part)];
  return "without " + all;
}

DGPNet random_net(const DGPNetConfig& config, DType dtype = DType::f64) {
  DGPNet net(config, Rng(9));
  net.visit(randomiser(21));
  net.to(dtype);
  return net;
}

// `part` into `whole` at `offset` along `axis`; both contiguous.
void place(const Tensor& part, const Tensor& whole, int axis, int64_t offset) {
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= whole.dim(i);
  for (int i = axis + 1; i < whole.rank(); ++i) inner *= whole.dim(i);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < part.dim(axis) * inner; ++i)
      whole.data<double>()[(o * whole.dim(axis) + offset) * inner + i] =
          part.data<double>()[o * part.dim(axis) * inner + i];
}

// The whole network, but for the balance, that computes what `net` does: parameters that `net` lacks are
// zero, what an attention does not read has zeros in its weights, gates that are not there are sigmoid(40)
// = 1.
DGPNet completed(DGPNet& net) {
  DGPNetConfig config = net.config;
  config.without = {Part::balance};
  DGPNet whole(config);
  whole.to(DType::f64);
  std::map<std::string, Var> parts;
  net.visit([&](const std::string& name, Var& v) { parts[name] = v; });
  whole.visit([&](const std::string& name, Var& v) {
    if (v.requires_grad()) v.value().fill(name.ends_with("excite.bias") ? 40 : 0);
    if (!parts.count(name)) return;
    const Tensor& part = parts[name].value();
    if (part.shape() == v.shape()) return v.value().copy_from(part);
    const int axis =
        name.ends_with("squeeze.weight") || name.ends_with("project.weight") ? part.rank() - 1 : 0;
    const bool second = name.find("attend_struct") != std::string::npos;
    place(part, v.value(), axis, second ? part.dim(axis) : 0);
  });
  return whole;
}

}  // namespace

TEST_CASE("DGPNet without parts: parallel, fused and folded are one function, in value and gradient") {
  for (const Without& without : kVariants)
    for (auto [scale, unshuffle, kernel] :
         {std::tuple<int64_t, int64_t, int64_t>(2, 1, 3), {1, 4, 3}, {1, 1, 5}}) {
      INFO(names(without) << ", scale " << scale << " unshuffle " << unshuffle << " kernel " << kernel);
      const DGPNetConfig config{scale, 6, 2, kernel, unshuffle, without};
      Tensor x = random_tensor({2, 9, 7, 3}, 5, DType::f64, 0, 1);
      DGPNet net = random_net(config);
      Var folded = net(x);
      backward(l1_loss(folded, Tensor::full(folded.shape(), 0.5, DType::f64)));
      for (Form form : {Form::fused, Form::parallel}) {
        DGPNet other = random_net(config);
        Var y = other(x, form);
        CHECK(relative_l2(y.value(), folded.value()) < 1e-12);
        backward(l1_loss(y, Tensor::full(y.shape(), 0.5, DType::f64)));
        const std::vector<Var> expected = parameters(net), found = parameters(other);
        REQUIRE(expected.size() == found.size());
        for (size_t i = 0; i < found.size(); ++i)
          CHECK(relative_l2(found[i].grad(), expected[i].grad()) < 1e-9);
      }
      DGPNet deployed = fuse(net), single = random_net(config, DType::f32);
      CHECK(relative_l2(deployed(x, Form::folded).value(), folded.value()) < 1e-12);
      CHECK(relative_l2(deployed(x, Form::fused).value(), folded.value()) < 1e-12);
      for (Form form : {Form::folded, Form::fused, Form::parallel})
        CHECK(relative_l2(single(x.to(DType::f32), form).value(), folded.value()) < 1e-5);
    }
}

TEST_CASE("DGPNet without parts is the whole network with zeros in their place") {
  for (Without without : kVariants) {
    if (without == kVanilla) continue;  // has vc in the structural branch; see below
    without.insert(Part::balance);
    INFO(names(without));
    DGPNet net = random_net({2, 6, 2, 3, 1, without});
    Tensor x = random_tensor({1, 8, 7, 3}, 5, DType::f64, 0, 1);
    Tensor expected = completed(net)(x, Form::parallel).value();
    CHECK(relative_l2(net(x).value(), expected) < 1e-12);
  }
}

TEST_CASE("DGPNet of vanilla convolutions is the fused network of the same kernels") {
  DGPNet net = random_net({2, 6, 2, 3, 1, kVanilla});
  std::map<std::string, Var> parts;
  net.visit([&](const std::string& name, Var& v) { parts[name] = v; });
  DGPNet plain({2, 6, 2, 3, 1}, Rng(1), true);
  plain.to(DType::f64);
  plain.visit([&](const std::string& name, Var& v) {
    v.value().copy_from(parts.at(parts.count(name) ? name : name + ".vc").value());
  });
  Tensor x = random_tensor({1, 8, 7, 3}, 5, DType::f64, 0, 1);
  CHECK(relative_l2(net(x).value(), plain(x).value()) < 1e-12);
}

TEST_CASE("DGConv without balance adds its kernels as they are") {
  DGConv conv(3, 4, 3, kAllOperators, Rng(5), false, false);
  conv.visit(randomiser(3), "");
  const Tensor w = conv.kernels().value(), fused = conv.fused_weight().value();
  for (int64_t i = 0; i < fused.numel(); ++i) {
    double sum = 0;
    for (int64_t j = 0; j < 6; ++j) sum += w.data<float>()[j * fused.numel() + i];
    CHECK(std::abs(sum - fused.data<float>()[i]) < 1e-6);
  }
}

TEST_CASE("DGPNet without parts starts as bilinear upsampling") {
  for (const Without& without : kVariants) {
    INFO(names(without));
    DGPNet net({2, 8, 1, 3, 1, without}, Rng(3));
    net.to(DType::f64);
    Tensor x = random_tensor({1, 9, 7, 3}, 6, DType::f64, 0, 1);
    Tensor bilinear = resize(x, 18, 14, ResizeMode::bilinear).value();
    CHECK(largest_difference(net(x).value(), bilinear) < 1e-7);  // a csa kernel of f32 is one up to rounding
  }
}

TEST_CASE("DGPNet without parts: what runs is what is counted") {
  for (const Without& without : kVariants) {
    INFO(names(without));
    const DGPNetConfig config{2, 8, 2, 3, 1, without};
    DGPNet net(config);
    const int64_t h = 5, w = 4, c = 8;
    Tensor x = random_tensor({1, h, w, 3}, 6, DType::f32, 0, 1);
    for (Form form : {Form::fused, Form::parallel}) {
      int64_t counted = h * w * 9 * c * 12;  // upsample
      for (AIIBlock& block : net.body)
        for (auto* attend : {&block.attend_stat, &block.attend_struct})
          if (*attend) counted += h * w * (*attend)->project_weight.value().numel();
      for (const NamedDGConv& layer : dgconvs(net)) {
        const auto convolutions = form == Form::fused ? 1 : static_cast<int64_t>(layer.conv->raw.size());
        const int64_t taps = layer.conv->raw[0].value().numel();
        layer.conv->on_input = [&, convolutions, taps](const Var& input) {
          counted += convolutions * taps * input.dim(1) * input.dim(2);
        };
      }
      net(x, form);
      CHECK(multiply_adds(config, form, h, w) == counted);
    }
    const double plan = Plan(net).work({h, w}, {.rows = 8, .finish_rows = 8, .keep = true});
    const int64_t convs =
        static_cast<int64_t>(dgconvs(net).size() - 2) / 2 - config.branches();  // second stage's
    const int64_t per_image = 2 * convs * (c * c * c * 9 + c * c * 9);
    CHECK(static_cast<double>(multiply_adds(config, Form::folded, h, w) - per_image) == plan);
  }
}

TEST_CASE("DGPNet without parts: parameters") {
  auto count = [](const Without& without, bool fused = false) {
    DGPNet net({1, 16, 2, 3, 4, without});
    DGPNet small = fuse(net);
    return parameter_count(fused ? small : net);
  };
  // C = 16: a raw kernel of C x C is 2304, of the head 48 x 16 x 9 = 6912, of the tail 81.
  CHECK(count({}) - count({Part::hg}) ==
        6912 + 81 + 2 * 5 * 2304 + 12 * (9 * 16 + 16 + 1));  // of each block statistical has no hg
  CHECK(count({}) - count({Part::balance}) ==
        10 * (54 * 16 + 16 + 16 * 6 + 6) + 2 * (18 * 16 + 16 + 16 * 2 + 2) + 2 * (36 * 16 + 16 + 16 * 4 + 4));
  // fused: head, tail, six DGConvs a block, two attentions of 32 channels and 4 hidden ones, upsample to 48
  const int64_t head = 6912 + 16, tail = 81 + 3, upsample = 9 * 16 * 48 + 48, conv = 2304 + 16;
  const auto attention = [](int64_t z, bool gated) {
    return z * 16 + 16 + (gated ? 4 * z + 4 + 4 * z + z : 0);
  };
  const int64_t ends = head + tail + upsample;
  CHECK(count({}, true) == ends + 2 * (6 * conv + 2 * attention(32, true)));
  CHECK(count(kVanilla, true) == count(kVanilla));
  CHECK(count(kVanilla) == count({}, true));
  CHECK(count({Part::structural}, true) == ends + 2 * (2 * conv + attention(16, true)));
  CHECK(count({Part::statistical}, true) == count({Part::structural}, true));
  CHECK(count({Part::interaction}, true) == ends + 2 * (4 * conv + 2 * attention(16, true)));
  CHECK(count({Part::attention}, true) == ends + 2 * (6 * conv + 2 * attention(32, false)));
}

TEST_CASE("DGPNet without parts: files keep what is left out, and come back bit for bit") {
  TempFolder folder;
  for (const Without& without : kVariants)
    for (bool deploy : {false, true}) {
      INFO(names(without) << (deploy ? ", fused" : ""));
      DGPNet net = random_net({2, 4, 1, 3, 1, without}, DType::f32);
      if (deploy) net = fuse(net);
      save_model(folder / "a", net);
      DGPNet back = load_model(folder / "a");
      save_model(folder / "b", back);
      CHECK(back.config == net.config);
      CHECK(read_file(folder / "a") == read_file(folder / "b"));
      Tensor x = random_tensor({1, 6, 5, 3}, 2, DType::f32, 0, 1);
      CHECK(largest_difference(net(x).value(), back(x).value()) == 0);
    }
  CHECK(to_json(DGPNetConfig{2, 4, 1, 3, 1}) ==
        R"({"scale":2,"channels":4,"blocks":1,"kernel":3,"unshuffle":1})");
  CHECK(to_json(DGPNetConfig{2, 4, 1, 3, 1, {Part::balance, Part::hg}}) ==
        R"({"scale":2,"channels":4,"blocks":1,"kernel":3,"unshuffle":1,"hg":false,"balance":false})");
}

TEST_CASE("DGPNet without parts: training goes on from fused weights") {
  for (const Without& without : kVariants) {
    INFO(names(without));
    const DGPNetConfig config{2, 4, 1, 3, 1, without};
    DGPNet source(config, Rng(2)), fused = fuse(source), net(config, Rng(4));
    set_fused(net, fused);
    Tensor x = random_tensor({1, 6, 5, 3}, 2, DType::f32, 0, 1);
    CHECK(relative_l2(net(x).value(), fused(x).value()) < 1e-5);
  }
}

TEST_CASE("DGPNet without parts: what cannot be left out is refused") {
  const std::string sizes = R"({"scale":2,"channels":4,"blocks":1,"kernel":3,"unshuffle":1)";
  DGPNet net({2, 4, 1, 3, 1});
  SafeTensors state = state_dict(net);
  for (auto [rest, reason] : {std::pair(R"(,"hg":0})", "\"hg\" must be true or false"),
                              std::pair(R"(,"hg":false})", "unexpected head.weight.hg"),
                              std::pair(R"(,"vc":false,"csa":false})", "vc or csa"),
                              std::pair(R"(,"statistical":false,"structural":false})", "expects a branch")}) {
    state.metadata["config"] = sizes + rest;
    CHECK_THROWS_WITH(model_from(state, "net.safetensors"),
                      ContainsSubstring("net.safetensors") && ContainsSubstring(reason));
  }
  state.metadata["config"] = sizes + R"(,"hg":true})";
  CHECK(model_from(state, "net.safetensors").config == net.config);
}
