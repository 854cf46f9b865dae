// Several processes that train as one. What is true inside them are hidden cases, [.rank], that the case
// which names them runs under mpirun.
#include "train/ranks.h"

#include <cmath>

#include "tests/test.h"
#include "tests/train/outcome.h"
#include "tests/train/pictures.h"
#include "train/learner.h"
#include "train/trainer.h"

using namespace dgp;

namespace {

// This process's rank; it stays in the job until the process ends, as MPI wants it.
Ranks& job() {
  static Ranks ranks;
  static const bool joined = (ranks.join(), std::atexit([] { ranks.leave(0); }) == 0);
  REQUIRE(joined);
  return ranks;
}

// Numbers of very different sizes, which float addition in another order would show.
float value(int64_t rank, int64_t i) {
  Rng rng = Rng(7).split(static_cast<uint64_t>(rank)).split(static_cast<uint64_t>(i));
  return static_cast<float>(std::ldexp(rng.uniform() - 0.5, static_cast<int>(rng.below(40))));
}

}  // namespace

TEST_CASE("a process that no launcher started is a job of one") {
  Ranks alone;
  Tensor x = Tensor::full({3}, 2);
  std::vector<double> values{1.5};
  std::string text = "as it was";
  alone.sum({x});
  alone.sum(values);
  alone.broadcast(x);
  alone.broadcast(text);
  CHECK(x.data<float>()[1] == 2);
  CHECK(values[0] == 1.5);
  CHECK(text == "as it was");
  CHECK(alone.gather("mine") == std::vector<std::string>{"mine"});
  CHECK(alone.largest(-4) == -4);
  CHECK((alone.first() && alone.size() == 1 && alone.threads() >= 1));
  alone.leave(3);  // not part of a job: nothing to leave
}

TEST_CASE("sums, broadcasts and gathered texts", "[.rank]") {
  Ranks& ranks = job();
  const int64_t n = ranks.size();
  REQUIRE(n > 1);
  // 1 + 20000 elements: no multiple of any number of ranks.
  std::vector<Tensor> tensors{Tensor({1}), Tensor({4, 5000})};
  for (int64_t i = 0; i < 20001; ++i)
    tensors[i > 0].data<float>()[i > 0 ? i - 1 : 0] = value(ranks.rank(), i);
  ranks.sum(tensors);
  int64_t wrong = 0;
  for (int64_t i = 0; i < 20001; ++i) {
    double sum = 0;
    for (int64_t r = 0; r < n; ++r) sum += double{value(r, i)};
    wrong += tensors[i > 0].data<float>()[i > 0 ? i - 1 : 0] != static_cast<float>(sum);
  }
  CHECK(wrong == 0);

  std::vector<double> numbers{1.0 / static_cast<double>(ranks.rank() + 3), 2};
  ranks.sum(numbers);
  double expected = 0;
  for (int64_t r = 0; r < n; ++r) expected += 1.0 / static_cast<double>(r + 3);
  CHECK(numbers == std::vector<double>{expected, 2.0 * static_cast<double>(n)});

  const Tensor mine = Tensor::full({2, 3}, ranks.rank() + 5, DType::f64);
  ranks.broadcast(mine);
  CHECK(mine.data<double>()[5] == 5);
  std::string text(static_cast<size_t>(ranks.rank()) * 70'000, 'x');
  const auto all = ranks.gather(text);
  REQUIRE(all.size() == (ranks.first() ? static_cast<size_t>(n) : 0));
  for (size_t r = 0; r < all.size(); ++r) CHECK(all[r] == std::string(r * 70'000, 'x'));
  if (ranks.first()) text = "of the first";
  ranks.broadcast(text);
  CHECK(text == "of the first");
  CHECK(ranks.largest(ranks.rank() * 3) == (n - 1) * 3);
  CHECK(ranks.any(ranks.rank() == n - 1));
  CHECK_FALSE(ranks.any(false));
  CHECK(ranks.seconds() > 0);
}

TEST_CASE("a step that is not finite in one rank alone is skipped by all, and they stay equal", "[.rank]") {
  Ranks& ranks = job();
  const TempFolder temp;  // each rank has pictures of its own, which are equal; the first's run counts
  TrainConfig config = small_run(temp);
  config.model.scale = 2, config.data.patch = 8, config.data.batch = 4, config.iterations = 6;
  config.gan.type = "vanilla", config.gan.features = 4, config.checkpoint.every = 1000;
  TrainHooks hooks;
  hooks.ranks = &ranks;
  hooks.on_batch = [&](int64_t iteration, Batch& batch) {
    if (iteration == 3 && ranks.rank() == 1) batch.lr.data<float>()[5] = NAN;
  };
  CHECK(train(config, hooks).skipped == 1);

  // The same at the level of a step, where every tensor of every rank can be looked at.
  Learner learner(config, &ranks);
  const int64_t part = config.data.batch / ranks.size();
  for (int64_t i = 0; i < 3; ++i) {
    const StepResult result = learner.step(
        [&] {
          Batch batch{Tensor::full({part, 8, 8, 3}, 0.1 * static_cast<double>(ranks.rank() + 1)),
                      Tensor::full({part, 16, 16, 3}, 0.5)};
          if (i == 1 && ranks.rank() == 1) batch.hr.data<float>()[0] = NAN;
          return batch;
        },
        1e-3, i);
    CHECK(result.sound == (i != 1));
  }
  for (const auto& [name, tensor] : learner.state().tensors) {
    if (name.ends_with("_u") || name.ends_with("_v")) continue;  // the trainer makes these equal again
    const Tensor first = tensor.clone();
    ranks.broadcast(first);
    INFO(name);
    CHECK(std::equal(tensor.bytes(), tensor.bytes() + tensor.nbytes(), first.bytes()));
  }
}

#ifdef DGP_MPIRUN

#include "tests/ranks.h"

namespace {

int hidden_case(int ranks, const std::string& name) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  return std::system((on_ranks(ranks) + "'" + self + "' '" + name + "' >/dev/null 2>&1 </dev/null").c_str());
}

}  // namespace

TEST_CASE("ranks add up in their order and tell each other what they should") {
  for (int n : {2, 3, 4}) CHECK(hidden_case(n, "sums\\, broadcasts and gathered texts") == 0);
}

TEST_CASE("ranks agree to skip a step that is not finite in one of them") {
  CHECK(hidden_case(
            2, "a step that is not finite in one rank alone is skipped by all\\, and they stay equal") == 0);
}

#else

TEST_CASE("several ranks: not tested, dgp is built without MPI") {
  WARN("install libopenmpi-dev and configure again to test them");
  CHECK_FALSE(Ranks::built());
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  Ranks ranks;
  CHECK_THROWS_WITH(ranks.join(), ContainsSubstring("no MPI") && ContainsSubstring("libopenmpi-dev"));
  setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
  ranks.join();
  CHECK(ranks.size() == 1);
  unsetenv("OMPI_COMM_WORLD_SIZE");
}

#endif
