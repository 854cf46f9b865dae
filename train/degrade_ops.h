// The operations that degradations are made of, value for value those of Real-ESRGAN and BasicSR. Pictures
// are f32 [H, W, 3] in [0, 1]. Each is a pure function of its arguments and runs on the calling thread alone.
#pragma once

#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"

namespace dgp {

// Correlation with a square kernel of odd side (row-major weights); borders are mirrored without repeating
// the edge, as often as a picture smaller than the kernel needs.
Tensor filter_picture(const Tensor& picture, const std::vector<double>& weights);

enum class Interpolation { area, bilinear, bicubic, nearest };
const char* to_string(Interpolation mode);

// torch's F.interpolate with align_corners and antialias off: bicubic has a = -0.75, area is adaptive average
// pooling, nearest is nearest-exact: the pixel at the centre. ratio is the step in the input for one step in
// the output; 0: in / out. Bicubic may leave [0, 1].
Tensor interpolate_picture(const Tensor& picture, int64_t height, int64_t width, Interpolation mode,
                           double ratio = 0);

// Adds N(0, sigma / 255), grey: the same in all channels; then clamps to [0, 1]. From this and Poisson's
// generator nothing may have been drawn before: noise is made in blocks of its bits, here and on the GPU.
Tensor add_gaussian_noise(const Tensor& picture, double sigma, bool grey, Rng rng);

// With v = 2^ceil(log2(number of distinct 8-bit values)) and x the picture rounded to 8 bits:
// picture + scale * (Poisson(v x) / v - x), clamped. Grey: x is the luma, the noise the same in all channels.
Tensor add_poisson_noise(const Tensor& picture, double scale, bool grey, Rng rng);
int64_t poisson_levels(const Tensor& picture, bool grey);  // v

// Unsharp masking where it matters: residual = x - blur(x); where |residual| > threshold / 255, softly,
// x + weight * residual. The blur is a Gaussian 51 pixels wide with deviation 8.
Tensor sharpen_usm(const Tensor& picture, double weight = 0.5, double threshold = 10);

// ops/diff_jpeg.h with whole steps: a real-valued quality in (0, 100], tables that are scaled but neither
// rounded nor kept above 1, chroma averaged 2x2 and repeated, zeros beyond the right and bottom border. Its
// tables are the transposes of those in the standard, which is kept.
Tensor diff_jpeg(const Tensor& picture, double quality);

// What a JPEG file gives back: through dgp's encoder (libjpeg's tables for a quality of 1 to 100) and decoder
// (libjpeg's numbers). halved: colour at half the resolution, as files have it that nobody asked otherwise
// of. The grid of blocks begins `top` rows above and `left` columns left of the picture, 0 to 15.
Tensor file_jpeg(const Tensor& picture, int quality, bool halved = true, int64_t top = 0, int64_t left = 0);

// Clamps and rounds to multiples of 1/255, half to even, in place.
void round_to_bytes(Tensor& picture);

}  // namespace dgp
