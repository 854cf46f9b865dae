// libFuzzer's way into the image decoders: any bytes either decode or are refused with Error(bad_file) or,
// past a limit, Error(limit). Built by -DDGP_FUZZ=ON with clang; run as `image_fuzz -rss_limit_mb=512
// -timeout=5 SEEDS`.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "image/image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kPixels = 1 << 20;
  try {
    dgp::Image image = dgp::decode_image({reinterpret_cast<const char*>(data), size}, "fuzz", kPixels);
    if (image.pixels.dim(0) * image.pixels.dim(1) > kPixels) std::abort();
  } catch (const dgp::Error& error) {
    if (error.code() != dgp::ErrorCode::bad_file && error.code() != dgp::ErrorCode::limit) std::abort();
  }
  return 0;
}
