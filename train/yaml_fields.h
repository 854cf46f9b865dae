// One list of fields serves reading and writing a configuration: a function template walks the fields of a
// struct with a FieldReader (YAML into the struct, checked) or a FieldWriter (the struct into YAML).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>
#include <yaml-cpp/yaml.h>

#include "tensor/error.h"

namespace dgp {

// Where a value came from: "file.yml:12" or the text of an override.
struct ConfigSource {
  std::string file;
  std::map<std::string, std::string> overrides;  // key path -> "--set key=value"
  std::string at(const std::string& path, const YAML::Node& node) const;
};

std::string nearest_name(const std::string& name, const std::vector<std::string>& known);  // edit distance

// Applies "a.b.0.c=value" to the tree and remembers it in `source`.
void apply_override(YAML::Node root, const std::string& text, ConfigSource& source);

class FieldReader {
 public:
  FieldReader(const ConfigSource& source, YAML::Node node, std::string path);

  static constexpr bool reading = true;
  bool has(const std::string& key) const;
  bool is_list(const std::string& key) const { return has(key) && child(key.c_str()).IsSequence(); }

  bool is_scalar(const std::string& key) const { return has(key) && child(key.c_str()).IsScalar(); }

  void value(const char* key, int64_t& into, int64_t low, int64_t high);
  void value(const char* key, double& into, double low, double high);
  void value(const char* key, bool& into);
  void value(const char* key, std::string& into);
  void choice(const char* key, std::string& into, const std::vector<std::string>& allowed);
  void pair(const char* key, std::array<double, 2>& into, double low, double high, bool ordered = true);
  void values(const char* key, std::vector<double>& into, double low, double high);
  void values(const char* key, std::vector<int64_t>& into, int64_t low, int64_t high);
  void values(const char* key, std::vector<std::string>& into);

  template <class F>
  void section(const char* key, F&& body) {
    YAML::Node child = take(key);
    FieldReader inner(source_, child, path_of(key));
    body(inner);
    inner.finish();
  }
  // A list of sections; a single section stands for a list of one.
  template <class T, class F>
  void sections(const char* key, std::vector<T>& into, F&& body) {
    YAML::Node child = take(key);
    if (!child || child.IsNull()) return;
    into.clear();
    bool one = child.IsMap();
    for (size_t i = 0; i < (one ? 1 : child.size()); ++i) {
      FieldReader inner(source_, one ? child : child[i], path_of(key) + "." + std::to_string(i));
      body(inner, into.emplace_back());
      inner.finish();
    }
  }
  void finish() const;  // throws on keys that nobody asked for

  template <class... Parts>
  [[noreturn]] void wrong(const char* key, const Parts&... parts) const {
    fail(ErrorCode::invalid, source_.at(path_of(key), child(key)), ": ", path_of(key), ": ", parts...);
  }

 private:
  YAML::Node child(const char* key) const;
  YAML::Node take(const char* key);
  std::string path_of(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }
  template <class T>
  bool scalar(const char* key, const YAML::Node& node, const char* kind, T& into) const;

  const ConfigSource& source_;
  YAML::Node node_;
  std::string path_;
  std::vector<std::string> known_;
};

class FieldWriter {
 public:
  explicit FieldWriter(YAML::Node node) : node_(node) {}

  static constexpr bool reading = false;
  bool has(const std::string&) const { return false; }
  bool is_list(const std::string&) const { return false; }
  bool is_scalar(const std::string&) const { return false; }

  void value(const char* key, int64_t& from, int64_t, int64_t) { node_[key] = std::to_string(from); }
  void value(const char* key, double& from, double, double) { node_[key] = text(from); }
  void value(const char* key, bool& from) { node_[key] = from ? "true" : "false"; }
  void value(const char* key, std::string& from) { node_[key] = from; }
  void choice(const char* key, std::string& from, const std::vector<std::string>&) { node_[key] = from; }
  void pair(const char* key, std::array<double, 2>& from, double, double, bool = true) {
    node_[key] = list(std::vector<std::string>{text(from[0]), text(from[1])});
  }
  void values(const char* key, std::vector<double>& from, double, double);
  void values(const char* key, std::vector<int64_t>& from, int64_t, int64_t);
  void values(const char* key, std::vector<std::string>& from) { node_[key] = list(from); }

  template <class F>
  void section(const char* key, F&& body) {
    YAML::Node child(YAML::NodeType::Map);
    FieldWriter inner(child);
    body(inner);
    node_[key] = child;
  }
  template <class T, class F>
  void sections(const char* key, std::vector<T>& from, F&& body) {
    YAML::Node all(YAML::NodeType::Sequence);
    for (T& item : from) {
      YAML::Node child(YAML::NodeType::Map);
      FieldWriter inner(child);
      body(inner, item);
      all.push_back(child);
    }
    node_[key] = all;
  }

  template <class... Parts>
  [[noreturn]] void wrong(const char* key, const Parts&... parts) const {
    fail(ErrorCode::invalid, key, ": ", parts...);
  }

 private:
  static std::string text(double value);  // shortest text that reads back to the same bits
  static YAML::Node list(const std::vector<std::string>& items);
  YAML::Node node_;
};

}  // namespace dgp
