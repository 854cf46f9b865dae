// dgp train, upscale and eval as several ranks of one job, through mpirun.
#ifdef DGP_MPIRUN

#include "tests/ranks.h"

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <thread>

#include "image/image.h"
#include "models/state.h"
#include "tests/cli/run.h"
#include "tests/test.h"
#include "tests/train/outcome.h"
#include "tests/train/pictures.h"

using namespace dgp;
namespace fs = std::filesystem;

namespace {

using std::chrono::milliseconds;

// A run of a very small network, in a folder of its own each time, with its configuration on disk.
struct Scene : TempFolder {
  TrainConfig config;

  Scene() : config(small_run(*this)) {
    config.data.batch = 5, config.accumulate = 2, config.clip = 0.5, config.threads = 1;
    config.loss = {{"l1"}, {"fft", 0.05}};
    config.schedule.type = "constant";
  }
  TrainConfig in(const std::string& folder) const {  // the same run in another folder
    TrainConfig c = config;
    c.out = *this / folder;
    return c;
  }
  // Writes the configuration of a run and gives its path.
  std::string file(const TrainConfig& c) const {
    write_file(c.out + ".yml", to_yaml(c));
    return c.out + ".yml";
  }
  Outcome train(const TrainConfig& c, const std::string& before, const std::string& rest = "") const {
    return dgp_run("train " + file(c) + " " + rest, before);
  }
};

struct Difference {
  double weights = 0,
         loss = 0;  // largest of the weights, relative to the largest weight; of the logged losses
};

// Of the weights that two runs end with, and of the losses in their logs.
Difference difference(const TrainConfig& a, const TrainConfig& b) {
  Difference found;
  const auto x = read_safetensors(a.out + "/last.safetensors").tensors;
  const auto y = read_safetensors(b.out + "/last.safetensors").tensors;
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i].second.dtype() != DType::f32) continue;
    for (int64_t j = 0; j < x[i].second.numel(); ++j) {
      const double v = x[i].second.data<float>()[j], w = y[i].second.data<float>()[j];
      found.weights = std::max(found.weights, std::abs(v - w)), largest = std::max(largest, std::abs(v));
    }
  }
  found.weights /= largest;
  auto losses = [](const TrainConfig& c) {
    std::vector<double> all;
    std::istringstream lines(read_file(c.out + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);)
      if (auto json = nlohmann::json::parse(line); json.contains("loss")) all.push_back(json["loss"]);
    return all;
  };
  const auto p = losses(a), q = losses(b);
  REQUIRE((!p.empty() && p.size() == q.size()));
  for (size_t i = 0; i < p.size(); ++i) found.loss = std::max(found.loss, std::abs(p[i] - q[i]) / p[i]);
  return found;
}

std::string newest(const TrainConfig& c) {
  const auto all = list_checkpoints(c.out + "/checkpoints");
  return all.empty() ? "" : all[0];
}

// The children of a process.
std::vector<pid_t> children(pid_t parent) {
  std::ifstream file("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children");
  return {std::istream_iterator<pid_t>(file), {}};
}

// Starts two ranks in a session of their own, waits for a checkpoint, and lets `act` do something to mpirun
// or to a rank; the exit status.
int disturbed(const Scene& scene, const TrainConfig& config, const std::function<void(pid_t mpirun)>& act) {
  const std::string before = newest(config);
  // Through exec, so that the child is `timeout` itself and mpirun its only child.
  const std::string command = "exec env " + on_ranks(2) + "'" DGP_PROGRAM "' train -q --resume '" +
                              scene.file(config) + "' >'" + config.out + ".out' 2>&1 </dev/null";
  const pid_t child = fork();
  if (child == 0) {
    setsid();
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(99);
  }
  int status = 0;
  while (newest(config) == before) {
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    std::this_thread::sleep_for(milliseconds(5));
  }
  const auto started = children(child);
  if (started.size() == 1) act(started[0]);
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

pid_t a_rank(pid_t mpirun, size_t which) {
  const auto ranks = children(mpirun);
  REQUIRE(ranks.size() == 2);
  return ranks[which];
}

}  // namespace

TEST_CASE("two and four ranks train as one process does on the same batches, up to rounding") {
  Scene scene;
  TrainConfig& base = scene.config;
  base.optimizer = {"sgd", 0.05};
  REQUIRE(scene.train(scene.in("one"), "").status == 0);
  for (int n : {2, 4}) {  // five samples: 2 and 3; 1, 1, 1 and 2
    const TrainConfig several = scene.in("of" + std::to_string(n));
    const Outcome outcome = scene.train(several, on_ranks(n));
    INFO(outcome.err);
    REQUIRE(outcome.status == 0);
    CHECK_THAT(outcome.out,
               ContainsSubstring(std::to_string(n) + " ranks; ") && ContainsSubstring("communicating "));
    const Difference found = difference(scene.in("one"), several);
    CAPTURE(found.weights, found.loss);
    CHECK(found.weights < 1e-6);
    CHECK(found.loss < 1e-6);
  }
}

TEST_CASE("adversarial training on two ranks: the discriminator learns from both") {
  Scene scene;
  TrainConfig& base = scene.config;
  base.optimizer = {"sgd", 0.02}, base.gan.optimizer = {"sgd", 0.02};
  base.gan.type = "vanilla", base.gan.features = 4, base.loss = {{"l1"}}, base.gan.weight = 0.2;
  base.iterations = 8;
  REQUIRE(scene.train(scene.in("one"), "").status == 0);
  const Outcome outcome = scene.train(scene.in("two"), on_ranks(2));
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  const Difference found = difference(scene.in("one"), scene.in("two"));
  CAPTURE(found.weights, found.loss);
  CHECK(found.weights < 1e-6);
  CHECK(found.loss < 1e-6);
  // The discriminators as well, which only a checkpoint holds.
  const auto x = read_safetensors(newest(scene.in("one"))).tensors,
             y = read_safetensors(newest(scene.in("two"))).tensors;
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i)
    if (x[i].first.starts_with("discriminator."))
      for (int64_t j = 0; j < x[i].second.numel(); ++j)
        most = std::max(
            most, std::abs(double{x[i].second.data<float>()[j]} - double{y[i].second.data<float>()[j]}));
  CHECK(most > 0);  // or nothing was compared
  CHECK(most < 1e-5);
}

TEST_CASE("two ranks: equal runs give equal bits, and a job that was killed goes on to them") {
  Scene scene;
  TrainConfig& base = scene.config;
  base.iterations = 40, base.ema = 0.9, base.data.pool.pairs = 4;
  base.validate.data = base.data.train, base.validate.every = 20, base.validate.border = 2;
  base.validate.images = 0;
  REQUIRE(scene.train(scene.in("a"), on_ranks(2)).status == 0);
  const std::string expected = outcome(scene.in("a"));
  REQUIRE(scene.train(scene.in("b"), on_ranks(2), "--set threads=2").status == 0);
  CHECK(outcome(scene.in("b")) == expected);
  int kills = 0;
  for (int i = 0; i < 2; ++i) {
    const auto kill_all = [&](pid_t mpirun) {
      std::this_thread::sleep_for(milliseconds(7 * i));
      for (pid_t rank : children(mpirun)) kill(rank, SIGKILL);
      kill(mpirun, SIGKILL);
    };
    kills += disturbed(scene, scene.in("c"), kill_all) != 0;
  }
  CHECK(kills > 0);
  CHECK(scene.train(scene.in("c"), on_ranks(2), "--resume").status == 0);
  CHECK(outcome(scene.in("c")) == expected);
}

TEST_CASE("a signal to mpirun or to any rank saves and stops all of them") {
  const Scene scene;
  TrainConfig config = scene.in("run");
  config.iterations = 1'000'000;
  std::string before = newest(config);
  auto saved = [&] {  // after `before`, and sound
    const std::string now = newest(config);
    const bool later = now > before;
    before = now;
    return later && read_file(config.out + "/log.txt")
                            .find("stopped and saved after iteration " +
                                  std::to_string(checkpoint_iteration(now))) != std::string::npos;
  };
  CHECK(disturbed(scene, config, [](pid_t mpirun) { kill(a_rank(mpirun, 1), SIGTERM); }) == 143);
  CHECK(saved());
  CHECK(disturbed(scene, config, [](pid_t mpirun) { kill(a_rank(mpirun, 0), SIGINT); }) == 130);
  CHECK(saved());
  CHECK(disturbed(scene, config, [](pid_t mpirun) { kill(mpirun, SIGUSR1); }) == 138);
  CHECK(saved());
  // mpirun passes it on as SIGTERM and gives its ranks a second.
  CHECK(disturbed(scene, config, [](pid_t mpirun) { kill(mpirun, SIGTERM); }) != 0);
  CHECK(saved());
}

TEST_CASE("a rank that fails ends the job with its message and status; one that dies ends it too") {
  const Scene scene;
  TrainConfig config = scene.in("run");
  config.iterations = 1'000'000;
  CHECK(disturbed(scene, config, [](pid_t mpirun) { kill(a_rank(mpirun, 1), SIGKILL); }) != 0);

  // The second rank looks for the pictures in another folder, where there is one less.
  fs::create_directories(scene.path / "here");
  fs::create_directories(scene.path / "there/hr");
  fs::copy(scene / "hr", scene / "here/hr");
  fs::copy_file(scene / "hr/p0.png", scene / "there/hr/p0.png");
  config.data.train[0].hr = "hr", config.out = scene / "other";
  const std::string file = scene.file(config);
  auto elsewhere = [&](const std::string& folder) {
    const std::string here = scene / "here", there = scene / folder;
    std::string command = on_ranks(1) + "-wdir '" + here + "' '" DGP_PROGRAM "' train " + file +
                          " : -n 1 -wdir '" + there + "' '" DGP_PROGRAM "' train " + file + " >'" +
                          scene / "out" + "' 2>'" + scene / "err" + "' </dev/null";
    const int status = std::system(command.c_str());
    return Outcome{WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents(scene / "out"),
                   contents(scene / "err")};
  };
  const Outcome other = elsewhere("there");
  CHECK(other.status == 3);
  CHECK_THAT(other.err, ContainsSubstring("dgp: rank 1: data.train: 1 pictures here, 3 in the first rank"));
  fs::remove(scene / "there/hr/p0.png");
  const Outcome none = elsewhere("there");
  CHECK(none.status == 3);
  CHECK_THAT(none.err, ContainsSubstring("dgp: rank 1: "));
}

TEST_CASE("what is wrong with a job is told once, with the status of one process") {
  const Scene scene;
  const Outcome few = scene.train(scene.in("few"), on_ranks(2), "--set data.batch=1");
  CHECK(few.status == 2);
  CHECK_THAT(few.err, ContainsSubstring("data.batch: 1 samples for 2 ranks"));
  const Outcome key = scene.train(scene.in("key"), on_ranks(2), "--set itreations=5");
  CHECK(key.status == 2);
  CHECK(count(key.err, "dgp: ") == 1);
  CHECK(scene.train(scene.in("missing"), on_ranks(2), "--set data.train.0.hr=/nowhere").status == 3);
  CHECK(scene.train(scene.in("out"), on_ranks(2), "--set out=/dev/null/x").status == 5);
  CHECK(scene.train(scene.in("find"), on_ranks(2), "--lr-find").status == 2);
}

TEST_CASE("steps that are not finite end a job once, with the status of one process") {
  const Scene scene;
  // All ranks see that every step is not finite; the first ends the job.
  TrainConfig config = scene.in("wild");
  config.optimizer = {"sgd", 10}, config.loss = {{"mse", 1e6}}, config.clip = 0, config.watch.returns = 0;
  config.iterations = 60;
  const Outcome wild = scene.train(config, on_ranks(2));
  CHECK(wild.status == 6);
  CHECK(count(wild.err, "dgp: ") == 1);
}

TEST_CASE("upscale and eval share a folder among ranks, with the results of one process") {
  TempFolder temp;
  write_pictures(temp / "hr", 5, 40, 44);
  DGPNet net({2, 4, 1, 3, 1});
  save_model(temp / "net.safetensors", net);
  const std::string model = "-m " + temp / "net.safetensors";
  auto upscale = [&](const std::string& out, const std::string& before) {
    return dgp_run("upscale " + temp / "hr" + " -o " + temp / out + " " + model, before);
  };
  REQUIRE(upscale("one", "").status == 0);
  for (int n : {2, 4}) {
    const std::string folder = "of" + std::to_string(n);
    const Outcome outcome = upscale(folder, on_ranks(n));
    CHECK(outcome.status == 0);
    CHECK_THAT(outcome.err, ContainsSubstring("5 files, "));
    for (int i = 0; i < 5; ++i) {
      const std::string name = "/p" + std::to_string(i) + ".png";
      CHECK(read_file(temp / folder + name) == read_file(temp / "one" + name));
    }
  }
  auto eval = [&](const std::string& rest, const std::string& before) {
    Outcome outcome = dgp_run("eval " + model + " --hr " + temp / "hr" + " " + rest, before);
    REQUIRE(outcome.status == 0);
    return outcome.out;
  };
  auto report = [&](const std::string& name) { return "--report " + temp / name + " --report-images 3"; };
  const std::string table = eval(report("one.html"), ""), json = eval("--json", "");
  CHECK(eval(report("two.html"), on_ranks(2)) == table);
  CHECK(read_file(temp / "two.html") == read_file(temp / "one.html"));
  CHECK(eval("--json", on_ranks(4)) == json);

  // A file that is none fails alone; what is reported is what one process would.
  write_file(temp / "hr/p3.png", "\x89PNG and nothing");
  const Outcome damaged = upscale("damaged", on_ranks(2));
  CHECK(damaged.status == upscale("damaged_one", "").status);
  CHECK(damaged.status == 3);
  CHECK_THAT(damaged.err, ContainsSubstring("1 of 5 files failed") && ContainsSubstring("4 files, "));
  CHECK(fs::exists(temp / "damaged/p4.png"));
  const Outcome unread = dgp_run("eval " + model + " --hr " + temp / "hr", on_ranks(2));
  CHECK(unread.status == 3);
  CHECK_THAT(unread.err, ContainsSubstring("dgp: rank 1: ") && ContainsSubstring("p3.png"));
}

#endif
