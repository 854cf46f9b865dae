#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "tensor/cuda.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "train/environment.h"
#include "train/history.h"
#include "train/learner.h"
#include "train/loader.h"
#include "train/rank_data.h"
#include "train/report.h"
#include "train/run_folder.h"
#include "train/schedule.h"
#include "train/throughput.h"
#include "train/validate.h"
#include "train/watch.h"

namespace dgp {
namespace {

constexpr int64_t kMostSkippedInRow = 10;
constexpr uint64_t kPreviewStream = 0x100c;  // of random numbers
constexpr int kMostFailedWrites = 10;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Trainer {
 public:
  Trainer(const TrainConfig& config, const TrainHooks& hooks, bool resume);
  TrainResult run();

 private:
  void tell(const std::string& text);
  void begin(bool resume);
  void resume_newest();
  void share();         // what the first rank holds, with the others
  void load_batches();  // from the next iteration on
  Throughput::Seconds spent() const { return {loader_->waited_seconds(), ranks_.seconds()}; }
  void step();
  void account(const StepResult& result, double lr);
  TrainProgress progress(double lr) const;
  TrainState state();
  void look();  // at the preview
  double drift();
  void go_back(const std::string& reason);
  void write_line(double lr, double norm, const TrainProgress& now);
  void advise(double waiting);
  void validate_and_agree();
  void take_note(const Validation& found, double seconds);
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
  Clock::time_point start_ = Clock::now();
  Throughput throughput_;
  double seconds_before_ = 0, last_loss_ = 0;  // of the last line of the log
  int failed_writes_ = 0;                      // since the last checkpoint
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
      data_(load_for_ranks(config, hooks.message, ranks_)),
      validator_(config, config.folder() + "/val", ranks_),
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
  if (resume && first()) resume_newest();
  share();
  at_.config = config_hash(config_), at_.configuration = to_yaml(config_);
  seconds_before_ = at_.seconds;
  const bool gpu = config_.computes_on() == Device::cuda;
  const bool nccl = gpu && ranks_.by_nccl();
  std::string text = ranks_.size() > 1 ? std::to_string(ranks_.size()) + " ranks; " : "";
  text += std::to_string(data_.pictures().size()) + " training pictures, " +
          std::to_string(data_.bytes() >> 20) + " MiB decoded; " + std::to_string(validator_.count()) +
          " validation pictures; " + std::to_string(parameter_count(learner_->network())) + " parameters; " +
          std::to_string(num_threads()) + " threads";
  if (gpu) text += "; on " + cuda::device_name();
  if (gpu && ranks_.size() > 1) text += nccl ? ", gradients by NCCL" : ", gradients through the CPU's memory";
  tell(text);
  if (at_.iteration == 0) look();
  load_batches();
  start_ = Clock::now();
}

void Trainer::load_batches() {
  loader_ = std::make_unique<Loader>(data_, config_, at_.iteration * config_.accumulate,
                                     part_of_batch(config_, ranks_));
  throughput_.restart(spent());
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
  std::optional<Counters> found;
  if (first()) found = load_newest_calm(folder_->checkpoints(), state(), config_.checkpoint.every);
  at_ = found.value_or(Counters{});
  if (!ranks_.any(found.has_value())) {
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
    remove_checkpoints_after(folder_->checkpoints(), at_.iteration);
    folder_->rewind(at_.iteration, at_.validation_due);
  }
  load_batches();
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
  const StepResult result = learner_->step(next, lr, at_.iteration, [&] { loader_->send(); });
  ++at_.iteration;
  if (!result.overflow) watch_.step(result.sound, result.loss);
  account(result, lr);
  if (!result.sound) share();  // ranks left it at different points, after as many power iterations
  stop_ = ranks_.any(asked_to_stop());
  if (at_.iteration % config_.watch.every == 0) look();
}

void Trainer::account(const StepResult& result, double lr) {
  if (result.overflow) {  // the scale's doing: no sign of divergence
    ++at_.skipped;
    tell("iteration " + std::to_string(at_.iteration) + ": " +
         (std::isfinite(result.loss) ? "a gradient" : "the loss") + " overflowed at loss scale " +
         std::to_string(static_cast<int64_t>(result.loss_scale)) + "; the step is skipped, the scale halved");
  } else if (!result.sound) {
    ++at_.skipped;
    ++at_.skipped_in_row;
    tell("iteration " + std::to_string(at_.iteration) +
         ": loss or gradient is not finite; the step is skipped");
    if (first() && at_.skipped_in_row >= kMostSkippedInRow)
      fail(ErrorCode::numeric, config_.folder(), ": ", kMostSkippedInRow,
           " steps in a row were not finite, up to iteration ", at_.iteration,
           result.loss_scale > 0 ? ", and no loss scale helped: f16 holds values up to 65504" : "",
           "; the last good checkpoint is kept; try ", result.loss_scale > 0 ? "precision: bf16, " : "",
           "a lower optimizer.lr or set clip");
  } else {
    at_.skipped_in_row = 0;
    at_.window_loss += result.loss;
    at_.window_parts.resize(result.parts.size());
    for (size_t i = 0; i < result.parts.size(); ++i) at_.window_parts[i] += result.parts[i];
    ++at_.window_steps;
  }
  throughput_.count();
  at_.seconds = seconds_before_ + seconds_since(start_);
  TrainProgress now = progress(lr);
  now.loss_scale = result.loss_scale;
  if (at_.iteration % config_.log.every == 0) {
    now.logged = true;
    keep_going("metrics.jsonl", [&] { write_line(lr, result.norm, now); });
    advise(now.waiting);
    last_loss_ = now.loss;
    at_.window_loss = 0, at_.window_parts.clear(), at_.window_steps = 0;
    throughput_.close(spent());
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
  if (now.loss_scale > 0) line["loss_scale"] = now.loss_scale;
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
  p.iteration = at_.iteration, p.iterations = config_.iterations, p.lr = lr, p.skipped = at_.skipped;
  p.loss = at_.window_steps > 0 ? at_.window_loss / static_cast<double>(at_.window_steps) : last_loss_;
  if (at_.window_steps > 0 && at_.window_parts.size() == learner_->terms().size())
    for (size_t i = 0; i < at_.window_parts.size(); ++i)
      p.terms.emplace_back(learner_->terms()[i], at_.window_parts[i] / static_cast<double>(at_.window_steps));
  const Throughput::Rates rates = throughput_.rates(spent());
  p.rate = rates.iterations, p.waiting = rates.waiting;
  p.communicating = rates.communicating, p.ranks = ranks_.size();
  p.memory = resident_bytes();
  p.best = at_.best, p.has_best = std::isfinite(at_.best);
  p.seconds_left = static_cast<double>(config_.iterations - at_.iteration) / p.rate;
  return p;
}

// Each rank measures its part of the pictures; then all know whether one was stopped on the way.
void Trainer::validate_and_agree() {
  const auto before = Clock::now();
  const auto found = validator_.run(learner_->average(), hooks_.stop);
  if (found) keep_going("validation", [&] { take_note(*found, seconds_since(before)); });
  throughput_.leave_out(Clock::now() - before);
  at_.validation_due = ranks_.any(first() && at_.validation_due);
  stop_ = ranks_.any(asked_to_stop());
}

void Trainer::take_note(const Validation& found, double seconds) {
  validator_.show(found, at_.iteration);
  const double value = found.mean.by_name(config_.validate.best);
  const bool better = value > at_.best;
  if (better) {
    save_network(folder_->path("best.safetensors"), learner_->average(), config_);
    at_.best = value, at_.best_iteration = at_.iteration;
  }
  at_.validation_due = false;
  folder_->metrics(metrics_line(at_.iteration, found, config_.validate.border, at_.best));
  tell("iteration " + std::to_string(at_.iteration) + ": " + to_text(found, validator_.baseline_name()) +
       "; border " + std::to_string(config_.validate.border) + "; " + std::to_string(std::lround(seconds)) +
       " s" + (better ? "; the best so far" : ""));
  note_balance();
  for (const std::string& name : validator_.shown())
    folder_->image(at_.iteration, "validation/" + name,
                   read_file(preview_path(folder_->path("val"), name, std::to_string(at_.iteration))));
  report();
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
  remove_old_checkpoints(folder_->checkpoints(), config_.checkpoint.keep, config_.checkpoint.every);
  failed_writes_ = 0;
}

}  // namespace

TrainResult train(const TrainConfig& config, const TrainHooks& hooks, bool resume) {
  if (hooks.ranks)
    check(config.data.batch >= hooks.ranks->size(), "data.batch: ", config.data.batch, " samples for ",
          hooks.ranks->size(), " ranks; each needs at least one: start fewer, or raise data.batch");
  if (config.threads > 0) set_num_threads(static_cast<int>(config.threads));
  if (config.computes_on() == Device::cuda) cuda::require();  // before a folder is made
  const auto precision = precision_of(config);
  return Trainer(config, hooks, resume).run();
}

}  // namespace dgp
