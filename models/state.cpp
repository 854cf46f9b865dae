#include "models/state.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

namespace dgp {

namespace {

// [A,B,C,D] -> [A,D,B,C] or, inverted, [A,D,B,C] -> [A,B,C,D], for f32 kernels.
Tensor rotate_axes(const Tensor& t, bool last_to_second) {
  int64_t a = t.dim(0), b = t.dim(1), c = t.dim(2), d = t.dim(3);
  Tensor out(last_to_second ? Shape{a, d, b, c} : Shape{a, c, d, b}, t.dtype());
  int64_t rows = last_to_second ? b * c : b, columns = last_to_second ? d : c * d;
  dispatch_float(t.dtype(), "kernel layout", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < a; ++i)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t q = 0; q < columns; ++q)
          out.data<T>()[i * rows * columns + q * rows + r] =
              t.data<T>()[i * rows * columns + r * columns + q];
  });
  return out;
}

DGPNetConfig parse_config(const SafeTensors& state, const std::string& source) {
  auto entry = [&](const char* key) {
    auto at = state.metadata.find(key);
    if (at == state.metadata.end())
      fail(ErrorCode::bad_file, source, ": expected a DGPNet weights file, but its metadata has no \"", key,
           "\"");
    return at->second;
  };
  if (entry("architecture") != "dgpnet")
    fail(ErrorCode::bad_file, source, ": expected architecture \"dgpnet\", found \"", entry("architecture"),
         "\"");
  DGPNetConfig config;
  auto json = nlohmann::json::parse(entry("config"), nullptr, false);
  auto read = [&](const char* key, int64_t& value) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_number_integer())
      fail(ErrorCode::bad_file, source, ": metadata \"config\" lacks the whole number \"", key, "\"");
    value = json[key].get<int64_t>();
  };
  read("scale", config.scale);
  read("channels", config.channels);
  read("blocks", config.blocks);
  read("kernel", config.kernel);
  read("unshuffle", config.unshuffle);
  for (size_t i = 0; i < kPartNames.size(); ++i) {
    const char* name = kPartNames[i];
    if (!json.contains(name)) continue;
    if (!json[name].is_boolean())
      fail(ErrorCode::bad_file, source, ": metadata \"config\": \"", name, "\" must be true or false");
    if (!json[name].get<bool>()) config.without.insert(static_cast<Part>(i));
  }
  return config;
}

bool finite(const Tensor& t) {
  if (t.dtype() != DType::f32) return true;
  for (int64_t i = 0; i < t.numel(); ++i)
    if (!std::isfinite(t.data<float>()[i])) return false;
  return true;
}

bool within(const Tensor& t, int64_t end) {
  return std::all_of(t.data<int64_t>(), t.data<int64_t>() + t.numel(),
                     [&](int64_t i) { return i >= 0 && i < end; });
}

}  // namespace

Tensor to_file_layout(const Tensor& t) { return t.rank() == 4 ? rotate_axes(t, true) : t; }
Tensor from_file_layout(const Tensor& t) { return t.rank() == 4 ? rotate_axes(t, false) : t; }

std::string to_json(const DGPNetConfig& c) {
  nlohmann::ordered_json json = {{"scale", c.scale},
                                 {"channels", c.channels},
                                 {"blocks", c.blocks},
                                 {"kernel", c.kernel},
                                 {"unshuffle", c.unshuffle}};
  for (Part part : c.without) json[kPartNames[static_cast<size_t>(part)]] = false;
  return json.dump();
}

std::vector<std::pair<std::string, Tensor>> named_tensors(const Visit& visit) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  visit([&](const std::string& name, Var& v) {
    const bool whole = v.dtype() == DType::i64;
    const Tensor host = v.value().to(Device::cpu);
    tensors.emplace_back(name, whole ? host : to_file_layout(host.to(DType::f32)));
  });
  return tensors;
}

void load_named_tensors(const Visit& visit, const SafeTensors& state, const std::string& source,
                        const std::string& what, int64_t end) {
  std::map<std::string, Tensor> given(state.tensors.begin(), state.tensors.end());
  std::string problems;
  std::vector<std::pair<Var*, Tensor>> values;
  visit([&](const std::string& name, Var& v) {
    auto at = given.find(name);
    if (at == given.end()) {
      problems += "\n  missing " + name;
      return;
    }
    Tensor t = at->second;
    given.erase(at);
    const bool whole = v.dtype() == DType::i64, is_float = t.dtype() == DType::f32 || t.dtype() == DType::f64;
    Shape expected = !whole && v.value().rank() == 4 ? to_file_layout(v.value()).shape() : v.shape();
    if (t.shape() != expected || (whole ? t.dtype() != DType::i64 : !is_float)) {
      problems += "\n  " + name + " is " + to_string(t.dtype()) + to_string(t.shape()) + ", expected " +
                  to_string(v.dtype()) + to_string(expected);
      return;
    }
    if (whole && !within(t, end)) problems += "\n  " + name + " holds taps outside the kernel";
    values.emplace_back(&v, is_float ? from_file_layout(t).to(v.dtype()) : t);
    if (!finite(values.back().second)) problems += "\n  " + name + " holds values that are not finite";
  });
  for (const auto& [name, t] : given) problems += "\n  unexpected " + name + " " + to_string(t.shape());
  if (!problems.empty()) fail(ErrorCode::bad_file, source, ": does not fit ", what, ":", problems);
  for (auto& [v, t] : values) {  // in place: optimisers and averages hold these tensors
    v->value().copy_from(t);
    if (v->requires_grad()) v->set_grad({});
  }
}

SafeTensors state_dict(DGPNet& net) {
  SafeTensors state;
  state.metadata = {{"format", "pt"},
                    {"architecture", "dgpnet"},
                    {"fused", net.deploy ? "true" : "false"},
                    {"config", to_json(net.config)}};
  state.tensors = named_tensors([&](const Visitor& visitor) { net.visit(visitor); });
  return state;
}

void load_state_dict(DGPNet& net, const SafeTensors& state, const std::string& source) {
  load_named_tensors(
      [&](const Visitor& visitor) { net.visit(visitor); }, state, source,
      std::string(net.deploy ? "a fused" : "a training-form") + " DGPNet " + to_json(net.config),
      net.config.kernel * net.config.kernel);
}

void save_model(const std::string& path, DGPNet& net) { write_safetensors(path, state_dict(net)); }

DGPNet model_from(const SafeTensors& state, const std::string& source) {
  DGPNetConfig config = parse_config(state, source);
  auto fused = state.metadata.find("fused");
  if (fused == state.metadata.end() || (fused->second != "true" && fused->second != "false"))
    fail(ErrorCode::bad_file, source, ": metadata \"fused\" must be \"true\" or \"false\"");
  // A file cannot ask for a network larger than itself: the sizes are compared before anything is allocated.
  auto cost = static_cast<double>(config.channels) * static_cast<double>(config.channels) *
              static_cast<double>(config.blocks);
  double stored = 0;
  for (const auto& [name, t] : state.tensors) stored += static_cast<double>(t.numel());
  if (cost > stored || config.channels < 1 || config.blocks < 0)
    fail(ErrorCode::bad_file, source, ": its configuration ", to_json(config), " does not fit its tensors");
  try {
    DGPNet net(config, Rng(1), fused->second == "true");
    load_state_dict(net, state, source);
    return net;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid) throw;
    fail(ErrorCode::bad_file, source, ": ", error.what());
  }
}

DGPNet load_model(const std::string& path) { return model_from(read_safetensors(path), path); }

}  // namespace dgp
