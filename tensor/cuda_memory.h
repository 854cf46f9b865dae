// How much of the device's memory is taken. Null without CUDA in the build, as in tensor/cuda.h, which has
// free_memory() and peak_memory().
#pragma once

#include "tensor/cuda.h"

namespace dgp::cuda {

DGP_CUDA_FUNCTION int64_t memory_in_use();  // bytes that dgp has allocated now

// Waits for what is queued, and gives memory back that was freed.
DGP_CUDA_FUNCTION void release_unused_memory();

}  // namespace dgp::cuda
