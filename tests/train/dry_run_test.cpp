// What a few seconds of a run tell of it.
#include "train/dry_run.h"

#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/network.h"

using namespace dgp;

TEST_CASE("a dry run measures steps, and writes nothing") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.iterations = 1000, config.threads = 1;
  const DryRun found = dry_run(config, 0.2);
  CHECK(found.parameters == parameter_count(*make_network(config)));
  CHECK(found.steps >= 1);
  CHECK(found.rate > 0);
  CHECK(found.waiting >= 0);
  CHECK(found.waiting < 1);
  CHECK(found.memory > 1 << 20);
  CHECK(found.gpu_memory == 0);
  CHECK(found.seconds() == 1000 / found.rate);
  CHECK(!std::filesystem::exists(config.folder()));
  CHECK_THAT(to_text(found, config),
             ContainsSubstring("1000 steps take ") && ContainsSubstring(" GiB, with"));
  std::atomic<bool> stop = true;
  CHECK(dry_run(config, 60, &stop).steps == 1);
}
