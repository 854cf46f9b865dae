// The narrow door to stb_image: plain types in and out, so that no other file sees its names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dgp {

// Decodes into `pixels` [height, width, channels], channels 1 or 3, using at most `budget` bytes. Returns why
// it could not, or nothing.
std::string stb_decode_jpeg(std::string_view bytes, size_t budget, int64_t width, int64_t height,
                            int channels, uint8_t* pixels);

// A baseline JPEG; above quality 90 colour is not subsampled.
std::string stb_encode_jpeg(const uint8_t* pixels, int width, int height, int channels, int quality);

}  // namespace dgp
