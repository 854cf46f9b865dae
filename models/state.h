// Weights on disk: safetensors in PyTorch's layout (convolutions OIHW, linears [out, in]), with the
// architecture and its configuration in the metadata, so that a file describes itself.
#pragma once

#include <string>

#include "models/dgpnet.h"
#include "tensor/safetensors.h"

namespace dgp {

// In-memory [O,k,k,I] <-> file [O,I,k,k]. Every tensor with four axes is a convolution kernel.
Tensor to_file_layout(const Tensor& t);
Tensor from_file_layout(const Tensor& t);

// All parameters and buffers, f32, and metadata format, architecture, fused, config.
SafeTensors state_dict(DGPNet& net);

// Overwrites the values in `net`. Throws Error(bad_file) that lists every missing, unexpected and misshapen
// tensor
// (`source` names the file), before anything is changed.
void load_state_dict(DGPNet& net, const SafeTensors& state, const std::string& source);

void save_model(const std::string& path, DGPNet& net);
// Either form; the network is built from the file's metadata.
DGPNet load_model(const std::string& path);
DGPNet model_from(const SafeTensors& state, const std::string& source);

std::string to_json(const DGPNetConfig& config);

}  // namespace dgp
