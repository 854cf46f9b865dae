#include "train/run_folder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <sys/file.h>
#include <unistd.h>
#include <vector>

#include "tensor/file.h"
#include "train/checkpoint.h"

namespace dgp {
namespace fs = std::filesystem;
namespace {

int open_or_fail(const std::string& path, int flags) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (fd < 0) fail(ErrorCode::io, path, ": cannot open: ", std::strerror(errno));
  return fd;
}

// All of the text or, when that fails, none of it.
void append(int fd, const std::string& path, const std::string& text) {
  const off_t before = ::lseek(fd, 0, SEEK_END);
  size_t done = 0;
  while (done < text.size()) {
    ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int why = errno;
      if (before < 0 || ::ftruncate(fd, before) != 0) errno = why;
      fail(ErrorCode::io, path, ": cannot write: ", why == ENOSPC ? "disk full" : std::strerror(why));
    }
    done += static_cast<size_t>(n);
  }
}

// What processes that were killed while writing a file have left (AtomicFile).
void remove_temporaries(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".dgp-") && name.ends_with(".tmp")) fs::remove(entry.path(), ignored);
  }
}

// The numbers in a line of metrics.jsonl, under TensorBoard's tags.
Scalars scalars_of(const nlohmann::ordered_json& line) {
  Scalars all;
  auto take = [&](const nlohmann::ordered_json& object, const char* key, const std::string& tag) {
    if (object.contains(key) && object[key].is_number()) all.emplace_back(tag, object[key].get<double>());
  };
  if (line.contains("validation")) {
    for (auto [who, tag] : {std::pair{"mean", "validation/"}, std::pair{"baseline", "baseline/"}})
      for (const char* key : {"psnr_y", "psnr_rgb", "ssim_y", "ssim_rgb"})
        take(line["validation"][who], key, std::string(tag) + key);
    return all;
  }
  for (const char* key : {"loss", "lr", "grad_norm", "loss_scale", "skipped"})
    take(line, key, std::string("train/") + key);
  take(line, "it_per_s", "speed/iterations_per_second");
  take(line, "waiting", "speed/share_waiting_for_data");
  take(line, "communicating", "speed/share_communicating");
  for (auto [group, tag] : {std::pair{"losses", "loss_terms"}, std::pair{"balance", "balance"}})
    if (line.contains(group))
      for (const auto& [name, value] : line[group].items()) {
        const std::string at = std::string(tag) + "/" + name;
        if (value.is_number()) all.emplace_back(at, value);
        if (value.is_object())
          for (const auto& [part, number] : value.items()) all.emplace_back(at + "/" + part, number);
      }
  return all;
}

}  // namespace

RunFolder::RunFolder(const TrainConfig& config, bool resume) : folder_(config.folder()) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) fail(ErrorCode::io, folder_, ": cannot create the folder: ", error.message());
  lock_ = open_or_fail(path(".lock"), O_RDWR | O_CREAT);
  try {
    if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
      char owner[32] = {};
      if (::pread(lock_, owner, sizeof owner - 1, 0) < 0) owner[0] = 0;
      fail(ErrorCode::locked, folder_, ": process ", std::strtol(owner, nullptr, 10),
           " is training here; choose another folder with --set out=DIR");
    }
    if (!resume && !list_checkpoints(checkpoints()).empty())
      fail(ErrorCode::invalid, folder_,
           " already holds a run; go on with --resume, or choose another folder with --set out=DIR");
    std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(lock_, 0) != 0 || ::pwrite(lock_, pid.data(), pid.size(), 0) < 0)
      fail(ErrorCode::io, path(".lock"), ": cannot write: ", std::strerror(errno));
    fs::create_directories(checkpoints(), error);
    fs::create_directories(path("val"), error);
    if (error) fail(ErrorCode::io, folder_, ": cannot create folders: ", error.message());
    for (const std::string& folder : {folder_, checkpoints(), path("val")}) remove_temporaries(folder);
    write_file(path("config.yml"), to_yaml(config));
    const int fresh = resume ? 0 : O_TRUNC;
    log_ = open_or_fail(path("log.txt"), O_WRONLY | O_CREAT | O_APPEND | fresh);
    metrics_ = open_or_fail(path("metrics.jsonl"), O_WRONLY | O_CREAT | O_APPEND | fresh);
    if (!resume) remove_event_files(folder_);
  } catch (...) {
    ::close(lock_);
    if (log_ >= 0) ::close(log_);
    throw;
  }
}

RunFolder::~RunFolder() {
  ::close(metrics_);
  ::close(log_);
  ::close(lock_);
}

void RunFolder::log(const std::string& line) {
  char stamp[32];
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S  ", ::localtime_r(&now, &parts));
  append(log_, path("log.txt"), stamp + line + "\n");
}

EventFile& RunFolder::events() {
  if (!events_) events_ = std::make_unique<EventFile>(folder_, next_);
  return *events_;
}

void RunFolder::metrics(const std::string& json) {
  append(metrics_, path("metrics.jsonl"), json + "\n");
  const auto line = nlohmann::ordered_json::parse(json);
  if (const Scalars scalars = scalars_of(line); !scalars.empty())
    events().scalars(line["iteration"], scalars);
}

void RunFolder::image(int64_t iteration, const std::string& tag, const std::string& png) {
  events().image(iteration, tag, png);
}

void RunFolder::rewind(int64_t iteration, bool validation_due) {
  const std::string name = path("metrics.jsonl");
  std::istringstream lines(read_file(name));
  std::string kept, line;
  while (std::getline(lines, line)) {
    if (lines.eof()) break;  // no newline at its end: cut short
    auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("iteration") || !json["iteration"].is_number_integer()) continue;
    const int64_t at = json["iteration"];
    if (at > iteration || (at == iteration && validation_due && json.contains("validation"))) continue;
    kept += line + "\n";
  }
  ::close(metrics_);
  metrics_ = -1;
  write_file(name, kept);
  metrics_ = open_or_fail(name, O_WRONLY | O_APPEND);
  events_.reset();
  next_ = iteration + 1;
}

std::string differences(const std::string& before, const std::string& now) {
  auto lines_of = [](const std::string& text) {
    std::istringstream lines(text);
    std::vector<std::string> all;
    for (std::string line; std::getline(lines, line);) all.push_back(line);
    return all;
  };
  const auto a = lines_of(before), b = lines_of(now);
  std::string text;
  auto missing = [&](const std::vector<std::string>& from, const std::vector<std::string>& in,
                     const char* sign) {
    for (const std::string& line : from)
      if (std::find(in.begin(), in.end(), line) == in.end()) text += "\n  " + (sign + line);
  };
  missing(a, b, "- ");
  missing(b, a, "+ ");
  return text;
}

}  // namespace dgp
