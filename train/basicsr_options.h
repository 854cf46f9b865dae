// Options files of BasicSR, Real-ESRGAN and what grew from them (traiNNer-redux, neosr's YAML), read as a
// configuration of dgp's: their data, degradation, losses, optimiser, schedule and validation; the network is
// dgp's own. docs/basicsr.md has the table of keys.
#pragma once

#include <string>
#include <vector>

#include "train/yaml_fields.h"

namespace dgp {

// Whether a file is one of theirs: it has a section `datasets` or `network_g`.
bool is_basicsr(const YAML::Node& root);

// The same as dgp's own tree, whose values are the file's nodes, so that errors name its lines. What is read
// differently than the file says, and what has no use here, is told in `notes`, a line each. Throws
// Error(invalid) for a key that nobody knows, and for what dgp cannot do as the file asks.
YAML::Node from_basicsr(const YAML::Node& root, const ConfigSource& source, std::vector<std::string>& notes);

}  // namespace dgp
