// A PNG written row by row: an upscaled image never has to be in memory as a whole. PNG specification, third
// edition (W3C 2023); each row takes the filter with the smallest sum of absolute differences (its
// section 12.7).
#pragma once

#include <memory>
#include <string>

#include "tensor/tensor.h"

namespace dgp {

class PngWriter {
 public:
  // channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; depth: 8 or 16.
  PngWriter(const std::string& path, int64_t width, int64_t height, int64_t channels, int depth = 8);
  // The same into memory, appended to `into`.
  PngWriter(std::string* into, int64_t width, int64_t height, int64_t channels, int depth = 8);
  ~PngWriter();  // without commit() nothing is left behind

  // f32 [R,W,C] in [0,1], the next R rows: clamped, rounded half to even; NaN is Error(numeric).
  void rows(const Tensor& x);

  // After the last row: finishes the file and gives it its name.
  void commit();

 private:
  void begin();
  struct State;
  std::unique_ptr<State> state_;
};

std::string png_bytes(const Tensor& x);  // f32 [H,W,C] in [0,1] as a PNG file of 8 bits

}  // namespace dgp
