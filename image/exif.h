// The one thing that EXIF data is read for: which way up a photograph is (tag 0x0112, EXIF 2.32
// section 4.6.4).
#pragma once

#include <string_view>

#include "tensor/tensor.h"

namespace dgp {

// The orientation, 1 to 8, of an APP1 segment's contents; 1 (upright) when there is none or it makes no
// sense: a photograph with broken EXIF data is still a photograph.
int exif_orientation(std::string_view segment);

// u8 [H,W,C] turned upright; orientations 5 to 8 swap width and height.
Tensor apply_orientation(const Tensor& pixels, int orientation);

}  // namespace dgp
