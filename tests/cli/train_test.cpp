// dgp train as a process: killed at any moment, interrupted, and how it ends.
#include <chrono>
#include <csignal>
#include <thread>

#include "tensor/cuda.h"
#include "tests/cli/run.h"
#include "tests/test.h"
#include "tests/train/outcome.h"
#include "tests/train/pictures.h"

using namespace dgp;

namespace {

// A run of a very small network, with its configuration on disk.
struct Scene : TempFolder {
  TrainConfig config;
  std::string file;

  explicit Scene(int64_t iterations) : config(small_run(*this)) {
    config.iterations = iterations, config.schedule.type = "constant";
    config.validate.data = config.data.train;
    config.validate.every = 20, config.validate.border = 2, config.validate.images = 0;
    file = path / "run.yml";
    write_file(file, to_yaml(config));
  }
  Outcome train(const std::string& rest = "") const { return dgp_run("train -q " + file + " " + rest); }
  std::string newest() const {
    auto all = list_checkpoints(config.folder() + "/checkpoints");
    return all.empty() ? "" : all[0];
  }
};

// Starts a run, waits until it has saved a checkpoint and `later` more, sends the signal; the exit status.
int signalled(const Scene& scene, int number, std::chrono::milliseconds later) {
  const std::string before = scene.newest();
  pid_t child = fork();
  if (child == 0) {
    execl(DGP_PROGRAM, DGP_PROGRAM, "train", "-q", scene.file.c_str(), "--resume", nullptr);
    _exit(99);
  }
  int status = 0;
  while (scene.newest() == before) {
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::this_thread::sleep_for(later);
  kill(child, number);
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Kills at random moments after a checkpoint; returns how many there were before the run reached its end.
int kill_and_compare(int64_t iterations, int most) {
  Scene alone(iterations), killed(iterations);
  REQUIRE(alone.train().status == 0);
  int kills = 0;
  Rng rng(11);
  for (int i = 0; i < most; ++i)
    kills += signalled(killed, SIGKILL, std::chrono::milliseconds(rng.below(12))) == 128 + SIGKILL;
  CHECK(killed.train("--resume").status == 0);
  CHECK(outcome(killed.config) == outcome(alone.config));
  const auto folder = killed.config.folder() + "/checkpoints";
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 2);  // nothing half written is left
  return kills;
}

}  // namespace

TEST_CASE("a run killed ten times ends with the bits of one left alone") {
  CHECK(kill_and_compare(200, 10) >= 3);  // a fast machine may reach the end before the tenth
}

TEST_CASE("a run killed two hundred times ends with the bits of one left alone", "[.kills]") {
  CHECK(kill_and_compare(10'000, 200) == 200);
}

TEST_CASE("SIGHUP saves and stops, unless nohup says otherwise") {
  Scene scene(1'000'000);
  CHECK(signalled(scene, SIGHUP, std::chrono::milliseconds(3)) == 129);
  scene.config.iterations = 400, scene.config.out = scene / "second";
  write_file(scene.file, to_yaml(scene.config));
  struct sigaction ignore {
  }, before{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGHUP, &ignore, &before);
  CHECK(signalled(scene, SIGHUP, std::chrono::milliseconds(3)) == 0);
  sigaction(SIGHUP, &before, nullptr);
}

TEST_CASE("when the disk is full, what is there stays sound, and the run goes on from it later") {
  Scene alone(60), full(60);
  REQUIRE(alone.train().status == 0);
  REQUIRE(full.train("--set iterations=20").status == 0);
  const std::string sound = full.newest(), bytes = read_file(sound);
  // No file may grow past 8 KiB: logs go on for a while, checkpoints do not fit.
  REQUIRE(bytes.size() > 3 * 8192);
  Outcome out = dgp_run("train " + full.file + " --resume", "ulimit -f 16;");
  CHECK(out.status == 5);
  CHECK_THAT(out.out, ContainsSubstring("checkpoint not saved, training goes on"));
  CHECK_THAT(out.err, ContainsSubstring("File too large"));
  CHECK(full.newest() == sound);
  CHECK(read_file(sound) == bytes);
  CHECK(full.train("--resume").status == 0);
  CHECK(outcome(full.config) == outcome(alone.config));
}

TEST_CASE("Ctrl-C and SIGTERM save and stop, and the run goes on") {
  Scene scene(1'000'000);
  CHECK(signalled(scene, SIGINT, std::chrono::milliseconds(3)) == 130);
  const std::string first = scene.newest();
  CHECK(signalled(scene, SIGTERM, std::chrono::milliseconds(3)) == 143);
  CHECK(scene.newest() > first);
  CHECK_THAT(contents(scene.config.folder() + "/log.txt"), ContainsSubstring("resumed from " + first));
}

TEST_CASE("dgp train ends with the status that says why") {
  Scene scene(3);
  CHECK(scene.train("--set itreations=5").status == 2);
  CHECK_THAT(scene.train("--set itreations=5").err, ContainsSubstring("iterations"));
  CHECK(scene.train("--set data.train.0.hr=" + scene / "none").status == 3);
  CHECK(scene.train("--set data.patch=400").status == 3);
  CHECK(scene.train("--set out=/dev/null/x").status == 5);
  CHECK(dgp_run("train " + scene / "none.yml").status == 3);
  CHECK(scene.train().status == 0);
  CHECK(scene.train().status == 2);  // the folder holds a run
  CHECK(scene.train("--resume").status == 0);
  Outcome locked =
      dgp_run("train -q " + scene.file + " --resume", "flock " + scene.config.folder() + "/.lock");
  CHECK(locked.status == 75);
}

TEST_CASE(
    "train --device cuda says what is missing, before it makes a folder: CUDA in the build (2), or a GPU "
    "(4)") {
  if (cuda::built() && cuda::status().empty()) return;
  Scene scene(4);
  for (const char* option : {"--device cuda", "--set device=cuda"}) {
    const Outcome outcome = scene.train(option);
    CHECK(outcome.status == (cuda::built() ? 4 : 2));
    CHECK_THAT(outcome.err, ContainsSubstring(cuda::built() ? "no GPU can be used here" : "no CUDA support"));
    CHECK_FALSE(std::filesystem::exists(scene.config.folder()));
  }
}
