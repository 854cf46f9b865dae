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

// Rows (without the mean) from the worst to the best by the last method's gain over the first in a measure;
// by its value where there is one method.
void sort_worst_first(std::vector<ScoreRow>& rows, const std::string& measure);

}  // namespace dgp
