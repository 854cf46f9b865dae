#include "ops/conv2d.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "autograd/observe.h"
#include "autograd/take_sum.h"
#include "ops/conv2d_cpu.h"
#include "ops/conv2d_reference.h"
#include "tensor/parallel.h"

namespace dgp {

ConvGeometry conv_geometry(const Shape& x, const Shape& w, const Conv2dOptions& options) {
  check(x.size() == 4, "conv2d: input expects 4 axes [N,H,W,C], got ", to_string(x));
  check(w.size() == 4 || w.size() == 5, "conv2d: weight expects [O,KH,KW,C] or [N,O,KH,KW,C], got ",
        to_string(w));
  check(options.stride >= 1 && options.padding >= 0 && options.dilation >= 1 && options.groups >= 1,
        "conv2d: stride ", options.stride, ", padding ", options.padding, ", dilation ", options.dilation,
        ", groups ", options.groups, " out of range");
  check(options.activation != Activation::leaky_relu || options.slope >= 0, "conv2d: slope ", options.slope,
        " is negative");
  ConvGeometry g{};
  size_t at = w.size() - 4;
  g.w_per_image = at == 1;
  g.n = x[0], g.h = x[1], g.w = x[2], g.c = x[3];
  g.o = w[at], g.kh = w[at + 1], g.kw = w[at + 2];
  g.stride = options.stride, g.padding = options.padding, g.dilation = options.dilation;
  g.groups = options.groups;
  check(w[at + 3] * g.groups == g.c, "conv2d: weight ", to_string(w), " expects ", w[at + 3] * g.groups,
        " input channels, input ", to_string(x), " has ", g.c);
  check(g.o % g.groups == 0 && g.o > 0, "conv2d: weight ", to_string(w), " has ", g.o,
        " output channels, not a positive multiple of ", g.groups, " groups");
  check(!g.w_per_image || w[0] == g.n, "conv2d: weight ", to_string(w), " has kernels for ", w[0],
        " images, input ", to_string(x), " has ", g.n);
  check(g.kh >= 1 && g.kw >= 1 && g.c >= 1, "conv2d: weight ", to_string(w), " has an empty kernel");
  int64_t span_y = g.h + 2 * g.padding - g.dilation * (g.kh - 1);
  int64_t span_x = g.w + 2 * g.padding - g.dilation * (g.kw - 1);
  check(span_y >= 1 && span_x >= 1, "conv2d: weight ", to_string(w), " does not fit into input ",
        to_string(x), " with padding ", g.padding, " and dilation ", g.dilation);
  g.oh = (span_y - 1) / g.stride + 1, g.ow = (span_x - 1) / g.stride + 1;
  g.x_rows = g.h, g.y_rows = g.oh;
  return g;
}

namespace {

bool is_16_bit(DType type) { return type == DType::bf16 || type == DType::f16; }

void check_extras(const ConvGeometry& g, const Tensor& x, const Tensor& w, const Tensor& b,
                  const Tensor& residual, const Conv2dOptions& options) {
  const bool on_gpu = x.device() == Device::cuda;
  const DType parameters = on_gpu && is_16_bit(x.dtype()) ? DType::f32 : x.dtype();
  for (DType map : {x.dtype(), options.result.value_or(x.dtype())})
    check(on_gpu || !is_16_bit(map), "conv2d: feature maps of ", to_string(map),
          " are convolved on the GPU only; convert them to f32");
  check(on_gpu || options.result.value_or(x.dtype()) == x.dtype(), "conv2d: input is ", to_string(x.dtype()),
        ": another type of result, here ", to_string(*options.result), ", is made on the GPU only");
  auto has_type = [&](const Tensor& t, const char* name, DType type) {
    check(t.dtype() == type, "conv2d: ", name, " is ", to_string(t.dtype()), ", expected ", to_string(type),
          " beside input of ", to_string(x.dtype()));
  };
  has_type(w, "weight", parameters);
  if (b.defined()) {
    has_type(b, "bias", parameters);
    check(b.shape() == Shape{g.o} || b.shape() == Shape{g.n, g.o}, "conv2d: bias ", to_string(b.shape()),
          " expects [", g.o, "] or [", g.n, ",", g.o, "]");
  }
  if (residual.defined()) {
    if (!on_gpu) has_type(residual, "residual", x.dtype());
    Shape y = {g.n, g.y_rows, g.ow, g.o};
    check(residual.shape() == y, "conv2d: residual ", to_string(residual.shape()), " expects ", to_string(y));
  }
}

}  // namespace

namespace cpu {

static bool fast(const Tensor& x) { return x.dtype() == DType::f32; }

static float slope_of(const Conv2dOptions& options) {
  if (options.activation == Activation::none) return 1;
  return options.activation == Activation::relu ? 0 : static_cast<float>(options.slope);
}

Tensor conv2d_forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options,
                      const Tensor& residual, float* sums) {
  ConvGeometry g = conv_geometry(x.shape(), w.shape(), options);
  g.b_per_image = b.defined() && b.rank() == 2;
  if (x.device() == Device::cuda) {
    Tensor y({g.n, g.oh, g.ow, g.o}, options.result.value_or(x.dtype()), Device::cuda);
    cuda::conv2d_rows(g, slope_of(options), x, w, b, residual, y);
    return y;
  }
  if (!fast(x)) return reference::conv2d(x, w, b, options, residual);
  Tensor y({g.n, g.oh, g.ow, g.o});
  run_forward(g, pack_weights(g, w, false), slope_of(options), x.data<float>(),
              b.defined() ? b.data<float>() : nullptr, residual.defined() ? residual.data<float>() : nullptr,
              y.data<float>(), sums);
  return y;
}

Tensor add_backward_data(Tensor sum, const Tensor& dy, const Tensor& w, const Shape& x, DType type,
                         const Conv2dOptions& options) {
  ConvGeometry g = conv_geometry(x, w.shape(), options);
  if (dy.device() == Device::cuda) {
    Tensor dx = sum.defined() && sum.sole_owner() ? sum : Tensor(x, type, Device::cuda);
    cuda::conv2d_backward_data(g, dy, w, sum, dx);
    return dx;
  }
  if (!fast(dy)) {
    accumulate(sum, reference::conv2d_backward_data(dy, w, x, options));
    return sum;
  }
  Tensor dx = sum.defined() && sum.sole_owner() ? sum : Tensor(x);
  run_backward_data(g, pack_weights(g, w, true), dy.data<float>(),
                    sum.defined() ? sum.data<float>() : nullptr, dx.data<float>());
  return dx;
}

Tensor conv2d_backward_data(const Tensor& dy, const Tensor& w, const Shape& x, const Conv2dOptions& options) {
  return add_backward_data({}, dy, w, x, dy.dtype(), options);
}

Tensor conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Shape& w,
                              const Conv2dOptions& options) {
  ConvGeometry g = conv_geometry(x.shape(), w, options);
  if (dy.device() == Device::cuda) {
    Tensor dw(w, DType::f32, Device::cuda);
    cuda::conv2d_backward_weight(g, dy, x, dw);
    return dw;
  }
  if (!fast(dy)) return reference::conv2d_backward_weight(dy, x, w, options);
  Tensor dw(w);
  run_backward_weight(g, dy.data<float>(), x.data<float>(), dw.data<float>());
  return dw;
}

}  // namespace cpu

namespace {

// dz = dy * activation'(z) and db, in one pass. The activation's sign is that of its input, so its result `a`
// is all it needs; without one, dz is dy.
template <class T>
void activation_gradient(const Tensor& dy, const Tensor& a, T slope, const Tensor& dz, const Tensor& db) {
  int64_t o = dy.dim(3), set = db.defined() && db.rank() == 2 ? dy.dim(1) * dy.dim(2) * o : dy.numel();
  if (db.defined()) db.fill(0);
  for (int64_t i = 0; i < dy.numel(); ++i) {
    T d = dy.data<T>()[i];
    if (a.defined() && !(a.data<T>()[i] > 0)) d *= slope;
    if (dz.defined()) dz.data<T>()[i] = d;
    if (db.defined()) db.data<T>()[i / set * o + i % o] += d;
  }
}

// Overwrites dy where nobody else holds it.
Tensor through_activation(const Tensor& dy, const Tensor& a, const Conv2dOptions& options, const Tensor& db,
                          const cpu::WindowPart& part) {
  const bool changes = a.defined() || part.of_means.defined();
  if (!changes && !db.defined()) return dy;
  Tensor dz;
  if (changes)
    dz = dy.device() == Device::cpu && dy.sole_owner() ? dy : Tensor(dy.shape(), dy.dtype(), dy.device());
  if (dy.device() == Device::cuda) {
    if (dz.defined()) cuda::activation_gradient(dy, a, cpu::slope_of(options), dz);
    if (db.defined()) cuda::bias_gradient(dz.defined() ? dz : dy, db);
    return dz.defined() ? dz : dy;
  }
  if (dy.dtype() == DType::f32) {
    auto data = [](const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; };
    cpu::run_activation_gradient({dy.dim(0), dy.dim(1), dy.dim(2), dy.dim(3), dy.data<float>(), data(a),
                                  cpu::slope_of(options), data(dz), data(db), db.defined() && db.rank() == 2},
                                 part);
  } else {
    double slope = options.activation == Activation::relu ? 0 : options.slope;
    activation_gradient<double>(dy, a, slope, dz, db);
  }
  return dz.defined() ? dz : dy;
}

// The result without the residual, which a gradient needs, and with it.
std::pair<Tensor, Tensor> with_residual(const ConvGeometry& g, const Tensor& x, const Tensor& w,
                                        const Tensor& b, const Conv2dOptions& options,
                                        const Tensor& residual) {
  if (x.device() == Device::cuda) {
    ConvGeometry rows = g;
    rows.b_per_image = b.defined() && b.rank() == 2;
    Shape shape = {g.n, g.oh, g.ow, g.o};
    DType type = options.result.value_or(x.dtype());
    Tensor a(shape, type, Device::cuda), y(shape, type, Device::cuda);
    cuda::conv2d_rows(rows, cpu::slope_of(options), x, w, b, residual, y, a);
    return {a, y};
  }
  Tensor a = cpu::conv2d_forward(x, w, b, options), y = a;  // shared, hence added into a fresh tensor
  accumulate(y, residual);
  return {a, y};
}

}  // namespace

Var conv2d(const Var& x, const Var& w, const Var& b, const Conv2dOptions& options, const Var& residual) {
  return cpu::conv2d_and_means(x, w, b, options, residual, {});
}

Var cpu::conv2d_and_means(const Var& x, const Var& w, const Var& b, const Conv2dOptions& options,
                          const Var& residual, const ForMeans& means) {
  ConvGeometry g = conv_geometry(x.shape(), w.shape(), options);
  check_extras(g, x.value(), w.value(), b.value(), residual.value(), options);
  bool masks = options.activation != Activation::none && recording({x, w, b});
  Tensor a, y;  // after the activation; after the residual
  if (masks && residual.defined()) {
    std::tie(a, y) = with_residual(g, x.value(), w.value(), b.value(), options, residual.value());
  } else {
    y = conv2d_forward(x.value(), w.value(), b.value(), options, residual.value(), means.sums);
    if (masks) a = y;
  }
  Shape bias = b.defined() ? b.shape() : Shape{};
  DType added = residual.defined() ? residual.dtype() : y.dtype();
  return record(y, {x, w, b, residual},
                [x = x.value(), w = w.value(), a, options, bias, added, part = means.part](
                    const Tensor& dy, const Wanted& wanted) {
                  std::vector<Tensor> grads(4);
                  if (wanted[3]) grads[3] = dy.to(added);
                  if (!wanted[0] && !wanted[1] && !wanted[2]) return grads;
                  if (wanted[2]) grads[2] = Tensor(bias, w.dtype(), dy.device());
                  Tensor dz = through_activation(dy, a, options, grads[2], part ? *part : WindowPart());
                  observe(__FILE__, "dz, db", dy.shape());
                  if (wanted[0])
                    grads[0] = add_backward_data(take_sum(0), dz, w, x.shape(), x.dtype(), options);
                  observe(__FILE__, "dx", dy.shape());
                  if (wanted[1]) grads[1] = conv2d_backward_weight(dz, x, w.shape(), options);
                  observe(__FILE__, "dw", dy.shape());
                  return grads;
                });
}

struct PreparedConv2d::Impl {
  Tensor w;
  Conv2dOptions options;
  cpu::PackedWeights packed;  // undefined where the plain loops run
};

PreparedConv2d::PreparedConv2d(const Tensor& w, const Conv2dOptions& options, Precision precision) {
  check(w.rank() == 4 || w.rank() == 5, "PreparedConv2d: weight expects [O,K,K,C] or [N,O,K,K,C], got ",
        to_string(w.shape()));
  check(options.stride == 1 && w.dim(-2) == w.dim(-3) && w.dim(-2) % 2 == 1 &&
            options.padding * 2 == options.dilation * (w.dim(-2) - 1),
        "PreparedConv2d: expects stride 1 and \"same\" padding, got stride ", options.stride, ", padding ",
        options.padding, ", dilation ", options.dilation, " with weight ", to_string(w.shape()));
  Impl impl{w, options, {}};
  // Packing depends on the channels alone: an image of one row that the kernel fits into stands for any.
  ConvGeometry g =
      conv_geometry({w.rank() == 5 ? w.dim(0) : 1, 1, 1, w.dim(-1) * options.groups}, w.shape(), options);
  if (cpu::fast(w)) impl.packed = cpu::pack_weights(g, w, false, precision);
  impl_ = std::make_shared<const Impl>(std::move(impl));
}

void PreparedConv2d::run(const Tensor& x, int64_t x_first, int64_t height, const Tensor& b,
                         const Tensor& residual, const Tensor& y, int64_t y_first, const Tensor& sums) const {
  check_rank("PreparedConv2d", "input", x, 4);
  check_rank("PreparedConv2d", "result", y, 4);
  const Tensor& w = impl_->w;
  ConvGeometry g = conv_geometry({x.dim(0), height, x.dim(2), x.dim(3)}, w.shape(), impl_->options);
  g.x_first = x_first, g.x_rows = x.dim(1), g.y_first = y_first, g.y_rows = y.dim(1);
  int64_t y_end = y_first + g.y_rows;
  check(y_first >= 0 && y_first % 4 == 0 && y_end <= height && (y_end % 4 == 0 || y_end == height),
        "PreparedConv2d: rows ", y_first, "..", y_end, " of an image of ", height,
        " rows: a band must begin at a multiple of 4, and end at one or with the image");
  check(x_first <= std::max<int64_t>(0, y_first - g.padding) &&
            x_first + g.x_rows >= std::min(height, y_end + g.padding),
        "PreparedConv2d: input rows ", x_first, "..", x_first + g.x_rows, " do not hold what result rows ",
        y_first, "..", y_end, " need");
  check(y.shape() == Shape{g.n, g.y_rows, g.ow, g.o}, "PreparedConv2d: result ", to_string(y.shape()),
        " expects ", to_string(Shape{g.n, g.y_rows, g.ow, g.o}));
  check_extras(g, x, w, b, residual, impl_->options);
  check(!sums.defined() ||
            (x.dtype() == DType::f32 && sums.shape() == Shape{g.n, (g.y_rows + 3) / 4, (g.ow + 3) / 4, g.o}),
        "PreparedConv2d: sums of the tiles of result ", to_string(y.shape()), " expect f32 ",
        to_string(Shape{g.n, (g.y_rows + 3) / 4, (g.ow + 3) / 4, g.o}));
  g.b_per_image = b.defined() && b.rank() == 2;
  if (impl_->packed.u.defined() && x.dtype() == DType::f32) {
    cpu::run_forward(g, impl_->packed, cpu::slope_of(impl_->options), x.data<float>(),
                     b.defined() ? b.data<float>() : nullptr,
                     residual.defined() ? residual.data<float>() : nullptr, y.data<float>(),
                     sums.defined() ? sums.data<float>() : nullptr);
    return;
  }
  dispatch_float(x.dtype(), "PreparedConv2d", [&](auto zero) {
    using T = decltype(zero);
    reference::conv2d_rows(g, impl_->options, x.data<T>(), w.data<T>(), b.defined() ? b.data<T>() : nullptr,
                           residual.defined() ? residual.data<T>() : nullptr, y.data<T>());
  });
}

}  // namespace dgp
