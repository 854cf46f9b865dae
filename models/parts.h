// What a DGPNet can be built without, to see what each part is worth (docs/study.md). The paper's network is
// without nothing.
#pragma once

#include <array>
#include <set>
#include <vector>

#include "ops/kernel_space.h"

namespace dgp {

// The six operators, in Operator's order: a DGConv that has none left is a vanilla convolution.
// balance: the factors alpha are learned; without, they are 1.
// statistical, structural: branches of AIIBlock, of which one must stay.
// interaction: without, each branch's attention reads its own branch alone.
// attention: without, its gates are 1; the projections stay.
enum class Part { csg, csa, hg, vg, vc, idg, balance, statistical, structural, interaction, attention };

inline constexpr std::array<const char*, 11> kPartNames = {  // in configurations and weights files
    "csg",     "csa",         "hg",         "vg",          "vc",       "idg",
    "balance", "statistical", "structural", "interaction", "attention"};

using Without = std::set<Part>;

// The operators of a DGConv that are left, in their order: vc where none is.
std::vector<Operator> operators_left(const std::vector<Operator>& operators, const Without& without);

}  // namespace dgp
