// dgp upscale as a process: what it writes, what it refuses, how it ends.
#include <cmath>
#include <limits>

#include "image/image.h"
#include "image/metrics.h"
#include "infer/upscaler.h"
#include "models/state.h"
#include "ops/permute.h"
#include "tensor/cuda.h"
#include "tensor/isa.h"
#include "tensor/npy.h"
#include "tests/cli/run.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;
namespace fs = std::filesystem;

namespace {

// A folder with a x2 model and a few pictures.
struct Scene : TempFolder {
  DGPNet net = random_net({2, 8, 2, 3, 1}, 3);
  std::string model = path / "model.safetensors";

  Scene() { save_model(model, net); }
  std::string picture(const std::string& name, int64_t height = 9, int64_t width = 13, int64_t channels = 3,
                      int depth = 8) const {
    fs::create_directories((path / name).parent_path());
    write_image(path / name, {random_tensor({height, width, channels}, 5), depth});
    return path / name;
  }
  std::string array(const std::string& name, const Shape& shape = {2, 3, 21, 10}) const {
    write_npy(path / name, random_tensor(shape, 6));
    return path / name;
  }
  Outcome upscale(const std::string& rest, const std::string& before = "") const {
    return dgp_run("upscale -m " + model + " " + rest, before);
  }
  bool has(const std::string& name) const { return fs::exists(path / name); }
};

}  // namespace

TEST_CASE("a picture becomes what the library makes of it") {
  Scene scene;
  struct Kind {
    const char* name;
    int64_t channels;
    int depth;
  };
  for (Kind kind : {Kind{"a.png", 3, 8}, Kind{"a.png", 1, 8}, Kind{"a.png", 2, 8}, Kind{"a.png", 4, 16},
                    Kind{"a.png", 1, 16}, Kind{"a.bmp", 3, 8}}) {
    CAPTURE(kind.name, kind.channels, kind.depth);
    std::string input = scene.picture(kind.name, 19, 11, kind.channels, kind.depth);
    std::string output = scene / (std::string("out_") + kind.name);
    REQUIRE(scene.upscale(input + " -o " + output).status == 0);
    Image made = read_image(output);
    write_image(scene / (std::string("expected_") + kind.name), Upscaler(scene.net)(read_image(input)));
    Image expected = read_image(scene / (std::string("expected_") + kind.name));
    CHECK(made.pixels.shape() == Shape{38, 22, kind.channels});
    CHECK(made.depth == kind.depth);
    CHECK(same_bits(made.pixels, expected.pixels));
  }
}

TEST_CASE("what a file is, its content says") {
  Scene scene;
  fs::rename(scene.picture("a.png"), scene.path / "a.jpg");
  REQUIRE(scene.upscale(scene / "a.jpg" + " -o " + scene / "b.png").status == 0);
  CHECK(image_info(scene / "b.png").width == 26);
}

TEST_CASE("npy in, npy out: the same bits at every tile and thread count, not clamped") {
  Scene scene;
  std::string input = scene.array("x.npy");
  NoGrad no_grad;
  Tensor nhwc = permute(read_npy(input), {0, 2, 3, 1}).value();
  Tensor expected = permute(Upscaler(scene.net)(nhwc), {0, 3, 1, 2}).value();
  for (const char* options :
       {"", "--tile off", "--tile 1 --threads 1", "--tile 8 --threads 3", "--device cpu"}) {
    CAPTURE(options);
    REQUIRE(scene.upscale(input + " -o " + scene / "y.npy " + options).status == 0);
    CHECK(same_bits(read_npy(scene / "y.npy"), expected));
  }
  const float* p = expected.data<float>();
  CHECK(*std::min_element(p, p + expected.numel()) < 0);
}

TEST_CASE("training and fused form give equal results") {
  Scene scene;
  std::string input = scene.array("x.npy");
  DGPNet fused = fuse(scene.net);
  save_model(scene / "fused.safetensors", fused);
  REQUIRE(scene.upscale(input + " -o " + scene / "a.npy").status == 0);
  REQUIRE(
      dgp_run("upscale " + input + " -m " + scene / "fused.safetensors" + " -o " + scene / "b.npy").status ==
      0);
  CHECK(relative_difference(read_npy(scene / "a.npy"), read_npy(scene / "b.npy")) <= 1e-6);
}

TEST_CASE("folders are mirrored; a bad file is reported and does not stop the rest") {
  Scene scene;
  scene.picture("in/a.png");
  scene.picture("in/deep/er/b.bmp");
  scene.picture("in/z.jpg");
  fs::rename(scene.picture("in/hidden.png"), scene.path / "in/hidden");
  scene.array("in/x.npy");
  std::ofstream(scene / "in/notes.txt") << "no picture";
  Outcome good = scene.upscale(scene / "in -o " + scene / "out");
  CHECK(good.status == 0);
  for (const char* name : {"a.png", "deep/er/b.bmp", "z.jpg", "hidden.png", "x.npy"})
    CHECK(scene.has(std::string("out/") + name));
  CHECK(!scene.has("out/notes.txt"));

  std::ofstream(scene / "in/broken.png") << "\x89PNG\r\n\x1a\nnonsense";
  fs::remove_all(scene.path / "out");
  Outcome bad = scene.upscale(scene / "in -o " + scene / "out");
  CHECK(bad.status == 3);
  CHECK_THAT(bad.err, ContainsSubstring("broken.png") && ContainsSubstring("1 of 6 files failed"));
  CHECK(scene.has("out/z.jpg"));
  CHECK(!scene.has("out/broken.png"));
}

TEST_CASE("results of an earlier run inside the folder are no input") {
  Scene scene;
  scene.picture("in/a.png");
  for (int i = 0; i < 2; ++i) REQUIRE(scene.upscale(scene / "in -o " + scene / "in/out").status == 0);
  CHECK(image_info(scene / "in/out/a.png").width == 26);
  CHECK(!scene.has("in/out/out"));
}

TEST_CASE("an input is never overwritten") {
  Scene scene;
  std::string input = scene.picture("a.png");
  std::string before = contents(input);
  fs::create_hard_link(input, scene.path / "link.png");
  fs::create_directory(scene.path / "sub");
  for (const std::string& output :
       {input, scene / "sub/../a.png", scene / "link.png", scene.path.string(), scene.path.string() + "/"}) {
    CAPTURE(output);
    Outcome outcome = scene.upscale(input + " -o " + output);
    CHECK(outcome.status == 2);
    CHECK_THAT(outcome.err, ContainsSubstring("overwrite"));
  }
  CHECK(scene.upscale(scene.path.string() + " -o " + scene.path.string()).status == 2);
  CHECK(contents(input) == before);
}

TEST_CASE("two results of one name are refused") {
  Scene scene;
  Outcome outcome =
      scene.upscale(scene.picture("p/a.png") + " " + scene.picture("q/a.png") + " -o " + scene / "out");
  CHECK(outcome.status == 2);
  CHECK_THAT(outcome.err, ContainsSubstring("would both become"));
}

TEST_CASE("exit status 2: usage and configuration") {
  Scene scene;
  std::string input = scene.picture("a.png"), output = " -o " + scene / "b.png";
  for (const std::string& arguments :
       {std::string(""), std::string("nonsense"), std::string("upscale"), "upscale " + input,
        "upscale " + input + output + " -m no-such-name", "upscale " + input + output + " --nonsense"})
    CHECK(dgp_run(arguments).status == 2);
  for (const std::string options : {"--tile 0", "--tile -3", "--tile 12x", "--device cuda", "--device tpu",
                                    "--threads -1", "--threads many"})
    CHECK(scene.upscale(input + output + " " + options).status == 2);
  CHECK(scene.upscale(input + " -o " + scene / "b.tiff").status == 2);
  CHECK(scene.upscale(input + " -o " + scene / "b.npy").status == 2);
}

TEST_CASE("device cuda says what is missing: CUDA in the build (2), or a GPU (4)") {
  Scene scene;
  std::string arguments = scene.picture("a.png") + " -o " + scene / "b.png" + " --device cuda";
  Outcome outcome = scene.upscale(arguments);
  if (!cuda::built()) {
    CHECK(outcome.status == 2);
    CHECK_THAT(outcome.err, ContainsSubstring("no CUDA support"));
  } else if (!cuda::status().empty()) {
    CHECK(outcome.status == 4);
    CHECK_THAT(outcome.err, ContainsSubstring("no GPU can be used here"));
  }
}

TEST_CASE("precision fast: nearly the same picture, or a refusal (4) where the CPU cannot") {
  Scene scene;
  std::string input = scene.picture("a.png", 60, 52);
  REQUIRE(scene.upscale(input + " -o " + scene / "full.png").status == 0);
  Outcome outcome = scene.upscale(input + " -o " + scene / "fast.png --precision fast");
  if (!has_bf16()) {
    CHECK(outcome.status == 4);
    CHECK_THAT(outcome.err, ContainsSubstring("AVX512-BF16"));
    return;
  }
  REQUIRE(outcome.status == 0);
  double same = psnr(read_rgb8(scene / "full.png"), read_rgb8(scene / "fast.png"), 0, false);
  CHECK(same > 30);            // of random weights, which amplify more than trained ones
  CHECK(std::isfinite(same));  // not simply the other computation
}

TEST_CASE("exit status 3: bad input files and models") {
  Scene scene;
  std::string input = scene.picture("a.png"), output = " -o " + scene / "b.png";
  std::ofstream(scene / "empty.png").flush();
  std::ofstream(scene / "text.png") << "hello, this is no picture";
  std::ofstream(scene / "bad.safetensors") << "hello";
  fs::create_directory(scene.path / "folder");
  CHECK(scene.upscale(scene / "missing.png" + output).status == 3);
  CHECK(scene.upscale(scene / "empty.png" + output).status == 3);
  CHECK(scene.upscale(scene / "text.png" + output).status == 3);
  CHECK(scene.upscale(scene / "folder -o " + scene / "out").status == 3);
  CHECK(dgp_run("upscale " + input + output + " -m " + scene / "bad.safetensors").status == 3);
  CHECK(dgp_run("upscale " + input + output + " -m " + scene / "missing.safetensors").status == 3);
  for (const Shape& shape : {Shape{3, 8, 8}, Shape{1, 4, 8, 8}, Shape{1, 3, 0, 8}})
    CHECK(scene.upscale(scene.array("x.npy", shape) + " -o " + scene / "y.npy").status == 3);
  CHECK(!scene.has("b.png"));
  CHECK(!scene.has("y.npy"));
}

TEST_CASE("exit status 4: out of memory") {
  Scene scene;
  std::string input = scene / "x.npy";
  write_npy(input, Tensor::zeros({1, 3, 2000, 2000}));
  Outcome outcome = scene.upscale(input + " -o " + scene / "y.npy --threads 1", "ulimit -v 400000;");
  if (outcome.status == 127 || outcome.err.find("Sanitizer") != std::string::npos)
    return;  // no room to start
  CHECK(outcome.status == 4);
  CHECK(!scene.has("y.npy"));
}

TEST_CASE("exit status 5: results that cannot be written") {
  Scene scene;
  std::string input = scene.picture("a.png");
  std::ofstream(scene / "file") << "in the way";
  CHECK(scene.upscale(input + " -o " + scene / "file/b.png").status == 5);
  CHECK(dgp_run("info " + input + " >/dev/full; exit $?; true").status == 5);
}

TEST_CASE("exit status 6: not a number; 3 where a file of weights says so") {
  Scene scene;
  Tensor x = random_tensor({1, 3, 9, 9}, 1);
  x.data<float>()[17] = std::numeric_limits<float>::infinity();
  write_npy(scene / "x.npy", x);
  CHECK(scene.upscale(scene / "x.npy -o " + scene / "y.npy").status == 6);
  scene.net.upsample_weight.value().fill(3e38);  // finite, but what they make is not
  save_model(scene / "huge.safetensors", scene.net);
  std::string arguments = "upscale " + scene.picture("a.png") + " -o " + scene / "b.png -m ";
  CHECK(dgp_run(arguments + scene / "huge.safetensors").status == 6);
  scene.net.tail.bias.value().data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  save_model(scene / "nan.safetensors", scene.net);
  Outcome outcome = dgp_run(arguments + scene / "nan.safetensors");
  CHECK(outcome.status == 3);
  CHECK_THAT(outcome.err, ContainsSubstring("tail.bias"));
  CHECK(!scene.has("b.png"));
}

TEST_CASE("interrupted: 130 or 143, nothing left behind") {
  Scene scene;
  DGPNet large(DGPNetConfig::large(4));
  save_model(scene / "large.safetensors", large);
  fs::create_directory(scene.path / "out");
  std::string input = scene.picture("big.png", 1200, 1600);
  for (auto [name, status] : {std::pair{"INT", 130}, std::pair{"TERM", 143}}) {
    Outcome outcome =
        dgp_run("upscale " + input + " -o " + scene / "out/big.png -m " + scene / "large.safetensors",
                std::string("timeout --preserve-status -s ") + name + " 1.5");
    CHECK(outcome.status == status);
    CHECK(fs::is_empty(scene.path / "out"));
  }
}

TEST_CASE("a pipe gets plain lines, and nothing with -q") {
  Scene scene;
  std::string arguments = scene.picture("a.png") + " -o " + scene / "b.png";
  Outcome plain = scene.upscale(arguments), quiet = scene.upscale(arguments + " -q");
  CHECK_THAT(plain.err, ContainsSubstring("13x9 -> 26x18") && ContainsSubstring("Mpx/s"));
  CHECK(plain.err.find('\r') == std::string::npos);
  CHECK(quiet.err.empty());
  CHECK(quiet.out.empty());
}

TEST_CASE("a bundled model is found by its name") {
  Scene scene;
  fs::create_directory(scene.path / "weights");
  fs::copy(scene.model, scene.path / "weights/mine.safetensors");
  CHECK(dgp_run("upscale " + scene.picture("a.png") + " -o " + scene / "b.png -m mine",
                "DGP_WEIGHTS='" + scene / "weights" + "'")
            .status == 0);
}
