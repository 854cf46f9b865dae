#include "ops/conv2d_reference.h"

#include "tensor/parallel.h"

namespace dgp::reference {
namespace {

// Input position under tap k of output position i, or -1 in the zero padding.
int64_t tap(int64_t i, int64_t k, const ConvGeometry& g, int64_t size) {
  int64_t at = i * g.stride - g.padding + k * g.dilation;
  return at >= 0 && at < size ? at : -1;
}

template <class T>
T activate(T z, const Conv2dOptions& options) {
  if (options.activation == Activation::none || z > 0) return z;
  return options.activation == Activation::relu ? T(0) : static_cast<T>(options.slope) * z;
}

// Output position whose tap k lies on input position i, or -1.
int64_t output_of(int64_t i, int64_t k, const ConvGeometry& g, int64_t size) {
  int64_t at = i + g.padding - k * g.dilation;
  return at >= 0 && at % g.stride == 0 && at / g.stride < size ? at / g.stride : -1;
}

template <class T>
void backward_data(const ConvGeometry& g, const T* dy, const T* w, T* dx) {
  int64_t cg = g.c / g.groups, og = g.o / g.groups, w_image = g.o * g.kh * g.kw * cg;
  parallel_for(g.n * g.h, 1, [&](int64_t row, int64_t) {
    int64_t n = row / g.h, iy = row % g.h;
    const T* wn = w + (g.w_per_image ? n * w_image : 0);
    for (int64_t ix = 0; ix < g.w; ++ix) {
      T* out = dx + (row * g.w + ix) * g.c;
      for (int64_t c = 0; c < g.c; ++c) out[c] = 0;
      for (int64_t ky = 0; ky < g.kh; ++ky) {
        for (int64_t kx = 0; kx < g.kw; ++kx) {
          int64_t oy = output_of(iy, ky, g, g.oh), ox = output_of(ix, kx, g, g.ow);
          if (oy < 0 || ox < 0) continue;
          const T* d = dy + ((n * g.oh + oy) * g.ow + ox) * g.o;
          for (int64_t o = 0; o < g.o; ++o) {
            const T* wo = wn + ((o * g.kh + ky) * g.kw + kx) * cg;
            T* part = out + o / og * cg;
            for (int64_t c = 0; c < cg; ++c) part[c] += d[o] * wo[c];
          }
        }
      }
    }
  });
}

template <class T>
void backward_weight(const ConvGeometry& g, const T* dy, const T* x, T* dw) {
  int64_t cg = g.c / g.groups, og = g.o / g.groups, sets = g.w_per_image ? g.n : 1;
  parallel_for(sets * g.o, 1, [&](int64_t index, int64_t) {
    int64_t set = index / g.o, o = index % g.o;
    T* out = dw + index * g.kh * g.kw * cg;
    for (int64_t i = 0; i < g.kh * g.kw * cg; ++i) out[i] = 0;
    for (int64_t n = g.w_per_image ? set : 0; n < (g.w_per_image ? set + 1 : g.n); ++n) {
      for (int64_t oy = 0; oy < g.oh; ++oy) {
        for (int64_t ox = 0; ox < g.ow; ++ox) {
          T d = dy[((n * g.oh + oy) * g.ow + ox) * g.o + o];
          for (int64_t ky = 0; ky < g.kh; ++ky) {
            for (int64_t kx = 0; kx < g.kw; ++kx) {
              int64_t iy = tap(oy, ky, g, g.h), ix = tap(ox, kx, g, g.w);
              if (iy < 0 || ix < 0) continue;
              const T* in = x + ((n * g.h + iy) * g.w + ix) * g.c + o / og * cg;
              T* part = out + (ky * g.kw + kx) * cg;
              for (int64_t c = 0; c < cg; ++c) part[c] += d * in[c];
            }
          }
        }
      }
    }
  });
}

}  // namespace

template <class T>
void conv2d_rows(const ConvGeometry& g, const Conv2dOptions& options, const T* x, const T* w, const T* b,
                 const T* residual, T* y) {
  int64_t cg = g.c / g.groups, og = g.o / g.groups, w_image = g.o * g.kh * g.kw * cg;
  parallel_for(g.n * g.y_rows, 1, [&](int64_t row, int64_t) {
    int64_t n = row / g.y_rows, oy = g.y_first + row % g.y_rows;
    const T* wn = w + (g.w_per_image ? n * w_image : 0);
    for (int64_t ox = 0; ox < g.ow; ++ox) {
      for (int64_t o = 0; o < g.o; ++o) {
        T z = 0;
        for (int64_t ky = 0; ky < g.kh; ++ky) {
          for (int64_t kx = 0; kx < g.kw; ++kx) {
            int64_t iy = tap(oy, ky, g, g.h), ix = tap(ox, kx, g, g.w);
            if (iy < 0 || ix < 0) continue;
            const T* in = x + ((n * g.x_rows + iy - g.x_first) * g.w + ix) * g.c + o / og * cg;
            const T* wo = wn + ((o * g.kh + ky) * g.kw + kx) * cg;
            for (int64_t c = 0; c < cg; ++c) z += in[c] * wo[c];
          }
        }
        if (b) z += b[(g.b_per_image ? n * g.o : 0) + o];
        int64_t at = (row * g.ow + ox) * g.o + o;
        y[at] = activate(z, options) + (residual ? residual[at] : T(0));
      }
    }
  });
}
template void conv2d_rows(const ConvGeometry&, const Conv2dOptions&, const float*, const float*, const float*,
                          const float*, float*);
template void conv2d_rows(const ConvGeometry&, const Conv2dOptions&, const double*, const double*,
                          const double*, const double*, double*);

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options,
              const Tensor& residual) {
  ConvGeometry g = conv_geometry(x.shape(), w.shape(), options);
  g.b_per_image = b.defined() && b.rank() == 2;
  Tensor y({g.n, g.oh, g.ow, g.o}, x.dtype());
  dispatch_float(x.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    conv2d_rows(g, options, x.data<T>(), w.data<T>(), b.defined() ? b.data<T>() : nullptr,
                residual.defined() ? residual.data<T>() : nullptr, y.data<T>());
  });
  return y;
}

Tensor conv2d_backward_data(const Tensor& dy, const Tensor& w, const Shape& x, const Conv2dOptions& options) {
  ConvGeometry g = conv_geometry(x, w.shape(), options);
  Tensor dx(x, dy.dtype());
  dispatch_float(dy.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    backward_data(g, dy.data<T>(), w.data<T>(), dx.data<T>());
  });
  return dx;
}

Tensor conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Shape& w,
                              const Conv2dOptions& options) {
  ConvGeometry g = conv_geometry(x.shape(), w, options);
  Tensor dw(w, dy.dtype());
  dispatch_float(dy.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    backward_weight(g, dy.data<T>(), x.data<T>(), dw.data<T>());
  });
  return dw;
}

}  // namespace dgp::reference
