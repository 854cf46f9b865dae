// A block's second convolution on the GPU, made per image as AIIBlock::second (models/aiiblock.h) makes it: a
// few small kernels on memory laid out beforehand, so that a CUDA graph can hold them. Sums that feed a gate
// are in double.
#pragma once

#include <vector>

#include "models/aiiblock.h"
#include "tensor/cuda.h"

namespace dgp {

// What of a fused block the second convolution is made of, in device memory. h, the block's input to it, has
// H halves of C channels (2; 1 with one branch); M kernels read each (2C; C where attentions have a half of
// their own).
struct FoldWeights {
  Tensor kernels;       // [H,M,k,k,C]
  Tensor biases;        // [H,M]
  Tensor projections;   // [C,H,M]: of every kernel into every result channel
  Tensor project_bias;  // [C]: of both attentions
  struct Gate {         // of an attention: it reads entries [first, first + C) of each of its halves of z
    Tensor squeeze_weight, squeeze_bias, excite_weight, excite_bias;
    int64_t first_half, halves, first;
  };
  std::vector<Gate> gates;  // empty where gates are 1

  explicit FoldWeights(const AIIBlock& fused);
};

// Device memory that folding works in, and its result.
struct FoldSpace {
  Tensor means;   // [1,k,k,H*C], of h's windows: given
  Tensor z;       // [H,M]: means of what the kernels make of h
  Tensor gates;   // [H,M]
  Tensor gated;   // [C,H,M]: projections times gates
  Tensor weight;  // [C,k,k,H*C] and
  Tensor bias;    // [C]: the second convolution
};

namespace cuda {
DGP_CUDA_FUNCTION void fold(const FoldWeights& weights, const FoldSpace& space);
}

}  // namespace dgp
