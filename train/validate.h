// Validation: whole pictures through the averaged network, measured as super-resolution's tables are (PSNR
// and SSIM on 8-bit RGB and Y), beside bicubic enlargement, or the input itself at scale 1.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "train/data.h"
#include "train/network.h"
#include "train/preview.h"

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
};

// LR pixels a side that a validation picture must have at least, for SSIM's window inside the border.
int64_t least_validation_size(const TrainConfig& config);

class Validator {
 public:
  Validator(const TrainConfig& config, const std::string& folder);

  size_t count() const { return lr_.size(); }
  // Nothing when `stop` was set on the way. Writes the pictures to look at into the folder:
  // <name>_input.png (enlarged), <name>_output.png, <name>_hr.png, and those of train/preview.h.
  std::optional<Validation> run(const Network& net, int64_t iteration, const std::atomic<bool>* stop) const;

  // Names of the pictures written, and what the first column of a table is called.
  std::vector<std::string> shown() const;
  std::string baseline_name() const { return scale_ == 1 ? "input" : "bicubic"; }

 private:
  int64_t scale_, border_, every_;
  Device device_;
  size_t images_;
  std::string folder_;
  std::vector<std::string> names_;
  std::vector<Tensor> lr_, hr_, enlarged_;  // u8
  std::vector<Quality> baseline_;
  std::vector<Box> previews_;  // of the pictures shown
};

}  // namespace dgp
