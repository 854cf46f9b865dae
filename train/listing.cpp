#include "train/listing.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "tensor/file.h"
#include "train/lmdb_reader.h"

namespace dgp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kEndings[] = {".png", ".PNG", ".jpg", ".JPG", ".jpeg", ".JPEG", ".bmp", ".BMP"};
constexpr int64_t kMaxListBytes = int64_t{1} << 28;

// What '*' stands for in `file`; false when it does not match. A pattern without an image's ending says
// nothing of endings.
bool match(const std::string& pattern, std::string file, std::string& star) {
  star = fs::path(file).replace_extension().string();
  if (pattern.empty()) return true;
  if (!is_image_name(pattern)) file = star;
  const size_t at = pattern.find('*');
  const std::string before = pattern.substr(0, at), after = pattern.substr(at + 1);
  if (file.size() < before.size() + after.size() || !file.starts_with(before) || !file.ends_with(after))
    return false;
  star = file.substr(before.size(), file.size() - before.size() - after.size());
  return true;
}

bool is_foreign_image(const std::string& file) {
  std::string ending = fs::path(file).extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* foreign : {".tif", ".tiff", ".webp", ".heic", ".avif", ".gif", ".jxl", ".exr", ".ppm"})
    if (ending == foreign) return true;
  return false;
}

void add(Files& files, const std::string& name, const std::string& path, std::vector<Finding>& findings) {
  auto [at, fresh] = files.emplace(name, path);
  if (!fresh) findings.push_back({path, "name", "has the same name as " + at->second, true, name});
}

Files list_folder(const std::string& folder, const std::string& pattern, std::vector<Finding>& findings) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  Files found;
  if (error) {
    findings.push_back({folder, "folder", "cannot read the folder: " + error.message()});
    return found;
  }
  std::vector<std::string> paths;
  for (const auto& entry : entries)
    if (entry.is_regular_file(error)) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  std::string star;
  for (const std::string& path : paths) {
    const std::string file = fs::path(path).filename().string();
    if (file.starts_with(".") || !match(pattern, file, star)) continue;
    if (is_image_name(file))
      add(found, star, path, findings);
    else if (is_foreign_image(file))
      findings.push_back({path, "format", "is left alone: expected PNG, JPEG or BMP", false});
  }
  return found;
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r"), end = text.find_last_not_of(" \t\r");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

// "name.png (480,480,3)" and "name.png (480,480,3) 1" name name.png, which may hold spaces.
std::string without_size(const std::string& line) {
  const size_t open = line.rfind(" (");
  if (open == std::string::npos) return line;
  const size_t close = line.find(')', open);
  if (close == std::string::npos) return line;
  const bool size = line.find_first_not_of("0123456789, ", open + 2) == close;
  const bool level = line.find_first_not_of("0123456789 ", close + 1) == std::string::npos;
  return size && level ? trimmed(line.substr(0, open)) : line;
}

std::vector<std::string> lines_of(const std::string& path) {
  std::istringstream text(read_file(path, kMaxListBytes));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);)
    if (!(line = trimmed(line)).empty()) lines.push_back(line);
  return lines;
}

Files list_lmdb(const std::string& folder, const std::string& pattern, std::vector<Finding>& findings) {
  Files found;
  std::error_code none;
  std::string star;
  const std::string list = folder + "/meta_info.txt";
  std::vector<std::string> names;
  if (fs::is_regular_file(list, none)) {
    for (const std::string& line : lines_of(list)) names.push_back(without_size(line));
  } else {
    for (const std::string& key : lmdb_keys(folder)) names.push_back(key + ".png");
  }
  for (const std::string& name : names) {
    if (!match(pattern, name, star)) continue;
    const std::string key = fs::path(name).replace_extension().string();
    if (lmdb_has(folder, key))
      add(found, star, folder + "/" + key, findings);
    else
      findings.push_back(
          {folder + "/" + key, "name", "meta_info.txt names it, the LMDB has no such key", true, star});
  }
  return found;
}

bool exists(const std::string& path) {
  const auto [folder, key] = lmdb_parts(path);
  std::error_code none;
  return folder.empty() ? fs::is_regular_file(path, none) : !key.empty() && lmdb_has(folder, key);
}

// A listed file in a root; in an LMDB its key. Where a folder has no such file, one of another ending.
std::string in_root(const std::string& root, const std::string& file) {
  const fs::path stem = fs::path(file).replace_extension();
  if (const std::string folder = lmdb_parts(root).first; !folder.empty()) return folder + "/" + stem.string();
  const std::string path = (fs::path(root) / file).string();
  if (exists(path)) return path;
  for (const char* ending : kEndings)
    if (const std::string other = (fs::path(root) / stem).string() + ending; exists(other)) return other;
  return path;
}

// The LR file that belongs to an HR file: "*x4.png" makes 0001x4.png of 0001.png.
std::string partner_of(const std::string& file, const std::string& hr_pattern,
                       const std::string& lr_pattern) {
  if (lr_pattern.empty()) return file;
  const fs::path path(file);
  std::string star;
  if (!match(hr_pattern, path.filename().string(), star)) star = path.stem().string();
  std::string name = is_image_name(lr_pattern) ? lr_pattern : lr_pattern + path.extension().string();
  name.replace(name.find('*'), 1, star);
  return (path.parent_path() / name).string();
}

}  // namespace

Files list_root(const std::string& root, const std::string& pattern, std::vector<Finding>& findings) {
  const auto [folder, key] = lmdb_parts(root);
  if (folder.empty() || !key.empty()) return list_folder(root, pattern, findings);
  try {
    return list_lmdb(folder, pattern, findings);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::invalid) throw;
    findings.push_back(unreadable(folder, e, ""));
    findings.back().kind = "folder";
    return {};
  }
}

std::vector<PicturePaths> list_meta_info(const SourceConfig& source, std::vector<Finding>& findings) {
  std::vector<PicturePaths> found;
  Files names;
  for (const std::string& line : lines_of(source.meta_info)) {
    const size_t comma = line.find(", ");
    const bool two = comma != std::string::npos && is_image_name(line.substr(0, comma));
    const std::string file = two ? line.substr(0, comma) : without_size(line);
    PicturePaths p;
    p.name = fs::path(file).replace_extension().string();
    std::replace(p.name.begin(), p.name.end(), '/', '_');
    p.hr = in_root(source.hr, file);
    if (two)
      p.lr = in_root(source.lr.empty() ? source.hr : source.lr, trimmed(line.substr(comma + 2)));
    else if (!source.lr.empty())
      p.lr = in_root(source.lr, partner_of(file, source.hr_pattern, source.lr_pattern));
    const size_t before = findings.size();
    for (const std::string& path : {p.hr, p.lr})
      if (!path.empty() && !exists(path))
        findings.push_back(
            {path, "partner", "is not there, but " + source.meta_info + " names it", true, p.name});
    add(names, p.name, p.hr, findings);
    if (findings.size() == before) found.push_back(std::move(p));
  }
  if (names.empty()) findings.push_back({source.meta_info, "folder", "names no pictures"});
  return found;
}

}  // namespace dgp
