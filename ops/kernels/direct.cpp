// Convolution without a transform: any kernel size, stride, dilation and groups.
//   y[q*out_step + out_y, p*out_step + out_x, o] = sum over taps t and channels c of
//       x[q*in_step + ty[t], p*in_step + tx[t], c] * u[t, c, o]
// The gradient in x of a convolution with stride s is s*s such sums, one for each residue of row and column,
// over the taps that meet it. In [rows, columns, channels] order the channels of taps side by side are one
// run of floats, so a 3x3 kernel over 3 channels is three products with K = 9, and no im2col is made. Sums
// stay in registers from the first tap to the store.
#include "ops/kernels/rgb.h"

namespace dgp::DGP_ISA {
namespace {

// Where the taps of `args` reach, relative to the pixel they belong to.
struct Reach {
  int64_t y_min, y_max, x_min, x_max;
};
Reach reach_of(const DirectForward& args) {
  if (args.taps == 0) return {0, 0, 0, 0};
  Reach r{args.ty[0], args.ty[0], args.tx[0], args.tx[0]};
  for (int64_t t = 1; t < args.taps; ++t) {
    r.y_min = args.ty[t] < r.y_min ? args.ty[t] : r.y_min;
    r.y_max = args.ty[t] > r.y_max ? args.ty[t] : r.y_max;
    r.x_min = args.tx[t] < r.x_min ? args.tx[t] : r.x_min;
    r.x_max = args.tx[t] > r.x_max ? args.tx[t] : r.x_max;
  }
  return r;
}

// Pixels [y, y+rows) x [x, x+columns) of an image: in place where all of it is in memory, else a copy with
// zeros around the image, each row followed by room for a vector.
Window rectangle_at(const ImageRows& image, int64_t y, int64_t x, int64_t rows, int64_t columns, bool copy,
                    float* room) {
  int64_t c = image.channels, first = y - image.first;
  if (!copy && first >= 0 && x >= 0 && first + rows <= image.rows && x + columns <= image.width)
    return {image.data + (first * image.width + x) * c, image.width * c, c};
  int64_t left = x < 0 ? -x : 0, right = image.width - x < columns ? image.width - x : columns;
  if (left > columns) left = columns;
  if (right < left) right = left;
  for (int64_t i = 0; i < rows; ++i) {
    float* to = room + i * columns * c;
    bool inside = first + i >= 0 && first + i < image.rows;
    const float* from = image.data + ((first + i) * image.width + x) * c;
    int64_t begin = inside ? left * c : columns * c, end = inside ? right * c : columns * c;
    for (int64_t k = 0; k < begin; ++k) to[k] = 0;
    for (int64_t k = begin; k < end; ++k) to[k] = from[k];
    for (int64_t k = end; k < columns * c; ++k) to[k] = 0;
  }
  for (int64_t k = 0; k < kPanelVectors * kLanes; ++k) room[rows * columns * c + k] = 0;
  return {room, columns * c, c};
}

// Taps side by side, as one segment: how many in a row, the same everywhere, or 1.
int64_t run_length(const DirectForward& args) {
  if (args.groups > 1 || args.taps == 0) return 1;
  int64_t run = 1;
  while (run < args.taps && args.ty[run] == args.ty[0] && args.tx[run] == args.tx[0] + run) ++run;
  if (args.taps % run) return 1;
  for (int64_t t = 0; t < args.taps; ++t)
    if (args.ty[t] != args.ty[t - t % run] || args.tx[t] != args.tx[t - t % run] + t % run) return 1;
  return run;
}

// Where the results of one line of one panel go.
struct IntoLine {
  const Finish* finish;
  const float* residual;  // or null
  float* y;
  int64_t step;

  DGP_INLINE auto operator()(int64_t, int64_t first) const {
    const float* r_first = residual ? residual + first * step : nullptr;
    return [finish = finish, r_first, y_first = y + first * step, step = step](int64_t r, int64_t i, int64_t,
                                                                               V sum) {
      int64_t at = r * step + i * kLanes;
      finish[i](sum, r_first ? r_first + at : nullptr, y_first + at);
    };
  }
};

// The same for a 1x1 kernel, which reads each float once: what the tile after the next reads is fetched,
// since a tile is over before the processor's own prefetcher has found its rows.
struct IntoLineFetching : IntoLine {
  const float *a, *end;
  int64_t lda, tile;  // tile: rows of a tile

  static constexpr int fetch_lines(int rows) { return (rows + 3) / 4; }
  const float* fetch(int64_t, int64_t first) const {
    const float* ahead = a + (first + 2 * tile) * lda;
    return ahead < end ? ahead : a;
  }
};

// Pixels that follow each other in a row or down a column, `a_step` floats apart in x and `y_step` in y.
struct Line {
  const float* a;
  int64_t pixels, a_step, y_at, y_step;
};

void put_line(const DirectForward& args, const Panel& panel, const Finish* finish, Segments segments,
              const Line& line, const float* u) {
  const float* residual = args.epilogue.residual ? args.epilogue.residual + line.y_at : nullptr;
  IntoLine into{finish, residual, const_cast<float*>(args.y.data) + line.y_at, line.y_step};
  if (args.taps == 1 && panel.first == 0) {
    int64_t tile = tile_rows(static_cast<int>(panel.vectors));
    IntoLineFetching fetching{into, line.a, line.a + line.pixels * line.a_step, line.a_step, tile};
    return multiply_panel(panel.vectors, {1, 0, 0}, line.pixels, segments, line.a, line.a_step, u, fetching);
  }
  multiply_panel(panel.vectors, {1, 0, 0}, line.pixels, segments, line.a, line.a_step, u, into);
}

// Results [q_begin, q_end) x [p_begin, p_end). A few columns go down, so that lines are not short.
void forward_columns(const DirectForward& args, int64_t run, int64_t q_begin, int64_t q_end, int64_t p_begin,
                     int64_t p_end, float* scratch) {
  const Reach reach = reach_of(args);
  const ImageRows& y = args.y;
  int64_t rows = q_end - q_begin, pixels = p_end - p_begin, step = args.in_step;
  int64_t in_rows = (rows - 1) * step + reach.y_max - reach.y_min + 1;
  int64_t in_columns = (pixels - 1) * step + reach.x_max - reach.x_min + 1;
  int64_t* offsets = reinterpret_cast<int64_t*>(scratch);
  Window in = rectangle_at(args.x, q_begin * step + reach.y_min, p_begin * step + reach.x_min, in_rows,
                           in_columns, false, scratch + 2 * args.taps);
  int64_t c = args.x.channels / args.groups, o = args.y.channels / args.groups;
  int64_t a_row = step * in.row, a_pixel = step * in.pixel;
  int64_t y_row = args.out_step * y.width * y.channels, y_pixel = args.out_step * y.channels;
  bool one_run = a_row == pixels * a_pixel && y_row == pixels * y_pixel;
  if (one_run) pixels *= rows, rows = 1;  // rows follow each other in both images: a single long one
  bool down = pixels < rows;
  int64_t lines = down ? pixels : rows;
  for (int64_t g = 0; g < args.groups; ++g) {
    for (int64_t t = 0; t < args.taps; t += run)
      offsets[t / run] = (args.ty[t] - reach.y_min) * in.row + (args.tx[t] - reach.x_min) * in.pixel + g * c;
    Segments segments{offsets, args.taps / run, run * c};
    for (int64_t p = 0; p < panel_count(o); ++p) {
      Panel panel = panel_of(o, p);
      Finish finish[kPanelVectors];
      Epilogue epilogue = args.epilogue;
      if (epilogue.bias) epilogue.bias += g * o;
      for (int64_t i = 0; i < panel.vectors; ++i)
        finish[i] = finish_of(epilogue, panel.first + i * kLanes, o);
      const float* u = args.u + args.taps * c * (g * round_up(o, kLanes) + panel.first);
      int64_t y_at = ((q_begin * args.out_step + args.out_y - y.first) * y.width + args.out_x) * y.channels +
                     p_begin * y_pixel + g * o + panel.first;
      for (int64_t line = 0; line < lines; ++line)
        put_line(args, panel, finish, segments,
                 down ? Line{in.data + line * a_pixel, rows, a_row, y_at + line * y_pixel, y_row}
                      : Line{in.data + line * a_row, pixels, a_pixel, y_at + line * y_row, y_pixel},
                 u);
    }
  }
}

// Red, green and blue to the same: rgb.h. Kernels of one row of taps a segment, no strides.
bool takes_rgb(const DirectForward& args, int64_t run) {
  return args.groups == 1 && args.x.channels == 3 && args.y.channels == 3 && args.in_step == 1 &&
         args.out_step == 1 && args.taps > 0 && args.taps % run == 0 &&
         args.ty[args.taps - 1] - args.ty[0] == args.taps / run - 1;
}

// Output rows [q_begin, q_end); scratch as direct_scratch says.
void rgb_forward(const DirectForward& args, int64_t q_begin, int64_t q_end, int64_t run, float* scratch) {
  Reach reach = reach_of(args);
  RgbTaps taps{args.taps / run, run};
  float* room = scratch + taps.table_size() + kLanes;
  for (int64_t i = 0; i < kLanes; ++i) room[i - kLanes] = 0;
  Window in =
      rectangle_at(args.x, q_begin + reach.y_min, reach.x_min, q_end - q_begin + reach.y_max - reach.y_min,
                   args.out_columns + reach.x_max - reach.x_min, true, room);
  rgb_table(taps, args.u, scratch);
  Finish finish[3];
  rgb_finish(args.epilogue, finish);
  for (int64_t q = 0; q < q_end - q_begin; ++q) {
    int64_t at = (q_begin + q - args.y.first) * args.y.width * 3;
    rgb_row(taps, in.data + q * in.row, in.row, scratch, finish,
            args.epilogue.residual ? args.epilogue.residual + at : nullptr,
            const_cast<float*>(args.y.data) + at, args.out_columns * 3);
  }
}

}  // namespace

int64_t direct_weights_size(int64_t groups, int64_t taps, int64_t k, int64_t columns) {
  return groups * taps * k * round_up(columns, kLanes);
}

void direct_weights(const DirectWeights& args, float* u) {
  int64_t c = args.c, o = args.o, all = args.all_taps;  // of one group
  int64_t k_count = args.transposed ? o : c, columns = args.transposed ? c : o;
  for (int64_t g = 0; g < args.groups; ++g) {
    for (int64_t p = 0; p < panel_count(columns); ++p) {
      Panel panel = panel_of(columns, p);
      for (int64_t t = 0; t < args.taps; ++t) {
        const float* w = args.w + (g * o * all + args.tap[t]) * c;
        for (int64_t k = 0; k < k_count; ++k) {
          for (int64_t i = panel.first; i < panel.first + panel.vectors * kLanes; ++i) {
            int64_t at = args.transposed ? k * all * c + i : i * all * c + k;
            *u++ = i < columns ? w[at] : 0.0f;
          }
        }
      }
    }
  }
}

int64_t direct_scratch(const DirectForward& args, int64_t rows) {
  Reach reach = reach_of(args);
  int64_t in_rows = (rows - 1) * args.in_step + reach.y_max - reach.y_min + 1;
  int64_t in_columns = (args.out_columns - 1) * args.in_step + reach.x_max - reach.x_min + 1;
  int64_t run = run_length(args);
  int64_t table = takes_rgb(args, run) ? RgbTaps{args.taps / run, run}.table_size() + kLanes : 0;
  return table + in_rows * in_columns * args.x.channels + kPanelVectors * kLanes + 2 * args.taps;
}

void direct_forward(const DirectForward& args, int64_t q_begin, int64_t q_end, float* scratch) {
  int64_t run = run_length(args);
  if (takes_rgb(args, run)) return rgb_forward(args, q_begin, q_end, run, scratch);
  // Columns [left, right) see nothing of what is beside the image: their input is read where it is, and only
  // that of the borders copied, unless most of it is border.
  const Reach reach = reach_of(args);
  int64_t step = args.in_step, columns = args.out_columns;
  int64_t left = reach.x_min < 0 ? (-reach.x_min + step - 1) / step : 0;
  int64_t right = args.x.width > reach.x_max ? (args.x.width - 1 - reach.x_max) / step + 1 : 0;
  if (right > columns) right = columns;
  if (right - left < columns / 2) left = 0, right = columns;
  auto forward = [&](int64_t p_begin, int64_t p_end) {
    if (p_begin < p_end) forward_columns(args, run, q_begin, q_end, p_begin, p_end, scratch);
  };
  forward(0, left);
  forward(left, right);
  forward(right, columns);
  if (args.epilogue.stream) stream_fence();
}

namespace {

// The gradient of the weights is kept as [segment][O][columns rounded up]: a segment is a row of taps where
// their channels are one run of floats, else one tap.
struct GradientLayout {
  int64_t segments, columns, ld;
  bool merged;
};
GradientLayout gradient_layout(const DirectGradient& args) {
  bool merged = args.groups == 1 && args.dilation == 1;
  int64_t columns = merged ? args.kw * args.x.channels : args.x.channels / args.groups;
  return {merged ? args.kh : args.kh * args.kw, columns, round_up(columns, kLanes), merged};
}

}  // namespace

int64_t direct_gradient_size(const DirectGradient& args) {
  GradientLayout layout = gradient_layout(args);
  return layout.segments * args.dy.channels * layout.ld;
}

int64_t direct_gradient_scratch(const DirectGradient& args, int64_t rows) {
  int64_t in_rows = (rows - 1) * args.stride + (args.kh - 1) * args.dilation + 1;
  int64_t in_columns = (args.dy.width - 1) * args.stride + (args.kw - 1) * args.dilation + 1;
  return in_rows * in_columns * args.x.channels + kPanelVectors * kLanes;
}

void direct_gradient(const DirectGradient& args, int64_t q_begin, int64_t q_end, float* dw, float* scratch) {
  GradientLayout layout = gradient_layout(args);
  int64_t o_all = args.dy.channels, o = o_all / args.groups, c = args.x.channels / args.groups;
  int64_t in_rows = (q_end - q_begin - 1) * args.stride + (args.kh - 1) * args.dilation + 1;
  int64_t in_columns = (args.dy.width - 1) * args.stride + (args.kw - 1) * args.dilation + 1;
  bool copy =
      layout.columns % kLanes != 0 || c % kLanes != 0;  // whole vectors are read past the last channel
  Window in = rectangle_at(args.x, q_begin * args.stride - args.padding, -args.padding, in_rows, in_columns,
                           copy, scratch);
  int64_t pixels = args.dy.width, rows = q_end - q_begin;
  if (in_rows == rows && in_columns == pixels && in.row == pixels * in.pixel) pixels *= rows, rows = 1;
  for (int64_t s = 0; s < layout.segments; ++s) {
    int64_t ky = layout.merged ? s : s / args.kw, kx = layout.merged ? 0 : s % args.kw;
    for (int64_t g = 0; g < args.groups; ++g) {
      float* sum = dw + (s * o_all + g * o) * layout.ld;
      const float* x = in.data + ky * args.dilation * in.row + kx * args.dilation * in.pixel + g * c;
      const float* dy = args.dy.data + q_begin * args.dy.width * o_all + g * o;
      for (int64_t q = 0; q < rows; ++q)
        outer_product(o, layout.columns, pixels, dy + q * pixels * o_all, o_all, x + q * args.stride * in.row,
                      args.stride * in.pixel, sum, layout.ld, true);
    }
  }
}

void direct_gradient_finish(const DirectGradient& args, const float* sums, float* dw) {
  GradientLayout layout = gradient_layout(args);
  for (int64_t o = 0; o < args.dy.channels; ++o) {
    for (int64_t s = 0; s < layout.segments; ++s) {
      const float* from = sums + (s * args.dy.channels + o) * layout.ld;
      for (int64_t k = 0; k < layout.columns; ++k) *dw++ = from[k];
    }
  }
}

void activation_gradient(int64_t pixels, int64_t o, const float* dy, const float* part, const float* a,
                         float slope, float* dz, float* sum) {
  if (o < kLanes && pixels >= kLanes) {  // kLanes pixels of o channels are one of kLanes * o
    int64_t groups = pixels / kLanes, done = groups * kLanes * o;
    float sums[kLanes * kLanes] = {};
    activation_gradient(groups, kLanes * o, dy, part, a, slope, dz, sum ? sums : nullptr);
    for (int64_t i = 0; sum && i < kLanes * o; ++i) sum[i % o] += sums[i];
    return activation_gradient(pixels % kLanes, o, dy + done, part ? part + done : nullptr,
                               a ? a + done : nullptr, slope, dz ? dz + done : nullptr, sum);
  }
  int64_t whole = o / kLanes * kLanes;
  for (int64_t p = 0; p < pixels; ++p) {
    const float* d = dy + p * o;
    for (int64_t k = 0; k < whole; k += kLanes) {
      V v = load<kLanes>(d + k);
      if (part) v = v + load<kLanes>(part + p * o + k);
      if (a) {
        V sign = load<kLanes>(a + p * o + k);
        v = sign > 0.0f ? v : v * slope;
      }
      if (dz) store<kLanes>(dz + p * o + k, v);
      if (sum) store<kLanes>(sum + k, load<kLanes>(sum + k) + v);
    }
    for (int64_t k = whole; k < o; ++k) {
      float v = part ? d[k] + part[p * o + k] : d[k];
      if (a && !(a[p * o + k] > 0)) v *= slope;
      if (dz) dz[p * o + k] = v;
      if (sum) sum[k] += v;
    }
  }
}

}  // namespace dgp::DGP_ISA
