// How fast a run goes, over windows of at least two seconds: shorter ones show noise.
#pragma once

#include <chrono>
#include <cstdint>

namespace dgp {

class Throughput {
 public:
  struct Seconds {  // spent by the process so far
    double waiting = 0, communicating = 0;
  };
  struct Rates {
    double iterations = 0;                  // a second
    double waiting = 0, communicating = 0;  // shares of the time
  };

  void count() { ++iterations_; }
  Rates rates(const Seconds& now) const;

  void close(const Seconds& now);  // the window, if it was long enough; its rates are shown until the next is
  void restart(const Seconds& now);  // a new window, and what was in this one is forgotten
  void leave_out(std::chrono::steady_clock::duration time) { start_ += time; }  // no part of training

 private:
  double seconds() const;

  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  int64_t iterations_ = 0;
  Seconds before_;
  Rates shown_;
};

}  // namespace dgp
