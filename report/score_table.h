// The table of a measurement: a row a picture, and for each measure a column a method and the gain of the
// last method over the first.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace dgp {

using Scores = std::map<std::string, double>;  // by measure: psnr_y, ssim_rgb, ms_ssim_y, niqe, lpips, ...

struct ScoreRow {
  std::string name;
  std::vector<Scores> methods;
};

std::string measure_name(const std::string& key);  // "psnr_y" -> "PSNR Y"
int measure_decimals(const std::string& key);
bool less_is_better(const std::string& key);  // NIQE, LPIPS

// The first row is the mean over the others, which are put in order: least gain in the first measure first.
std::string score_table(const std::vector<std::string>& methods, const std::vector<std::string>& measures,
                        std::vector<ScoreRow> rows);

// Whether the last method gains less over the first on a than on b, in a measure; where there is one method,
// whether it does worse.
bool worse(const ScoreRow& a, const ScoreRow& b, const std::string& measure);

}  // namespace dgp
