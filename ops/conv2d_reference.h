// Convolution written as its definition, in plain loops: the test oracle, the float64 path, and the place to
// read what the fast kernels compute. f32 and f64; any kernel, stride, padding, dilation and groups.
#pragma once

#include "ops/conv2d.h"

namespace dgp::reference {

// Rows [g.y_first, g.y_first + g.y_rows) of y = activation(conv(x, w) + b) + residual; b, residual may be
// null.
template <class T>
void conv2d_rows(const ConvGeometry& g, const Conv2dOptions& options, const T* x, const T* w, const T* b,
                 const T* residual, T* y);

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options,
              const Tensor& residual = {});
Tensor conv2d_backward_data(const Tensor& dy, const Tensor& w, const Shape& x, const Conv2dOptions& options);
Tensor conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Shape& w,
                              const Conv2dOptions& options);

}  // namespace dgp::reference
