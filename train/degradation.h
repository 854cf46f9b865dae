// A degradation is a list of steps with every number drawn: one description that is applied, printed and
// stored. Real-ESRGAN's order (Wang et al., 2021): sharpen, (blur, resize, noise, JPEG) once or twice, a
// final resize with sinc before or after the last JPEG. BSRGAN's (Zhang et al., "Designing a Practical
// Degradation Model for Deep Blind Image Super-Resolution", 2021): two blurs, two resizes, noise and JPEG in
// shuffled order, JPEG at the end.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"
#include "train/blur_kernels.h"
#include "train/config.h"
#include "train/degrade_ops.h"

namespace dgp {

enum class StepKind { sharpen, blur, resize, bicubic, noise, jpeg };

struct DegradeStep {
  StepKind kind;
  BlurKernel blur = {};
  Interpolation mode = Interpolation::bicubic;
  int64_t height = 0, width = 0;  // after a resize
  double ratio = 0;               // of a resize, as interpolate_picture takes it
  bool poisson = false, grey = false;
  double strength = 0;  // noise: deviation of 255, or Poisson's scale
  Rng noise = Rng(0);   // what the noise field is drawn from
  double quality = 0;   // JPEG
  bool file = false;    // JPEG through the encoder and decoder, not diff_jpeg
};

using Degradation = std::vector<DegradeStep>;

// What `config` of type ordered, shuffled or bicubic does to a picture of height x width, both divisible by
// scale. A pure function of its arguments.
Degradation draw_degradation(const DegradeConfig& config, int64_t scale, int64_t height, int64_t width,
                             const Rng& rng);

// Whether its degradations begin by sharpening: a training pair is then made from the sharpened picture, and
// aims at it.
inline bool sharpens(const DegradeConfig& config) { return config.type == "ordered" && config.usm; }

// picture f32 [H,W,3] of the size drawn for -> [H/scale, W/scale, 3] on multiples of 1/255. On the CPU;
// apply_degradations in train/degrade_plan.h takes pictures on the GPU.
Tensor apply_degradation(const Degradation& degradation, const Tensor& picture);

// {"blur", "gaussian, 13 px, σ 2.10 × 0.40 at 35°"}
std::pair<std::string, std::string> to_words(const DegradeStep& step);
std::string to_json(const Degradation& degradation);

}  // namespace dgp
