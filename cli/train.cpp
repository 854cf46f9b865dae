// dgp train: a training run from a YAML configuration.
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "train/check.h"
#include "train/dry_run.h"
#include "train/lr_finder.h"
#include "train/ranks.h"
#include "train/trainer.h"

namespace dgp {
namespace {

constexpr double kDrySeconds = 5;

struct TrainOptions {
  std::string config, device;
  std::vector<std::string> overrides;
  bool resume = false, quiet = false, lr_find = false, dry_run = false, skip_bad = false;
};

// On a terminal one line that is written over; in a pipe, and under mpirun, which reads through a terminal of
// its own, a line for each line of the log.
class Console {
 public:
  Console(bool quiet, std::string best) : quiet_(quiet), best_(std::move(best)) {}

  void message(const std::string& text) {
    if (quiet_) return;
    clear();
    std::cout << text << std::endl;
  }
  void progress(const TrainProgress& p) {
    if (quiet_) return;
    if (!terminal_) {
      if (p.logged) std::cout << to_text(p, best_) << std::endl;
      return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(200) && p.iteration < p.iterations) return;
    last_ = now;
    std::cout << "\r\033[K" << fitted(to_text(p, best_)) << std::flush;
    open_ = true;
  }
  void clear() {
    if (open_) std::cout << "\r\033[K";
    open_ = false;
  }

 private:
  // A line longer than the terminal is wide would leave its first part behind when it is written over.
  static std::string fitted(const std::string& line) {
    struct winsize size {};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return known ? line.substr(0, static_cast<size_t>(size.ws_col) - 1) : line;
  }

  bool quiet_, terminal_ = is_terminal(STDOUT_FILENO) && !Ranks::launched(), open_ = false;
  std::string best_;
  std::chrono::steady_clock::time_point last_{};
};

// Sweeps the rate, and writes the plot into the run's folder.
void run_lr_find(const TrainConfig& config, Console& console) {
  if (config.threads > 0) set_num_threads(static_cast<int>(config.threads));
  const LrFound found = find_learning_rate(config, {}, &stop_flag());
  if (stop_flag()) throw Exit{stop_exit_code()};
  std::error_code error;
  std::filesystem::create_directories(config.folder(), error);
  const std::string page = config.folder() + "/lr-find.html";
  write_file(page, to_html(found, config));
  char text[160];
  std::snprintf(text, sizeof text, "suggested: --set optimizer.lr=%.2g  (least loss at %.2g%s)",
                found.suggested, found.least, found.diverged ? ", learning breaks above" : "");
  console.message(text);
  console.message("plot: " + page);
}

// Before anything is made or decoded: with --skip-bad every picture is decoded once, since a damaged one is
// to be left out now and not to end the run later.
TrainConfig checked(const TrainConfig& config, const TrainOptions& options, Console& console) {
  const DataCheck found = check_data(config, options.skip_bad);
  if (found.problems() == 0) {
    for (const SourceCheck& source : found.sources)
      for (const Finding& note : source.findings)
        if (note.kind == "leak") console.message("note: " + note.file + " " + note.text);
    return config;
  }
  if (!options.skip_bad)
    fail(ErrorCode::bad_file, options.config, ": pictures that cannot be used\n", to_text(found));
  const TrainConfig rest = without_bad(config, found);
  for (const SourceCheck& source : found.sources)
    for (const Finding& f : source.findings)
      if (f.problem) console.message("left out: " + f.file + ": " + f.text);
  return rest;
}

// The first rank reads the configuration and looks at the data; the others take what it found.
TrainConfig read_config(const TrainOptions& options, Ranks& ranks) {
  std::string yaml;
  if (ranks.first()) {
    std::vector<std::string> overrides = options.overrides;
    if (!options.device.empty()) overrides.push_back("device=" + options.device);
    std::vector<std::string> notes;
    TrainConfig config = load_config(options.config, overrides, &notes);
    apply_with_cuda({config.device, 0});
    Console console(options.quiet, config.validate.best);
    for (const std::string& note : notes) console.message(options.config + ": " + note);
    config = checked(config, options, console);
    if (ranks.size() == 1) return config;
    yaml = to_yaml(config);
  }
  ranks.broadcast(yaml);
  return parse_config(yaml, options.config);
}

void run_train(const TrainOptions& options, Ranks& ranks) {
  join(ranks);
  check(!options.lr_find || ranks.size() == 1, "--lr-find: one process finds the rate; leave mpirun out");
  check(!options.dry_run || ranks.size() == 1, "--dry-run: one process tries the run; leave mpirun out");
  const TrainConfig config = read_config(options, ranks);
  Console console(options.quiet || !ranks.first(), config.validate.best);
  if (options.lr_find) return run_lr_find(config, console);
  if (options.dry_run) {
    const DryRun found = dry_run(config, kDrySeconds, &stop_flag());
    if (stop_flag()) throw Exit{stop_exit_code()};
    std::cout << to_text(found, config);
    return;
  }
  TrainHooks hooks;
  hooks.ranks = &ranks;
  hooks.message = [&](const std::string& text) { console.message(text); };
  hooks.progress = [&](const TrainProgress& p) { console.progress(p); };
  hooks.stop = &stop_flag();
  const TrainResult result = train(config, hooks, options.resume);
  console.clear();
  if (result.interrupted)
    throw Exit{static_cast<int>(ranks.largest(stop_flag() ? stop_exit_code() : 0))};  // of who was told
  console.message("finished: " + config.folder() + "/report.html, " + config.folder() +
                  (result.has_best ? "/best.safetensors" : "/last.safetensors"));
}

}  // namespace

void add_train(CLI::App& app, Ranks& ranks) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = add_command(app, "train", "train a network from a YAML configuration",
                                  "dgp train configs/classic-x4.yml --set data.train.0.hr=photos");
  command->add_option("CONFIG", options->config, "configuration file")->required();
  command->add_option("--set", options->overrides, "key=value: replaces a key of the configuration")
      ->allow_extra_args(false)
      ->expected(1)
      ->take_all();
  command->add_option("--device", options->device, "cpu or cuda, whatever `device` of the configuration says")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  command->add_flag("--resume", options->resume, "go on from the run folder's last checkpoint");
  command->add_flag(
      "--lr-find", options->lr_find,
      "instead of training, try 200 rising learning rates and suggest one: lr-find.html in the run folder");
  command->add_flag(
      "--dry-run", options->dry_run,
      "instead of training, run it for a few seconds and tell its speed, its memory and how long it "
      "would take; nothing is written");
  command->add_flag("--skip-bad", options->skip_bad,
                    "decode all pictures first and go on without those that dgp check would list");
  command->add_flag("-q,--quiet", options->quiet, "print nothing but errors");
  command->callback([options, &ranks] { run_train(*options, ranks); });
}

}  // namespace dgp
