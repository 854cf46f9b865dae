#include "cli/progress.h"

#include <cstdio>
#include <iostream>
#include <unistd.h>

#include "cli/cli.h"
#include "train/ranks.h"

namespace dgp {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr const char* kEraseLine = "\r\033[K";

// "12 s", "3 min 20 s", "2 h 05 min"
std::string duration(double seconds) {
  char text[48];
  auto s = static_cast<long long>(seconds + 0.5);
  if (seconds < 9.95)
    std::snprintf(text, sizeof text, "%.1f s", seconds);
  else if (s < 60)
    std::snprintf(text, sizeof text, "%lld s", s);
  else if (s < 3600)
    std::snprintf(text, sizeof text, "%lld min %02lld s", s / 60, s % 60);
  else
    std::snprintf(text, sizeof text, "%lld h %02lld min", s / 3600, s / 60 % 60);
  return text;
}

}  // namespace

Progress::Progress(bool quiet, int64_t files)
    : quiet_(quiet), terminal_(is_terminal(STDERR_FILENO)), files_(files), begin_(Clock::now()) {}

double Progress::seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void Progress::erase_line() {
  if (terminal_ && !quiet_) std::cerr << kEraseLine;
}

void Progress::start(const std::string& name) {
  ++index_;
  name_ = name;
  file_megapixels_ = 0;
  part(0, 1);
  file_begin_ = Clock::now();
  shown_ = {};
}

void Progress::expect(int64_t output_pixels) { file_megapixels_ = static_cast<double>(output_pixels) / 1e6; }

void Progress::part(int64_t index, int64_t count) { part_ = index, parts_ = count; }

void Progress::update(double fraction) {
  fraction = (static_cast<double>(part_) + fraction) / static_cast<double>(parts_);
  if (quiet_ || !terminal_ || seconds_since(shown_) < kRedrawSeconds) return;
  shown_ = Clock::now();
  double seconds = seconds_since(file_begin_);
  char numbers[96];
  std::snprintf(numbers, sizeof numbers, "%3.0f%%  %.2f Mpx/s  %s left", 100 * fraction,
                fraction * file_megapixels_ / seconds,
                duration(fraction > 0 ? seconds / fraction - seconds : 0).c_str());
  std::cerr << kEraseLine;
  if (files_ > 1) std::cerr << "[" << index_ << "/" << files_ << "] ";
  std::cerr << name_ << "  " << numbers << std::flush;
}

void Progress::finish(const std::string& text) {
  all_megapixels_ += file_megapixels_;
  if (quiet_) return;
  double seconds = seconds_since(file_begin_);
  char numbers[64];
  std::snprintf(numbers, sizeof numbers, "%s, %.2f Mpx/s", duration(seconds).c_str(),
                file_megapixels_ / seconds);
  erase_line();
  std::cerr << text << "  " << numbers << "\n";
}

void Progress::note(const std::string& text) {
  if (quiet_) return;
  erase_line();
  std::cerr << "dgp: " << text << "\n";
}

void Progress::failed(const std::string& message) {
  ++failures_;
  erase_line();
  std::cerr << "dgp: " << message << "\n";
}

void Progress::end(Ranks& ranks) {
  std::vector<double> all{static_cast<double>(files_), static_cast<double>(failures_), all_megapixels_};
  ranks.sum(all);
  const auto files = static_cast<int64_t>(all[0]), failures = static_cast<int64_t>(all[1]);
  if (!ranks.first() || files < 2 || (quiet_ && failures == 0)) return;
  erase_line();
  if (failures > 0) std::cerr << "dgp: " << failures << " of " << files << " files failed\n";
  if (!quiet_) {
    double seconds = seconds_since(begin_);
    char numbers[64];
    std::snprintf(numbers, sizeof numbers, "%.2f Mpx in %s, %.2f Mpx/s", all[2], duration(seconds).c_str(),
                  all[2] / seconds);
    std::cerr << files - failures << " files, " << numbers << "\n";
  }
}

}  // namespace dgp
