// Training data where several ranks train as one: the same pictures everywhere, a part of each batch for
// each.
#pragma once

#include <functional>
#include <string>

#include "train/loader.h"
#include "train/ranks.h"

namespace dgp {

// Samples are numbers of pictures, so every rank must have the same ones: throws Error(bad_file) in a rank
// whose pictures are others than the first rank's, naming the configuration's key.
void check_equal_pictures(const char* key, const Dataset& data, Ranks& ranks);

// The training pictures of a configuration, the same everywhere. With data.pack the first rank writes the
// pack and the others map what is there. `message`: as load_pictures takes it, called in the first rank
// alone.
Dataset load_for_ranks(const TrainConfig& config, const std::function<void(const std::string&)>& message,
                       Ranks& ranks);

// This rank's samples of each batch; every rank has one at least when data.batch is no less than their
// number.
BatchPart part_of_batch(const TrainConfig& config, const Ranks& ranks);

}  // namespace dgp
