// What the trainer needs of a network, and the table of those that the configuration knows by name. A program
// adds its own in one line of any of its files (docs/training.md has an example):
//   static const bool added = dgp::networks().add({"mine", {{"features", 64, 1, 512, true}}, make_mine});
#pragma once

#include <memory>

#include "models/dgpnet.h"
#include "tensor/safetensors.h"
#include "train/config.h"

namespace dgp {

class Network {
 public:
  virtual ~Network() = default;
  virtual Var operator()(const Var& lr) const = 0;  // [N,H,W,3] -> [N, scale H, scale W, 3]
  virtual void visit(const Visitor& visitor) = 0;   // names as in a weights file

  // More metadata for weights files, and what a file must hold beyond the names and shapes of visit().
  virtual std::map<std::string, std::string> metadata() const { return {}; }
  virtual DGPNet* dgpnet() { return nullptr; }  // the network itself, when it is one
};

struct NetworkKind {
  std::string name;
  std::vector<OptionSpec> options = {};
  std::function<std::unique_ptr<Network>(int64_t scale, const Options& options, const Rng& rng)> make;
};
Registry<NetworkKind>& networks();

// The network a configuration asks for, with the weights of model.init where that is given.
std::unique_ptr<Network> make_network(const TrainConfig& config);

// A weights file: the architecture's name is the kind's, its "config" holds scale and options.
void save_network(const std::string& path, Network& network, const TrainConfig& config);

void move(Network& network, Device device);  // its parameters and buffers; gradients are cleared

std::vector<Var> parameters(Network& network);
std::vector<std::string> parameter_names(Network& network);
int64_t parameter_count(Network& network);

}  // namespace dgp
