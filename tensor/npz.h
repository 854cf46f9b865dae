// NumPy's .npz files: a ZIP archive of .npy files, stored or deflated (numpy.savez, numpy.savez_compressed).
// Encrypted, split and ZIP64 archives are refused, and every size and checksum is checked.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace dgp {

// Arrays by name, without ".npy". Throws Error(bad_file) naming the file and what is wrong in it.
std::map<std::string, Tensor> read_npz(const std::string& path);
std::map<std::string, Tensor> parse_npz(std::string_view bytes, const std::string& name);

}  // namespace dgp
