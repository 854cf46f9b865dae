// LPIPS against PyTorch (tests/reference/lpips_vectors.py).
#include "models/lpips.h"

#include "models/state.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "tests/models/golden.h"
#include "tests/temp_folder.h"
#include "tests/test.h"

using namespace dgp;

TEST_CASE("LPIPS of AlexNet's and of VGG16's structure is the reference's") {
  for (const std::string name : {"alex", "vgg"}) {
    CAPTURE(name);
    const Golden golden("lpips_" + name);
    const Lpips lpips(DGP_SOURCE_DIR "/tests/golden/lpips_" + name + ".safetensors");
    CHECK(lpips.network() == std::string(name == "alex" ? "AlexNet" : "VGG16"));
    auto image = [&](const char* key) {
      const Tensor x = golden[key];
      return x.reshape({x.dim(1), x.dim(2), 3});
    };
    const Tensor a = image("a"), b = image("b");
    const double expected = golden["distance"].item<double>();
    CHECK(lpips(a, b) == Approx(expected).epsilon(1e-5));
    CHECK(lpips(b, a) == Approx(expected).epsilon(1e-5));
    CHECK(lpips(a, a) == 0);
    const int before = num_threads();
    set_num_threads(1);
    const double one = lpips(a, b);
    set_num_threads(3);
    CHECK(lpips(a, b) == one);
    set_num_threads(before);
    CHECK_THROWS_WITH(lpips(Tensor::zeros({31, 40, 3}), Tensor::zeros({31, 40, 3})),
                      ContainsSubstring("32x32"));
  }
}

TEST_CASE("a file that is no LPIPS says what it lacks") {
  TempFolder folder;
  const SafeTensors good = read_safetensors(DGP_SOURCE_DIR "/tests/golden/lpips_vgg.safetensors");
  for (const char* missing : {"lin3.model.1.weight", "net.slice4.19.weight", "net.slice5.28.bias"}) {
    CAPTURE(missing);
    SafeTensors bad = good;
    std::erase_if(bad.tensors, [&](const auto& t) { return t.first == missing; });
    write_safetensors(folder / "bad.safetensors", bad);
    CHECK_THROWS_WITH(Lpips(folder / "bad.safetensors"),
                      ContainsSubstring("bad.safetensors") && ContainsSubstring("lpips.LPIPS"));
  }
  CHECK_THROWS_AS(Lpips(DGP_SOURCE_DIR "/tests/golden/dgpnet_adam.safetensors"), Error);
}
