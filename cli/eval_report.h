// The page of `dgp eval --report`: all pictures in a table, the worst of them to look at.
#pragma once

#include <string>
#include <vector>

#include "report/score_table.h"
#include "tensor/tensor.h"

namespace dgp {

class EvalReport {
 public:
  // `methods`: names in the order of each picture's scores, what the model is compared with first, the model
  // last. `images`: how many of the worst pictures are shown.
  EvalReport(std::vector<std::string> methods, std::vector<std::string> measures, size_t images);

  // Where a picture's result is furthest from the original, as HTML; empty when none are shown. All u8
  // [H,W,3]; `enlarged` is LR at HR's size.
  std::string crop(const std::string& name, const std::vector<Scores>& methods, const Tensor& lr,
                   const Tensor& enlarged, const Tensor& made, const Tensor& hr) const;
  // Of all pictures' crops only the worst ones' are kept.
  void add(const std::string& name, const std::vector<Scores>& methods, const std::string& crop);

  void write(const std::string& path, const std::string& title, const std::string& protocol) const;

 private:
  struct Crop {
    ScoreRow row;
    std::string html;
  };
  std::vector<std::string> methods_, measures_;
  size_t images_;
  std::vector<ScoreRow> rows_;
  std::vector<Crop> worst_;
};

}  // namespace dgp
