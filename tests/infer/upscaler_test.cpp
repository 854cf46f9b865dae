// The upscaler against the network itself, and against itself under every tiling and number of threads.
#include "infer/upscaler.h"

#include <limits>
#include <map>

#include "image/resize.h"
#include "tensor/parallel.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;

namespace {

struct Threads {
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before = num_threads();
};

Tensor run_network(const DGPNet& net, const Tensor& lr) {
  NoGrad no_grad;
  return net(lr, Form::fused).value();
}

struct Case {
  DGPNetConfig config;
  int64_t height, width;
};

const std::vector<Case> kCases = {
    {{4, 16, 2, 3, 1}, 1, 1},
    {{4, 16, 2, 3, 1}, 1, 9},
    {{4, 8, 1, 3, 1}, 9, 1},
    {{3, 17, 2, 3, 1}, 5, 7},
    {{2, 8, 3, 5, 1}, 61, 67},
    {{4, 12, 2, 5, 1}, 5, 7},
    {{1, 8, 2, 3, 4}, 61, 67},
    {{2, 8, 2, 3, 2}, 7, 5},
    {{1, 8, 1, 5, 2}, 33, 18},
    {{1, 8, 1, 3, 1}, 13, 11},
    {{3, 8, 2, 1, 1}, 9, 6},
    {{2, 8, 1, 7, 1}, 21, 12},
    {{4, 16, 0, 3, 1}, 10, 10},
    {{1, 8, 2, 3, 4, {Part::structural}}, 61, 67},
    {{2, 8, 2, 3, 1, {Part::interaction, Part::balance}}, 21, 12},
    {{2, 8, 1, 5, 1, {Part::statistical, Part::attention}}, 33, 18},
};

}  // namespace

TEST_CASE("upscaler equals the network") {
  for (const Case& c : kCases) {
    CAPTURE(c.config.scale, c.config.channels, c.config.kernel, c.config.unshuffle, c.height, c.width);
    DGPNet net = random_net(c.config, 5);
    Tensor lr = random_tensor({2, c.height, c.width, 3}, 6), expected = run_network(net, lr);
    CHECK(relative_difference(Upscaler(net)(lr), expected) <= 1e-5);
    CHECK(relative_difference(Upscaler(fuse(net))(lr), expected) <= 1e-5);
  }
}

TEST_CASE("every tile height and number of threads gives the same bits") {
  for (const Case& c : kCases) {
    CAPTURE(c.config.scale, c.config.channels, c.config.kernel, c.config.unshuffle, c.height, c.width);
    DGPNet net = fuse(random_net(c.config, 7));
    Tensor lr = random_tensor({1, c.height, c.width, 3}, 8);
    Tensor expected;
    {
      Threads one(1);
      expected = Upscaler(net, {.tile_rows = -1})(lr);
    }
    for (int64_t rows : {0, 1, 8, 28, 1000})
      for (int threads : {1, 3}) {
        CAPTURE(rows, threads);
        Threads several(threads);
        CHECK(same_bits(Upscaler(net, {.tile_rows = rows})(lr), expected));
      }
  }
}

TEST_CASE("images of a batch do not see each other") {
  DGPNet net = random_net({2, 8, 2, 3, 1}, 1);
  Tensor lr = random_tensor({3, 9, 14, 3}, 2);
  Upscaler upscaler(net);
  Tensor all = upscaler(lr);
  for (int64_t n = 0; n < 3; ++n) CHECK(same_bits(upscaler(lr.slab(n, 1)), all.slab(n, 1)));
}

TEST_CASE("an untrained network leaves a picture of scale 1 as it is") {
  Tensor lr = random_tensor({1, 17, 22, 3}, 3);
  CHECK(relative_difference(Upscaler(DGPNet({1, 8, 2, 3, 4}))(lr), lr) <= 1e-6);
}

TEST_CASE("grey stays grey") {
  Upscaler upscaler(random_net({2, 8, 1, 3, 1}, 1));
  Image grey{random_tensor({9, 7, 1}, 2), 16};
  Tensor rgb({1, 9, 7, 3});
  for (int64_t i = 0; i < rgb.numel(); ++i) rgb.data<float>()[i] = grey.pixels.data<float>()[i / 3];
  Image result = upscaler(grey);
  Tensor expected = upscaler(rgb);
  REQUIRE(result.pixels.shape() == Shape{18, 14, 1});
  CHECK(result.depth == 16);
  for (int64_t i = 0; i < result.pixels.numel(); ++i) {
    const float* p = expected.data<float>() + 3 * i;
    CHECK(result.pixels.data<float>()[i] == Approx(0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]).epsilon(1e-5));
  }
}

TEST_CASE("alpha is resized, and colour of transparent pixels does not matter") {
  Upscaler upscaler(random_net({2, 8, 1, 3, 1}, 1));
  Image image{random_tensor({12, 10, 4}, 3), 8};
  Tensor alpha({12, 10, 1});
  for (int64_t i = 0; i < 120; ++i) {
    bool hidden = i % 10 < 3;
    if (hidden) image.pixels.data<float>()[4 * i + 3] = 0;
    alpha.data<float>()[i] = image.pixels.data<float>()[4 * i + 3];
  }
  Image result = upscaler(image);
  REQUIRE(result.pixels.shape() == Shape{24, 20, 4});
  Tensor expected = imresize(alpha, 2.0);
  for (int64_t i = 0; i < expected.numel(); ++i)
    REQUIRE(result.pixels.data<float>()[4 * i + 3] == expected.data<float>()[i]);

  Image other{image.pixels.clone(), 8};
  for (int64_t i = 0; i < 120; ++i)
    for (int64_t c = 0; c < 3 && i % 10 < 3; ++c) other.pixels.data<float>()[4 * i + c] = 0.77F;
  CHECK(same_bits(upscaler(other).pixels, result.pixels));
}

TEST_CASE("rows are streamed from the top, each once") {
  Upscaler upscaler(random_net({3, 8, 2, 5, 1}, 4), {.tile_rows = 8});
  Image image{random_tensor({29, 11, 3}, 5), 8};
  Image whole = upscaler(image);
  int64_t next = 0;
  upscaler.stream(image, [&](const Tensor& rows, int64_t first) {
    REQUIRE(first == next);
    CHECK(same_bits(rows, whole.pixels.slab(first, rows.dim(0))));
    next += rows.dim(0);
  });
  CHECK(next == 87);
}

TEST_CASE("progress rises to one, and can cancel") {
  double last = 0;
  for (int64_t rows : {-1, 4}) {
    last = 0;
    UpscalerOptions options{.tile_rows = rows, .progress = [&](double fraction) {
                              CHECK(fraction >= last);
                              last = fraction;
                              return true;
                            }};
    Upscaler(random_net({2, 8, 2, 3, 2}, 1), options)(random_tensor({2, 33, 21, 3}, 2));
    CHECK(last == Approx(1));
  }
  Upscaler cancelled(random_net({2, 8, 2, 3, 1}, 1), {.progress = [](double) { return false; }});
  CHECK_THROWS_AS(cancelled(random_tensor({1, 8, 8, 3}, 2)), Cancelled);
}

TEST_CASE("an observer sees every step, and all multiply-adds") {
  for (int64_t unshuffle : {1, 2}) {
    DGPNetConfig config{2, 8, 2, 3, unshuffle};
    DGPNet net = random_net(config, 1);
    Tensor lr = random_tensor({1, 20, 14, 3}, 2);
    for (int64_t rows : {-1, 8}) {
      CAPTURE(unshuffle, rows);
      std::map<std::string, double> work, bytes;
      auto observe = [&](const LayerTime& step) {
        CHECK(step.seconds >= 0);
        work[step.name] += step.multiply_adds;
        bytes[step.name] += step.bytes;
      };
      CHECK(same_bits(Upscaler(net, {.tile_rows = rows, .observe = observe})(lr), Upscaler(net)(lr)));
      double pixels = 280.0 / static_cast<double>(unshuffle * unshuffle);
      CHECK(work.size() == 1 + 2 * 4 + 4);  // head, two blocks of four steps, four behind them
      CHECK(work["head"] == pixels * 9 * 3 * static_cast<double>(unshuffle * unshuffle) * 8);
      CHECK(work["block.1.first"] >= pixels * 9 * 8 * 16);
      CHECK(work["block.1.second"] == pixels * 9 * 16 * 8);
      CHECK(work["tail"] == 280 * 4 * 9 * 3 * 3);
      CHECK(bytes["block.0.second"] == pixels * 4 * (16 + 8 + 8));
      CHECK(bytes["check"] == 280 * 4 * 3 * 4);
    }
  }
}

TEST_CASE("what is not finite is an error") {
  float bad = std::numeric_limits<float>::quiet_NaN();
  auto code_of = [](auto&& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::locked;  // nothing was thrown
  };
  DGPNet net = random_net({2, 8, 1, 3, 1}, 1);
  Tensor lr = random_tensor({1, 9, 9, 3}, 2);
  lr.data<float>()[40] = bad;
  CHECK(code_of([&] { Upscaler{net}(lr); }) == ErrorCode::numeric);
  net.upsample_bias.value().data<float>()[3] = bad;
  CHECK(code_of([&] { Upscaler{net}; }) == ErrorCode::numeric);
}

TEST_CASE("wrong input is refused with its shape") {
  Upscaler upscaler(random_net({1, 8, 1, 3, 4}, 1));
  CHECK_THROWS_WITH(upscaler(Tensor::zeros({1, 4, 4, 1})), ContainsSubstring("[1,4,4,1]"));
  CHECK_THROWS_WITH(upscaler(Tensor::zeros({1, 0, 4, 3})), ContainsSubstring("empty"));
  CHECK_THROWS_WITH(upscaler(Tensor::zeros({1, 2, 8, 3})), ContainsSubstring("too small"));
}
