#include "train/network.h"

#include <nlohmann/json.hpp>

#include "models/state.h"
#include "models/unfuse.h"

namespace dgp {
namespace {

DGPNetConfig dgpnet_config(int64_t scale, const Options& o) {
  auto whole = [&](const char* name) { return static_cast<int64_t>(o.at(name)); };
  DGPNetConfig config{scale, whole("channels"), whole("blocks"), whole("kernel"), whole("unshuffle")};
  for (size_t i = 0; i < kPartNames.size(); ++i)
    if (o.at(kPartNames[i]) == 0) config.without.insert(static_cast<Part>(i));
  return config;
}

class DGPNetwork : public Network {
 public:
  DGPNetwork(int64_t scale, const Options& options, const Rng& rng)
      : net_(dgpnet_config(scale, options), rng) {}

  Var operator()(const Var& lr) const override { return net_(lr, Form::folded); }
  void visit(const Visitor& visitor) override { net_.visit(visitor); }
  std::map<std::string, std::string> metadata() const override { return {{"fused", "false"}}; }
  DGPNet* dgpnet() override { return &net_; }

 private:
  DGPNet net_;
};

std::vector<NetworkKind> own_networks() {
  const DGPNetConfig small;
  auto option = [](const char* name, int64_t value, double low, double high) {
    return OptionSpec{name, static_cast<double>(value), low, high, true};
  };
  std::vector<OptionSpec> options = {
      option("channels", small.channels, 1, 1024), option("blocks", small.blocks, 0, 200),
      option("kernel", small.kernel, 1, 15), option("unshuffle", small.unshuffle, 1, 8)};
  for (const char* part : kPartNames)  // docs/study.md
    options.push_back({.name = part, .value = 1, .low = 0, .high = 1, .flag = true, .implied = true});
  return {{"dgpnet", options, [](int64_t scale, const Options& options, const Rng& rng) {
             return std::make_unique<DGPNetwork>(scale, options, rng);
           }}};
}

// Weights of either form.
void start_from(DGPNet& net, const SafeTensors& state, const std::string& source) {
  const auto fused = state.metadata.find("fused");
  if (fused == state.metadata.end() || fused->second != "true") return load_state_dict(net, state, source);
  DGPNet given = model_from(state, source);
  if (!(given.config == net.config))
    fail(ErrorCode::bad_file, source, ": holds a DGPNet ", to_json(given.config),
         ", but the configuration asks for ", to_json(net.config));
  try {
    set_fused(net, given);
  } catch (const Error& error) {
    fail(ErrorCode::bad_file, source, ": cannot be trained further: ", error.what());
  }
}

std::string config_json(const TrainConfig& config) {
  const NetworkKind& kind = *networks().find(config.model.type);
  const Options options = with_defaults(kind, config.model.options);
  nlohmann::ordered_json json = {{"scale", config.model.scale}};
  for (const OptionSpec& o : kind.options) {
    if (o.implied && options.at(o.name) == o.value) continue;
    if (o.flag)
      json[o.name] = options.at(o.name) != 0;
    else if (o.whole)
      json[o.name] = static_cast<int64_t>(options.at(o.name));
    else
      json[o.name] = options.at(o.name);
  }
  return json.dump();
}

}  // namespace

Registry<NetworkKind>& networks() {
  static Registry<NetworkKind> all(own_networks());
  return all;
}

std::unique_ptr<Network> make_network(const TrainConfig& config) {
  const auto& m = config.model;
  const NetworkKind* kind = networks().find(m.type);
  check(kind != nullptr, "model: no network is called \"", m.type, "\"");
  auto network =
      kind->make(m.scale, with_defaults(*kind, m.options), Rng(static_cast<uint64_t>(config.seed)));
  if (m.init.empty()) return network;
  const SafeTensors state = read_safetensors(m.init);
  if (DGPNet* net = network->dgpnet())
    start_from(*net, state, m.init);
  else
    load_named_tensors([&](const Visitor& visitor) { network->visit(visitor); }, state, m.init,
                       m.type + " " + config_json(config));
  return network;
}

void save_network(const std::string& path, Network& network, const TrainConfig& config) {
  SafeTensors state;
  state.metadata = network.metadata();
  state.metadata.merge(std::map<std::string, std::string>{
      {"format", "pt"}, {"architecture", config.model.type}, {"config", config_json(config)}});
  state.tensors = named_tensors([&](const Visitor& visitor) { network.visit(visitor); });
  write_safetensors(path, state);
}

void move(Network& network, Device device) {
  network.visit([&](const std::string&, Var& value) { value.set_value(value.value().to(device)); });
}

std::vector<Var> parameters(Network& network) {
  std::vector<Var> all;
  network.visit([&](const std::string&, Var& value) {
    if (value.requires_grad()) all.push_back(value);
  });
  return all;
}

std::vector<std::string> parameter_names(Network& network) {
  std::vector<std::string> names;
  network.visit([&](const std::string& name, Var& value) {
    if (value.requires_grad()) names.push_back(name);
  });
  return names;
}

int64_t parameter_count(Network& network) {
  int64_t count = 0;
  for (const Var& p : parameters(network)) count += p.value().numel();
  return count;
}

}  // namespace dgp
