// What `dgp upscale` says while it works, on standard error: one line rewritten in place on a terminal, one
// plain line a finished file in a pipe, nothing when quiet.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace dgp {

class Ranks;

class Progress {
 public:
  Progress(bool quiet, int64_t files);

  void start(const std::string& name);
  void expect(int64_t output_pixels);  // of the file just started
  void part(int64_t index,
            int64_t count);      // what update() tells of is one of several equal parts of the file
  void update(double fraction);  // of the file, or its part
  void finish(const std::string& text);
  void note(const std::string& text);       // beside the progress
  void failed(const std::string& message);  // also when quiet
  void end(Ranks& ranks);                   // after the last file: the summary, if all ranks had several

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point start);
  void erase_line();

  bool quiet_, terminal_;
  int64_t files_, index_ = 0, failures_ = 0, part_ = 0, parts_ = 1;
  std::string name_;
  double file_megapixels_ = 0, all_megapixels_ = 0;
  Clock::time_point begin_, file_begin_, shown_;
};

}  // namespace dgp
