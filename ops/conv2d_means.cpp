// A convolution and the means of its result's windows in as few passes as there can be: see conv2d.h.
#include "autograd/take_sum.h"
#include "ops/conv2d_cpu.h"
#include "ops/window_means.h"

namespace dgp {

Conv2dMeans conv2d_window_means(const Var& x, const Var& w, const Var& b, const Conv2dOptions& options,
                                int64_t k) {
  if (x.value().device() != Device::cpu || x.dtype() != DType::f32) {
    Var y = conv2d(x, w, b, options);
    return {y, window_means(y, k)};
  }
  check(k >= 1 && k % 2 == 1, "window_means: expects k odd, got ", k);
  ConvGeometry g = conv_geometry(x.shape(), w.shape(), options);
  Tensor tiles({g.n, (g.oh + 3) / 4, (g.ow + 3) / 4, g.o});
  auto part = std::make_shared<cpu::WindowPart>();
  Var y = cpu::conv2d_and_means(x, w, b, options, {}, {tiles.data<float>(), part});
  Tensor means = cpu::window_means_of_tiles(y.value(), tiles, k);
  // backward() comes here before it comes to y, whose gradient is on its way where others use y: it only goes
  // on, and what the means add to it is left to the convolution.
  return {y, record(means, {y}, [part, k, shape = y.shape()](const Tensor& dm, const Wanted&) {
            Tensor sum = take_sum(0);
            if (sum.defined())
              *part = {dm, k};
            else
              sum = cpu::window_means_gradient(dm, k, shape, {});
            return std::vector<Tensor>{sum};
          })};
}

}  // namespace dgp
