// Any bytes are refused with Error(bad_file), or are a tensor whose elements take the bytes the file has.
#include <cstdlib>

#include "tensor/npy.h"

using namespace dgp;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    Tensor t = parse_npy({reinterpret_cast<const char*>(data), size}, "fuzz");
    if (t.nbytes() > static_cast<int64_t>(size)) std::abort();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::bad_file) std::abort();
  }
  return 0;
}
