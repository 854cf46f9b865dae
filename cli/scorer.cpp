#include "cli/scorer.h"

#include <algorithm>

#include "image/crop.h"
#include "image/image.h"
#include "image/metrics.h"

namespace dgp {
namespace {

using Compare = double (*)(const Tensor&, const Tensor&, int64_t, bool luma);

// Measures that compare with the original, on RGB and on Y.
struct Comparison {
  const char *name, *key;
  Compare compare;
};
constexpr Comparison kComparisons[] = {
    {"psnr", "psnr", psnr}, {"ssim", "ssim", ssim}, {"ms-ssim", "ms_ssim", ms_ssim}};

const Comparison* comparison(const std::string& measure) {
  for (const Comparison& c : kComparisons)
    if (measure == std::string(c.key) + "_rgb" || measure == std::string(c.key) + "_y") return &c;
  return nullptr;
}

Tensor inner(const Tensor& x, int64_t border) {
  check(border >= 0 && x.dim(0) > 2 * border && x.dim(1) > 2 * border, "lpips: a border of ", border,
        " leaves nothing of ", to_string(x.shape()));
  return cut(x, {border, border, x.dim(1) - 2 * border, x.dim(0) - 2 * border});
}

}  // namespace

Scorer::Scorer(const MetricOptions& options) {
  auto wanted = [&](const char* name) {
    return std::find(options.names.begin(), options.names.end(), name) != options.names.end();
  };
  for (const std::string& name : options.names)
    check(name == "niqe" || name == "lpips" ||
              std::any_of(std::begin(kComparisons), std::end(kComparisons),
                          [&](const Comparison& c) { return name == c.name; }),
          "--metrics: there is no '", name, "'; there are psnr, ssim, ms-ssim, niqe, lpips");
  for (const char* colours : {"_rgb", "_y"})
    for (const Comparison& c : kComparisons)
      if (wanted(c.name)) measures_.push_back(std::string(c.key) + colours);
  if (wanted("niqe")) {
    check(!options.niqe_model.empty(),
          "--metrics niqe needs the statistics of undistorted photographs: give BasicSR's "
          "niqe_pris_params.npz with "
          "--niqe-model FILE");
    niqe_ = read_niqe_model(options.niqe_model);
    measures_.emplace_back("niqe");
  }
  if (wanted("lpips")) {
    check(!options.lpips_weights.empty(),
          "--metrics lpips needs a network's weights: give them with --lpips-weights FILE.safetensors "
          "(docs/seeing.md says how to make the file)");
    lpips_.emplace(options.lpips_weights);
    measures_.emplace_back("lpips");
  }
}

Scores Scorer::operator()(const Tensor& made, const Tensor& hr, int64_t border) const {
  Scores scores;
  for (const std::string& measure : measures_)
    if (const Comparison* c = comparison(measure))
      scores[measure] = c->compare(made, hr, border, measure.ends_with("_y"));
    else if (measure == "niqe")
      scores[measure] = niqe(made, border, *niqe_);
    else
      scores[measure] = (*lpips_)(to_float(inner(made, border)), to_float(inner(hr, border)));
  return scores;
}

Scores mean(const std::vector<Scores>& all) {
  Scores sum;
  for (const Scores& scores : all)
    for (const auto& [measure, value] : scores) sum[measure] += value / static_cast<double>(all.size());
  return sum;
}

}  // namespace dgp
