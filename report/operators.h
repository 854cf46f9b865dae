// DGConv to look at: its operators' kernels, balance factors and feature maps, as the figure of Peng et al.
// (arXiv:2405.07023) draws them. All of it needs the training form; a fused network no longer knows its
// operators.
#pragma once

#include <string>
#include <vector>

#include "models/dgpnet.h"

namespace dgp {

// Throws Error(invalid) when `net` is fused: `name` stands for it in the message, which says what is needed.
void check_has_operators(const DGPNet& net, const std::string& name);

// One DGConv as it stands.
struct OperatorKernels {
  std::string name;                 // "body.0.statistical"
  std::vector<Operator> operators;  // n
  Tensor kernels;                   // [n,O,k,k,I]: W_o
  std::vector<double> alpha;        // n
};
std::vector<OperatorKernels> operator_kernels(DGPNet& net);

// A table, one row a DGConv, one column an operator: the kernels W_o of the first outputs and inputs,
// weighted with their balance factor, in one scale a row, and the factor itself.
std::string kernel_table(const std::vector<OperatorKernels>& layers);

// What one DGConv makes of an image.
struct OperatorFeatures {
  Operator op;
  double alpha;     // balance factor
  Tensor features;  // [H,W,O]: alpha W_o * x
  double rms;       // root mean square of the features
};
struct LayerFeatures {
  std::string layer;
  Tensor input;                             // x [H,W,I]
  std::vector<OperatorFeatures> operators;  // whose features sum, with the bias, to the output
  Tensor output;                            // [H,W,O]
};

// image: f32 [H,W,3]. `layer` is a name of dgconvs(); an unknown one is Error(invalid) that lists them.
LayerFeatures layer_features(DGPNet& net, const Tensor& image, const std::string& layer);

// The output channels that vary most, largest first.
std::vector<int64_t> strongest_channels(const Tensor& features, int64_t count);

Tensor channel(const Tensor& x, int64_t c);  // f32 [H,W,C] -> [H,W]

}  // namespace dgp
