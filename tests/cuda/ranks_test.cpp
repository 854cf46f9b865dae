// Training as several ranks, each with a GPU of its own or sharing one, through mpirun.
#ifdef DGP_MPIRUN

#include "tests/ranks.h"

#include <cmath>

#include "tests/cli/run.h"
#include "tests/test.h"
#include "tests/train/outcome.h"
#include "tests/train/pictures.h"

using namespace dgp;

TEST_CASE("two ranks train on GPUs as one process does, by NCCL and without it to the same bits") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.device = "cuda", config.iterations = 3, config.threads = 1, config.accumulate = 2;
  config.data.batch = 5, config.data.patch = 8, config.log.every = 1;
  config.optimizer = {"sgd", 0.05};
  auto run = [&](const std::string& name, const std::string& before) {
    config.out = temp / name;
    write_file(temp / name + ".yml", to_yaml(config));
    const Outcome result = dgp_run("train " + (temp / name) + ".yml", "DGP_EMULATOR_QUICK=1 " + before);
    INFO(result.err);
    REQUIRE(result.status == 0);
    return result.out;
  };
  run("one", "");
  const std::string one = outcome(config);
  const auto weights = read_safetensors(config.out + "/last.safetensors").tensors;
  CHECK_THAT(run("shared", on_ranks(2)), ContainsSubstring("gradients through the CPU's memory"));
  const std::string shared = outcome(config);
  CHECK_THAT(run("apart", "DGP_EMULATOR_DEVICES=2 " + on_ranks(2)), ContainsSubstring("gradients by NCCL"));
  CHECK(outcome(config) == shared);
  CHECK(shared != one);  // summed in another order
  const auto apart = read_safetensors(config.out + "/last.safetensors").tensors;
  double error = 0, largest = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i].second.dtype() != DType::f32) continue;
    for (int64_t j = 0; j < weights[i].second.numel(); ++j) {
      const double w = weights[i].second.data<float>()[j];
      error = std::max(error, std::abs(double{apart[i].second.data<float>()[j]} - w));
      largest = std::max(largest, std::abs(w));
    }
  }
  CHECK(error < 1e-6 * largest);
}

#endif
