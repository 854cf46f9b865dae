// Things the configuration picks by name (losses, optimisers, ...): a table of kinds that users extend from
// a translation unit of their own, in one line:
//   static const bool added = dgp::losses().add({.name = "huber", .make = ...});
// A kind names its options with default and range; the configuration reads, checks and writes them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace dgp {

struct OptionSpec {
  std::string name;
  double value, low, high;  // default and range
  bool whole = false;       // only whole numbers
  bool flag = false;        // true or false: 1 or 0
  bool implied = false;     // written only where it differs from its default
};

using Options = std::map<std::string, double>;  // every option of a kind, by name

// Kind: a struct with `name` and `options`.
template <class Kind>
class Registry {
 public:
  explicit Registry(std::vector<Kind> kinds) : kinds_(std::move(kinds)) {}

  // Before a configuration is read, from one thread. Throws Error(invalid) when the name is taken.
  bool add(Kind kind) {
    check(!kind.name.empty() && find(kind.name) == nullptr, "the name \"", kind.name,
          "\" is empty or registered already");
    kinds_.push_back(std::move(kind));
    return true;
  }
  const Kind* find(const std::string& name) const {
    for (const Kind& kind : kinds_)
      if (kind.name == name) return &kind;
    return nullptr;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const Kind& kind : kinds_) all.push_back(kind.name);
    return all;
  }

 private:
  std::vector<Kind> kinds_;
};

// A kind's defaults, replaced by what `given` holds.
template <class Kind>
Options with_defaults(const Kind& kind, const Options& given) {
  Options all;
  for (const OptionSpec& o : kind.options) {
    auto at = given.find(o.name);
    all[o.name] = at == given.end() ? o.value : at->second;
  }
  return all;
}

}  // namespace dgp
