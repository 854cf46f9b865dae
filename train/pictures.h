// Decoded training pictures: in memory, or packed into one file that is mapped, so that a data set larger
// than the memory trains, and a second run begins without decoding.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tensor/tensor.h"
#include "train/config.h"
#include "train/sources.h"

namespace dgp {

struct Pixels {  // u8 [height, width, 3]
  int64_t height = 0, width = 0;
  std::shared_ptr<const uint8_t> at = {};  // keeps alive what it points into: a tensor or a mapped file

  bool defined() const { return at != nullptr; }
  int64_t bytes() const { return height * width * 3; }
  Tensor tensor() const;  // a copy
};
Pixels pixels_of(const Tensor& u8);

struct Picture {
  std::string name;
  Pixels lr, hr;  // hr is scale times lr; lr is undefined when it is made on the fly
  size_t source = 0;
};

struct LoadOptions {
  int64_t scale = 4, patch = 48;                      // LR pixels
  int64_t memory = int64_t{4} << 30;                  // bytes that decoded pictures may take without a pack
  std::string pack = {};                              // folder of packed pictures; empty: in memory
  std::function<void(const std::string&)> tell = {};  // what takes long
};

// Every picture of the roots, and its shrunk copies (SourceConfig::sizes). Throws Error(bad_file) with the
// list of all pictures that do not pair up, cannot be read, whose sizes do not match, or that are smaller
// than a patch; Error(limit) past options.memory.
std::vector<Picture> load_pictures(const std::vector<SourceConfig>& sources, const LoadOptions& options);

// A pack is dgp's own file: the pixels of every picture, each beginning at a multiple of 64 bytes; an index
// in JSON; then the index's offset, size and CRC-32 as three u64 in little-endian order and "DGPPACK1". Its
// name comes from `key`, which says all that the pixels depend on: files with size and time, scale, patch,
// sizes. Whoever asks for the same key later maps the file; another key makes another file.
using MakePictures = std::function<std::vector<Picture>(size_t file)>;
std::vector<Picture> packed_pictures(const std::string& folder, const std::string& key, size_t files,
                                     const MakePictures& make,
                                     const std::function<void(const std::string&)>& tell);

}  // namespace dgp
