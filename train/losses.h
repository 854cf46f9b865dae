// The loss of a training run: a weighted sum of terms that the configuration names. docs/training.md lists
// them.
#pragma once

#include <functional>

#include "autograd/var.h"
#include "train/registry.h"

namespace dgp {

// One term of the sum, as the configuration gives it.
struct LossTerm {
  std::string type;
  double weight = 1;
  Options options = {};      // those that differ from the defaults, or all
  std::string weights = {};  // the file of a loss that is itself a network
};

// The network's result x and what it should be, t, [N,H,W,3] in [0, 1] -> [].
using LossFunction = std::function<Var(const Var& x, const Var& t)>;

struct LossKind {
  std::string name;
  std::vector<OptionSpec> options = {};
  std::function<LossFunction(const Options& options)> make = {};
  // Instead of `make`, for a loss that needs weights: the configuration then has to name their file.
  std::function<LossFunction(const Options& options, const std::string& weights)> make_from_file = {};
};
Registry<LossKind>& losses();

class Loss {
 public:
  explicit Loss(const std::vector<LossTerm>& terms);  // throws Error(invalid) on an unknown type

  // The sum; `parts` gets each term's weighted value added, times `share`.
  Var operator()(const Var& x, const Var& t, std::vector<double>& parts, double share = 1) const;

  // What each term is called in logs: its type, with "_2" and so on where a type comes again.
  const std::vector<std::string>& names() const { return names_; }

 private:
  struct Term {
    double weight;
    LossFunction f;
  };
  std::vector<Term> terms_;
  std::vector<std::string> names_;
};

}  // namespace dgp
