// What metrics.jsonl says of a run, read back.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "report/chart.h"
#include "report/operators.h"

namespace dgp {

struct ScoredPicture {
  std::string name;
  std::map<std::string, double> output, baseline;  // psnr_y, psnr_rgb (infinite when equal), ssim_y, ssim_rgb
};

struct BalanceCurves {
  std::string layer;
  std::map<std::string, std::vector<Point>> operators;
};

struct History {
  std::map<std::string, std::vector<Point>>
      curves;  // loss, lr, grad_norm, waiting (%), it_per_s, communicating (%)
  std::map<std::string, std::vector<Point>> terms;  // weighted terms of the loss
  // psnr_y, psnr_rgb, ssim_y, ssim_rgb: the mean over pictures of the output and of what it is compared with
  std::map<std::string, std::vector<Point>> output, baseline;
  std::vector<BalanceCurves> balance;  // a DGConv each, from head to tail
  std::vector<std::string> events;     // what happened on the way, such as a return to a good state
  int64_t iteration = 0, skipped = 0;  // of the last line
  double seconds = 0, rate = 0;
  int64_t validated_at = -1, border = 0;  // the last validation; -1: none yet
  std::vector<ScoredPicture> pictures;    // of it; the mean over all comes first
};

// A line of it: the balance factors after an iteration.
std::string balance_line(int64_t iteration, const std::vector<OperatorKernels>& layers);

// Lines that are cut short or of a kind this does not know are left out.
History read_history(const std::string& path);

}  // namespace dgp
