// Linear maps of an image that treat rows and columns independently: resizing, padding, blurring.
//   y[n,i,j,c] = sum_p A[i,p] sum_q B[j,q] x[n,p,q,c],   dx = the same with A and B transposed
// A and B are sparse: a few entries in a row, written down once.
#pragma once

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

// A sparse matrix by rows: row i holds weight[e] at column index[e] for e in [first[i], first[i+1]).
struct AxisMap {
  int64_t in = 0;                 // columns: the size of the axis it is applied to
  std::vector<int64_t> first{0};  // where each row begins, and the end
  std::vector<int64_t> index;     // columns, in [0, in)
  std::vector<double> weight;

  int64_t out() const { return static_cast<int64_t>(first.size()) - 1; }
  void entry(int64_t column, double w) { index.push_back(column), weight.push_back(w); }
  void end_row() { first.push_back(static_cast<int64_t>(index.size())); }
};

AxisMap transposed(const AxisMap& map);

// x [N,H,W,C], rows.in = H, columns.in = W -> [N, rows.out(), columns.out(), C]
Var separable(const Var& x, const AxisMap& rows, const AxisMap& columns);

namespace cpu {
Tensor separable(const Tensor& x, const AxisMap& rows, const AxisMap& columns);
}

namespace cuda {
DGP_CUDA_FUNCTION void separable(const Tensor& x, const AxisMap& rows, const AxisMap& columns,
                                 const Tensor& y);
}

}  // namespace dgp
