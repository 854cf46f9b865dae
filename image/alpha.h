// Transparency: what colour is there under pixels that are not seen.
#pragma once

#include "image/image.h"
#include "tensor/row_store.h"

namespace dgp {

// The colour channels of an image with alpha, f32 [H,W,C-1], where fully transparent pixels take the colour
// of the visible ones around them: what a file stores there is arbitrary and would bleed into the edges of an
// upscaled image. Filled coarse to fine, by pull-push (Gortler et al. 1996, "The Lumigraph", section 3.4).
// An image without alpha returns its pixels.
Tensor bleed_colour(const Image& image);

// The same in place, band by band: colour f32 [H,W,C], alpha [H,W,1]. What is coarser lies where colour does.
void bleed_colour(const RowStore& colour, const RowStore& alpha);

}  // namespace dgp
