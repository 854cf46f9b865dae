#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>

#include "tensor/file.h"

namespace dgp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFormat = "dgp checkpoint 2";
constexpr const char* kLossScale = "loss_scale";  // in the metadata

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
          {"skipped", std::to_string(c.skipped)},
          {"skipped_in_row", std::to_string(c.skipped_in_row)},
          {"returns", std::to_string(c.returns)},
          {"rate_scale", exact(c.rate_scale)},
          {"calm", std::to_string(c.calm)},
          {"validation_due", std::to_string(c.validation_due)},
          {"best", exact(c.best)},
          {"best_iteration", std::to_string(c.best_iteration)},
          {"window_loss", exact(c.window_loss)},
          {"window_parts", exact(c.window_parts)},
          {"window_steps", std::to_string(c.window_steps)},
          {"seconds", exact(c.seconds)},
          {"config", std::to_string(c.config)},
          {"configuration", c.configuration}};
}

std::vector<double> read_numbers(const std::string& text) {
  std::vector<double> numbers;
  std::istringstream words(text);
  for (std::string word; words >> word;) numbers.push_back(std::strtod(word.c_str(), nullptr));
  return numbers;
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
  c.iteration = whole("iteration");
  c.skipped = whole("skipped"), c.skipped_in_row = whole("skipped_in_row");
  c.returns = whole("returns"), c.rate_scale = real("rate_scale"), c.calm = whole("calm") != 0;
  c.validation_due = whole("validation_due") != 0;
  c.best = real("best"), c.best_iteration = whole("best_iteration");
  c.window_parts = read_numbers(text("window_parts")), c.configuration = text("configuration");
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

// An optimiser's steps and numbers, as metadata.
std::string numbers_of(const Optimizer& optimizer) {
  std::vector<double> all{static_cast<double>(optimizer.steps)};
  all.insert(all.end(), optimizer.numbers.begin(), optimizer.numbers.end());
  return exact(all);
}

void check_kind(const SafeTensors& file, const std::string& path) {
  auto found = file.metadata.find("format");
  if (found == file.metadata.end() || found->second != kFormat)
    fail(ErrorCode::bad_file, path, ": expected a checkpoint (\"", kFormat, "\")");
  found = file.metadata.find("checksum");
  if (found == file.metadata.end() || found->second != checksum(file))
    fail(ErrorCode::bad_file, path, ": the checksum does not match; the file is damaged");
}

// The file's tensors in the order of the state's.
std::vector<Tensor> match_tensors(const SafeTensors& file, const TrainState& state, const std::string& path) {
  std::map<std::string, Tensor> given(file.tensors.begin(), file.tensors.end());
  std::vector<Tensor> found;
  for (const auto& [name, tensor] : state.tensors) {
    auto at = given.find(name);
    if (at == given.end() || at->second.shape() != tensor.shape() || at->second.dtype() != tensor.dtype())
      fail(ErrorCode::bad_file, path, ": of another network or optimiser: expected ", name, " ",
           to_string(tensor.shape()), ", found ",
           at == given.end() ? "nothing of that name" : to_string(at->second.shape()));
    found.push_back(at->second);
    given.erase(at);
  }
  if (!given.empty())
    fail(ErrorCode::bad_file, path, ": of another network or optimiser: it holds ", given.begin()->first);
  return found;
}

SafeTensors to_file(const std::string& path, const TrainState& state, const Counters& counters) {
  SafeTensors file;
  file.metadata = describe(counters);
  file.metadata["format"] = kFormat;
  for (const auto& [name, optimizer] : state.optimizers) file.metadata[name] = numbers_of(*optimizer);
  if (state.loss_scale && state.loss_scale->dynamic())
    file.metadata[kLossScale] = exact(state.loss_scale->state());
  for (const auto& [name, tensor] : state.tensors) file.tensors.emplace_back(name, tensor.to(Device::cpu));
  check_finite(file, path);
  file.metadata["checksum"] = checksum(file);
  return file;
}

Counters from_file(const SafeTensors& file, const std::string& path, const TrainState& state) {
  check_kind(file, path);
  const Counters counters = read_counters(file, path);
  const std::vector<Tensor> found = match_tensors(file, state, path);
  std::vector<std::vector<double>> numbers;
  for (const auto& [name, optimizer] : state.optimizers) {
    auto at = file.metadata.find(name);
    numbers.push_back(read_numbers(at == file.metadata.end() ? "" : at->second));
    if (numbers.back().size() != optimizer->numbers.size() + 1)
      fail(ErrorCode::bad_file, path, ": the state of ", name, " is of another optimiser");
  }
  for (size_t i = 0; i < found.size(); ++i) state.tensors[i].second.copy_from(found[i]);
  for (size_t i = 0; i < numbers.size(); ++i) {
    Optimizer& optimizer = *state.optimizers[i].second;
    optimizer.steps = static_cast<int64_t>(numbers[i][0]);
    optimizer.numbers.assign(numbers[i].begin() + 1, numbers[i].end());
  }
  if (state.loss_scale) {
    auto at = file.metadata.find(kLossScale);
    state.loss_scale->set_state(read_numbers(at == file.metadata.end() ? "" : at->second));
  }
  return counters;
}

}  // namespace

void TrainState::add(const std::string& name, Optimizer& optimizer,
                     const std::vector<std::string>& parameters) {
  optimizers.emplace_back(name, &optimizer);
  for (const auto& slot : optimizer.slots())
    for (size_t i = 0; i < parameters.size(); ++i)
      tensors.emplace_back(name + "." + slot.name + "." + parameters[i], slot.tensors.at(i));
}

void save_checkpoint(const std::string& path, const TrainState& state, const Counters& counters) {
  write_safetensors(path, to_file(path, state, counters));
}

Counters load_checkpoint(const std::string& path, const TrainState& state) {
  return from_file(read_safetensors(path), path, state);
}

std::string checkpoint_bytes(const TrainState& state, const Counters& counters) {
  return safetensors_bytes(to_file("checkpoint", state, counters));
}

Counters read_checkpoint(const std::string& bytes, const std::string& name, const TrainState& state) {
  return from_file(parse_safetensors(bytes, name), name, state);
}

std::string checkpoint_path(const std::string& folder, int64_t iteration) {
  std::string digits = std::to_string(iteration);
  return folder + "/" + std::string(9 - std::min<size_t>(9, digits.size()), '0') + digits + ".safetensors";
}

int64_t checkpoint_iteration(const std::string& path) {
  return std::strtoll(fs::path(path).stem().c_str(), nullptr, 10);
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

std::optional<Counters> load_newest(const std::string& folder, const TrainState& state,
                                    const std::function<void(const std::string&)>& message) {
  const auto paths = list_checkpoints(folder);
  for (const std::string& path : paths) {
    try {
      Counters counters = load_checkpoint(path, state);
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

std::optional<Counters> load_newest_calm(const std::string& folder, const TrainState& state, int64_t every) {
  for (const std::string& path : list_checkpoints(folder)) {
    if (checkpoint_iteration(path) % every != 0) continue;
    try {
      const Counters counters = load_checkpoint(path, state);
      if (counters.calm) return counters;
    } catch (const Error& e) {
      if (e.code() != ErrorCode::bad_file) throw;
    }
  }
  return {};
}

void remove_checkpoints_after(const std::string& folder, int64_t iteration) {
  std::error_code ignored;
  for (const std::string& path : list_checkpoints(folder))
    if (checkpoint_iteration(path) > iteration) fs::remove(path, ignored);
}

void remove_old_checkpoints(const std::string& folder, int64_t keep, int64_t every) {
  const auto all = list_checkpoints(folder);
  std::error_code ignored;
  int64_t kept = 0;
  for (const std::string& path : all) {
    const bool kept_now = checkpoint_iteration(path) % every == 0 && kept < keep;
    kept += kept_now;
    if (!kept_now && path != all[0]) fs::remove(path, ignored);
  }
}

}  // namespace dgp
