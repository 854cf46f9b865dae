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
  std::string text = shape_name(k) + " blur " + std::to_string(k.size) + " px";
  if (k.shape == BlurShape::sinc) return text + " cut " + number(k.cutoff / std::numbers::pi, 2) + " pi";
  text += " s " + number(k.sigma_x, 2);
  if (!k.round())
    text += " x " + number(k.sigma_y, 2) + " at " + number(k.angle * 180 / std::numbers::pi, 0) + " deg";
  if (k.shape != BlurShape::gaussian) text += " b " + number(k.beta, 2);
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

std::string to_text(const DegradeStep& s) {
  switch (s.kind) {
    case StepKind::sharpen:
      return "usm 0.5 threshold 10";
    case StepKind::blur:
      return blur_text(s.blur);
    case StepKind::resize:
      return std::string(to_string(s.mode)) + " to " + std::to_string(s.width) + "x" +
             std::to_string(s.height);
    case StepKind::bicubic:
      return "matlab bicubic to " + std::to_string(s.width) + "x" + std::to_string(s.height);
    case StepKind::noise:
      return std::string(s.grey ? "grey " : "colour ") +
             (s.poisson ? "poisson x " + number(s.strength, 2) : "noise s " + number(s.strength, 1));
    case StepKind::jpeg:
      break;
  }
  return "jpeg q " + number(s.quality, s.file ? 0 : 1) + (s.file ? " file" : "");
}

std::string to_json(const Degradation& degradation) {
  ordered_json list = ordered_json::array();
  for (const DegradeStep& step : degradation) list.push_back(step_json(step));
  return list.dump(1);
}

}  // namespace dgp
