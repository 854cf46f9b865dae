#include "cli/pairs.h"

#include <map>
#include <optional>

#include "image/image.h"
#include "tensor/error.h"

namespace dgp {
namespace fs = std::filesystem;

namespace {

constexpr size_t kListed = 5;  // names in a message

// What the '*' of the pattern stands for in this file name; without a pattern the stem.
std::optional<std::string> name_of(const fs::path& file, const std::string& pattern) {
  std::string text = file.filename().string();
  if (pattern.empty()) return is_image_name(text) ? std::optional(file.stem().string()) : std::nullopt;
  size_t star = pattern.find('*');
  std::string before = pattern.substr(0, star), after = pattern.substr(star + 1);
  if (text.size() <= before.size() + after.size() || !text.starts_with(before) || !text.ends_with(after))
    return std::nullopt;
  return text.substr(before.size(), text.size() - before.size() - after.size());
}

std::map<std::string, fs::path> pictures(const PictureSource& source) {
  check(source.pattern.empty() || source.pattern.find('*') == source.pattern.rfind('*'), "pattern '",
        source.pattern, "': expects exactly one *");
  check(source.pattern.empty() || source.pattern.find('*') != std::string::npos, "pattern '", source.pattern,
        "': expects exactly one *");
  if (!fs::exists(source.folder)) fail(ErrorCode::bad_file, source.folder, ": no such folder");
  std::map<std::string, fs::path> found;
  if (fs::is_regular_file(source.folder)) return {{fs::path(source.folder).stem().string(), source.folder}};
  for (const fs::directory_entry& entry : fs::directory_iterator(source.folder)) {
    std::optional<std::string> name = name_of(entry.path(), source.pattern);
    if (!name || !entry.is_regular_file()) continue;
    auto [other, fresh] = found.emplace(*name, entry.path());
    if (!fresh)
      fail(ErrorCode::bad_file, entry.path().string(), " and ", other->second.string(), " are both called ",
           *name);
  }
  if (found.empty())
    fail(ErrorCode::bad_file, source.folder, ": no images",
         source.pattern.empty() ? "" : " that match " + source.pattern);
  return found;
}

// "a.png, b.png and 3 more", the pictures of `some` that `others` has no partner for.
std::string lonely(const std::map<std::string, fs::path>& some,
                   const std::map<std::string, fs::path>& others) {
  std::string text;
  size_t count = 0;
  for (const auto& [name, path] : some) {
    if (others.contains(name) || ++count > kListed) continue;
    text += (text.empty() ? "" : ", ") + path.string();
  }
  return count > kListed ? text + " and " + std::to_string(count - kListed) + " more" : text;
}

}  // namespace

std::vector<Pair> find_pairs(const PictureSource& hr, const PictureSource& lr) {
  std::vector<Pair> pairs;
  std::map<std::string, fs::path> high = pictures(hr), low;
  if (!lr.folder.empty()) {
    low = pictures(lr);
    if (high.size() == 1 && low.size() == 1 && fs::is_regular_file(hr.folder) &&
        fs::is_regular_file(lr.folder))
      return {{high.begin()->first, low.begin()->second, high.begin()->second}};
    std::string alone = lonely(high, low), unused = lonely(low, high);
    if (!alone.empty()) fail(ErrorCode::bad_file, "no low-resolution partner for ", alone);
    if (!unused.empty()) fail(ErrorCode::bad_file, "no high-resolution partner for ", unused);
  }
  for (const auto& [name, path] : high)
    pairs.push_back({name, low.empty() ? fs::path() : low.at(name), path});
  return pairs;
}

}  // namespace dgp
