// The machine's two limits, measured: arithmetic and memory.
#pragma once

namespace dgp {

// GFLOP/s of fused multiply-adds on registers alone, f32, on all threads of parallel_for, in the vectors of
// the instruction set in use. Takes about a tenth of a second.
double peak_gflops();

// GB/s (10^9 bytes) of memory on all threads of parallel_for: a[i] = b[i] + s c[i] (McCalpin's STREAM triad)
// on arrays far larger than the caches. 12 bytes are counted an element, as STREAM does. Takes about half a
// second and 384 MiB.
double bandwidth_gbs();

}  // namespace dgp
