// NumPy's .npy files (format versions 1 to 3,
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): f32, f64, u8 and i64 arrays,
// row-major, little-endian. Anything else is refused with the reason.
#pragma once

#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace dgp {

Tensor read_npy(const std::string& path);
void write_npy(const std::string& path, const Tensor& tensor);  // version 1.0, atomic

// The same on bytes in memory; `name` is what errors call the file.
Tensor parse_npy(std::string_view bytes, const std::string& name);

}  // namespace dgp
