// Gradients of f32 convolutions in kernels, bias and what comes before the activation; the one in x is a
// convolution (conv2d_cpu.cpp).
#include <algorithm>
#include <cstring>
#include <utility>

#include "ops/conv2d_cpu.h"
#include "ops/window_means.h"
#include "tensor/parallel.h"

namespace dgp::cpu {
namespace {

// Adds `parts` arrays of `size` floats in order.
void sum_parts(const float* parts, int64_t count, int64_t size, float* sum) {
  parallel_for(size, kPointwiseGrain, [&](int64_t begin, int64_t end) {
    std::memcpy(sum + begin, parts + begin, static_cast<size_t>(end - begin) * 4);
    for (int64_t p = 1; p < count; ++p)
      for (int64_t i = begin; i < end; ++i) sum[i] += parts[p * size + i];
  });
}

// Gradient sums of one kind: `sets` results of `size` floats, each the sum of `parts` pieces in order.
// part(index, floats) writes piece index % parts of set index / parts.
template <class Part>
void sum_of_parts(int64_t sets, int64_t parts, int64_t size, float* dw, const Part& part) {
  if (parts == 1) {
    parallel_for(sets, 1, [&](int64_t set, int64_t) { part(set, dw + set * size); });
    return;
  }
  Tensor pieces({sets * parts, size});
  float* data = pieces.data<float>();
  parallel_for(sets * parts, 1, [&](int64_t index, int64_t) { part(index, data + index * size); });
  for (int64_t set = 0; set < sets; ++set) sum_parts(data + set * parts * size, parts, size, dw + set * size);
}

// Calls f(n, first, last) for the stretch of each image n in positions [begin, end) of all images in a row.
template <class F>
void for_each_image(int64_t begin, int64_t end, int64_t per_image, const F& f) {
  while (begin < end) {
    int64_t n = begin / per_image, stop = std::min(end, (n + 1) * per_image);
    f(n, begin - n * per_image, stop - n * per_image);
    begin = stop;
  }
}

constexpr int64_t kTilesEach = 256;  // at least, of a part: what it sums up is 36 numbers for each kernel

void winograd_backward_weight(const ConvGeometry& g, const float* dy, const float* x, float* dw) {
  const Kernels& kernels = active_kernels();
  int64_t c = g.c / g.groups, o = g.o / g.groups;
  int64_t tiles = ((g.oh + 3) / 4) * ((g.ow + 3) / 4), size = o * 9 * c;
  int64_t sets = g.w_per_image ? g.n : 1, all = g.w_per_image ? tiles : g.n * tiles;
  // Each part sums its share of the tiles in Winograd's domain and leaves it as a gradient of 3x3 taps.
  int64_t parts = std::clamp<int64_t>(all / kTilesEach, 1, 64),
          du_size = kernels.winograd_gradient_size(o, c);
  sum_of_parts(sets * g.groups, parts, size, dw, [&](int64_t index, float* piece) {
    int64_t set = index / parts / g.groups, group = index / parts % g.groups, part = index % parts;
    int64_t base = set * all;
    bool add = false;
    Scratch du(du_size), scratch(kernels.winograd_gradient_scratch(o, c));
    for_each_image(
        base + all * part / parts, base + all * (part + 1) / parts, tiles,
        [&](int64_t n, int64_t first, int64_t last) {
          WinogradGradient args{group_of(image_of(x, n, g.h, g.w, g.c), group, g.groups),
                                group_of(image_of(dy, n, g.oh, g.ow, g.o), group, g.groups), g.padding};
          kernels.winograd_gradient(args, first, last, std::exchange(add, true), du.data(), scratch.data());
        });
    if (!add) std::memset(du.data(), 0, static_cast<size_t>(du_size) * 4);  // of no images
    kernels.winograd_gradient_finish(du.data(), o, c, piece);
  });
}

void direct_backward_weight(const ConvGeometry& g, const float* dy, const float* x, float* dw) {
  const Kernels& kernels = active_kernels();
  auto args_of = [&](int64_t n) {
    return DirectGradient{image_of(x, n, g.h, g.w, g.c),
                          image_of(dy, n, g.oh, g.ow, g.o),
                          g.kh,
                          g.kw,
                          g.stride,
                          g.padding,
                          g.dilation,
                          g.groups};
  };
  int64_t size = g.o * g.kh * g.kw * (g.c / g.groups), sets = g.w_per_image ? g.n : 1;
  int64_t all = g.w_per_image ? g.oh : g.n * g.oh;
  int64_t parts = std::clamp<int64_t>(std::min(all * g.ow / 2048, all / kBandRows), 1, 64);
  sum_of_parts(sets, parts, size, dw, [&](int64_t index, float* piece) {
    int64_t base = index / parts * all, part = index % parts,
            sum_size = kernels.direct_gradient_size(args_of(0));
    Scratch sums(sum_size), scratch(kernels.direct_gradient_scratch(args_of(0), kBandRows));
    std::memset(sums.data(), 0, static_cast<size_t>(sum_size) * 4);
    for_each_image(base + all * part / parts, base + all * (part + 1) / parts, g.oh,
                   [&](int64_t n, int64_t first, int64_t last) {
                     for (int64_t q = first; q < last; q += kBandRows)
                       kernels.direct_gradient(args_of(n), q, std::min(q + kBandRows, last), sums.data(),
                                               scratch.data());
                   });
    kernels.direct_gradient_finish(args_of(0), sums.data(), piece);
  });
}

}  // namespace

void run_backward_weight(const ConvGeometry& g, const float* dy, const float* x, float* dw) {
  if (takes_winograd(g)) return winograd_backward_weight(g, dy, x, dw);
  direct_backward_weight(g, dy, x, dw);
}

void run_activation_gradient(const ActivationGradient& args, const WindowPart& part) {
  const Kernels& kernels = active_kernels();
  int64_t o = args.o, row = args.columns * o, grain = std::max<int64_t>(1, 4 * kPointwiseGrain / row);
  int64_t chunks = (args.rows + grain - 1) / grain;
  Tensor sums = Tensor::zeros({args.images * chunks, o});
  parallel_for(args.images * chunks, 1, [&](int64_t index, int64_t) {
    int64_t n = index / chunks, first = index % chunks * grain, last = std::min(first + grain, args.rows);
    float* sum = args.db ? sums.data<float>() + index * o : nullptr;
    auto run = [&](int64_t y, int64_t count, const float* part_row) {
      int64_t at = (n * args.rows + y) * row;
      kernels.activation_gradient(count * args.columns, o, args.dy + at, part_row,
                                  args.a ? args.a + at : nullptr, args.slope,
                                  args.dz ? args.dz + at : nullptr, sum);
    };
    if (!part.of_means.defined()) return run(first, last - first, nullptr);
    WindowGradientRows parts(part.of_means.data<float>() + n * part.k * part.k * o, args.rows, args.columns,
                             o, part.k);
    for (int64_t y = first; y < last; ++y) run(y, 1, parts.row(y));
  });
  if (!args.db) return;
  for (int64_t n = 0; n < (args.per_image ? args.images : 1); ++n) {
    int64_t begin = args.per_image ? n * chunks : 0,
            end = args.per_image ? begin + chunks : args.images * chunks;
    for (int64_t k = 0; k < o; ++k) {
      double sum = 0;
      for (int64_t i = begin; i < end; ++i) sum += double(sums.data<float>()[i * o + k]);
      args.db[n * o + k] = static_cast<float>(sum);
    }
  }
}

}  // namespace dgp::cpu
