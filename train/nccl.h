// NCCL: what carries gradients from GPU to GPU where several ranks train as one. The library is found when
// the program runs (libnccl.so.2); without it train/ranks.h goes through the CPU's memory.
#pragma once

#include <cstdint>
#include <string>

#include "tensor/cuda.h"

namespace dgp::cuda::nccl {

DGP_CUDA_FUNCTION bool found();

// A name for a group, made by one of its ranks and handed to the others.
DGP_CUDA_FUNCTION std::string unique_id();

// Joins the group of `size` ranks as one of them, on this process's GPU; returns when all have. There is one
// group a process.
DGP_CUDA_FUNCTION void join(const std::string& id, int rank, int size);

// packed [size, part] += those of the other ranks, in device memory and in the stream's order; received is of
// the same size, for what comes in. Each rank adds up one part, in double and in the order of ranks, and
// hands it round: equal bits everywhere and in every run, which ncclAllReduce does not promise.
DGP_CUDA_FUNCTION void sum(float* packed, float* received, int64_t part);

}  // namespace dgp::cuda::nccl
