#include "tensor/kernels/picture_kernels.h"

#include "tensor/isa.h"

namespace dgp {

namespace portable {
extern const PictureKernels picture_kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const PictureKernels picture_kernels;
}
namespace avx512 {
extern const PictureKernels picture_kernels;
}
#endif

const PictureKernels& active_picture_kernels() {
#if defined(__x86_64__)
  if (current_isa() == Isa::avx512) return avx512::picture_kernels;
  if (current_isa() == Isa::avx2) return avx2::picture_kernels;
#endif
  return portable::picture_kernels;
}

}  // namespace dgp
