#include "train/yaml_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace dgp {

std::string ConfigSource::at(const std::string& path, const YAML::Node& node) const {
  for (const auto& [key, text] : overrides)
    if (path == key || path.starts_with(key + ".")) return text;
  if (node && !node.Mark().is_null()) return file + ":" + std::to_string(node.Mark().line + 1);
  for (const auto& [key, text] : overrides)  // a section that an override began
    if (key.starts_with(path + ".")) return text;
  return file;
}

std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::string best;
  size_t least = SIZE_MAX;
  for (const std::string& candidate : known) {  // Levenshtein distance, one row at a time
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= name.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j < row.size(); ++j) {
        size_t above = row[j];
        row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (name[i - 1] != candidate[j - 1])});
        diagonal = above;
      }
    }
    if (row.back() < least) least = row.back(), best = candidate;
  }
  return best;
}

void apply_override(YAML::Node root, const std::string& text, ConfigSource& source) {
  size_t equals = text.find('=');
  check(equals != std::string::npos && equals > 0, "--set ", text, ": expects key=value");
  std::string path = text.substr(0, equals);
  YAML::Node value;
  try {
    value = YAML::Load(text.substr(equals + 1));
  } catch (const YAML::Exception& e) {
    fail(ErrorCode::invalid, "--set ", text, ": ", e.msg);
  }
  YAML::Node node = root;
  size_t begin = 0;
  while (true) {
    size_t dot = path.find('.', begin);
    std::string key = path.substr(begin, dot == std::string::npos ? dot : dot - begin);
    check(!key.empty() && (!node.IsDefined() || !node.IsScalar()), "--set ", text, ": no such key");
    if (key == "0" && (!node.IsDefined() || node.IsNull())) node = YAML::Node(YAML::NodeType::Sequence);
    YAML::Node next;
    if (node.IsSequence()) {
      size_t index = 0;
      auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
      check(error == std::errc() && *end == 0 && index <= node.size(), "--set ", text, ": ", key,
            " is not the number of an item; there are ", node.size());
      next.reset(node[index]);
    } else {
      next.reset(node[key]);
    }
    if (dot == std::string::npos) {
      next = value;
      break;
    }
    node.reset(next);
    begin = dot + 1;
  }
  source.overrides[path] = "--set " + text;
}

FieldReader::FieldReader(const ConfigSource& source, YAML::Node node, std::string path)
    : source_(source), node_(node), path_(std::move(path)) {
  if (!node_ || node_.IsNull()) return;
  if (!node_.IsMap())
    fail(ErrorCode::invalid, source_.at(path_, node_), ": ", path_.empty() ? "the file" : path_,
         ": expects keys with values");
  std::set<std::string> seen;
  for (const auto& item : node_)
    if (!seen.insert(item.first.Scalar()).second)
      fail(ErrorCode::invalid, source_.at(path_of(item.first.Scalar()), item.first), ": ",
           path_of(item.first.Scalar()), " is given twice");
}

bool FieldReader::has(const std::string& key) const { return bool(child(key.c_str())); }

YAML::Node FieldReader::child(const char* key) const {
  if (!node_ || !node_.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
  return std::as_const(node_)[key];
}

YAML::Node FieldReader::take(const char* key) {
  known_.emplace_back(key);
  return child(key);
}

template <class T>
bool FieldReader::scalar(const char* key, const YAML::Node& node, const char* kind, T& into) const {
  if (!node || node.IsNull()) return false;
  if (!node.IsScalar() || !YAML::convert<T>::decode(node, into))
    wrong(key, "expects ", kind, ", got ",
          node.IsScalar() ? "\"" + node.Scalar() + "\"" : "a list or section");
  return true;
}

namespace {
// Integers may be written 100000, 1e5 or 100_000.
bool read_integer(const YAML::Node& node, int64_t& into) {
  std::string text = node.IsScalar() ? node.Scalar() : "";
  std::erase(text, '_');
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return false;
  if (number != std::floor(number) || std::abs(number) > 0x1p53) return false;
  into = static_cast<int64_t>(number);
  return true;
}
}  // namespace

void FieldReader::value(const char* key, int64_t& into, int64_t low, int64_t high) {
  YAML::Node node = take(key);
  if (!node || node.IsNull()) return;
  if (!read_integer(node, into))
    wrong(key, "expects a whole number, got ",
          node.IsScalar() ? "\"" + node.Scalar() + "\"" : "a list or section");
  if (into < low || into > high) wrong(key, "expects ", low, " to ", high, ", got ", into);
}

void FieldReader::value(const char* key, double& into, double low, double high) {
  if (!scalar(key, take(key), "a number", into)) return;
  if (!(into >= low && into <= high)) wrong(key, "expects ", low, " to ", high, ", got ", into);
}

void FieldReader::value(const char* key, bool& into) { scalar(key, take(key), "true or false", into); }

void FieldReader::value(const char* key, std::string& into) { scalar(key, take(key), "a text", into); }

void FieldReader::choice(const char* key, std::string& into, const std::vector<std::string>& allowed) {
  if (!scalar(key, take(key), "a name", into)) return;
  if (std::find(allowed.begin(), allowed.end(), into) != allowed.end()) return;
  std::string list;
  for (const std::string& a : allowed)
    if (!a.empty()) list += (list.empty() ? "" : ", ") + a;
  wrong(key, "expects one of ", list, "; got \"", into, "\", did you mean \"", nearest_name(into, allowed),
        "\"?");
}

void FieldReader::pair(const char* key, std::array<double, 2>& into, double low, double high, bool ordered) {
  std::vector<double> both;
  YAML::Node node = child(key);
  values(key, both, low, high);
  if (!node || node.IsNull()) return;
  if (both.size() != 2) wrong(key, "expects two numbers, [low, high]");
  if (ordered && both[0] > both[1]) wrong(key, "expects the smaller number first");
  into = {both[0], both[1]};
}

void FieldReader::values(const char* key, std::vector<double>& into, double low, double high) {
  YAML::Node node = take(key);
  if (!node || node.IsNull()) return;
  if (!node.IsSequence()) wrong(key, "expects a list of numbers");
  into.clear();
  for (const auto& item : node) {
    scalar(key, item, "numbers", into.emplace_back());
    if (!(into.back() >= low && into.back() <= high))
      wrong(key, "expects ", low, " to ", high, ", got ", into.back());
  }
}

void FieldReader::values(const char* key, std::vector<int64_t>& into, int64_t low, int64_t high) {
  YAML::Node node = take(key);
  if (!node || node.IsNull()) return;
  if (!node.IsSequence()) wrong(key, "expects a list of whole numbers");
  into.clear();
  for (const auto& item : node) {
    if (!read_integer(item, into.emplace_back())) wrong(key, "expects whole numbers");
    if (into.back() < low || into.back() > high)
      wrong(key, "expects ", low, " to ", high, ", got ", into.back());
  }
}

void FieldReader::values(const char* key, std::vector<std::string>& into) {
  YAML::Node node = take(key);
  if (!node || node.IsNull()) return;
  if (!node.IsSequence()) wrong(key, "expects a list of names");
  into.clear();
  for (const auto& item : node) scalar(key, item, "names", into.emplace_back());
}

void FieldReader::finish() const {
  if (!node_ || !node_.IsMap()) return;
  for (const auto& item : node_) {
    std::string key = item.first.Scalar();
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    fail(ErrorCode::invalid, source_.at(path_of(key), item.first), ": unknown key \"", path_of(key),
         "\"; the nearest known key is \"", path_of(nearest_name(key, known_)), "\"");
  }
}

std::string FieldWriter::text(double value) {
  char buffer[40];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return error == std::errc() ? std::string(buffer, end) : "0";
}

YAML::Node FieldWriter::list(const std::vector<std::string>& items) {
  YAML::Node node(YAML::NodeType::Sequence);
  for (const std::string& item : items) node.push_back(item);
  node.SetStyle(YAML::EmitterStyle::Flow);
  return node;
}

void FieldWriter::values(const char* key, std::vector<double>& from, double, double) {
  std::vector<std::string> items;
  for (double v : from) items.push_back(text(v));
  node_[key] = list(items);
}

void FieldWriter::values(const char* key, std::vector<int64_t>& from, int64_t, int64_t) {
  std::vector<std::string> items;
  for (int64_t v : from) items.push_back(std::to_string(v));
  node_[key] = list(items);
}

}  // namespace dgp
