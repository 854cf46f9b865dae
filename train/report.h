// A run's report: one HTML file that opens anywhere, with curves as inline SVG and before/after pictures.
#pragma once

#include <string>
#include <vector>

#include "train/config.h"

namespace dgp {

// Reads metrics.jsonl and val/ of the run folder and writes report.html there. `shown`: names of the
// validation pictures; `baseline`: what the network is compared with, "bicubic" or "input".
void write_report(const TrainConfig& config, const std::string& folder, const std::vector<std::string>& shown,
                  const std::string& baseline);

}  // namespace dgp
