#include "tensor/isa.h"

#include <atomic>
#include <cstdlib>

#include "tensor/error.h"

namespace dgp {
namespace {

Isa initial_isa() {
  const char* name = std::getenv("DGP_ISA");
  if (!name || !*name) return best_isa();
  Isa wished = parse_isa(name);
  return has_isa(wished) ? wished : best_isa();
}

std::atomic<Isa>& current() {
  static std::atomic<Isa> isa{initial_isa()};
  return isa;
}

}  // namespace

const char* to_string(Isa isa) {
  return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "portable";
}

Isa parse_isa(const std::string& name) {
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512})
    if (name == to_string(isa)) return isa;
  fail(ErrorCode::invalid, "instruction set '", name, "' is none of portable, avx2, avx512");
}

bool has_isa(Isa isa) {
  if (isa == Isa::portable) return true;
#if defined(__x86_64__)
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == Isa::avx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
  return false;
#endif
}

Isa best_isa() { return has_isa(Isa::avx512) ? Isa::avx512 : has_isa(Isa::avx2) ? Isa::avx2 : Isa::portable; }

bool has_bf16() {
#if defined(__x86_64__)
  return current_isa() == Isa::avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

Isa current_isa() { return current(); }

void set_isa(Isa isa) {
  check(has_isa(isa), "set_isa: this machine or this build has no ", to_string(isa));
  current() = isa;
}

}  // namespace dgp
