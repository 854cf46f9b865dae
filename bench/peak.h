// The machine's arithmetic peak, measured.
#pragma once

namespace dgp {

// GFLOP/s of fused multiply-adds on registers alone, f32, on all threads of parallel_for, in the vectors of
// the instruction set in use. Takes about a tenth of a second.
double peak_gflops();

}  // namespace dgp
