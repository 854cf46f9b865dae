// Validation: whole pictures through the averaged network, measured as super-resolution's tables are (PSNR
// and SSIM on 8-bit RGB and Y), beside bicubic enlargement, or the input itself at scale 1. Where several
// ranks train as one they take the pictures in turn; what is found does not depend on their number.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "train/data.h"
#include "train/network.h"
#include "train/preview.h"
#include "train/ranks.h"

namespace dgp {

struct Quality {
  double psnr_rgb = 0, psnr_y = 0, ssim_rgb = 0, ssim_y = 0;
  double by_name(const std::string& name) const;
};

struct ValidationRow {
  std::string name;
  Quality output, baseline;
};

struct Validation {
  std::vector<ValidationRow> rows;
  Quality mean, baseline;
  std::vector<Tensor> shown;  // u8, the output of each picture to look at
};

// A line of metrics.jsonl, and of the console.
std::string metrics_line(int64_t iteration, const Validation& found, int64_t border, double best);
std::string to_text(const Validation& found, const std::string& baseline_name);

// LR pixels a side that a validation picture must have at least, for SSIM's window inside the border.
int64_t least_validation_size(const TrainConfig& config);

class Validator {
 public:
  // In the first rank writes the pictures to look at into the folder: <name>_input.png (enlarged),
  // <name>_hr.png, and what train/preview.h begins with.
  Validator(const TrainConfig& config, const std::string& folder, Ranks& ranks);

  size_t count() const { return names_.size(); }

  // To be called by all ranks. Nothing when `stop` was set on the way in one of them, and nothing in others
  // than the first.
  std::optional<Validation> run(const Network& net, const std::atomic<bool>* stop) const;

  // Writes <name>_output.png, and adds to the previews.
  void show(const Validation& found, int64_t iteration) const;

  // Names of the pictures written, and what the first column of a table is called.
  std::vector<std::string> shown() const;
  std::string baseline_name() const { return scale_ == 1 ? "input" : "bicubic"; }

 private:
  struct Item {
    size_t index;
    Tensor lr, hr;  // u8
    Quality baseline;
  };
  bool is_shown(size_t index) const { return index < images_; }
  std::string measured(const Network& net, const Item& item) const;  // to be sent to the first rank

  int64_t scale_, border_, every_;
  Device device_;
  size_t images_;
  std::string folder_;
  Ranks& ranks_;
  std::vector<std::string> names_;
  std::vector<Item> mine_;
  std::vector<Box> previews_;  // of the pictures shown
};

}  // namespace dgp
