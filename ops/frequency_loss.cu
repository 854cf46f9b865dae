// A block an image: its largest value by a tree in shared memory, then every element.
#include <cmath>

#include "ops/frequency_loss.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

__global__ void focal_kernel(const float* power, int64_t size, float alpha, float* weights) {
  DGP_SHARED(float, most, [kBlock]);
  int t = static_cast<int>(threadIdx.x);
  const float* p = power + int64_t{blockIdx.x} * size;
  float* w = weights + int64_t{blockIdx.x} * size;
  float highest = 0;
  for (int64_t i = t; i < size; i += kBlock) highest = p[i] > highest ? p[i] : highest;
  most[t] = highest;
  __syncthreads();
  for (int half = static_cast<int>(kBlock) / 2; half > 0; half /= 2) {
    if (t < half && most[t + half] > most[t]) most[t] = most[t + half];
    __syncthreads();
  }
  highest = most[0];
  for (int64_t i = t; i < size; i += kBlock) {
    if (!(highest > 0))
      w[i] = 0;
    else
      w[i] = alpha == 1 ? std::sqrt(p[i] / highest) : std::pow(p[i] / highest, alpha / 2);
  }
}

}  // namespace

void focal_weights(const Tensor& power, int64_t images, double alpha, const Tensor& weights) {
  launch(focal_kernel, static_cast<unsigned>(images), kBlock, power.device_data<float>(),
         power.numel() / images, static_cast<float>(alpha), weights.device_data<float>());
}

}  // namespace dgp::cuda
