// The registry of losses: the example of docs/training.md, compiled here; names, options, sums.
#include "train/losses.h"

#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tensor/file.h"
#include "tests/test.h"
#include "train/config.h"

using namespace dgp;

static const bool added =
    dgp::losses().add({"power", {{"exponent", 4, 2, 8, true}}, [](const dgp::Options& o) {
                         return [n = o.at("exponent")](const dgp::Var& x, const dgp::Var& t) {
                           dgp::Var d = dgp::square(dgp::sub(x, t)), y = d;
                           for (int i = 2; i < n; i += 2) y = dgp::mul(y, d);
                           return dgp::mean(y);
                         };
                       }});

TEST_CASE("a loss of one's own is picked by name from the configuration, with its options") {
  REQUIRE(added);
  TrainConfig c = parse_config(
      "data: {train: [{hr: a}]}\nloss: [{type: power, weight: 0.5, exponent: 6}, {type: mse}]\n", "my.yml");
  Loss loss(c.loss);
  CHECK(loss.names() == std::vector<std::string>{"power", "mse"});
  Var x(Tensor::full({1, 2, 2, 3}, 0.5)), t(Tensor::zeros({1, 2, 2, 3}));
  std::vector<double> parts;
  Var sum = loss(x, t, parts, 0.25);
  CHECK(sum.value().item<float>() == Approx(0.5 / 64 + 0.25));
  loss(x, t, parts, 0.75);
  REQUIRE(parts.size() == 2);
  CHECK(parts[0] == Approx(0.5 / 64));
  CHECK(parts[1] == Approx(0.25));
}

TEST_CASE("names of losses: unknown, taken, given twice") {
  CHECK_THROWS_WITH(Loss({{"l7"}}), ContainsSubstring("l7"));
  CHECK_THROWS_WITH(Loss({}), ContainsSubstring("at least one"));
  CHECK_THROWS_WITH(losses().add({"l1", {}, {}}), ContainsSubstring("registered already"));
  CHECK(Loss({{"l1"}, {"l1", 2}}).names() == std::vector<std::string>{"l1", "l1_2"});
}

TEST_CASE("docs/training.md prints the loss that is compiled here, and lists every loss") {
  const std::string page = read_file(DGP_SOURCE_DIR "/docs/training.md");
  const std::string self = read_file(DGP_SOURCE_DIR "/tests/train/losses_test.cpp");
  const size_t begin = self.find("static const bool added"), end = self.find("TEST_CASE");
  CHECK(page.find(self.substr(begin, end - begin - 1)) != std::string::npos);
  for (const std::string& name : losses().names()) {
    INFO(name);
    CHECK((name == "power" || page.find("| `" + name + "` |") != std::string::npos));
  }
}
