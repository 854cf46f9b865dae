// Updates and norms over all pieces at once: a step has hundreds of small tensors, and a launch for each
// would cost more than the work. The list of pieces travels to the device with every call, since gradients
// move.
#include "ops/reduce_cuda.h"
#include "ops/warp_cuda.h"
#include "train/optimizer_updates.h"

namespace dgp::cuda {
namespace {

Tensor on_device(const std::vector<UpdatePiece>& pieces) {
  auto bytes = static_cast<int64_t>(pieces.size() * sizeof(UpdatePiece));
  Tensor list({bytes}, DType::u8, Device::cuda);
  to_device(list.device_data<uint8_t>(), pieces.data(), bytes);
  return list;
}

const UpdatePiece* pieces_in(const Tensor& list) {
  return reinterpret_cast<const UpdatePiece*>(list.device_data<uint8_t>());
}

template <class Step>
__global__ void update_kernel(Step k, const UpdatePiece* pieces) {
  const UpdatePiece p = pieces[blockIdx.x];
  update_elements(k, threadIdx.x, blockDim.x, p.n, p.g, p.w, p.slot[0], p.slot[1], p.slot[2], p.slot[3]);
}

__global__ void squares_kernel(const UpdatePiece* pieces, double* sums) {
  DGP_SHARED(double, by_warp, [kBlock / 32]);
  const UpdatePiece p = pieces[blockIdx.x];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < p.n; i += blockDim.x)
    sum += static_cast<double>(p.g[i]) * static_cast<double>(p.g[i]);
  sum = warp_sum(sum);
  if (lane() == 0) by_warp[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (unsigned warp = 1; warp < kBlock / 32; ++warp) sum += by_warp[warp];
    sums[blockIdx.x] = sum;
  }
}

}  // namespace

template <class Step>
void update(const Step& k, const std::vector<UpdatePiece>& pieces) {
  if (pieces.empty()) return;
  Tensor list = on_device(pieces);
  launch(update_kernel<Step>, static_cast<unsigned>(pieces.size()), kBlock, k, pieces_in(list));
}
template void update(const AdamStep&, const std::vector<UpdatePiece>&);
template void update(const SgdStep&, const std::vector<UpdatePiece>&);
template void update(const AdanStep&, const std::vector<UpdatePiece>&);
template void update(const FreeStep&, const std::vector<UpdatePiece>&);
template void update(const AverageStep&, const std::vector<UpdatePiece>&);

double sum_of_squares(const std::vector<UpdatePiece>& pieces) {
  if (pieces.empty()) return 0;
  auto count = static_cast<int64_t>(pieces.size());
  Tensor list = on_device(pieces), sums({count}, DType::f64, Device::cuda), sum({}, DType::f64, Device::cuda);
  launch(squares_kernel, static_cast<unsigned>(count), kBlock, pieces_in(list), sums.device_data<double>());
  sum_axis(LoadF64{sums.device_data<double>()}, 1, count, 1, 1, sum.device_data<double>());
  return sum.item<double>();
}

}  // namespace dgp::cuda
