#include "ops/kernels/kernels.h"

#define DGP_TEXT_OF(name) #name
#define DGP_TEXT(name) DGP_TEXT_OF(name)

namespace dgp::DGP_ISA {

#if defined(__AVX512F__)
constexpr int64_t kLanes = 16;
#elif defined(__AVX2__)
constexpr int64_t kLanes = 8;
#else
constexpr int64_t kLanes = 4;
#endif

extern const Kernels kernels = {DGP_TEXT(DGP_ISA), kLanes};

}  // namespace dgp::DGP_ISA
