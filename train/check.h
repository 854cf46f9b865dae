// Everything that can be wrong with the pictures of a configuration, found before the first step: from
// headers alone, or, on demand, by decoding every picture.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "train/config.h"
#include "train/sources.h"

namespace dgp {

struct SourceCheck {
  std::string where, folder;  // "data.train.0", what its hr is
  bool pairs = false;
  int64_t pictures = 0, usable = 0;  // found; of those, without a problem
  int64_t bytes = 0, patches = 0;    // of the usable: decoded; patches without overlap
  std::vector<Finding> findings = {};
};

struct DataCheck {
  std::vector<SourceCheck> sources;           // of data.train, then of validate.data
  bool decoded = false;                       // not headers alone
  bool packed = false;                        // pixels are mapped, not kept in memory
  int64_t cache = 0;                          // bytes that data.cache allows each of training and validation
  int64_t pixel_bytes[2] = {0, 0};            // of training, of validation
  int64_t batch_bytes = 0, weight_bytes = 0;  // batches made ahead; weights, gradients, moments and average
  int64_t patches = 0, samples = 0;           // of training; drawn by the whole run

  int64_t problems() const;
  bool fits() const { return (packed || pixel_bytes[0] <= cache) && pixel_bytes[1] <= cache; }
};

// `decode`: also decode every picture. Otherwise a header is read, and a picture whose file does not end as
// its format says is decoded.
DataCheck check_data(const TrainConfig& config, bool decode);

// The configuration with every picture left out that a problem is about. Throws Error(bad_file) when a root
// has none left, or is itself the problem.
TrainConfig without_bad(const TrainConfig& config, const DataCheck& check);

// For people: roots with their problems and notes, at most `most` of each kind; totals. And for programs.
std::string to_text(const DataCheck& check, size_t most = 50);
std::string to_json(const DataCheck& check);

}  // namespace dgp
