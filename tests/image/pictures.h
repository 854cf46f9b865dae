// Pictures and files for the image tests, PNG and BMP built byte by byte so that they can also be built
// wrong.
#pragma once

#include <cstdint>
#include <string>
#include <vector>
#include <zlib.h>

#include "image/image.h"
#include "tensor/file.h"

// A picture whose values are exact multiples of 1 / (2^depth - 1), all different enough.
inline dgp::Image test_picture(int64_t height, int64_t width, int64_t channels, int depth) {
  dgp::Image image{dgp::Tensor({height, width, channels}), depth};
  uint32_t most = (1u << depth) - 1, state = 12345;
  for (int64_t i = 0; i < image.pixels.numel(); ++i) {
    state = state * 1664525 + 1013904223;
    uint32_t smooth = static_cast<uint32_t>(i / channels % width) * most / static_cast<uint32_t>(width);
    uint32_t value = i % 3 ? smooth : (state >> 8) % (most + 1);
    image.pixels.data<float>()[i] = static_cast<float>(value) / static_cast<float>(most);
  }
  return image;
}

inline std::string be32(uint64_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}
inline std::string le16(uint64_t v) { return {static_cast<char>(v), static_cast<char>(v >> 8)}; }
inline std::string le32(uint64_t v) { return le16(v) + le16(v >> 16); }

inline std::string deflated(const std::string& raw) {
  uLongf size = compressBound(raw.size());
  std::string packed(size, '\0');
  compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(raw.data()),
            raw.size(), 9);
  packed.resize(size);
  return packed;
}

inline const std::string kPngSignature("\x89PNG\r\n\x1a\n", 8);

inline std::string chunk(const std::string& type, const std::string& data) {
  std::string body = type + data;
  return be32(data.size()) + body + be32(dgp::crc32(body.data(), body.size()));
}
inline std::string ihdr(uint32_t width, uint32_t height, int depth, int colour, int interlaced = 0) {
  std::string tail{static_cast<char>(depth), static_cast<char>(colour), 0, 0, static_cast<char>(interlaced)};
  return chunk("IHDR", be32(width) + be32(height) + tail);
}
inline std::string png_of(const std::string& header, const std::string& before_idat, const std::string& raw) {
  return kPngSignature + header + before_idat + chunk("IDAT", deflated(raw)) + chunk("IEND", "");
}

// 24-bit BMP, or with another header, whose pixel array is `pixels`.
inline std::string bmp_of(int32_t width, int32_t height, int bits, const std::string& pixels,
                          uint32_t compression = 0, const std::string& extra = "", uint32_t colours = 0,
                          uint32_t header = 40) {
  std::string info = le32(header) + le32(static_cast<uint32_t>(width)) + le32(static_cast<uint32_t>(height)) +
                     le16(1) + le16(static_cast<uint64_t>(bits)) + le32(compression) + le32(0) + le32(0) +
                     le32(0) + le32(colours) + le32(0) + extra;
  return "BM" + le32(14 + info.size() + pixels.size()) + le32(0) + le32(14 + info.size()) + info + pixels;
}

inline std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}
