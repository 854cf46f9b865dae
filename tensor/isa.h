// Which instruction set the CPU kernels use. They are compiled once per set (see CMakeLists.txt) and chosen
// at run time: the best that this machine has, lowered by the environment variable DGP_ISA (portable, avx2,
// avx512) or by set_isa().
#pragma once

#include <string>

namespace dgp {

enum class Isa { portable, avx2, avx512 };  // from lower to higher

const char* to_string(Isa isa);
Isa parse_isa(const std::string& name);  // throws Error(invalid) on an unknown name

bool has_isa(Isa isa);  // compiled in, and this machine can run it
bool has_bf16();        // this machine multiplies bf16 (AVX512-BF16), and avx512 is in use
Isa best_isa();         // the highest of them
Isa current_isa();      // what kernels use now
void set_isa(Isa isa);  // for tests and benchmarks; throws Error(invalid) where the machine has it not

}  // namespace dgp
