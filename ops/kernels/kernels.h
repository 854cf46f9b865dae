// What every instruction set offers: a table of plain functions with plain arguments. The files of this
// folder are compiled once per set, each time into the namespace dgp::DGP_ISA, and share nothing else: no
// library templates, so that code built for a higher set can never be picked for a lower one.
#pragma once

#include <cstdint>

#ifndef DGP_ISA
#define DGP_ISA portable
#endif

namespace dgp {

struct Kernels {
  const char* isa;
  int64_t lanes;  // floats in a vector
};

namespace DGP_ISA {
extern const Kernels kernels;
}

}  // namespace dgp
