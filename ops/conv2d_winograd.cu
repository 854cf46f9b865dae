// 3x3 convolutions of f32 factors by Winograd (ops/winograd_points.h), in one kernel: without tensor cores a
// convolution is bound by multiply-adds, and 36 stand here for 144.
//
// A block makes 32 tiles of 4x4 results in 32 output channels. Of 8 input channels at a time it puts
// V = B^T d B into shared memory, [36][8][32 tiles]; each warp then adds the products of three of the 36
// points, V [8, 32 tiles] with U [8, 32 outputs], to 4 tiles x 8 outputs a lane. These sums, 36 * 32 * 32 a
// block, are 96 of a thread's registers: more tiles or outputs would not fit, and fewer would read U (from
// L2) and transform x more often. V and the products M never leave the multiprocessor (docs/cuda.md).
//
// U, of which each warp reads its points alone, comes by asynchronous copies, four channels of a point ahead.
// Sums over up to 64 channels are taken in one go, and d of the next 8 is on its way into registers while 8
// are multiplied; over more channels in parts of 8, which take those registers and keep the error down.
// At the end M goes through the place of V, 8 outputs at a time, to the threads that transform it, add bias,
// activation and residual, and store it.
//
// Tiles begin at multiples of 4 rows from the first that is asked for, and each result is summed in order of
// channels by one thread: cut at multiples of 4 rows an image has the same bits.
#include "ops/conv2d_cuda.h"
#include "ops/conv2d_prepared.h"
#include "ops/winograd_points.h"

namespace dgp::cuda {
namespace {

using Floats = Four<float>;

constexpr int kPoints = 36, kTiles = 32, kOutputs = kWinogradOutputs, kDeep = kWinogradInputs;
constexpr int kPointsEach = 3, kWarps = kPoints / kPointsEach, kThreads = 32 * kWarps;
constexpr int kStage = kPoints * kDeep * kOutputs / 4;  // fours of U
constexpr int kTransform = kTiles * kDeep;  // threads that do: one a tile and channel, or a tile and output

// U is stored as warps read it: of a channel and point, outputs in the order of these places. A lane
// multiplies those of places 4 q.. and 4 (q + 4).., q its quarter, and of each pair of them, r, makes results
// in the r-th round at the end: eight outputs side by side are stored then.
__device__ int output_of_round(int quarter, int e) { return e + 2 * (quarter / 2) + 4 * (quarter % 2); }
__device__ int output_at(int place) {
  int round = place / 16 * 2 + place % 4 / 2;
  return 8 * round + output_of_round(place / 4 % 4, place % 2);
}

struct WeightsLayout {
  int inputs, outputs, depth, blocks;  // inputs and outputs of a group; channels, and blocks of outputs, of u
  bool turn;                           // kernels of the gradient: inputs and outputs, taps in reverse
};

// u [sets * groups, blocks, depth / 8, 36, 8, 32] = G g G^T from w [sets, O, 9, C/groups], zero beyond
// channels.
__global__ void winograd_weights_kernel(const float* w, WeightsLayout of, float* u, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  int place = static_cast<int>(i % kOutputs), c = static_cast<int>(i / kOutputs % of.depth);
  int64_t block = i / kOutputs / of.depth, set = block / of.blocks;
  int64_t o = block % of.blocks * kOutputs + output_at(place);
  float g[9] = {}, rows[3][6], t[6];
  if (o < of.outputs && c < of.inputs)
    for (int tap = 0; tap < 9; ++tap)
      g[tap] = of.turn ? w[((set * of.inputs + c) * 9 + 8 - tap) * of.outputs + o]
                       : w[((set * of.outputs + o) * 9 + tap) * of.inputs + c];
#pragma unroll
  for (int j = 0; j < 3; ++j) winograd::weight_points(g[j], g[3 + j], g[6 + j], rows[j]);
  float* to = u + ((block * of.depth + c / kDeep * kDeep) * kPoints + c % kDeep) * kOutputs + place;
#pragma unroll
  for (int y = 0; y < 6; ++y) {
    winograd::weight_points(rows[0][y], rows[1][y], rows[2][y], t);
#pragma unroll
    for (int x = 0; x < 6; ++x) to[(y * 6 + x) * kDeep * kOutputs] = t[x];
  }
}

// The 6x6 inputs of a tile in one channel: offset of the first, and which rows and columns of them there are.
struct Patch {
  int64_t corner;
  unsigned there;  // a bit for each row, and above them one for each column
};

constexpr unsigned kAllThere = 0xfff;

__device__ inline unsigned bits_between(int first, int end) {  // of six, those of [first, end)
  unsigned bits = 0;
  for (int i = 0; i < 6; ++i) bits |= static_cast<unsigned>(i >= first && i < end) << i;
  return bits;
}

// Rows outside memory are outside the image, or belong to results that are not asked for.
__device__ inline Patch patch_of(const Convolution& p, int tile, int tiles, int across) {
  if (tile >= tiles) return {0, 0};
  int top = tile / across * 4 + p.y_first - p.pad_y;
  int left = tile % across * 4 - p.pad_x;
  int end = p.x_first + p.x_rows < p.h ? p.x_first + p.x_rows : p.h;
  return {(int64_t{top - p.x_first} * p.w + left) * p.c,
          bits_between(-top, end - top) | bits_between(-left, p.w - left) << 6};
}

// V of 8 channels, and at the end M of 8 outputs: row [xi, 8] of 32 tiles in fours, which change places with
// the channel, so that eight of it that are written at once meet all banks.
using Planes = Floats[kPoints * kDeep][kTiles / 4];

// v[36] of one tile and channel from its d.
__device__ inline void put_points(float (&d)[6][6], Planes& v, int channel, int four, int at) {
#pragma unroll
  for (int j = 0; j < 6; ++j) {
    float column[6] = {d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]}, t[6];
    winograd::input_points(column, t);
#pragma unroll
    for (int i = 0; i < 6; ++i) d[i][j] = t[i];
  }
#pragma unroll
  for (int i = 0; i < 6; ++i) {
    float t[6];
    winograd::input_points(d[i], t);
#pragma unroll
    for (int j = 0; j < 6; ++j) v[(i * 6 + j) * kDeep + channel][four ^ channel].value[at] = t[j];
  }
}

// y[4][4] of one tile and output from its m[36].
__device__ inline void take_results(const Planes& m, int output, int four, int at, float (&y)[4][4]) {
  float half[4][6];
#pragma unroll
  for (int j = 0; j < 6; ++j) {
    float column[6], t[4];
#pragma unroll
    for (int i = 0; i < 6; ++i) column[i] = m[(i * 6 + j) * kDeep + output][four ^ output].value[at];
    winograd::output_points(column, t);
#pragma unroll
    for (int i = 0; i < 4; ++i) half[i][j] = t[i];
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) winograd::output_points(half[i], y[i]);
}

// kParts: of sums, see above. grid: (blocks of tiles, blocks of outputs of a group, images * groups);
// p.weights: u of winograd_weights_kernel
template <bool kParts>
__global__ void __launch_bounds__(kThreads) winograd_kernel(Convolution p) {
  DGP_SHARED(Floats, planes, [kPoints * kDeep][kTiles / 4]);
  DGP_SHARED(Floats, us, [kWarps][2][32]);
  int t = static_cast<int>(threadIdx.x), warp = t / 32, lane = t % 32;
  int cg = p.c / p.groups, og = p.o / p.groups, across = (p.ow + 3) / 4, tiles = (p.y_rows + 3) / 4 * across;
  int64_t image = blockIdx.z / p.groups;
  int group = static_cast<int>(blockIdx.z) % p.groups, output0 = static_cast<int>(blockIdx.y) * kOutputs;

  // As one of those that transform: a tile of fours[warp], and a channel or output.
  bool transforms = t < kTransform;
  int channel = t % kDeep, at = t / kDeep % 4, tile = static_cast<int>(blockIdx.x) * kTiles + t / kDeep;
  Patch patch = patch_of(p, transforms ? tile : tiles, tiles, across);
  const float* x = static_cast<const float*>(p.x.data) + image * p.x_rows * p.w * p.c + group * cg +
                   patch.corner + channel;
  float d[6][6];
  auto load = [&](int first) {
    const unsigned there = first + channel < cg ? patch.there : 0;
    auto load_where = [&](auto&& is_there) {
      const float* row = x + first;
#pragma unroll
      for (int i = 0; i < 6; ++i, row += int64_t{p.w} * p.c)
#pragma unroll
        for (int j = 0; j < 6; ++j) d[i][j] = is_there(i, j) ? row[int64_t{j} * p.c] : 0.0F;
    };
    if (there == kAllThere)
      load_where([](int, int) { return true; });
    else if (there == 0)
      load_where([](int, int) { return false; });
    else
      load_where([&](int i, int j) { return (there >> i & there >> (6 + j) & 1) != 0; });
  };

  // As one of those that multiply. Neighbouring lanes share a four of tiles, and lanes 2 apart one of
  // outputs: loads of 16 bytes serve half a warp at a time then.
  int four = lane / 2 % 8, quarter = lane % 2 + lane / 16 * 2;
  int64_t set = (p.w_per_image ? image * p.groups : 0) + group;
  int stages = (cg + kDeep - 1) / kDeep;
  const Floats* u = static_cast<const Floats*>(p.weights) + (set * gridDim.y + blockIdx.y) * stages * kStage +
                    warp * kPointsEach * kDeep * (kOutputs / 4) + lane;
  float sum[kPointsEach][4][8] = {};

  if (!kParts) load(0);
  copy_async(&us[warp][0][lane], u, true);
  commit_copies();
  for (int stage = 0; stage < stages; ++stage) {
    if (kParts) load(stage * kDeep);
    __syncthreads();  // everyone is done with the last V
    if (transforms) put_points(d, planes, channel, warp, at);
    __syncthreads();
    if (!kParts) load((stage + 1) * kDeep);
#pragma unroll
    for (int i = 0; i < kPointsEach; ++i) {
      float part[4][8] = {};
      float(&to)[4][8] = kParts ? part : sum[i];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        wait_for_copies<0>();
        __syncwarp();  // every lane's copy is there, and every lane is done with the half before
        if (i + 1 < kPointsEach || half == 0)
          copy_async(&us[warp][1 - half][lane], u + (2 * i + half + 1) * 32, true);
        else if (stage + 1 < stages)
          copy_async(&us[warp][0][lane], u += kStage, true);
        commit_copies();
#pragma unroll 2  // loads further ahead of their use would fill the registers
        for (int c = 0; c < kDeep / 2; ++c) {
          int row = (warp * kPointsEach + i) * kDeep + kDeep / 2 * half + c;
          Floats of_v = planes[row][four ^ (kDeep / 2 * half + c)];
          Floats of_u[2] = {us[warp][half][c * 8 + quarter], us[warp][half][c * 8 + quarter + 4]};
#pragma unroll
          for (int m = 0; m < 4; ++m)
#pragma unroll
            for (int n = 0; n < 8; ++n) to[m][n] += of_v.value[m] * of_u[n / 4].value[n % 4];
        }
      }
      if constexpr (kParts)
#pragma unroll
        for (int m = 0; m < 4; ++m)
#pragma unroll
          for (int n = 0; n < 8; ++n) sum[i][m][n] += part[m][n];
    }
  }
  __syncthreads();

#pragma unroll 1
  for (int round = 0; round < kOutputs / 8; ++round) {
#pragma unroll
    for (int r = 0; r < kOutputs / 8; ++r) {
      if (r != round) continue;  // which registers these are is to be known here
#pragma unroll
      for (int i = 0; i < kPointsEach; ++i)
#pragma unroll
        for (int n = 2 * r; n < 2 * r + 2; ++n) {
          int o = output_of_round(quarter, n % 2);
          planes[(warp * kPointsEach + i) * kDeep + o][four ^ o] = {
              {sum[i][0][n], sum[i][1][n], sum[i][2][n], sum[i][3][n]}};
        }
    }
    __syncthreads();
    int o = output0 + 8 * round + channel, oy = tile / across * 4, ox = tile % across * 4;
    if (transforms && tile < tiles && o < og) {
      float y[4][4], b = bias_of(p, image, group * og + o);
      take_results(planes, channel, warp, at, y);
      int64_t first = ((image * p.y_rows + oy) * p.ow + ox) * p.o + group * og + o;
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (oy + i < p.y_rows && ox + j < p.ow)
            store_result(p, first + (int64_t{i} * p.ow + j) * p.o, y[i][j] + b);
    }
    __syncthreads();
  }
}

int64_t blocks_of(int64_t n, int64_t each) { return (n + each - 1) / each; }

}  // namespace

void winograd_weights(const Tensor& w, int64_t groups, int64_t inputs, int64_t outputs, bool turn,
                      const Tensor& to) {
  int64_t blocks = blocks_of(outputs, kOutputs), depth = blocks_of(inputs, kDeep) * kDeep;
  int64_t n = groups * blocks * depth * kOutputs;
  if (n == 0) return;
  WeightsLayout of{static_cast<int>(inputs), static_cast<int>(outputs), static_cast<int>(depth),
                   static_cast<int>(blocks), turn};
  launch(winograd_weights_kernel, blocks_for(n), kBlock, w.device_data<float>(), of, to.device_data<float>(),
         n);
}

void run_winograd(const Convolution& p, int64_t images) {
  int64_t tiles = blocks_of(p.y_rows, 4) * blocks_of(p.ow, 4), x = blocks_of(tiles, kTiles);
  int64_t y = blocks_of(p.o / p.groups, kOutputs), z = images * p.groups;
  check(tiles < 0x7fffffff - kTiles && y <= 65535 && z <= 65535, "conv2d: too large for one kernel");
  dim3 grid(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z));
  constexpr int kMostInOneGo = 64;  // over more channels the error would come near 1e-12
  launch(p.c / p.groups <= kMostInOneGo ? winograd_kernel<false> : winograd_kernel<true>, grid, kThreads, p);
}

}  // namespace dgp::cuda
