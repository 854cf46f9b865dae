// The measures of `dgp eval`, chosen by name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "image/niqe.h"
#include "models/lpips.h"
#include "report/score_table.h"
#include "tensor/tensor.h"

namespace dgp {

struct MetricOptions {
  std::vector<std::string> names = {"psnr", "ssim"};  // also ms-ssim, niqe, lpips
  std::string niqe_model;                             // niqe_pris_params.npz, for niqe
  std::string lpips_weights;                          // safetensors, for lpips
};

class Scorer {
 public:
  // Throws Error(invalid) for an unknown name, and where a measure lacks its file.
  explicit Scorer(const MetricOptions& options);

  // Keys of the scores in the order of the table: psnr_rgb, ssim_rgb, ..., psnr_y, ssim_y, ..., niqe, lpips.
  const std::vector<std::string>& measures() const { return measures_; }
  // u8 [H,W,3] both.
  Scores operator()(const Tensor& made, const Tensor& hr, int64_t border) const;

 private:
  std::vector<std::string> measures_;
  std::optional<NiqeModel> niqe_;
  std::optional<Lpips> lpips_;
};

// Over pictures, measure by measure.
Scores mean(const std::vector<Scores>& all);

}  // namespace dgp
