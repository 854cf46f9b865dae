// One thread an element of the result: rows are mixed first, then columns, in the order of the CPU's kernel.
#include "ops/separable.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

struct Map {  // an AxisMap in device memory
  const int64_t *first, *index;
  const float* weight;
};

__global__ void separable_kernel(const float* x, int64_t h, int64_t w, int64_t channels, Map rows,
                                 Map columns, int64_t oh, int64_t ow, float* y, int64_t n) {
  int64_t at = element();
  if (at >= n) return;
  int64_t c = at % channels, j = at / channels % ow, i = at / (channels * ow) % oh,
          image = at / (channels * ow * oh);
  const float* from = x + image * h * w * channels + c;
  float sum = 0;
  for (int64_t q = columns.first[j]; q < columns.first[j + 1]; ++q) {
    float mixed = 0;
    for (int64_t p = rows.first[i]; p < rows.first[i + 1]; ++p) {
      float term = rows.weight[p] * from[(rows.index[p] * w + columns.index[q]) * channels];
      mixed = p == rows.first[i] ? term : mixed + term;  // a lone term keeps the sign of -0
    }
    float term = columns.weight[q] * mixed;
    sum = q == columns.first[j] ? term : sum + term;
  }
  y[at] = sum;
}

struct Uploaded {
  Tensor first, index, weight;
  explicit Uploaded(const AxisMap& map)
      : first(upload(map.first)),
        index(upload(map.index)),
        weight(upload(std::vector<float>(map.weight.begin(), map.weight.end()))) {}
  Map map() const {
    return {first.device_data<int64_t>(), index.device_data<int64_t>(), weight.device_data<float>()};
  }
  template <class T>
  static Tensor upload(const std::vector<T>& values) {
    return Tensor::from<T>({static_cast<int64_t>(values.size())}, values).to(Device::cuda);
  }
};

}  // namespace

void separable(const Tensor& x, const AxisMap& rows, const AxisMap& columns, const Tensor& y) {
  if (y.numel() == 0) return;
  Uploaded r(rows), c(columns);
  launch(separable_kernel, blocks_for(y.numel()), kBlock, x.device_data<float>(), x.dim(1), x.dim(2),
         x.dim(3), r.map(), c.map(), y.dim(1), y.dim(2), y.device_data<float>(), y.numel());
}

}  // namespace dgp::cuda
