#include "ops/conv2d_cpu.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <unistd.h>

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

void run_winograd(const PackedWeights& weights, int64_t images, int64_t groups, const ImageRows& x,
                  int64_t padding, const ImageRows& y, const Epilogue& epilogue, int64_t bias_stride,
                  float* sums = nullptr) {
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
  parallel_for(chunks.total, chunks.grain, [&](int64_t begin, int64_t end) {
    Scratch scratch(kernels.winograd_scratch(c, block));
    for (int64_t i = begin; i < end; ++i) {
      int64_t n = i / blocks / groups, group = i / blocks % groups, first = i % blocks * block;
      int64_t y_image = y.rows * y.width * y.pixel;
      const float* u = weights.u.data<float>() + n * weights.image_size + group * weights.group_size;
      WinogradForward args{group_of(x, group, groups), padding, u, group_of(y, group, groups), epilogue};
      args.epilogue.stream = stream;
      if (sums) args.epilogue.sums = sums + n * chunks.per_image * y.pixel + group * o;
      args.x.data += n * x.rows * x.width * x.pixel;
      args.y.data += n * y_image;
      if (epilogue.bias) args.epilogue.bias += n * bias_stride + group * o;
      if (epilogue.residual) args.epilogue.residual += n * y_image + group * o;
      forward(args, first, std::min(first + block, chunks.per_image), scratch.data());
    }
  });
}

// The pixels of each 4x4 tile of one image's rows, added up: sums [rows/4, columns/4, C].
void sum_tiles(const ImageRows& y, float* sums) {
  int64_t c = y.channels, across = (y.width + 3) / 4;
  std::memset(sums, 0, static_cast<size_t>((y.rows + 3) / 4 * across * c) * 4);
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t x = 0; x < y.width; ++x) {
      const float* pixel = y.data + (r * y.width + x) * c;
      float* sum = sums + (r / 4 * across + x / 4) * c;
      for (int64_t k = 0; k < c; ++k) sum[k] += pixel[k];
    }
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
                 const float* b, const float* residual, float* y, float* sums) {
  ImageRows in{x, g.h, g.x_first, g.x_rows, g.w, g.c, g.c};
  ImageRows out{y, g.oh, g.y_first, g.y_rows, g.ow, g.o, g.o};
  Epilogue epilogue{b, residual, slope, false};
  int64_t bias_stride = g.b_per_image ? g.o : 0;
  if (weights.winograd)
    return run_winograd(weights, g.n, g.groups, in, g.padding, out, epilogue, bias_stride, sums);
  run_direct(weights, g.n, in, out, g.groups, g.stride, 1, epilogue, bias_stride);
  if (!sums) return;
  parallel_for(g.n, 1, [&](int64_t n, int64_t) {
    sum_tiles(image_of(y, n, g.y_rows, g.ow, g.o), sums + n * ((g.y_rows + 3) / 4) * ((g.ow + 3) / 4) * g.o);
  });
}

void run_backward_data(const ConvGeometry& g, const PackedWeights& weights, const float* dy, const float* sum,
                       float* dx) {
  ImageRows in{dy, g.oh, 0, g.oh, g.ow, g.o, g.o}, out{dx, g.h, 0, g.h, g.w, g.c, g.c};
  Epilogue epilogue{nullptr, sum, 1, false};
  if (weights.winograd) return run_winograd(weights, g.n, g.groups, in, 2 - g.padding, out, epilogue, 0);
  run_direct(weights, g.n, in, out, g.groups, 1, g.stride, epilogue, 0);
}

}  // namespace cpu
}  // namespace dgp
