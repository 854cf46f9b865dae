#include "train/degradation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "image/resize.h"
#include "train/degrade.h"

namespace dgp {
namespace {

constexpr double kPi = std::numbers::pi;

double draw(Rng& rng, const Range& range) { return rng.uniform(range[0], range[1]); }
bool chance(Rng& rng, double probability) { return rng.uniform() < probability; }

// An index with these relative frequencies.
size_t pick(Rng& rng, const std::vector<double>& shares) {
  double sum = 0;
  for (double share : shares) sum += share;
  double at = rng.uniform() * sum;
  for (size_t i = 0; i + 1 < shares.size(); ++i)
    if ((at -= shares[i]) < 0) return i;
  return shares.size() - 1;
}

int64_t draw_size(Rng& rng, const Range& range) {  // an odd side
  const auto low = static_cast<int64_t>(range[0]) / 2, high = (static_cast<int64_t>(range[1]) - 1) / 2;
  return 2 * (low + rng.below(high - low + 1)) + 1;
}

// Half of the time below 1, half above; a range that begins at 1 gives 1 in the first half.
double draw_beta(Rng& rng, const Range& range) {
  return chance(rng, 0.5) ? rng.uniform(range[0], 1) : rng.uniform(1, range[1]);
}

// Real-ESRGAN's kernels are padded with zeros to 21 x 21, which changes no sum; here they keep their size.
BlurKernel draw_kernel(const DegradeStage& stage, Rng& rng) {
  BlurKernel k;
  k.size = draw_size(rng, stage.size);
  if (chance(rng, stage.sinc)) {
    k.shape = BlurShape::sinc;
    k.cutoff = rng.uniform(k.size < 13 ? kPi / 3 : kPi / 5, kPi);
    return k;
  }
  const size_t type = pick(rng, stage.kernels);  // iso and aniso of each of three shapes
  k.shape = type < 2 ? BlurShape::gaussian : type < 4 ? BlurShape::generalized : BlurShape::plateau;
  k.sigma_x = k.sigma_y = draw(rng, stage.sigma);
  if (type % 2) {
    k.sigma_y = draw(rng, stage.sigma);
    k.angle = rng.uniform(-kPi, kPi);
  }
  if (k.shape == BlurShape::generalized) k.beta = draw_beta(rng, stage.generalized_beta);
  if (k.shape == BlurShape::plateau) k.beta = draw_beta(rng, stage.plateau_beta);
  return k;
}

// Steps are appended to a list that knows the size a picture has by now.
struct Builder {
  Degradation steps = {};
  int64_t height, width;
  Rng noise;

  void blur(const BlurKernel& kernel) { steps.push_back({.kind = StepKind::blur, .blur = kernel}); }
  void resize(int64_t h, int64_t w, Interpolation mode, double ratio = 0) {
    height = std::max<int64_t>(h, 1), width = std::max<int64_t>(w, 1);
    steps.push_back(
        {.kind = StepKind::resize, .mode = mode, .height = height, .width = width, .ratio = ratio});
  }
  void bicubic(int64_t h, int64_t w) {
    height = std::max<int64_t>(h, 1), width = std::max<int64_t>(w, 1);
    steps.push_back({.kind = StepKind::bicubic, .height = height, .width = width});
  }
  void add_noise(bool poisson, bool grey, double strength) {
    steps.push_back({.kind = StepKind::noise,
                     .poisson = poisson,
                     .grey = grey,
                     .strength = strength,
                     .noise = noise.split(steps.size())});
  }
  void jpeg(double quality, bool file) {
    steps.push_back({.kind = StepKind::jpeg, .quality = file ? std::round(quality) : quality, .file = file});
  }
};

Interpolation draw_mode(const DegradeStage& stage, Rng& rng) {
  return static_cast<Interpolation>(pick(rng, stage.modes));
}

// BSRGAN's choice.
Interpolation any_mode(Rng& rng) { return static_cast<Interpolation>(rng.below(3)); }

double draw_factor(const DegradeStage& stage, Rng& rng) {
  const size_t way = pick(rng, stage.resize);
  if (way == 2) return 1;
  return way == 0 ? rng.uniform(1, stage.factor[1]) : rng.uniform(stage.factor[0], 1);
}

void draw_noise(Builder& b, const DegradeStage& stage, Rng& rng) {
  if (!chance(rng, stage.noise)) return;
  const bool gaussian = chance(rng, stage.gaussian);
  const double strength = draw(rng, gaussian ? stage.noise_sigma : stage.poisson_scale);
  b.add_noise(!gaussian, chance(rng, stage.grey), strength);
}

int64_t scaled(int64_t n, double factor) { return static_cast<int64_t>(static_cast<double>(n) * factor); }

void draw_ordered(Builder& b, const DegradeConfig& c, int64_t scale, Rng& rng) {
  const int64_t H = b.height, W = b.width;
  const bool jpeg_file = c.coder == "file";
  if (c.usm) b.steps.push_back({.kind = StepKind::sharpen});
  if (chance(rng, c.first.blur)) b.blur(draw_kernel(c.first, rng));
  double factor = draw_factor(c.first, rng);
  b.resize(scaled(H, factor), scaled(W, factor), draw_mode(c.first, rng), 1 / factor);
  draw_noise(b, c.first, rng);
  const DegradeStage& last = c.orders == 2 ? c.second : c.first;
  if (c.orders == 2) {
    if (chance(rng, c.first.jpeg)) b.jpeg(draw(rng, c.first.quality), jpeg_file);
    if (chance(rng, last.blur)) b.blur(draw_kernel(last, rng));
    factor = draw_factor(last, rng) / static_cast<double>(scale);
    b.resize(scaled(H, factor), scaled(W, factor), draw_mode(last, rng));
    draw_noise(b, last, rng);
  }
  const auto finish = [&] {
    b.resize(H / scale, W / scale, draw_mode(last, rng));
    if (!chance(rng, c.final_sinc)) return;
    BlurKernel k{.shape = BlurShape::sinc, .size = draw_size(rng, last.size)};
    k.cutoff = rng.uniform(kPi / 3, kPi);
    b.blur(k);
  };
  const bool sinc_first = chance(rng, 0.5);
  if (sinc_first) finish();
  if (chance(rng, last.jpeg)) b.jpeg(draw(rng, last.quality), jpeg_file);
  if (!sinc_first) finish();
}

BlurKernel shuffled_kernel(double scale, Rng& rng) {
  BlurKernel k{.size = 2 * (2 + rng.below(10)) + 3};
  if (chance(rng, 0.5)) {  // the numbers are variances there
    k.angle = rng.uniform(0, kPi);
    k.sigma_x = std::sqrt((4 + scale) * (1 - rng.uniform()));
    k.sigma_y = std::sqrt((4 + scale) * (1 - rng.uniform()));
  } else {
    k.sigma_x = k.sigma_y = (2 + 0.2 * scale) * (1 - rng.uniform());
  }
  return k;
}

void draw_shuffled(Builder& b, const DegradeConfig& c, int64_t scale, Rng& rng) {
  const auto& s = c.shuffled;
  const int64_t H = b.height, W = b.width;
  const bool jpeg_file = c.coder == "file";
  auto left = static_cast<double>(scale);
  if (scale == 4 && chance(rng, s.halve)) {
    if (chance(rng, 0.5))
      b.resize(H / 2, W / 2, any_mode(rng));
    else
      b.bicubic(H / 2, W / 2);
    left = 2;
  }
  const int64_t h = b.height, w = b.width;
  enum Part { blur_a, blur_b, shrink, settle, noise, jpeg };
  std::vector<Part> order = {blur_a, blur_b, shrink, settle, noise, jpeg};
  for (size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<size_t>(rng.below(static_cast<int64_t>(i)))]);
  auto first = std::find(order.begin(), order.end(), shrink);
  auto second = std::find(order.begin(), order.end(), settle);
  if (first > second) std::swap(*first, *second);  // the resize to the final size comes last
  for (Part part : order) switch (part) {
      case blur_a:
      case blur_b:
        b.blur(shuffled_kernel(left, rng));
        break;
      case shrink:
        if (chance(rng, 0.75)) {
          const double factor = 1 / rng.uniform(1, std::max(2 * left, 1.0));
          b.resize(scaled(h, factor), scaled(w, factor), any_mode(rng));
        } else {
          b.blur({.size = 25, .sigma_x = 0.1, .sigma_y = 0.1});
          auto& k = b.steps.back().blur;
          k.sigma_x = k.sigma_y = rng.uniform(0.1, std::max(0.6 * left, 0.2));
          b.resize(H / scale, W / scale, Interpolation::bilinear);
        }
        break;
      case settle:
        b.resize(H / scale, W / scale, any_mode(rng));
        break;
      case noise:
        b.add_noise(false, chance(rng, s.grey), std::round(draw(rng, s.noise_sigma)));
        break;
      case jpeg:
        if (chance(rng, s.jpeg)) b.jpeg(std::round(draw(rng, s.quality)), jpeg_file);
        break;
    }
  b.jpeg(std::round(draw(rng, s.quality)), jpeg_file);
}

}  // namespace

Degradation draw_degradation(const DegradeConfig& config, int64_t scale, int64_t height, int64_t width,
                             const Rng& rng) {
  check(scale >= 1 && height >= scale && width >= scale && height % scale == 0 && width % scale == 0,
        "draw_degradation: ", width, "x", height, " is not divisible by ", scale);
  check(config.type != "real", "draw_degradation: type real is what degrade() does");
  Builder builder{.height = height, .width = width, .noise = rng.split(1)};
  Rng choices = rng.split(0);
  if (config.type == "ordered")
    draw_ordered(builder, config, scale, choices);
  else if (config.type == "shuffled")
    draw_shuffled(builder, config, scale, choices);
  else
    builder.bicubic(height / scale, width / scale);
  return builder.steps;
}

Tensor apply_degradation(const Degradation& degradation, const Tensor& picture) {
  Tensor x = picture;
  for (const DegradeStep& s : degradation) switch (s.kind) {
      case StepKind::sharpen:
        x = sharpen_usm(x);
        break;
      case StepKind::blur:
        x = filter_picture(x, kernel_weights(s.blur));
        break;
      case StepKind::resize:
        x = interpolate_picture(x, s.height, s.width, s.mode, s.ratio);
        break;
      case StepKind::bicubic:
        x = x.dim(0) / s.height * s.height == x.dim(0) && x.dim(0) / s.height == x.dim(1) / s.width
                ? shrink_bicubic(x, x.dim(0) / s.height)
                : imresize(x, s.height, s.width);
        break;
      case StepKind::noise:
        x = s.poisson ? add_poisson_noise(x, s.strength, s.grey, s.noise)
                      : add_gaussian_noise(x, s.strength, s.grey, s.noise);
        break;
      case StepKind::jpeg: {
        // Bicubic overshoots; a picture is clamped before it is coded.
        Tensor clamped = x.clone();
        for (float* p = clamped.data<float>(); p < clamped.data<float>() + clamped.numel(); ++p)
          *p = std::clamp(*p, 0.f, 1.f);
        x = s.file ? file_jpeg(clamped, static_cast<int>(s.quality)) : diff_jpeg(clamped, s.quality);
        break;
      }
    }
  if (x.bytes() == picture.bytes()) x = x.clone();
  round_to_bytes(x);
  return x;
}

}  // namespace dgp
