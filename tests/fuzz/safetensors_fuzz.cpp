// Any bytes are refused with Error(bad_file), or read to something that is written and read back the same.
#include <cstdlib>

#include "tensor/safetensors.h"

using namespace dgp;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  SafeTensors file;
  try {
    file = parse_safetensors(bytes, "fuzz");
  } catch (const Error& e) {
    if (e.code() != ErrorCode::bad_file) std::abort();
    return 0;
  }
  std::string written = safetensors_bytes(file);
  if (safetensors_bytes(parse_safetensors(written, "again")) != written) std::abort();
  return 0;
}
