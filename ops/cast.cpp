#include "ops/cast.h"

namespace dgp {

Var cast(const Var& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return record(x.value().to(dtype), {x}, [from = x.dtype()](const Tensor& dy, const Wanted&) {
    return std::vector<Tensor>{dy.to(from)};
  });
}

}  // namespace dgp
