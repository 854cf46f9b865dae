// What the parts of train/basicsr_options.h share: reading a foreign options file and keeping account of what
// has been read, and writing dgp's own tree.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "train/yaml_fields.h"

namespace dgp::basicsr {

using YAML::Node;

class File {
 public:
  File(const Node& root, const ConfigSource& source, std::vector<std::string>& notes)
      : root_(root), source_(source), notes_(notes) {}

  // The node at a path of keys, "train.optim_g.lr"; undefined when there is none or nothing in it. It counts
  // as dealt with.
  Node at(const std::string& path);
  Node keys_of(const std::string& path);  // the same of a section; throws when it is none
  std::string scalar(const std::string& path, const std::string& otherwise = "");
  double value(const std::string& path, double otherwise);
  bool flag(const std::string& path, bool otherwise = false);
  bool has(const std::string& path) { return at(path).IsDefined(); }

  // A section that was dealt with as a whole, with every key in it.
  void take(const std::string& path) { used_.insert(path); }

  // Whether an override gives a key of dgp's own tree, or what holds it.
  bool overridden(const std::string& key) const;

  void note(const std::string& words) { notes_.push_back(words); }
  std::vector<std::string>& notes() { return notes_; }
  std::string where(const Node& node) const { return source_.at("", node); }
  template <class... Parts>
  [[noreturn]] void wrong(const std::string& path, const Parts&... parts) {
    fail(ErrorCode::invalid, where(at(path)), ": ", path, ": ", parts...);
  }

  // Throws Error(invalid) for a key that nobody asked for and that is not known to be without use.
  void finish();

 private:
  void walk(const Node& node, const std::string& path, std::string& unused) const;

  const Node root_;
  const ConfigSource& source_;
  std::vector<std::string>& notes_;
  std::set<std::string> used_;
};

std::string lower(std::string text);
std::string bare(const std::string& type);  // "MSSIMLoss", "mssim_loss", "mssim" -> "mssim"
bool is_off(const Node& node);              // false, 0, nothing

Node number(double value);
Node section(Node parent, const char* key);                                // made where there is none
void move(File& in, const std::string& path, Node into, const char* key);  // their node, where there is one

// The parts of a file, each into dgp's tree.
bool losses(File& in, Node out);  // whether one of them is adversarial
void validation(File& in, Node out);
void data(File& in, Node out, int gpus);
void optimizer(File& in, const std::string& path, Node into);

}  // namespace dgp::basicsr
