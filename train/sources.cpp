#include "train/sources.h"

#include <algorithm>
#include <set>

#include "tensor/file.h"
#include "train/listing.h"
#include "train/lmdb_reader.h"

namespace dgp {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// Of two listings, what has a partner; what has none is a problem.
std::vector<PicturePaths> paired(const SourceConfig& source, std::vector<Finding>& findings) {
  const Files hr = list_root(source.hr, source.hr_pattern, findings);
  Files lr;
  if (!source.lr.empty()) lr = list_root(source.lr, source.lr_pattern, findings);
  std::vector<PicturePaths> found;
  for (const auto& [name, path] : hr) {
    auto partner = lr.find(name);
    if (!source.lr.empty() && partner == lr.end())
      findings.push_back({path, "partner", "has no partner in " + source.lr, true, name});
    else
      found.push_back({name, source.lr.empty() ? "" : partner->second, path});
  }
  for (const auto& [name, path] : lr)
    if (!hr.count(name)) findings.push_back({path, "partner", "has no partner in " + source.hr, true, name});
  if (hr.empty())
    findings.push_back(
        {source.hr, "folder",
         "no PNG, JPEG or BMP pictures" + (source.hr_pattern.empty() ? "" : " match " + source.hr_pattern)});
  return found;
}

std::vector<PicturePaths> listed(const SourceConfig& source, std::vector<Finding>& findings) {
  try {
    return list_meta_info(source, findings);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::invalid) throw;
    findings.push_back(unreadable(source.meta_info, e, ""));
    findings.back().kind = "folder";
    return {};
  }
}

}  // namespace

std::vector<PicturePaths> find_pictures(const SourceConfig& source, std::vector<Finding>& findings) {
  std::vector<Finding> all;
  std::vector<PicturePaths> found = source.meta_info.empty() ? paired(source, all) : listed(source, all);
  for (const Finding& f : all)
    if (f.kind == "folder") {
      findings.push_back(f);
      return {};
    }
  const auto wanted = [&](const std::string& name) {
    return !contains(source.skip, name) && (source.only.empty() || contains(source.only, name));
  };
  std::set<std::string> names;
  for (const PicturePaths& p : found) names.insert(p.name);
  for (const Finding& f : all) {
    names.insert(f.name);
    if (f.name.empty() || wanted(f.name)) findings.push_back(f);
  }
  for (const std::string& name : source.only)
    if (!names.count(name))
      findings.push_back({source.hr, "name", "no picture is called " + name + " (only:)", true, name});
  std::erase_if(found, [&](const PicturePaths& p) { return !wanted(p.name); });
  return found;
}

PictureFile picture_file(const std::string& path) {
  constexpr int64_t kBeginning = 1 << 16, kEnd = 12;
  const auto [folder, key] = lmdb_parts(path);
  if (!key.empty()) {
    const std::string bytes = lmdb_value(folder, key);
    return {static_cast<int64_t>(bytes.size()), bytes.substr(0, kBeginning),
            bytes.substr(bytes.size() - std::min<size_t>(bytes.size(), kEnd))};
  }
  const FileReader file(path, kMaxFileBytes);
  const auto part = [&](int64_t offset, int64_t count) {
    std::string bytes(static_cast<size_t>(count), '\0');
    file.read(offset, bytes.data(), bytes.size());
    return bytes;
  };
  const int64_t end = std::min(kEnd, file.size());
  return {file.size(), part(0, std::min(kBeginning, file.size())), part(file.size() - end, end)};
}

std::string picture_bytes(const std::string& path) {
  const auto [folder, key] = lmdb_parts(path);
  return key.empty() ? read_file(path, kMaxFileBytes) : lmdb_value(folder, key);
}

ImageInfo picture_info(const std::string& path) {
  const auto [folder, key] = lmdb_parts(path);
  return key.empty() ? image_info(path) : image_info(lmdb_value(folder, key), path);
}

Tensor read_picture(const std::string& path) { return decode_rgb8(picture_bytes(path), path); }

Finding unreadable(const std::string& path, const Error& error, const std::string& name) {
  std::string text = error.what();
  if (text.starts_with(path + ": ")) text.erase(0, path.size() + 2);
  return {path, "unreadable", text, true, name};
}

namespace {
std::string text(const PictureSize& s) { return std::to_string(s.width) + "x" + std::to_string(s.height); }
}  // namespace

bool size_problem(const PicturePaths& paths, const PictureSize* lr, const PictureSize& hr, int64_t scale,
                  int64_t patch, Finding& finding) {
  finding.name = paths.name, finding.problem = true;
  if (lr != nullptr && (hr.height != lr->height * scale || hr.width != lr->width * scale)) {
    finding.file = paths.lr, finding.kind = "ratio";
    finding.text = "is " + text(*lr) + ", but its partner " + paths.hr + " is " + text(hr) + ", not " +
                   std::to_string(scale) + " times as large";
    for (int64_t s = 1; s <= 8; ++s)
      if (hr.height == lr->height * s && hr.width == lr->width * s)
        finding.text += "; it would be for model.scale: " + std::to_string(s);
    return true;
  }
  const int64_t least = patch * scale;
  if (hr.height / scale * scale >= least && hr.width / scale * scale >= least) return false;
  finding.file = paths.hr, finding.kind = "small";
  finding.text = "is " + text(hr) + ", smaller than a patch of " + text({least, least});
  return true;
}

void fail_on_problems(const std::string& what, std::vector<Finding> findings) {
  std::erase_if(findings, [](const Finding& f) { return !f.problem; });
  if (findings.empty()) return;
  constexpr size_t kMost = 50;
  std::sort(findings.begin(), findings.end(),
            [](const Finding& a, const Finding& b) { return a.file < b.file; });
  std::string text = what;
  for (size_t i = 0; i < findings.size() && i < kMost; ++i) {
    const Finding& f = findings[i];
    text += "\n  " + f.file + ": " + f.text;
  }
  if (findings.size() > kMost) text += "\n  and " + std::to_string(findings.size() - kMost) + " more";
  fail(ErrorCode::bad_file, text);
}

}  // namespace dgp
