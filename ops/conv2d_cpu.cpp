#include "ops/conv2d_cpu.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <unistd.h>

#include "ops/window_means.h"
#include "tensor/allocator.h"
#include "tensor/isa.h"
#include "tensor/parallel.h"

namespace dgp {

#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
namespace avx512_bf16 {
extern const Bf16Kernels bf16_kernels;
}
#endif

namespace {
std::atomic<const Kernels*> override_table{nullptr};
}

const Kernels& active_kernels() {
  if (const Kernels* table = override_table) return *table;
#if defined(__x86_64__)
  if (current_isa() == Isa::avx512) return avx512::kernels;
  if (current_isa() == Isa::avx2) return avx2::kernels;
#endif
  return portable::kernels;
}

void override_kernels(const Kernels* kernels) { override_table = kernels; }

namespace cpu {
namespace {

// Scratch memory of one chunk of work.
class Scratch {
 public:
  explicit Scratch(int64_t floats) : block_(allocate(floats * 4)) {}
  float* data() const { return reinterpret_cast<float*>(block_.get()); }

 private:
  std::shared_ptr<std::byte[]> block_;
};

// Of few channels there is little to multiply: the transforms would cost more than they save.
bool takes_winograd(const ConvGeometry& g) {
  constexpr int64_t kFewest = 8;
  return g.c / g.groups >= kFewest && g.kh == 3 && g.kw == 3 && g.stride == 1 && g.dilation == 1 &&
         g.padding <= 2;
}

// From three channels to three: tiles of vectors of channels would be nearly empty (ops/kernels/rgb.h).
bool takes_rgb(const ConvGeometry& g) { return g.c == 3 && g.o == 3; }

// Of one core; 0 where the system does not tell.
int64_t l2_bytes() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
  static const int64_t bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes;
#else
  return 0;
#endif
}

// Tiles of all images, numbered in one sequence, cut into chunks of whole blocks.
struct TileChunks {
  int64_t per_image, total, grain;
};
TileChunks tile_chunks(int64_t images, int64_t rows, int64_t columns, int64_t block) {
  int64_t per_image = ((rows + 3) / 4) * ((columns + 3) / 4);
  int64_t blocks = images * ((per_image + block - 1) / block);
  return {per_image, blocks, std::clamp<int64_t>(blocks / 64, 1, 8)};
}

// A result larger than the caches is stored past them, where whole cache lines are written at once: reading
// lines only to overwrite them costs a seventh of the time. Smaller ones are still cached when the next layer
// reads.
bool streams(const Kernels& kernels, int64_t images, const ImageRows& y) {
  constexpr int64_t kCached = int64_t{8} << 20;
  return kernels.lanes >= 8 && y.channels % 16 == 0 && y.pixel % 16 == 0 &&
         reinterpret_cast<uintptr_t>(y.data) % 64 == 0 && images * y.rows * y.width * y.pixel * 4 > kCached;
}

// Channels [group * n, group * n + n) of an image, n of them a group.
ImageRows group_of(const ImageRows& image, int64_t group, int64_t groups) {
  ImageRows part = image;
  part.channels /= groups;
  part.data += group * part.channels;
  return part;
}

void run_winograd(const PackedWeights& weights, int64_t images, int64_t groups, const ImageRows& x,
                  int64_t padding, const ImageRows& y, const Epilogue& epilogue, int64_t bias_stride,
                  double* totals = nullptr) {
  const Kernels& kernels = *weights.kernels;
  int64_t c = x.channels / groups, o = y.channels / groups;
  int64_t block = kernels.winograd_block(c, o, l2_bytes()), parts = images * groups;
  TileChunks chunks = tile_chunks(parts, y.rows, y.width, block);
  while (chunks.total < 8 &&
         block > 6) {  // a small picture is cut finer, so that every thread gets its share
    block /= 2;
    chunks = tile_chunks(parts, y.rows, y.width, block);
  }
  int64_t blocks = chunks.total / parts;
  auto forward = weights.bf16 ? weights.bf16->winograd_forward : kernels.winograd_forward;
  bool stream = streams(kernels, images, group_of(y, 0, groups));
  std::vector<double> sums(totals ? static_cast<size_t>(chunks.total * o) : 0);  // of each block
  parallel_for(chunks.total, chunks.grain, [&](int64_t begin, int64_t end) {
    Scratch scratch(kernels.winograd_scratch(c, block));
    for (int64_t i = begin; i < end; ++i) {
      int64_t n = i / blocks / groups, group = i / blocks % groups, first = i % blocks * block;
      int64_t y_image = y.rows * y.width * y.pixel;
      const float* u = weights.u.data<float>() + n * weights.image_size + group * weights.group_size;
      WinogradForward args{group_of(x, group, groups), padding, u, group_of(y, group, groups), epilogue};
      args.epilogue.stream = stream;
      if (totals) args.epilogue.sums = sums.data() + i * o;
      args.x.data += n * x.rows * x.width * x.pixel;
      args.y.data += n * y_image;
      if (epilogue.bias) args.epilogue.bias += n * bias_stride + group * o;
      if (epilogue.residual) args.epilogue.residual += n * y_image + group * o;
      forward(args, first, std::min(first + block, chunks.per_image), scratch.data());
    }
  });
  if (!totals) return;
  std::fill(totals, totals + images * y.channels, 0.0);
  for (int64_t i = 0; i < chunks.total; ++i)
    for (int64_t k = 0; k < o; ++k) totals[i / blocks * o + k] += sums[static_cast<size_t>(i * o + k)];
}

// totals [N,O] = the sums of y's pixels.
void sum_pixels(const Kernels& kernels, int64_t images, const ImageRows& y, double* totals) {
  std::vector<double> rows(static_cast<size_t>(images * y.rows * y.channels));
  parallel_for(images * y.rows, std::max<int64_t>(1, kPointwiseGrain / (y.width * y.channels)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r)
                   kernels.row_sums(y.data + r * y.width * y.channels, y.width, y.channels,
                                    rows.data() + r * y.channels);
               });
  std::fill(totals, totals + images * y.channels, 0.0);
  for (int64_t r = 0; r < images * y.rows; ++r)
    for (int64_t k = 0; k < y.channels; ++k)
      totals[r / y.rows * y.channels + k] += rows[static_cast<size_t>(r * y.channels + k)];
}

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

ImageRows image_of(const float* data, int64_t n, int64_t rows, int64_t columns, int64_t channels) {
  return {data + n * rows * columns * channels, rows, 0, rows, columns, channels, channels};
}

void winograd_backward_weight(const ConvGeometry& g, const float* dy, const float* x, float* dw) {
  const Kernels& kernels = active_kernels();
  int64_t c = g.c / g.groups, o = g.o / g.groups;
  int64_t tiles = ((g.oh + 3) / 4) * ((g.ow + 3) / 4), size = o * 9 * c;
  int64_t sets = g.w_per_image ? g.n : 1, all = g.w_per_image ? tiles : g.n * tiles;
  // Each part sums its share of the tiles in Winograd's domain and leaves it as a gradient of 3x3 taps.
  int64_t parts = std::clamp<int64_t>(all / 128, 1, 64), du_size = kernels.winograd_gradient_size(o, c);
  sum_of_parts(sets * g.groups, parts, size, dw, [&](int64_t index, float* piece) {
    int64_t set = index / parts / g.groups, group = index / parts % g.groups, part = index % parts;
    int64_t base = set * all;
    Scratch du(du_size), scratch(kernels.winograd_gradient_scratch(o, c));
    std::memset(du.data(), 0, static_cast<size_t>(du_size) * 4);
    for_each_image(base + all * part / parts, base + all * (part + 1) / parts, tiles,
                   [&](int64_t n, int64_t first, int64_t last) {
                     WinogradGradient args{group_of(image_of(x, n, g.h, g.w, g.c), group, g.groups),
                                           group_of(image_of(dy, n, g.oh, g.ow, g.o), group, g.groups),
                                           g.padding};
                     kernels.winograd_gradient(args, first, last, du.data(), scratch.data());
                   });
    kernels.winograd_gradient_finish(du.data(), o, c, piece);
  });
}

constexpr int64_t kBandRows = 8;  // output rows that a direct kernel takes at once

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

std::vector<Phase> phases_of(const ConvGeometry& g, bool transposed) {
  std::vector<Phase> phases;
  int64_t residues = transposed ? g.stride : 1;
  for (int64_t r = 0; r < residues * residues; ++r) {
    Phase phase{r / residues, r % residues, 0, {}, {}, {}};
    // Backward, taps from the last to the first: their positions then rise, and neighbours join into one run.
    for (int64_t t = 0; t < g.kh * g.kw; ++t) {
      int64_t tap = transposed ? g.kh * g.kw - 1 - t : t;
      int64_t ty = tap / g.kw * g.dilation - g.padding, tx = tap % g.kw * g.dilation - g.padding;
      if (transposed) {
        if ((phase.out_y - ty) % g.stride != 0 || (phase.out_x - tx) % g.stride != 0) continue;
        ty = (phase.out_y - ty) / g.stride, tx = (phase.out_x - tx) / g.stride;
      }
      phase.ty.push_back(ty), phase.tx.push_back(tx), phase.tap.push_back(tap);
    }
    phases.push_back(std::move(phase));
  }
  return phases;
}

// x and y are those of the sum: in backward_data, x is dy and y is dx. Phase residues step through y.
void run_direct(const PackedWeights& weights, int64_t images, const ImageRows& x, const ImageRows& y,
                int64_t groups, int64_t in_step, int64_t out_step, const Epilogue& epilogue,
                int64_t bias_stride) {
  const Kernels& kernels = *weights.kernels;
  for (const Phase& phase : weights.phases) {
    DirectForward all{x,
                      y,
                      groups,
                      static_cast<int64_t>(phase.tap.size()),
                      phase.ty.data(),
                      phase.tx.data(),
                      weights.u.data<float>() + phase.offset,
                      in_step,
                      out_step,
                      phase.out_y,
                      phase.out_x,
                      (y.rows - phase.out_y + out_step - 1) / out_step,
                      (y.width - phase.out_x + out_step - 1) / out_step,
                      epilogue};
    if (all.out_rows <= 0 || all.out_columns <= 0) continue;
    // Groups of whole vectors keep every store aligned; phases that interleave leave cache lines half
    // written.
    all.epilogue.stream = out_step == 1 && y.channels / groups % 16 == 0 && streams(kernels, images, y);
    int64_t bands = (all.out_rows + kBandRows - 1) / kBandRows, first_row = y.first;
    parallel_for(images * bands, 1, [&](int64_t index, int64_t) {
      int64_t n = index / bands, q = first_row + index % bands * kBandRows,
              y_image = y.rows * y.width * y.channels;
      DirectForward args = all;
      args.x.data += n * x.rows * x.width * x.channels;
      args.y.data += n * y_image;
      args.u += n * weights.image_size;
      if (epilogue.bias) args.epilogue.bias += n * bias_stride;
      if (epilogue.residual) args.epilogue.residual += n * y_image;
      Scratch scratch(kernels.direct_scratch(args, kBandRows));
      kernels.direct_forward(args, q, std::min(q + kBandRows, first_row + all.out_rows), scratch.data());
    });
  }
}

void pack_direct(const ConvGeometry& g, const Tensor& w, bool transposed, PackedWeights& packed) {
  const Kernels& kernels = *packed.kernels;
  int64_t images = g.w_per_image ? g.n : 1, c = g.c / g.groups, o = g.o / g.groups, size = 0;
  packed.phases = phases_of(g, transposed);
  for (Phase& phase : packed.phases) {
    phase.offset = size;
    size += kernels.direct_weights_size(g.groups, static_cast<int64_t>(phase.tap.size()), transposed ? o : c,
                                        transposed ? c : o);
  }
  packed.u = Tensor({images * size});
  packed.image_size = g.w_per_image ? size : 0;
  int64_t phases = static_cast<int64_t>(packed.phases.size());
  parallel_for(images * phases, 1, [&](int64_t index, int64_t) {
    int64_t n = index / phases;
    const Phase& phase = packed.phases[static_cast<size_t>(index % phases)];
    DirectWeights args{
        w.data<float>() + n * g.o * g.kh * g.kw * c, g.groups,         o,         c, g.kh * g.kw,
        static_cast<int64_t>(phase.tap.size()),      phase.tap.data(), transposed};
    kernels.direct_weights(args, packed.u.data<float>() + n * size + phase.offset);
  });
}

void pack_winograd(const ConvGeometry& g, const Tensor& w, bool transposed, PackedWeights& packed) {
  const Kernels& kernels = *packed.kernels;
  int64_t images = g.w_per_image ? g.n : 1, c = g.c / g.groups, o = g.o / g.groups;
  int64_t k = transposed ? o : c, columns = transposed ? c : o;
  auto size_of = packed.bf16 ? packed.bf16->winograd_weights_size : kernels.winograd_weights_size;
  int64_t size = size_of(k, columns), panels = kernels.winograd_panels(columns);
  packed.u = Tensor({images * g.groups * size});
  packed.group_size = size;
  packed.image_size = g.w_per_image ? g.groups * size : 0;
  parallel_for(images * g.groups * panels, 1, [&](int64_t index, int64_t) {
    int64_t part = index / panels;  // of one image and group
    const float* from = w.data<float>() + part * o * 9 * c;
    float* u = packed.u.data<float>() + part * size;
    if (packed.bf16) return packed.bf16->winograd_weights(from, o, c, index % panels, u);
    kernels.winograd_weights(from, o, c, transposed, index % panels, u);
  });
}

}  // namespace

PackedWeights pack_weights(const ConvGeometry& g, const Tensor& w, bool transposed, Precision precision) {
  PackedWeights packed;
  packed.kernels = &active_kernels();
  packed.winograd = takes_winograd(g) && !takes_rgb(g);
#if defined(__x86_64__)
  if (packed.winograd && !transposed && precision == Precision::fast && has_bf16())
    packed.bf16 = &avx512_bf16::bf16_kernels;
#else
  (void)precision;
#endif
  if (packed.winograd) {
    pack_winograd(g, w, transposed, packed);
  } else {
    pack_direct(g, w, transposed, packed);
  }
  return packed;
}

void run_forward(const ConvGeometry& g, const PackedWeights& weights, float slope, const float* x,
                 const float* b, const float* residual, float* y, double* totals) {
  ImageRows in{x, g.h, g.x_first, g.x_rows, g.w, g.c, g.c};
  ImageRows out{y, g.oh, g.y_first, g.y_rows, g.ow, g.o, g.o};
  Epilogue epilogue{b, residual, slope, false};
  int64_t bias_stride = g.b_per_image ? g.o : 0;
  if (weights.winograd)
    return run_winograd(weights, g.n, g.groups, in, g.padding, out, epilogue, bias_stride, totals);
  run_direct(weights, g.n, in, out, g.groups, g.stride, 1, epilogue, bias_stride);
  if (totals) sum_pixels(*weights.kernels, g.n, out, totals);
}

void run_backward_data(const ConvGeometry& g, const PackedWeights& weights, const float* dy, const float* sum,
                       float* dx) {
  ImageRows in{dy, g.oh, 0, g.oh, g.ow, g.o, g.o}, out{dx, g.h, 0, g.h, g.w, g.c, g.c};
  Epilogue epilogue{nullptr, sum, 1, false};
  if (weights.winograd) return run_winograd(weights, g.n, g.groups, in, 2 - g.padding, out, epilogue, 0);
  run_direct(weights, g.n, in, out, g.groups, 1, g.stride, epilogue, 0);
}

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

}  // namespace cpu
}  // namespace dgp
