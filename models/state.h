// Weights on disk: safetensors in PyTorch's layout (convolutions OIHW, linears [out, in]), with the
// architecture and its configuration in the metadata, so that a file describes itself.
#pragma once

#include <limits>
#include <string>

#include "models/dgpnet.h"
#include "tensor/safetensors.h"

namespace dgp {

// In-memory [O,k,k,I] <-> file [O,I,k,k]. Every tensor with four axes is a convolution kernel.
Tensor to_file_layout(const Tensor& t);
Tensor from_file_layout(const Tensor& t);

// Of any module: `visit` calls its argument with every parameter and buffer. In file layout, floats as f32,
// in the CPU's memory.
using Visit = std::function<void(const Visitor&)>;
std::vector<std::pair<std::string, Tensor>> named_tensors(const Visit& visit);

// Overwrites what `visit` visits. Throws Error(bad_file) that lists every missing, unexpected and misshapen
// tensor (`source` names the file, `what` the module), before anything is changed. Whole numbers must lie in
// [0, end).
void load_named_tensors(const Visit& visit, const SafeTensors& state, const std::string& source,
                        const std::string& what, int64_t end = std::numeric_limits<int64_t>::max());

// All parameters and buffers, f32, and metadata format, architecture, fused, config.
SafeTensors state_dict(DGPNet& net);

void load_state_dict(DGPNet& net, const SafeTensors& state, const std::string& source);

void save_model(const std::string& path, DGPNet& net);
// Either form; the network is built from the file's metadata.
DGPNet load_model(const std::string& path);
DGPNet model_from(const SafeTensors& state, const std::string& source);

std::string to_json(const DGPNetConfig& config);

}  // namespace dgp
