// EDSR's fast path against the network itself, and against itself under any number of threads.
#include "infer/edsr.h"

#include <map>

#include "tensor/parallel.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;

namespace {

EDSR random_edsr(const EDSRConfig& config, uint64_t seed) {
  EDSR net(config, Rng(seed));
  uint64_t stream = 0;
  net.visit([&](const std::string&, Var& v) {
    if (v.shape().size() == 1) v.set_value(random_tensor(v.shape(), seed * 100 + ++stream, -0.3, 0.3));
  });
  return net;
}

struct Case {
  EDSRConfig config;
  int64_t height, width;
};

// Images of one band and of many, sizes that no grid divides.
const std::vector<Case> kCases = {{{1, 8, 1}, 9, 7},   {{2, 16, 2}, 1, 1}, {{2, 8, 0}, 5, 1},
                                  {{3, 17, 2}, 13, 6}, {{4, 16, 2}, 7, 9}, {{4, 16, 1}, 61, 2049},
                                  {{8, 5, 1}, 37, 301}};

}  // namespace

TEST_CASE("EDSR: the upscaler equals the network, with the same bits for any number of threads") {
  int threads = num_threads();
  for (const Case& c : kCases) {
    CAPTURE(c.config.scale, c.config.channels, c.height, c.width);
    EDSR net = random_edsr(c.config, 3);
    Tensor lr = random_tensor({2, c.height, c.width, 3}, 4), expected;
    {
      NoGrad no_grad;
      expected = net(lr).value();
    }
    EDSRUpscaler upscaler(net);
    Tensor hr = upscaler(lr);
    CHECK(relative_difference(hr, expected) <= 1e-5);
    set_num_threads(threads == 1 ? 3 : 1);
    CHECK(same_bits(upscaler(lr), hr));
    set_num_threads(threads);
  }
}

TEST_CASE("EDSR: an observer sees every layer and all of its multiply-adds") {
  EDSR net = random_edsr({4, 8, 2}, 5);
  std::map<std::string, double> work;
  EDSRUpscaler upscaler(net, Precision::full,
                        [&](const LayerTime& step) { work[step.name] += step.multiply_adds; });
  upscaler(random_tensor({1, 21, 700, 3}, 1));
  double all = 0;
  for (const auto& [name, multiply_adds_of_it] : work) all += multiply_adds_of_it;
  CHECK(all == static_cast<double>(multiply_adds(net.config, 21, 700)));
  for (const char* name : {"conv_first", "block.1.conv2", "conv_after_body", "upsample.2", "conv_last"})
    CHECK(work[name] > 0);
}

TEST_CASE("EDSR: inputs that are no RGB images are refused") {
  EDSRUpscaler upscaler(random_edsr({2, 4, 1}, 1));
  CHECK_THROWS_AS(upscaler(Tensor({4, 4, 3})), Error);
  CHECK_THROWS_AS(upscaler(Tensor({1, 4, 4, 1})), Error);
  CHECK_THROWS_AS(upscaler(Tensor({1, 0, 4, 3})), Error);
}
