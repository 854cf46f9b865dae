#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>

#include "models/state.h"
#include "tensor/file.h"

namespace dgp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFormat = "dgp checkpoint 1";

std::vector<std::string> parameter_names(DGPNet& net) {
  std::vector<std::string> names;
  net.visit([&](const std::string& name, Var& value) {
    if (value.requires_grad()) names.push_back(name);
  });
  return names;
}

// Over names, types, shapes, bytes and metadata, in the order of names.
std::string checksum(const SafeTensors& file) {
  std::map<std::string, const Tensor*> sorted;
  for (const auto& [name, tensor] : file.tensors) sorted[name] = &tensor;
  uint32_t crc = 0;
  auto add = [&](const std::string& text) { crc = crc32(text.c_str(), text.size() + 1, crc); };
  for (const auto& [key, value] : file.metadata)
    if (key != "checksum") add(key), add(value);
  for (const auto& [name, tensor] : sorted) {
    add(name);
    add(to_string(tensor->dtype()) + to_string(tensor->shape()));
    crc = crc32(tensor->bytes(), static_cast<size_t>(tensor->nbytes()), crc);
  }
  return std::to_string(crc);
}

std::string exact(double value) {
  char text[40];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

std::string exact(const std::vector<double>& values) {
  std::string text;
  for (double value : values) text += exact(value) + " ";
  return text;
}

std::map<std::string, std::string> describe(const Counters& c) {
  return {{"iteration", std::to_string(c.iteration)},
          {"adam_steps", std::to_string(c.adam_steps)},
          {"skipped", std::to_string(c.skipped)},
          {"skipped_in_row", std::to_string(c.skipped_in_row)},
          {"validation_due", std::to_string(c.validation_due)},
          {"best", exact(c.best)},
          {"best_iteration", std::to_string(c.best_iteration)},
          {"window_loss", exact(c.window_loss)},
          {"window_parts", exact(c.window_parts)},
          {"window_steps", std::to_string(c.window_steps)},
          {"seconds", exact(c.seconds)},
          {"config", std::to_string(c.config)}};
}

Counters read_counters(const SafeTensors& file, const std::string& path) {
  auto text = [&](const char* key) {
    auto at = file.metadata.find(key);
    if (at == file.metadata.end()) fail(ErrorCode::bad_file, path, ": the checkpoint has no ", key);
    return at->second.c_str();
  };
  auto whole = [&](const char* key) { return static_cast<int64_t>(std::strtoll(text(key), nullptr, 10)); };
  auto real = [&](const char* key) { return std::strtod(text(key), nullptr); };
  Counters c;
  c.iteration = whole("iteration"), c.adam_steps = whole("adam_steps");
  c.skipped = whole("skipped"), c.skipped_in_row = whole("skipped_in_row");
  c.validation_due = whole("validation_due") != 0;
  c.best = real("best"), c.best_iteration = whole("best_iteration");
  if (auto at = file.metadata.find("window_parts"); at != file.metadata.end()) {  // older files have none
    std::istringstream parts(at->second);
    for (std::string part; parts >> part;) c.window_parts.push_back(std::strtod(part.c_str(), nullptr));
  }
  c.window_loss = real("window_loss"), c.window_steps = whole("window_steps");
  c.seconds = real("seconds"), c.config = static_cast<uint32_t>(whole("config"));
  return c;
}

void check_finite(const SafeTensors& file, const std::string& path) {
  for (const auto& [name, tensor] : file.tensors) {
    if (tensor.dtype() != DType::f32) continue;
    const float* p = tensor.data<float>();
    if (!std::all_of(p, p + tensor.numel(), [](float v) { return std::isfinite(v); }))
      fail(ErrorCode::numeric, path, ": not written, since ", name, " holds values that are not finite");
  }
}

// The tensors whose names begin with `prefix`, without it.
SafeTensors part(const SafeTensors& file, const std::string& prefix) {
  SafeTensors result;
  result.metadata = file.metadata;
  for (const auto& [name, tensor] : file.tensors)
    if (name.starts_with(prefix)) result.tensors.emplace_back(name.substr(prefix.size()), tensor);
  return result;
}

void check_moments(const SafeTensors& file, const std::vector<std::string>& names,
                   const std::vector<Tensor>& into, const std::string& path, std::vector<Tensor>& found) {
  std::map<std::string, Tensor> by_name(file.tensors.begin(), file.tensors.end());
  for (size_t i = 0; i < names.size(); ++i) {
    auto at = by_name.find(names[i]);
    if (at == by_name.end() || at->second.shape() != into[i].shape() || at->second.dtype() != DType::f32)
      fail(ErrorCode::bad_file, path, ": the optimiser's state of ", names[i], " is missing or misshapen");
    found.push_back(at->second);
  }
}

}  // namespace

void save_checkpoint(const std::string& path, DGPNet& net, DGPNet& average, const Adam& adam,
                     const Counters& counters) {
  SafeTensors file;
  SafeTensors model = state_dict(net);
  file.metadata = model.metadata;
  file.metadata["format"] = kFormat;
  file.metadata.merge(describe(counters));
  for (auto& [name, tensor] : model.tensors) file.tensors.emplace_back("model." + name, tensor);
  for (auto& [name, tensor] : state_dict(average).tensors) file.tensors.emplace_back("ema." + name, tensor);
  const auto names = parameter_names(net);
  for (size_t i = 0; i < names.size(); ++i) {
    file.tensors.emplace_back("adam.m." + names[i], adam.first_moments()[i]);
    file.tensors.emplace_back("adam.v." + names[i], adam.second_moments()[i]);
  }
  check_finite(file, path);
  file.metadata["checksum"] = checksum(file);
  write_safetensors(path, file);
}

Counters load_checkpoint(const std::string& path, DGPNet& net, DGPNet& average, Adam& adam) {
  const SafeTensors file = read_safetensors(path);
  auto found = file.metadata.find("format");
  if (found == file.metadata.end() || found->second != kFormat)
    fail(ErrorCode::bad_file, path, ": expected a checkpoint (\"", kFormat, "\")");
  found = file.metadata.find("checksum");
  if (found == file.metadata.end() || found->second != checksum(file))
    fail(ErrorCode::bad_file, path, ": the checksum does not match; the file is damaged");
  const Counters counters = read_counters(file, path);
  const auto names = parameter_names(net);
  std::vector<Tensor> m, v;
  check_moments(part(file, "adam.m."), names, adam.first_moments(), path, m);
  check_moments(part(file, "adam.v."), names, adam.second_moments(), path, v);
  load_state_dict(net, part(file, "model."), path);
  load_state_dict(average, part(file, "ema."), path);
  for (size_t i = 0; i < names.size(); ++i) {
    adam.first_moments()[i].copy_from(m[i]);
    adam.second_moments()[i].copy_from(v[i]);
  }
  adam.steps = counters.adam_steps;
  return counters;
}

std::string checkpoint_path(const std::string& folder, int64_t iteration) {
  std::string digits = std::to_string(iteration);
  return folder + "/" + std::string(9 - std::min<size_t>(9, digits.size()), '0') + digits + ".safetensors";
}

std::vector<std::string> list_checkpoints(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::string name = entry.path().filename().string();
    if (name.ends_with(".safetensors") && name.find_first_not_of("0123456789") == name.size() - 12)
      paths.push_back(entry.path().string());
  }
  std::sort(paths.rbegin(), paths.rend());
  return paths;
}

std::optional<Counters> load_newest(const std::string& folder, DGPNet& net, DGPNet& average, Adam& adam,
                                    const std::function<void(const std::string&)>& message) {
  const auto paths = list_checkpoints(folder);
  for (const std::string& path : paths) {
    try {
      Counters counters = load_checkpoint(path, net, average, adam);
      message("resumed from " + path);
      return counters;
    } catch (const Error& e) {
      if (e.code() != ErrorCode::bad_file) throw;
      message(std::string("damaged or foreign checkpoint left aside: ") + e.what());
    }
  }
  if (!paths.empty())
    fail(ErrorCode::bad_file, folder, ": none of the ", paths.size(), " checkpoints can be used");
  return {};
}

}  // namespace dgp
