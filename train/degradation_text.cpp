// Degradations in words, for a contact sheet, and as JSON, for programs.
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numbers>

#include "train/degradation.h"

namespace dgp {
namespace {

using nlohmann::ordered_json;

std::string number(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string shape_name(const BlurKernel& k) {
  static constexpr const char* kNames[] = {"gaussian", "generalized", "plateau", "sinc"};
  return kNames[static_cast<size_t>(k.shape)];
}

std::string blur_text(const BlurKernel& k) {
  std::string text = shape_name(k) + ", " + std::to_string(k.size) + " px, ";
  if (k.shape == BlurShape::sinc) return text + "cutoff " + number(k.cutoff / std::numbers::pi, 2) + " π";
  text += "σ " + number(k.sigma_x, 2);
  if (!k.round())
    text += " × " + number(k.sigma_y, 2) + " at " + number(k.angle * 180 / std::numbers::pi, 0) + "°";
  if (k.shape != BlurShape::gaussian) text += ", β " + number(k.beta, 2);
  return text;
}

ordered_json blur_json(const BlurKernel& k) {
  ordered_json j = {{"step", "blur"}, {"shape", shape_name(k)}, {"size", k.size}};
  if (k.shape == BlurShape::sinc) {
    j["cutoff"] = k.cutoff;
    return j;
  }
  j["sigma"] = {k.sigma_x, k.sigma_y}, j["angle"] = k.angle;
  if (k.shape != BlurShape::gaussian) j["beta"] = k.beta;
  return j;
}

ordered_json step_json(const DegradeStep& s) {
  switch (s.kind) {
    case StepKind::sharpen:
      return {{"step", "sharpen"}, {"weight", 0.5}, {"threshold", 10}};
    case StepKind::blur:
      return blur_json(s.blur);
    case StepKind::resize:
      return {{"step", "resize"}, {"mode", to_string(s.mode)}, {"height", s.height}, {"width", s.width}};
    case StepKind::bicubic:
      return {{"step", "resize"}, {"mode", "matlab bicubic"}, {"height", s.height}, {"width", s.width}};
    case StepKind::noise:
      return {{"step", "noise"},
              {"kind", s.poisson ? "poisson" : "gaussian"},
              {"grey", s.grey},
              {s.poisson ? "scale" : "sigma", s.strength}};
    case StepKind::jpeg:
      break;
  }
  return {{"step", "jpeg"}, {"quality", s.quality}, {"coder", s.file ? "file" : "diff"}};
}

}  // namespace

std::pair<std::string, std::string> to_words(const DegradeStep& s) {
  const std::string size = " to " + std::to_string(s.width) + "×" + std::to_string(s.height);
  switch (s.kind) {
    case StepKind::sharpen:
      return {"sharpen", "unsharp mask 0.5, from 10/255"};
    case StepKind::blur:
      return {"blur", blur_text(s.blur)};
    case StepKind::resize:
      return {"resize", to_string(s.mode) + size};
    case StepKind::bicubic:
      return {"resize", "MATLAB's bicubic" + size};
    case StepKind::noise:
      return {"noise",
              std::string(s.poisson ? "Poisson" : "Gaussian") + (s.grey ? ", grey, " : ", colour, ") +
                  (s.poisson ? "× " + number(s.strength, 2) : "σ " + number(s.strength, 1) + "/255")};
    case StepKind::jpeg:
      break;
  }
  return {"JPEG", "quality " + number(s.quality, s.file ? 0 : 1) + (s.file ? ", file" : "")};
}

std::string to_json(const Degradation& degradation) {
  ordered_json list = ordered_json::array();
  for (const DegradeStep& step : degradation) list.push_back(step_json(step));
  return list.dump(1);
}

}  // namespace dgp
