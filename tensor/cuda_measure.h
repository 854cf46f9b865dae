// Measuring on the device: the time that work takes, by the device's clock, and what arithmetic and memory
// can do. Null without CUDA in the build, as in tensor/cuda.h.
#pragma once

#include <functional>

#include "tensor/cuda.h"

namespace dgp::cuda {

// Milliseconds from the beginning to the end of what `queue` puts on the stream; returns when it is done.
DGP_CUDA_FUNCTION double milliseconds(const std::function<void()>& queue);

// GFLOP/s of fused multiply-adds on registers alone, f32, not on tensor cores.
DGP_CUDA_FUNCTION double peak_gflops();

// GB/s (10^9 bytes) of copying large arrays, reads and writes counted.
DGP_CUDA_FUNCTION double bandwidth_gbs();

}  // namespace dgp::cuda
