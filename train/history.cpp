#include "train/history.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/file.h"

namespace dgp {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kEqual = 100;  // dB, where a PSNR is infinite

void take_number(std::vector<Point>& curve, double x, const Json& line, const char* key, double factor = 1) {
  if (line.contains(key) && line[key].is_number()) curve.push_back({x, factor * line[key].get<double>()});
}

constexpr const char* kMeasures[] = {"psnr_y", "psnr_rgb", "ssim_y", "ssim_rgb"};

std::map<std::string, double> measures(const Json& scores) {  // JSON knows no infinity: null
  std::map<std::string, double> all;
  for (const char* key : kMeasures) {
    const Json& value = scores.at(key);
    all[key] = value.is_number() ? value.get<double>() : std::numeric_limits<double>::infinity();
  }
  return all;
}

void take_validation(History& h, int64_t iteration, const Json& validation) {
  h.validated_at = iteration, h.border = validation.at("border");
  h.pictures = {{"mean", measures(validation.at("mean")), measures(validation.at("baseline"))}};
  for (const char* key : kMeasures) {
    h.output[key].push_back({static_cast<double>(iteration), std::min(kEqual, h.pictures[0].output[key])});
    h.baseline[key].push_back(
        {static_cast<double>(iteration), std::min(kEqual, h.pictures[0].baseline[key])});
  }
  for (const Json& row : validation.at("rows"))
    h.pictures.push_back({row.at("name"), measures(row.at("output")), measures(row.at("baseline"))});
}

void take_balance(History& h, double x, const Json& balance) {
  for (const auto& [layer, operators] : balance.items()) {
    auto found = std::find_if(h.balance.begin(), h.balance.end(),
                              [&, &name = layer](const BalanceCurves& b) { return b.layer == name; });
    if (found == h.balance.end()) found = h.balance.insert(found, {layer, {}});
    for (const auto& [name, alpha] : operators.items()) found->operators[name].push_back({x, alpha});
  }
}

}  // namespace

std::string balance_line(int64_t iteration, const std::vector<OperatorKernels>& layers) {
  nlohmann::ordered_json line = {{"iteration", iteration}};
  for (const OperatorKernels& layer : layers)
    for (size_t j = 0; j < layer.operators.size(); ++j)
      line["balance"][layer.name][to_string(layer.operators[j])] = layer.alpha[j];
  return line.dump();
}

History read_history(const std::string& path) {
  History h;
  std::istringstream lines(read_file(path));
  std::string line;
  while (std::getline(lines, line)) {
    const Json j = Json::parse(line, nullptr, false);
    if (!j.is_object() || !j.contains("iteration")) continue;
    const double x = j["iteration"];
    if (j.contains("validation")) {
      take_validation(h, j["iteration"], j["validation"]);
    } else if (j.contains("event")) {
      h.events.push_back(j["event"]);
    } else if (j.contains("balance")) {
      take_balance(h, x, j["balance"]);
    } else if (j.contains("lr")) {
      for (const char* key : {"loss", "lr", "grad_norm", "it_per_s"}) take_number(h.curves[key], x, j, key);
      for (const char* key : {"waiting", "communicating"}) take_number(h.curves[key], x, j, key, 100);
      if (j.contains("losses"))
        for (const auto& [name, value] : j["losses"].items()) h.terms[name].push_back({x, value});
      h.iteration = j["iteration"], h.skipped = j["skipped"], h.seconds = j["seconds"],
      h.rate = j["it_per_s"];
    }
  }
  return h;
}

}  // namespace dgp
