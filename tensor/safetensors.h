// safetensors (https://github.com/huggingface/safetensors): u64 header length, a JSON header, the tensors'
// bytes. The reader is strict, since weights come from strangers: duplicate keys, unknown fields, holes,
// overlaps, trailing bytes and every size that overflows are refused.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace dgp {

struct SafeTensors {
  std::map<std::string, std::string> metadata;
  std::vector<std::pair<std::string, Tensor>> tensors;  // in the order of their bytes
};

// F32, F64, U8 and I64 as they are; F16 and BF16 become f32, BOOL u8, and the other integers up to 32 bits
// i64. Throws Error(bad_file) naming the file and what is wrong in it.
SafeTensors read_safetensors(const std::string& path);
SafeTensors parse_safetensors(std::string_view bytes, const std::string& name);

// Tensors are stored widest element first and then by name, so that each is aligned; same input, same bytes.
void write_safetensors(const std::string& path, const SafeTensors& file);  // atomic
std::string safetensors_bytes(const SafeTensors& file);

}  // namespace dgp
