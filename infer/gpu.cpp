#include "infer/gpu.h"

#include "infer/pixels.h"

namespace dgp {

DGPNet net_on_gpu(const DGPNet& net) {
  DGPNet moved = net.deploy ? net : fuse(net);
  moved.visit([](const std::string&, Var& v) { v = Var(v.value().to(Device::cuda)); });
  return moved;
}

Tensor upscale_on_gpu(const DGPNet& net, const Tensor& lr) {
  NoGrad no_grad;
  Tensor hr = net(lr.to(Device::cuda), Form::folded).value().to(Device::cpu);
  if (!all_finite(hr)) fail(ErrorCode::numeric, "the network's result is not finite");
  return hr.reshape({hr.dim(1), hr.dim(2), 3});
}

}  // namespace dgp
