// dgp bench data: does the data keep up with the training? Patches a second that one thread makes, for pairs
// and for every degradation, beside those that training steps of a network consume on all threads, measured
// in turns. A ratio above 1 means that one loading thread feeds the trainer, if it has a core of its own.
#include "train/data.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "bench/bench.h"
#include "cli/cli.h"
#include "image/image.h"
#include "ops/loss.h"
#include "tensor/parallel.h"
#include "train/optimizer.h"
#include "train/pool.h"

namespace dgp {
namespace {

namespace fs = std::filesystem;

struct DataBenchOptions {
  std::string model = "small", input;
  int64_t batch = 8, patch = 48, scale = 4, runs = 3;
  double seconds = 1;
  bool json = false;
  DeviceOptions device;
};

struct Folder {  // of pictures that are made up where none are given
  std::string path;
  bool made = false;
  ~Folder() {
    std::error_code ignored;
    if (made) fs::remove_all(path, ignored);
  }
};

// Four 480x320 pictures of smooth colours and noise: what they show costs no step its time.
void make_pictures(Folder& folder, int64_t least) {
  std::string pattern = (fs::temp_directory_path() / "dgp_bench_XXXXXX").string();
  check(mkdtemp(pattern.data()) != nullptr, "bench data: cannot make a folder for pictures in ", pattern);
  folder.path = pattern, folder.made = true;
  const int64_t H = std::max<int64_t>(320, least), W = std::max<int64_t>(480, least);
  for (int i = 0; i < 4; ++i) {
    Tensor x({H, W, 3});
    Rng rng(static_cast<uint64_t>(i));
    for (int64_t k = 0; k < x.numel(); ++k)
      x.data<float>()[k] =
          static_cast<float>(0.5 + 0.3 * std::sin(0.001 * static_cast<double>(k % (37 * (i + 2)))) +
                             0.1 * (rng.uniform() - 0.5));
    write_image(folder.path + "/" + std::to_string(i) + ".png", {x, 8});
  }
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Calls `work` for about so long; calls a second.
template <class F>
double rate(double seconds, F&& work) {
  work(uint64_t{0});
  const auto start = std::chrono::steady_clock::now();
  uint64_t calls = 0;
  while ((seconds_since(start) < seconds || calls == 0) && !stop_flag()) work(++calls);
  return static_cast<double>(calls) / seconds_since(start);
}

struct Row {
  std::string name;
  std::unique_ptr<Dataset> data;
  std::unique_ptr<PairPool> pool = {};
  uint64_t taken = 0;  // samples
  std::vector<double> rates = {};
};

std::vector<Row> rows_of(const DataBenchOptions& o, const std::string& folder, const std::string& pack) {
  std::vector<Row> rows;
  const auto add = [&](const std::string& name, const SourceConfig& source, int64_t patch, int64_t scale,
                       const std::string& packed = "") {
    rows.push_back({name, std::make_unique<Dataset>(std::vector<SourceConfig>{source},
                                                    LoadOptions{scale, patch, int64_t{4} << 30, packed})});
  };
  const SourceConfig pairs{.lr = folder, .hr = folder};
  add("pairs of equal size", pairs, o.patch * o.scale, 1);
  add("the same from a pack", pairs, o.patch * o.scale, 1, pack);
  SourceConfig source{.hr = folder};
  add("bicubic", source, o.patch, o.scale);
  source.degrade.type = "real";
  add("real", source, o.patch, o.scale);
  for (const char* preset : {"mild", "realesrgan", "bsrgan"}) {
    source.degrade = degrade_preset(preset);
    add(preset, source, o.patch, o.scale);
  }
  source.degrade = degrade_preset("realesrgan");
  add("realesrgan, pool, reuse 8", source, o.patch, o.scale);
  // Few pairs, so that the first ones, which every pool must make, are behind it when it is timed.
  constexpr PoolConfig kPool{.pairs = 8, .reuse = 8};
  Row& row = rows.back();
  row.pool = std::make_unique<PairPool>(*row.data, kPool, 1);
  Tensor lr({o.patch, o.patch, 3}), hr({o.patch * o.scale, o.patch * o.scale, 3});
  for (; row.taken < 64 && !stop_flag(); ++row.taken)
    row.pool->sample(static_cast<int64_t>(row.taken), Rng(3).split(row.taken), {}, lr.data<float>(),
                     hr.data<float>());
  return rows;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void run_bench(const DataBenchOptions& o) {
  apply(o.device);
  Folder folder{o.input}, pack;
  if (o.input.empty()) make_pictures(folder, o.patch * o.scale + 16);
  pack.path = folder.path + "/pack", pack.made = folder.made;
  if (!folder.made) {
    std::string pattern = (fs::temp_directory_path() / "dgp_bench_XXXXXX").string();
    check(mkdtemp(pattern.data()) != nullptr, "bench data: cannot make the folder ", pattern);
    pack.path = pattern, pack.made = true;
  }
  std::vector<Row> rows = rows_of(o, folder.path, pack.path);
  DGPNet net = bench_network(o.model, o.scale, 1);
  Adam adam(parameters(net), {.beta1 = 0.9, .beta2 = 0.99});
  const Batch batch = rows[2].data->batch(Rng(1), o.batch);
  std::vector<double> steps;
  for (int64_t run = 0; run < o.runs && !stop_flag(); ++run) {
    steps.push_back(static_cast<double>(o.batch) * rate(o.seconds, [&](uint64_t) {
                      backward(l1_loss(net(batch.lr), batch.hr));
                      adam.step(1e-4);
                      adam.clear_gradients();
                    }));
    for (Row& row : rows) {
      const int64_t p = row.data->patch(), s = row.data->scale();
      Tensor lr({p, p, 3}), hr({p * s, p * s, 3});
      uint64_t last = 0;
      row.rates.push_back(rate(o.seconds / 2, [&](uint64_t i) {
        const Rng rng = Rng(3).split(row.taken + i);
        if (row.pool)
          row.pool->sample(static_cast<int64_t>(row.taken + i), rng, {}, lr.data<float>(), hr.data<float>());
        else
          row.data->sample(rng, {}, lr.data<float>(), hr.data<float>());
        last = i;
      }));
      row.taken += last + 1;
    }
  }
  if (stop_flag()) throw Exit{stop_exit_code()};
  const double consumed = median(steps);
  if (o.json) {
    nlohmann::ordered_json all{{"model", o.model},         {"batch", o.batch},
                               {"patch", o.patch},         {"scale", o.scale},
                               {"threads", num_threads()}, {"step_patches_per_s", consumed}};
    for (const Row& row : rows)
      all["data"].push_back({{"name", row.name}, {"patches_per_s", median(row.rates)}});
    std::cout << all.dump(2) << "\n";
    return;
  }
  std::printf("%s x%lld, batch %lld of %lldx%lld, %d threads: a trainer takes %.1f patches a second\n",
              o.model.c_str(), static_cast<long long>(o.scale), static_cast<long long>(o.batch),
              static_cast<long long>(o.patch), static_cast<long long>(o.patch), num_threads(), consumed);
  std::printf("%-34s %12s %12s\n", "data", "patches/s", "ratio");
  for (const Row& row : rows)
    std::printf("%-34s %12.1f %12.2f\n", row.name.c_str(), median(row.rates), median(row.rates) / consumed);
}

}  // namespace

void add_bench_data(CLI::App& bench) {
  auto options = std::make_shared<DataBenchOptions>();
  CLI::App* command =
      add_command(bench, "data", "Patches a second from every kind of data, beside what training takes",
                  "dgp bench data small --batch 8 --patch 48");
  command->add_option("model", options->model, "tiny, small, base, large or a model of --scale");
  command->add_option("--input", options->input, "folder of pictures; without it made up");
  command->add_option("--batch", options->batch, "patches a step")->check(CLI::Range(1, 1024));
  command->add_option("--patch", options->patch, "LR height and width of a patch")
      ->check(CLI::Range(4, 1024));
  command->add_option("--scale", options->scale, "of the network and the data")->check(CLI::Range(1, 8));
  command->add_option("--seconds", options->seconds, "for each number in each run")
      ->check(CLI::Range(0.001, 60.0));
  command->add_option("--runs", options->runs, "the median of so many")->check(CLI::Range(1, 100));
  command->add_flag("--json", options->json, "print JSON");
  add_device_options(*command, options->device);
  command->callback([options] { run_bench(*options); });
}

}  // namespace dgp
