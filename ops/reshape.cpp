#include "ops/reshape.h"

namespace dgp {

Var reshape(const Var& x, const Shape& shape) {
  return record(x.value().reshape(shape), {x}, [from = x.shape()](const Tensor& dy, const Wanted&) {
    return std::vector<Tensor>{dy.reshape(from)};
  });
}

}  // namespace dgp
