// A run's folder: one process owns it (flock), config.yml, log.txt, metrics.jsonl, the same for TensorBoard
// (events.out.tfevents.*), checkpoints/, val/, best.safetensors, last.safetensors, report.html.
#pragma once

#include <memory>
#include <string>

#include "train/config.h"
#include "train/event_file.h"

namespace dgp {

class RunFolder {
 public:
  // Creates the folder and locks it; throws Error(locked) when another process holds it, Error(invalid) when
  // it already holds checkpoints and `resume` is false.
  RunFolder(const TrainConfig& config, bool resume);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string checkpoints() const { return path("checkpoints"); }

  void log(const std::string& line);      // with the time, to log.txt
  void metrics(const std::string& json);  // one line to metrics.jsonl, and its numbers to TensorBoard
  void image(int64_t iteration, const std::string& tag, const std::string& png);  // to TensorBoard alone

  // Drops lines of metrics.jsonl that the iterations to come will write again: those after `iteration`,
  // validations at it too when it is due, and a line cut short. TensorBoard is told the same.
  void rewind(int64_t iteration, bool validation_due);

 private:
  std::string folder_;
  int lock_ = -1, log_ = -1, metrics_ = -1;
  std::unique_ptr<EventFile> events_;  // begun with its first entry
  int64_t next_ = 0;                   // iteration from which on older event files are void
  EventFile& events();
};

// The lines that only one of two texts has, "- before" and "+ now", each after a line break.
std::string differences(const std::string& before, const std::string& now);

}  // namespace dgp
