// Time, and the machine's two limits, measured: arithmetic and memory. On the GPU all three are its own
// (tensor/cuda_measure.h).
#pragma once

#include <functional>
#include <string>

#include "tensor/tensor.h"

namespace dgp {

// Of one run: wall time on the CPU; on the GPU the time between events before and behind what the run queues.
double milliseconds(Device device, const std::function<void()>& run);

// Bytes of tensors on the device, at most at a time since the reset.
void reset_peak_bytes(Device device);
int64_t peak_bytes(Device device);

std::string machine_name(Device device);  // "2 threads, avx2"; "NVIDIA H100 80GB HBM3"

// GFLOP/s of fused multiply-adds on registers alone, f32, on all threads of parallel_for, in the vectors of
// the instruction set in use: the best of so many tries, of about a hundredth of a second each. The GPU's own
// counts its tries itself.
double peak_gflops(Device device = Device::cpu, int tries = 10);

// GB/s (10^9 bytes) of memory on all threads of parallel_for: a[i] = b[i] + s c[i] (McCalpin's STREAM triad)
// on arrays far larger than the caches. 12 bytes are counted an element, as STREAM does. Takes about half a
// second and 384 MiB.
double bandwidth_gbs(Device device = Device::cpu);

}  // namespace dgp
