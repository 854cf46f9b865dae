// A run's report: one HTML file that opens anywhere, with curves, pictures, kernels and tables.
#pragma once

#include <string>
#include <vector>

#include "report/operators.h"
#include "train/config.h"

namespace dgp {

struct ReportPictures {
  std::vector<std::string> shown;  // names of the validation pictures whose crops lie in val/
  std::string baseline;            // what the network is compared with, "bicubic" or "input"
};

// Reads metrics.jsonl and val/ of the run folder and writes report.html there. `layers`: the network's
// DGConvs as they are now; empty where it has none.
void write_report(const TrainConfig& config, const std::string& folder, const ReportPictures& pictures,
                  const std::vector<OperatorKernels>& layers);

}  // namespace dgp
