// Weights files: what is saved comes back bit for bit, and a file that does not fit is refused in full.
#include "models/state.h"

#include <cstring>
#include <limits>

#include "tensor/file.h"
#include "tests/models/golden.h"
#include "tests/temp_folder.h"

using namespace dgp;

namespace {

DGPNet some_net(bool deploy = false) {
  DGPNet net({2, 4, 1, 3, 1}, Rng(8), deploy);
  net.visit(randomiser(31));
  return net;
}

// The file with one change, as its reader sees it.
SafeTensors changed(const std::function<void(SafeTensors&)>& change) {
  DGPNet net = some_net();
  SafeTensors state = state_dict(net);
  change(state);
  return state;
}

Tensor& find(SafeTensors& state, const std::string& name) {
  for (auto& [key, t] : state.tensors)
    if (key == name) return t;
  FAIL("no tensor " << name);
  return state.tensors[0].second;
}

void check_refused(const std::function<void(SafeTensors&)>& change, const std::vector<std::string>& reasons) {
  try {
    model_from(changed(change), "net.safetensors");
    FAIL_CHECK("accepted");
  } catch (const Error& e) {
    CHECK(e.code() == ErrorCode::bad_file);
    CHECK_THAT(e.what(), ContainsSubstring("net.safetensors"));
    for (const std::string& reason : reasons) CHECK_THAT(e.what(), ContainsSubstring(reason));
  }
}

}  // namespace

TEST_CASE("weights: save, load, save gives the same bits and the same results") {
  TempFolder folder;
  for (bool deploy : {false, true}) {
    DGPNet net = some_net(deploy);
    save_model(folder / "a", net);
    DGPNet back = load_model(folder / "a");
    save_model(folder / "b", back);
    CHECK(read_file(folder / "a") == read_file(folder / "b"));
    CHECK(back.deploy == deploy);
    CHECK(back.config == net.config);
    Tensor x = random_tensor({1, 6, 5, 3}, 2, DType::f32, 0, 1);
    CHECK(largest_difference(net(x).value(), back(x).value()) == 0);
  }
}

TEST_CASE("weights: either form of a file runs, with equal results") {
  TempFolder folder;
  DGPNet net = some_net(), fused = fuse(net);
  save_model(folder / "training", net);
  save_model(folder / "fused", fused);
  Tensor x = random_tensor({2, 6, 5, 3}, 2, DType::f32, 0, 1);
  CHECK(relative_l2(load_model(folder / "fused")(x).value(), load_model(folder / "training")(x).value()) <
        1e-6);
}

TEST_CASE("weights: names, layout and metadata are those of the PyTorch network") {
  for (const char* name : {"dgpnet_x4_c4_b1_k3_u1", "dgpnet_x4_c8_b2_k3_u1"}) {
    SafeTensors theirs =
        read_safetensors(std::string(DGP_SOURCE_DIR "/tests/golden/") + name + ".safetensors");
    DGPNet net = model_from(theirs, name);
    SafeTensors ours = parse_safetensors(safetensors_bytes(state_dict(net)), "ours");
    for (const char* key : {"format", "architecture", "fused"})
      CHECK(ours.metadata[key] == theirs.metadata[key]);
    REQUIRE(ours.tensors.size() == theirs.tensors.size());
    for (auto& [key, t] : theirs.tensors) {
      INFO(key);
      Tensor& u = find(ours, key);
      CHECK(u.shape() == t.shape());
      REQUIRE(u.dtype() == t.dtype());
      CHECK(std::memcmp(u.bytes(), t.bytes(), static_cast<size_t>(t.nbytes())) == 0);
    }
  }
}

TEST_CASE("weights: kernels are stored [O,I,k,k]") {
  Tensor t = Tensor::from<float>({1, 1, 2, 3}, {1, 2, 3, 4, 5, 6});  // O, ky, kx, I
  Tensor file = to_file_layout(t);
  CHECK(file.shape() == Shape{1, 3, 1, 2});
  std::vector<float> expected = {1, 4, 2, 5, 3, 6};
  for (size_t i = 0; i < 6; ++i) CHECK(file.data<float>()[i] == expected[i]);
  CHECK(largest_difference(from_file_layout(file), t) == 0);
}

TEST_CASE("weights: every mismatch is listed, and nothing is loaded") {
  DGPNet net = some_net();
  SafeTensors before = state_dict(net);
  SafeTensors state = changed([](SafeTensors& s) {
    s.tensors.erase(s.tensors.begin());
    find(s, "upsample.bias") = Tensor::zeros({5});
    find(s, "tail.bias") = Tensor::zeros({3}, DType::i64);
    s.tensors.emplace_back("stranger", Tensor::zeros({1}));
  });
  try {
    load_state_dict(net, state, "x.safetensors");
    FAIL("accepted");
  } catch (const Error& e) {
    CHECK(e.code() == ErrorCode::bad_file);
    for (const char* part :
         {"x.safetensors", "missing head.weight", "upsample.bias", "[5]", "tail.bias", "stranger"})
      CHECK_THAT(e.what(), ContainsSubstring(part));
  }
  CHECK(safetensors_bytes(state_dict(net)) == safetensors_bytes(before));
}

TEST_CASE("weights: files that would break the network are refused") {
  check_refused([](SafeTensors& s) { s.metadata.clear(); }, {"architecture"});
  check_refused([](SafeTensors& s) { s.metadata["architecture"] = "edsr"; }, {"edsr"});
  check_refused([](SafeTensors& s) { s.metadata["fused"] = "perhaps"; }, {"fused"});
  check_refused([](SafeTensors& s) { s.metadata["fused"] = "true"; }, {"unexpected"});
  check_refused([](SafeTensors& s) { s.metadata["config"] = std::string("{"); }, {"config"});
  check_refused([](SafeTensors& s) { s.metadata["config"] = std::string(100'000, '['); }, {"config"});
  for (const char* config :
       {R"({"scale":2,"channels":4,"blocks":1,"kernel":3})",
        R"({"scale":2.5,"channels":4,"blocks":1,"kernel":3,"unshuffle":1})",
        R"({"scale":2,"channels":1000000,"blocks":1000000,"kernel":3,"unshuffle":1})",
        R"({"scale":2,"channels":4,"blocks":-1,"kernel":3,"unshuffle":1})",
        R"({"scale":2,"channels":4,"blocks":1,"kernel":4,"unshuffle":1})",
        R"({"scale":2,"channels":4,"blocks":1,"kernel":1001,"unshuffle":1})",
        R"({"scale":100000,"channels":4,"blocks":1,"kernel":3,"unshuffle":100000})",
        R"({"scale":18446744073709551615,"channels":4,"blocks":1,"kernel":3,"unshuffle":1})",
        R"({"scale":0,"channels":4,"blocks":1,"kernel":3,"unshuffle":1})",
        R"({"scale":4,"channels":4,"blocks":1,"kernel":3,"unshuffle":1})"}) {
    INFO(config);
    check_refused([&](SafeTensors& s) { s.metadata["config"] = config; }, {});
  }
  check_refused([](SafeTensors& s) { find(s, "head.bias").data<float>()[1] = NAN; }, {"head.bias", "finite"});
  check_refused([](SafeTensors& s) { find(s, "tail.weight.vc").data<float>()[0] = INFINITY; }, {"finite"});
  for (int64_t location : {int64_t{-1}, int64_t{9}, std::numeric_limits<int64_t>::max()}) {
    INFO("tap " << location);
    check_refused([&](SafeTensors& s) { find(s, "head.idg_location").data<int64_t>()[0] = location; },
                  {"head.idg_location"});
  }
  check_refused(
      [](SafeTensors& s) {
        find(s, "head.idg_location") = Tensor::zeros({4, 3}, DType::u8);
      },
      {"head.idg_location", "u8"});
}
