#include "train/dry_run.h"

#include <chrono>
#include <sys/resource.h>

#include "tensor/parallel.h"
#include "train/learner.h"
#include "train/loader.h"
#include "train/schedule.h"
#include "train/trainer.h"

namespace dgp {
namespace {

constexpr int64_t kWarmUp = 2;  // steps: buffers are made, and the loader gets ahead

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int64_t most_resident() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

std::string gib(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

}  // namespace

DryRun dry_run(const TrainConfig& config, double seconds, const std::atomic<bool>* stop) {
  if (config.threads > 0) set_num_threads(static_cast<int>(config.threads));
  const auto precision = precision_of(config);
  const Dataset data(config.data.train,
                     {config.model.scale, config.data.patch, config.data.cache << 20, config.data.pack});
  Learner learner(config);
  Loader loader(data, config, 0);
  const auto step = [&](int64_t iteration) {
    learner.step([&] { return loader.next(); }, learning_rate(config, iteration), iteration,
                 [&] { loader.send(); });
  };
  const auto stopped = [&] { return stop && *stop; };
  for (int64_t i = 0; i < kWarmUp && !stopped(); ++i) step(i);
  DryRun found;
  found.iterations = config.iterations;
  found.parameters = parameter_count(learner.network());
  const double waited = loader.waited_seconds();
  const auto start = Clock::now();
  do {
    step(kWarmUp + found.steps++);
  } while (seconds_since(start) < seconds && !stopped());
  const double took = seconds_since(start);
  found.rate = static_cast<double>(found.steps) / took;
  found.waiting = (loader.waited_seconds() - waited) / took;
  found.memory = most_resident();
  if (config.computes_on() == Device::cuda) found.gpu_memory = cuda::peak_memory();
  return found;
}

std::string to_text(const DryRun& found, const TrainConfig& config) {
  const int64_t p = config.data.patch, P = p * config.model.scale,
                batch = config.data.batch * config.accumulate;
  char text[256];
  std::snprintf(text, sizeof text,
                "%s: %lld parameters; steps of %lld patches, %lldx%lld to %lldx%lld\n"
                "speed: %.3g steps/s over %lld of them, waiting for data %.0f%% of the time\n",
                config.model.type.c_str(), static_cast<long long>(found.parameters),
                static_cast<long long>(batch), static_cast<long long>(p), static_cast<long long>(p),
                static_cast<long long>(P), static_cast<long long>(P), found.rate,
                static_cast<long long>(found.steps), 100 * found.waiting);
  std::string all = text;
  all += "memory: " + gib(found.memory) +
         (found.gpu_memory > 0 ? ", and " + gib(found.gpu_memory) + " on the GPU" : "") +
         ", with the training pictures\n";
  all += "the run: " + std::to_string(found.iterations) + " steps take " + time_text(found.seconds()) +
         ", validation not counted\n";
  const std::string advice = waiting_advice(config, found.waiting, std::thread::hardware_concurrency());
  return advice.empty() ? all : all + advice + "\n";
}

}  // namespace dgp
