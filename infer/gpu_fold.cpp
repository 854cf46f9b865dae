#include "infer/gpu_fold.h"

#include <algorithm>

namespace dgp {

FoldWeights::FoldWeights(const AIIBlock& fused) {
  std::vector<const DGConv*> convs;
  for (auto* conv :
       {&fused.stat_to_stat, &fused.stat_to_struct, &fused.struct_to_stat, &fused.struct_to_struct})
    if (*conv) convs.push_back(&**conv);
  std::vector<const Attention*> attentions;
  for (auto* attend : {&fused.attend_stat, &fused.attend_struct})
    if (*attend) attentions.push_back(&**attend);

  const auto halves = static_cast<int64_t>(attentions.size());
  const Tensor& one = convs.front()->weight.value();
  const int64_t c = one.dim(0), k = one.dim(1), m = static_cast<int64_t>(convs.size()) / halves * c;
  const bool reads_all = m == halves * c;
  Tensor all({halves * m, k, k, c}), bias({halves * m}), projection = Tensor({c, halves, m});
  for (size_t i = 0; i < convs.size(); ++i) {
    all.slab(static_cast<int64_t>(i) * c, c).copy_from(convs[i]->weight.value());
    bias.slab(static_cast<int64_t>(i) * c, c).copy_from(convs[i]->bias.value());
  }
  Tensor sum = Tensor::zeros({c});
  for (int64_t a = 0; a < halves; ++a) {
    const Attention& attend = *attentions[static_cast<size_t>(a)];
    const int64_t first = reads_all ? a * c : 0, first_half = reads_all ? 0 : a,
                  reads = reads_all ? halves : 1;
    const float* from = attend.project_weight.value().data<float>();  // [C,1,1,reads*C]
    for (int64_t o = 0; o < c; ++o) {
      sum.data<float>()[o] += attend.project_bias.value().data<float>()[o];
      for (int64_t h = 0; h < reads; ++h)
        std::copy_n(from + (o * reads + h) * c, c,
                    projection.data<float>() + (o * halves + first_half + h) * m + first);
    }
    auto there = [](const Var& v) { return v.value().to(Device::cuda); };
    if (attend.gated())
      gates.push_back({there(attend.squeeze_weight), there(attend.squeeze_bias), there(attend.excite_weight),
                       there(attend.excite_bias), first_half, reads, first});
  }
  kernels = all.reshape({halves, m, k, k, c}).to(Device::cuda);
  biases = bias.reshape({halves, m}).to(Device::cuda);
  projections = projection.to(Device::cuda);
  project_bias = sum.to(Device::cuda);
}

}  // namespace dgp
