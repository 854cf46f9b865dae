// The fixed crops of a run: where a validation picture is hardest, kept as it was at some iterations, for the
// report and for TensorBoard.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "image/crop.h"
#include "tensor/tensor.h"

namespace dgp {

inline constexpr int64_t kPreviewSide = 128;  // HR pixels
inline constexpr int64_t kMostPreviews = 8;   // iterations whose crops are kept

// All u8 [H,W,3]; undefined where there is no file.
struct Preview {
  Tensor lr, enlarged, truth;
  std::vector<std::pair<int64_t, Tensor>> outputs;  // by iteration, in order
};

// kind: lr, input, hr, or an iteration's number.
std::string preview_path(const std::string& folder, const std::string& name, const std::string& kind);

// Writes <name>_crop_lr.png, _crop_input.png (enlarged) and _crop_hr.png into the folder, once; the place.
Box write_preview(const std::string& folder, const std::string& name, const Tensor& lr,
                  const Tensor& enlarged, const Tensor& truth, int64_t scale);

// Adds the crop of an output as <name>_crop_<iteration>.png and removes those that are one too many: of
// validations every `every` iterations, those stay whose number is a multiple of the smallest power of two
// that leaves at most kMostPreviews, and the latest.
void add_preview(const std::string& folder, const std::string& name, int64_t iteration, int64_t every,
                 const Tensor& crop);

Preview read_preview(const std::string& folder, const std::string& name);

}  // namespace dgp
