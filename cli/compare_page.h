// The page of `dgp compare`: one HTML file with its pictures inside, that opens without a network.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace dgp {

struct Picture {
  std::string name;
  Tensor rgb;  // u8 [H,W,3]
};

// Two or three pictures of one size.
void write_page(const std::string& path, const std::vector<Picture>& pictures);

}  // namespace dgp
