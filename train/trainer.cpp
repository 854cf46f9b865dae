#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "tensor/cuda.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "train/environment.h"
#include "train/history.h"
#include "train/learner.h"
#include "train/report.h"
#include "train/run_folder.h"
#include "train/schedule.h"
#include "train/validate.h"
#include "train/watch.h"

namespace dgp {
namespace {

constexpr int64_t kMostSkippedInRow = 10;
constexpr uint64_t kPreviewStream = 0x100c;  // of random numbers
constexpr int kMostFailedWrites = 10;

constexpr double kRateSeconds = 2;  // the shortest time that a rate is measured over

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

TrainConfig without_validation(TrainConfig config) {
  config.validate.data.clear();
  return config;
}

// With a pack the first rank writes it and the others map what is there.
Dataset load_data(const TrainConfig& config, const TrainHooks& hooks, Ranks& ranks) {
  const bool in_turn = !config.data.pack.empty();
  if (in_turn && !ranks.first()) ranks.wait();
  Dataset data(config.data.train, {config.model.scale, config.data.patch, config.data.cache << 20,
                                   config.data.pack, ranks.first() ? hooks.message : nullptr});
  if (in_turn && ranks.first()) ranks.wait();
  return data;
}

// Samples are numbers of pictures: every rank must have the same ones.
void check_equal_data(const Dataset& data, Ranks& ranks) {
  uint32_t crc = 0;
  for (const Picture& p : data.pictures()) {
    const std::string text =
        p.name + " " + std::to_string(p.hr.width) + "x" + std::to_string(p.hr.height) + "\n";
    crc = crc32(text.data(), text.size(), crc);
  }
  const auto count = static_cast<double>(data.pictures().size());
  std::vector<double> expected{count, static_cast<double>(crc)};
  ranks.broadcast(expected);
  if (expected[0] != count || expected[1] != static_cast<double>(crc))
    fail(ErrorCode::bad_file, "data.train: ", count, " pictures here, ", expected[0],
         " in the first rank, or others: every rank needs the same files");
}

class Trainer {
 public:
  Trainer(const TrainConfig& config, const TrainHooks& hooks, bool resume);
  TrainResult run();

 private:
  void tell(const std::string& text);
  void begin(bool resume);
  void resume_newest();
  BatchPart part() const;  // of each batch, this rank's
  void share();            // what the first rank holds, with the others
  void step();
  void account(const StepResult& result, double lr);
  TrainProgress progress(double lr) const;
  TrainState state();
  void look();  // at the preview
  double drift();
  void go_back(const std::string& reason);
  bool regular(const std::string& path) const {  // a checkpoint of checkpoint.every, not of a stop
    return checkpoint_iteration(path) % config_.checkpoint.every == 0;
  }
  void write_line(double lr, double norm, const TrainProgress& now);
  void advise(double waiting);
  void validate();
  void validate_and_agree();
  std::vector<OperatorKernels> operators();  // of the averaged network; none where it has no DGConv
  void note_balance();
  void report();
  void save();
  // Does what writes files; when they cannot be written tells so and lets training go on, a few times.
  void keep_going(const char* what, const std::function<void()>& action);
  bool first() const { return ranks_.first(); }
  bool stopped() const { return ranks_.size() > 1 ? stop_ : asked_to_stop(); }
  bool asked_to_stop() const { return hooks_.stop && *hooks_.stop; }
  bool validates() const { return !config_.validate.data.empty(); }

  TrainConfig config_;
  TrainHooks hooks_;
  Ranks alone_, &ranks_;
  std::unique_ptr<RunFolder> folder_;  // of the first rank
  std::unique_ptr<Learner> learner_;
  Dataset data_;
  Validator validator_;
  Watch watch_;
  Batch preview_;
  Counters at_;
  std::unique_ptr<Loader> loader_;
  Clock::time_point start_ = Clock::now(), window_start_ = start_;
  double seconds_before_ = 0, window_waited_ = 0, window_communicated_ = 0;
  double shown_rate_ = 0, shown_waiting_ = 0, shown_communicating_ = 0, last_loss_ = 0;  // of the last
                                                                                         // window of the log
  int64_t since_window_ = 0;
  int failed_writes_ = 0;  // since the last checkpoint
  int windows_ = 0;
  bool advised_ = false, stop_ = false;  // stop_: some rank was asked to stop, and all know
  int64_t saved_at_ = -1;
};

Trainer::Trainer(const TrainConfig& config, const TrainHooks& hooks, bool resume)
    : config_(config),
      hooks_(hooks),
      ranks_(hooks.ranks ? *hooks.ranks : alone_),
      folder_(first() ? std::make_unique<RunFolder>(config, resume) : nullptr),
      learner_(std::make_unique<Learner>(config, &ranks_)),
      data_(load_data(config, hooks, ranks_)),
      validator_(first() ? config : without_validation(config), config.folder() + "/val"),
      watch_(config),
      preview_(
          data_.batch(Rng(static_cast<uint64_t>(config.seed), kPreviewStream), 1, AugmentConfig::none())) {
  if (!first()) hooks_.message = nullptr, hooks_.progress = nullptr;
  begin(resume);
}

void Trainer::tell(const std::string& text) {
  if (hooks_.message) hooks_.message(text);
  keep_going("log.txt", [&] { folder_->log(text); });
}

void Trainer::keep_going(const char* what, const std::function<void()>& action) {
  if (!first()) return;
  try {
    action();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::io || ++failed_writes_ >= kMostFailedWrites) throw;
    if (hooks_.message) hooks_.message(std::string(what) + " not saved, training goes on: " + e.what());
  }
}

void Trainer::resume_newest() {
  auto found = load_newest(folder_->checkpoints(), state(), [&](const std::string& m) { tell(m); });
  if (found) {
    at_ = *found;
    saved_at_ = at_.iteration;
    if (at_.config != config_hash(config_))
      tell("the configuration has changed since that checkpoint; the run goes on with the new one:" +
           differences(at_.configuration, to_yaml(config_)));
  } else {
    tell("no checkpoint to resume from; beginning");
  }
  folder_->rewind(at_.iteration, at_.validation_due);
}

void Trainer::begin(bool resume) {
  check_equal_data(data_, ranks_);
  if (resume && first()) resume_newest();
  share();
  at_.config = config_hash(config_), at_.configuration = to_yaml(config_);
  seconds_before_ = at_.seconds;
  tell((ranks_.size() > 1 ? std::to_string(ranks_.size()) + " ranks; " : "") +
       std::to_string(data_.pictures().size()) + " training pictures, " +
       std::to_string(data_.bytes() >> 20) + " MiB decoded; " + std::to_string(validator_.count()) +
       " validation pictures; " + std::to_string(parameter_count(learner_->network())) + " parameters; " +
       std::to_string(num_threads()) + " threads" +
       (config_.computes_on() == Device::cuda ? "; on " + cuda::device_name() : std::string()));
  loader_ = std::make_unique<Loader>(data_, config_, at_.iteration * config_.accumulate, part());
  if (at_.iteration == 0) look();
  start_ = window_start_ = Clock::now();
}

BatchPart Trainer::part() const {
  const int64_t n = config_.data.batch, ranks = ranks_.size();
  const int64_t begin = n * ranks_.rank() / ranks, end = n * (ranks_.rank() + 1) / ranks;
  return {begin, end - begin};
}

void Trainer::share() {
  if (ranks_.size() == 1) return;
  std::string bytes = first() ? checkpoint_bytes(state(), at_) : "";
  ranks_.broadcast(bytes);
  if (!first()) at_ = read_checkpoint(bytes, "the state of the first rank", state());
}

TrainResult Trainer::run() {
  if (at_.validation_due && validates()) validate_and_agree();
  while (at_.iteration < config_.iterations && !stopped()) {
    step();
    if (const std::string reason = watch_.diverged(); config_.watch.returns > 0 && !reason.empty()) {
      go_back(reason);
      continue;
    }
    const bool last = at_.iteration == config_.iterations;
    const bool due = at_.iteration % config_.validate.every == 0 || last;
    if (due && validates()) {
      at_.validation_due = true;
      validate_and_agree();
    } else if (due) {
      keep_going("metrics.jsonl", [&] { note_balance(); });
    }
    if (at_.iteration % config_.checkpoint.every == 0 || last) {
      share();  // processors may differ in a last bit: what is saved here is what all go on from
      keep_going("checkpoint", [&] { save(); });
    }
  }
  if (first() && saved_at_ != at_.iteration) save();
  if (first() && !validates()) report();
  const bool interrupted = stopped() && (at_.iteration < config_.iterations || at_.validation_due);
  if (interrupted)
    tell("stopped and saved after iteration " + std::to_string(at_.iteration) + "; go on with --resume");
  return {at_.iteration, at_.skipped, at_.best, interrupted, std::isfinite(at_.best)};
}

TrainState Trainer::state() {
  TrainState state = learner_->state();
  state.tensors.emplace_back("watch", watch_.state());
  return state;
}

void Trainer::look() {
  std::vector<double> seen{first() ? drift() : 0};
  ranks_.broadcast(seen);
  watch_.preview(seen[0]);
}

double Trainer::drift() {
  NoGrad inference;
  const Tensor y = learner_->network()(preview_.lr.to(config_.computes_on())).value().to(Device::cpu);
  double sums[3] = {};
  for (int64_t i = 0; i < y.numel(); ++i)
    sums[i % 3] += double{y.data<float>()[i]} - double{preview_.hr.data<float>()[i]};
  double drift = 0;
  for (double sum : sums) {
    const double mean = std::abs(sum) * 3 / static_cast<double>(y.numel());
    if (!(mean <= drift)) drift = mean;  // also when it is not a number
  }
  return drift;
}

// To the newest calm checkpoint, or the beginning; what came after it is dropped, as if it had never been.
void Trainer::go_back(const std::string& reason) {
  const Counters before = at_;
  if (first() && before.returns >= config_.watch.returns)
    fail(ErrorCode::numeric, config_.folder(), ": diverged at iteration ", before.iteration, " again, after ",
         before.returns, " returns to lower rates: ", reason,
         "; the last good checkpoint is kept; try a lower optimizer.lr or set clip");
  const auto paths = first() ? list_checkpoints(folder_->checkpoints()) : std::vector<std::string>();
  bool found = false;
  for (size_t i = 0; i < paths.size() && !found; ++i) {
    if (!regular(paths[i])) continue;
    try {
      at_ = load_checkpoint(paths[i], state());
      found = at_.calm;
    } catch (const Error& e) {
      if (e.code() != ErrorCode::bad_file) throw;
    }
  }
  if (!ranks_.any(found)) {
    at_ = {};
    learner_ = std::make_unique<Learner>(config_, &ranks_);
    watch_ = Watch(config_);
    look();
  }
  at_.returns = before.returns + 1, at_.rate_scale = before.rate_scale * config_.watch.backoff;
  at_.config = before.config, at_.configuration = before.configuration;
  if (before.best > at_.best) at_.best = before.best, at_.best_iteration = before.best_iteration;
  share();
  if (first()) {
    save();
    const std::string kept = checkpoint_path(folder_->checkpoints(), at_.iteration);
    std::error_code ignored;
    for (const std::string& path : paths)
      if (path > kept) std::filesystem::remove(path, ignored);
    folder_->rewind(at_.iteration, at_.validation_due);
  }
  loader_ = std::make_unique<Loader>(data_, config_, at_.iteration * config_.accumulate, part());
  window_start_ = Clock::now(), since_window_ = 0, window_waited_ = 0;
  window_communicated_ = ranks_.seconds();
  char rate[32];
  std::snprintf(rate, sizeof rate, "%.4g", at_.rate_scale);
  const std::string text = "diverged at iteration " + std::to_string(before.iteration) + " (" + reason +
                           "); back to iteration " + std::to_string(at_.iteration) + ", from there at " +
                           rate + " times the rate";
  tell(text);
  keep_going("metrics.jsonl", [&] {
    folder_->metrics(nlohmann::ordered_json{{"iteration", at_.iteration}, {"event", text}}.dump());
  });
}

void Trainer::step() {
  const double lr = learning_rate(config_, at_.iteration) * at_.rate_scale;
  auto next = [&] {
    Batch batch = loader_->next();
    if (hooks_.on_batch) hooks_.on_batch(at_.iteration, batch);
    return batch;
  };
  const StepResult result = learner_->step(next, lr, at_.iteration);
  ++at_.iteration;
  watch_.step(result.sound, result.loss);
  account(result, lr);
  if (!result.sound) share();  // ranks left it at different points, after as many power iterations
  stop_ = ranks_.any(asked_to_stop());
  if (at_.iteration % config_.watch.every == 0) look();
}

void Trainer::account(const StepResult& result, double lr) {
  if (!result.sound) {
    ++at_.skipped;
    ++at_.skipped_in_row;
    tell("iteration " + std::to_string(at_.iteration) +
         ": loss or gradient is not finite; the step is skipped");
    if (first() && at_.skipped_in_row >= kMostSkippedInRow)
      fail(ErrorCode::numeric, config_.folder(), ": ", kMostSkippedInRow,
           " steps in a row were not finite, up to iteration ", at_.iteration,
           "; the last good checkpoint is kept; try a lower optimizer.lr or set clip");
  } else {
    at_.skipped_in_row = 0;
    at_.window_loss += result.loss;
    at_.window_parts.resize(result.parts.size());
    for (size_t i = 0; i < result.parts.size(); ++i) at_.window_parts[i] += result.parts[i];
    ++at_.window_steps;
  }
  ++since_window_;
  at_.seconds = seconds_before_ + seconds_since(start_);
  TrainProgress now = progress(lr);
  if (at_.iteration % config_.log.every == 0) {
    now.logged = true;
    keep_going("metrics.jsonl", [&] { write_line(lr, result.norm, now); });
    advise(now.waiting);
    last_loss_ = now.loss;
    at_.window_loss = 0, at_.window_parts.clear(), at_.window_steps = 0;
    if (shown_rate_ == 0 || seconds_since(window_start_) >= kRateSeconds) {
      shown_rate_ = now.rate, shown_waiting_ = now.waiting, shown_communicating_ = now.communicating;
      window_start_ = Clock::now(), since_window_ = 0;
      window_waited_ = loader_->waited_seconds(), window_communicated_ = ranks_.seconds();
    }
  }
  if (hooks_.progress) hooks_.progress(now);
}

void Trainer::write_line(double lr, double norm, const TrainProgress& now) {
  nlohmann::ordered_json line = {{"iteration", at_.iteration}, {"lr", lr},
                                 {"it_per_s", now.rate},       {"waiting", now.waiting},
                                 {"skipped", at_.skipped},     {"seconds", at_.seconds}};
  if (now.ranks > 1) line["communicating"] = now.communicating;
  if (at_.window_steps > 0) line["loss"] = now.loss;
  for (const auto& [name, value] : now.terms) line["losses"][name] = value;
  if (std::isfinite(norm)) line["grad_norm"] = norm;
  folder_->metrics(line.dump());
  folder_->log(to_text(now, config_.validate.best));
}

// Once, and not of the first line of the log, which begins with empty queues.
void Trainer::advise(double waiting) {
  if (++windows_ < 2 || advised_) return;
  const std::string advice = waiting_advice(config_, waiting, std::thread::hardware_concurrency());
  advised_ = !advice.empty();
  if (advised_) tell(advice);
}

TrainProgress Trainer::progress(double lr) const {
  TrainProgress p;
  p.iteration = at_.iteration, p.iterations = config_.iterations, p.lr = lr;
  p.loss = at_.window_steps > 0 ? at_.window_loss / static_cast<double>(at_.window_steps) : last_loss_;
  if (at_.window_steps > 0 && at_.window_parts.size() == learner_->terms().size())
    for (size_t i = 0; i < at_.window_parts.size(); ++i)
      p.terms.emplace_back(learner_->terms()[i], at_.window_parts[i] / static_cast<double>(at_.window_steps));
  const double seconds = std::max(1e-9, seconds_since(window_start_));
  p.rate = static_cast<double>(since_window_) / seconds;
  p.waiting = (loader_->waited_seconds() - window_waited_) / seconds;
  p.communicating = (ranks_.seconds() - window_communicated_) / seconds, p.ranks = ranks_.size();
  if (seconds < kRateSeconds && shown_rate_ > 0)
    p.rate = shown_rate_, p.waiting = shown_waiting_, p.communicating = shown_communicating_;
  p.memory = resident_bytes();
  p.best = at_.best, p.has_best = std::isfinite(at_.best);
  p.seconds_left = static_cast<double>(config_.iterations - at_.iteration) / p.rate;
  return p;
}

nlohmann::ordered_json to_json(const Quality& q) {
  return {{"psnr_rgb", q.psnr_rgb}, {"psnr_y", q.psnr_y}, {"ssim_rgb", q.ssim_rgb}, {"ssim_y", q.ssim_y}};
}

// The first rank validates while the others wait; then all know whether it was stopped on the way.
void Trainer::validate_and_agree() {
  keep_going("validation", [&] { validate(); });
  at_.validation_due = ranks_.any(first() && at_.validation_due);
  stop_ = ranks_.any(asked_to_stop());
}

void Trainer::validate() {
  const auto before = Clock::now();
  const auto found = validator_.run(learner_->average(), at_.iteration, hooks_.stop);
  if (!found) return;
  const Quality &mean = found->mean, &base = found->baseline;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const auto& row : found->rows)
    rows.push_back(
        {{"name", row.name}, {"output", to_json(row.output)}, {"baseline", to_json(row.baseline)}});
  const double value = mean.by_name(config_.validate.best);
  const bool better = value > at_.best;
  if (better) {
    save_network(folder_->path("best.safetensors"), learner_->average(), config_);
    at_.best = value, at_.best_iteration = at_.iteration;
  }
  at_.validation_due = false;
  folder_->metrics(nlohmann::ordered_json{
      {"iteration", at_.iteration},
      {"validation",
       {{"border", config_.validate.border},
        {"mean", to_json(mean)},
        {"baseline", to_json(base)},
        {"rows", rows}}},
      {"best",
       at_.best}}.dump());
  char text[256];
  std::snprintf(
      text, sizeof text,
      "iteration %lld: PSNR Y %.3f dB (%s %.3f), RGB %.3f (%.3f); SSIM Y %.4f (%.4f); border %lld; %.0f s%s",
      static_cast<long long>(at_.iteration), mean.psnr_y, validator_.baseline_name().c_str(), base.psnr_y,
      mean.psnr_rgb, base.psnr_rgb, mean.ssim_y, base.ssim_y, static_cast<long long>(config_.validate.border),
      seconds_since(before), better ? "; the best so far" : "");
  tell(text);
  note_balance();
  for (const std::string& name : validator_.shown())
    folder_->image(at_.iteration, "validation/" + name,
                   read_file(preview_path(folder_->path("val"), name, std::to_string(at_.iteration))));
  report();
  window_start_ += Clock::now() - before;  // a validation's time is no part of the rate of training
}

std::vector<OperatorKernels> Trainer::operators() {
  DGPNet* net = learner_->average().dgpnet();
  return net ? operator_kernels(*net) : std::vector<OperatorKernels>{};
}

void Trainer::note_balance() {
  if (const auto layers = operators(); !layers.empty()) folder_->metrics(balance_line(at_.iteration, layers));
}

void Trainer::report() {
  write_report(config_, config_.folder(), {validator_.shown(), validator_.baseline_name()}, operators());
}

void Trainer::save() {
  at_.calm = watch_.calm();
  at_.seconds = seconds_before_ + seconds_since(start_);
  save_checkpoint(checkpoint_path(folder_->checkpoints(), at_.iteration), state(), at_);
  saved_at_ = at_.iteration;
  save_network(folder_->path("last.safetensors"), learner_->average(), config_);
  // Those saved where a run was stopped go first, so that what a divergence may return to does not depend on
  // stops.
  const auto all = list_checkpoints(folder_->checkpoints());
  std::error_code ignored;
  int64_t kept = 0;
  for (const std::string& path : all) {
    const bool keep = regular(path) && kept < config_.checkpoint.keep;
    kept += keep;
    if (!keep && path != all[0]) std::filesystem::remove(path, ignored);
  }
  failed_writes_ = 0;
}

}  // namespace

TrainResult train(const TrainConfig& config, const TrainHooks& hooks, bool resume) {
  if (hooks.ranks)
    check(config.data.batch >= hooks.ranks->size(), "data.batch: ", config.data.batch, " samples for ",
          hooks.ranks->size(), " ranks; each needs at least one: start fewer, or raise data.batch");
  check(!hooks.ranks || hooks.ranks->size() == 1 || config.computes_on() == Device::cpu,
        "device: several ranks train on CPUs alone; set device to cpu, or leave mpirun out");
  if (config.threads > 0) set_num_threads(static_cast<int>(config.threads));
  if (config.computes_on() == Device::cuda) cuda::require();  // before a folder is made
  const auto precision = precision_of(config);
  return Trainer(config, hooks, resume).run();
}

}  // namespace dgp
