// The degradations known by name. realesrgan: the published training options of RealESRGAN_x4plus. mild: one
// round at a strength that photographs from the web have. bsrgan: the shuffled order as published.
#include "tensor/error.h"
#include "train/config.h"

namespace dgp {
namespace {

DegradeConfig mild() {
  DegradeConfig c;
  c.type = "ordered", c.orders = 1, c.final_sinc = 0.2;
  DegradeStage& s = c.first;
  s.blur = 0.6, s.sinc = 0.05, s.size = {7, 13}, s.sigma = {0.2, 1.2};
  s.resize = {0.2, 0.5, 0.3}, s.factor = {0.5, 1.2};
  s.noise = 0.5, s.noise_sigma = {1, 6}, s.poisson_scale = {0.05, 0.5};
  s.jpeg = 0.7, s.quality = {75, 95};
  return c;
}

DegradeConfig real_esrgan() {
  DegradeConfig c;
  c.type = "ordered", c.usm = true;
  c.second.blur = 0.8, c.second.sigma = {0.2, 1.5};
  c.second.resize = {0.3, 0.4, 0.3}, c.second.factor = {0.3, 1.2};
  c.second.noise_sigma = {1, 25}, c.second.poisson_scale = {0.05, 2.5};
  return c;
}

}  // namespace

DegradeConfig degrade_preset(const std::string& name) {
  DegradeConfig c;
  if (name == "mild")
    c = mild();
  else if (name == "realesrgan")
    c = real_esrgan();
  else if (name == "bsrgan")
    c.type = "shuffled", c.coder = "file";
  else
    check(name == "bicubic", "no degradation is called '", name,
          "'; there are bicubic, mild, realesrgan and bsrgan");
  c.preset = name;
  return c;
}

}  // namespace dgp
