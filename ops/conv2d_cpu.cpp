#include "ops/conv2d_cpu.h"

#include <algorithm>
#include <atomic>
#include <cstring>

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

bool takes_winograd(const ConvGeometry& g) {
  return g.kh == 3 && g.kw == 3 && g.stride == 1 && g.dilation == 1 && g.groups == 1 && g.padding <= 2;
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

void run_winograd(const PackedWeights& weights, int64_t images, const ImageRows& x, int64_t padding,
                  const ImageRows& y, const Epilogue& epilogue, int64_t bias_stride) {
  const Kernels& kernels = *weights.kernels;
  int64_t block = kernels.winograd_block(x.channels);
  TileChunks chunks = tile_chunks(images, y.rows, y.width, block);
  int64_t blocks = chunks.total / images;
  parallel_for(chunks.total, chunks.grain, [&](int64_t begin, int64_t end) {
    Scratch scratch(kernels.winograd_scratch(x.channels, block));
    for (int64_t i = begin; i < end; ++i) {
      int64_t n = i / blocks, first = i % blocks * block, y_image = y.rows * y.width * y.channels;
      WinogradForward args{x, padding, weights.u.data<float>() + n * weights.image_size, y, epilogue};
      args.x.data += n * x.rows * x.width * x.channels;
      args.y.data += n * y_image;
      if (epilogue.bias) args.epilogue.bias += n * bias_stride;
      if (epilogue.residual) args.epilogue.residual += n * y_image;
      kernels.winograd_forward(args, first, std::min(first + block, chunks.per_image), scratch.data());
    }
  });
}

// Adds `parts` arrays of `size` floats in order.
void sum_parts(const float* parts, int64_t count, int64_t size, float* sum) {
  parallel_for(size, kPointwiseGrain, [&](int64_t begin, int64_t end) {
    std::memcpy(sum + begin, parts + begin, static_cast<size_t>(end - begin) * 4);
    for (int64_t p = 1; p < count; ++p)
      for (int64_t i = begin; i < end; ++i) sum[i] += parts[p * size + i];
  });
}

void winograd_backward_weight(const ConvGeometry& g, const float* dy, const float* x, float* dw) {
  const Kernels& kernels = active_kernels();
  int64_t tiles = ((g.oh + 3) / 4) * ((g.ow + 3) / 4), size = g.o * 9 * g.c;
  int64_t sets = g.w_per_image ? g.n : 1, set_tiles = g.w_per_image ? tiles : g.n * tiles;
  // Each part sums its share of the tiles in Winograd's domain and leaves it as a gradient of 3x3 taps.
  int64_t parts = std::clamp<int64_t>(set_tiles / 128, 1, 64);
  Tensor sums({sets * parts * size});
  parallel_for(sets * parts, 1, [&](int64_t index, int64_t) {
    int64_t du_size = kernels.winograd_gradient_size(g.o, g.c), set = index / parts, part = index % parts;
    Scratch du(du_size), scratch(kernels.winograd_gradient_scratch(g.o, g.c));
    std::memset(du.data(), 0, static_cast<size_t>(du_size) * 4);
    int64_t begin = set * set_tiles + set_tiles * part / parts;
    int64_t end = set * set_tiles + set_tiles * (part + 1) / parts;
    while (begin < end) {
      int64_t n = begin / tiles, stop = std::min(end, (n + 1) * tiles);
      WinogradGradient args{{x + n * g.h * g.w * g.c, g.h, 0, g.h, g.w, g.c},
                            {dy + n * g.oh * g.ow * g.o, g.oh, 0, g.oh, g.ow, g.o},
                            g.padding};
      kernels.winograd_gradient(args, begin - n * tiles, stop - n * tiles, du.data(), scratch.data());
      begin = stop;
    }
    kernels.winograd_gradient_finish(du.data(), g.o, g.c, sums.data<float>() + index * size);
  });
  for (int64_t set = 0; set < sets; ++set)
    sum_parts(sums.data<float>() + set * parts * size, parts, size, dw + set * size);
}

}  // namespace

bool has_fast_path(const ConvGeometry& g) { return takes_winograd(g); }

PackedWeights pack_weights(const ConvGeometry& g, const Tensor& w, bool transposed) {
  PackedWeights packed{&active_kernels(), {}, 0, takes_winograd(g)};
  const Kernels& kernels = *packed.kernels;
  int64_t images = g.w_per_image ? g.n : 1, k = transposed ? g.o : g.c, columns = transposed ? g.c : g.o;
  int64_t size = kernels.winograd_weights_size(k, columns), panels = kernels.winograd_panels(columns);
  packed.u = Tensor({images * size});
  packed.image_size = g.w_per_image ? size : 0;
  parallel_for(images * panels, 1, [&](int64_t index, int64_t) {
    int64_t n = index / panels;
    kernels.winograd_weights(w.data<float>() + n * g.o * 9 * g.c, g.o, g.c, transposed, index % panels,
                             packed.u.data<float>() + n * size);
  });
  return packed;
}

void run_forward(const ConvGeometry& g, const PackedWeights& weights, float slope, const float* x,
                 const float* b, const float* residual, float* y) {
  run_winograd(weights, g.n, {x, g.h, g.x_first, g.x_rows, g.w, g.c}, g.padding,
               {y, g.oh, g.y_first, g.y_rows, g.ow, g.o}, {b, residual, slope, false},
               g.b_per_image ? g.o : 0);
}

void run_backward_data(const ConvGeometry& g, const PackedWeights& weights, const float* dy, float* dx) {
  run_winograd(weights, g.n, {dy, g.oh, 0, g.oh, g.ow, g.o}, 2 - g.padding, {dx, g.h, 0, g.h, g.w, g.c},
               {nullptr, nullptr, 1, false}, 0);
}

void run_backward_weight(const ConvGeometry& g, const float* dy, const float* x, float* dw) {
  winograd_backward_weight(g, dy, x, dw);
}

}  // namespace cpu
}  // namespace dgp
