// The keys of a configuration's `degrade` section: those that its type or preset has, and no others.
#pragma once

#include <algorithm>

#include "train/config.h"
#include "train/yaml_fields.h"

namespace dgp {

template <class V>
void real_fields(V& v, DegradeConfig& c) {
  v.section("blur", [&](auto& s) {
    s.value("probability", c.blur.probability, 0, 1);
    s.value("anisotropic", c.blur.anisotropic, 0, 1);
    s.pair("sigma", c.blur.sigma, 0.05, 8);
  });
  v.section("resize", [&](auto& s) {
    s.value("bicubic", c.resize.bicubic, 0, 1e6);
    s.value("bilinear", c.resize.bilinear, 0, 1e6);
    s.value("area", c.resize.area, 0, 1e6);
    if (c.resize.bicubic + c.resize.bilinear + c.resize.area <= 0)
      s.wrong("bicubic", "all frequencies are 0");
  });
  v.section("noise", [&](auto& s) {
    s.value("probability", c.noise.probability, 0, 1);
    s.value("poisson", c.noise.poisson, 0, 1);
    s.value("grey", c.noise.grey, 0, 1);
    s.pair("sigma", c.noise.sigma, 0, 100);
    s.pair("scale", c.noise.scale, 0, 20);
  });
  v.section("jpeg", [&](auto& s) {
    s.value("probability", c.jpeg.probability, 0, 1);
    s.value("subsample", c.jpeg.subsample, 0, 1);
    s.pair("quality", c.jpeg.quality, 1, 100);
  });
}

template <class V>
void shares(V& v, const char* key, std::vector<double>& into, size_t count) {
  v.values(key, into, 0, 1e6);
  double sum = 0;
  for (double share : into) sum += share;
  if (into.size() != count || sum <= 0) v.wrong(key, "expects ", count, " shares, not all of them 0");
}

template <class V>
void stage_fields(V& v, DegradeStage& c) {
  v.value("blur", c.blur, 0, 1);
  v.pair("size", c.size, 3, 101);
  for (double side : c.size)
    if (static_cast<int64_t>(side) != side || static_cast<int64_t>(side) % 2 == 0)
      v.wrong("size", "expects odd whole numbers");
  v.value("sinc", c.sinc, 0, 1);
  shares(v, "kernels", c.kernels, 6);
  v.pair("sigma", c.sigma, 0.05, 50);
  v.pair("generalized_beta", c.generalized_beta, 0.05, 50);
  v.pair("plateau_beta", c.plateau_beta, 0.05, 50);
  shares(v, "resize", c.resize, 3);
  v.pair("factor", c.factor, 0.02, 8);
  shares(v, "modes", c.modes, 4);
  v.value("noise", c.noise, 0, 1);
  v.value("gaussian", c.gaussian, 0, 1);
  v.value("grey", c.grey, 0, 1);
  v.pair("noise_sigma", c.noise_sigma, 0, 100);
  v.pair("poisson_scale", c.poisson_scale, 0, 20);
  v.value("jpeg", c.jpeg, 0, 1);
  v.pair("quality", c.quality, 1, 100);
}

template <class V>
void ordered_fields(V& v, DegradeConfig& c) {
  v.value("orders", c.orders, 1, 2);
  v.value("usm", c.usm);
  v.value("final_sinc", c.final_sinc, 0, 1);
  v.section("first", [&](auto& s) { stage_fields(s, c.first); });
  if (c.orders == 2) v.section("second", [&](auto& s) { stage_fields(s, c.second); });
}

template <class V>
void shuffled_fields(V& v, DegradeConfig& c) {
  v.section("shuffled", [&](auto& s) {
    s.value("halve", c.shuffled.halve, 0, 1);
    s.value("grey", c.shuffled.grey, 0, 1);
    s.value("jpeg", c.shuffled.jpeg, 0, 1);
    s.pair("noise_sigma", c.shuffled.noise_sigma, 0, 100);
    s.pair("quality", c.shuffled.quality, 1, 100);
  });
}

// A file written before there were ordered and shuffled degradations has the same text, and so the same
// fingerprint, as ever: keys that belong to neither bicubic nor real are written where they count alone.
template <class V>
void degrade_fields(V& v, DegradeConfig& c) {
  if (v.reading || !c.preset.empty()) {
    const std::string before = c.preset;
    v.choice("preset", c.preset, {"bicubic", "mild", "realesrgan", "bsrgan"});
    if (v.reading && c.preset != before) c = degrade_preset(c.preset);
  }
  v.choice("type", c.type, {"bicubic", "real", "ordered", "shuffled"});
  if (c.type == "ordered" || c.type == "shuffled") {
    v.choice("coder", c.coder, {"diff", "file"});
    if (c.type == "ordered")
      ordered_fields(v, c);
    else
      shuffled_fields(v, c);
  } else {
    real_fields(v, c);
  }
}

}  // namespace dgp
