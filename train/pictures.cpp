#include "train/pictures.h"

#include <algorithm>
#include <filesystem>
#include <mutex>

#include "image/image.h"
#include "image/resize.h"
#include "tensor/parallel.h"
#include "train/lmdb_reader.h"

namespace dgp {
namespace {

struct Listed {
  PicturePaths paths;
  size_t source;
};

Tensor cut_to_multiple(const Tensor& u8, int64_t s) {
  const int64_t H = u8.dim(0) / s * s, W = u8.dim(1) / s * s;
  if (H == u8.dim(0) && W == u8.dim(1)) return u8;
  Tensor cut({H, W, 3}, DType::u8);
  for (int64_t y = 0; y < H; ++y)
    std::copy_n(u8.data<uint8_t>() + y * u8.dim(1) * 3, W * 3, cut.data<uint8_t>() + y * W * 3);
  return cut;
}

Picture picture_of(const Listed& file, const Tensor& lr, const Tensor& hr) {
  Picture p;
  p.name = file.paths.name, p.source = file.source;
  if (lr.defined()) p.lr = pixels_of(lr);
  p.hr = pixels_of(hr);
  return p;
}

// A picture and its shrunk copies; nothing, and what is wrong, when it cannot be used.
std::vector<Picture> decode(const Listed& file, const SourceConfig& source, const LoadOptions& o,
                            Finding& finding) {
  const PicturePaths& paths = file.paths;
  Tensor hr, lr;
  const std::string* reading = &paths.hr;
  try {
    hr = read_picture(paths.hr);
    if (!paths.lr.empty()) lr = read_picture(*(reading = &paths.lr));
  } catch (const Error& e) {
    finding = unreadable(*reading, e, paths.name);
    return {};
  }
  const PictureSize hr_size{hr.dim(0), hr.dim(1)};
  const PictureSize lr_size = lr.defined() ? PictureSize{lr.dim(0), lr.dim(1)} : PictureSize{};
  if (size_problem(paths, lr.defined() ? &lr_size : nullptr, hr_size, o.scale, o.patch, finding)) return {};
  if (lr.defined()) return {picture_of(file, lr, hr)};
  hr = cut_to_multiple(hr, o.scale);
  std::vector<Picture> copies;
  for (double size : source.sizes) {
    const Tensor copy = size == 1 ? hr : cut_to_multiple(to_u8(imresize(to_float(hr), size)), o.scale);
    if (copy.dim(0) >= o.patch * o.scale && copy.dim(1) >= o.patch * o.scale)
      copies.push_back(picture_of(file, {}, copy));
  }
  if (copies.empty())
    finding = {paths.hr, "small", "is smaller than a patch at every one of its sizes", true, paths.name};
  return copies;
}

int64_t bytes_of(const std::vector<Picture>& pictures) {
  int64_t sum = 0;
  for (const Picture& p : pictures) sum += p.hr.bytes() + p.lr.bytes();
  return sum;
}

// All that the pixels of a pack depend on. A file that was written anew has another time.
std::string pack_key(const std::vector<Listed>& files, const std::vector<SourceConfig>& sources,
                     const LoadOptions& o) {
  std::string key = std::to_string(o.scale) + " " + std::to_string(o.patch) + "\n";
  for (const SourceConfig& source : sources) {
    for (double size : source.sizes) key += std::to_string(size) + " ";
    key += "\n";
  }
  for (const Listed& file : files)
    for (const std::string& path : {file.paths.hr, file.paths.lr}) {
      if (path.empty()) continue;
      const auto [folder, value] = lmdb_parts(path);
      const std::string on_disk = value.empty() ? path : folder + "/data.mdb";
      std::error_code none;
      key += std::to_string(file.source) + " " + path + " " +
             std::to_string(std::filesystem::file_size(on_disk, none)) + " " +
             std::to_string(std::filesystem::last_write_time(on_disk, none).time_since_epoch().count()) +
             "\n";
    }
  return key;
}

std::vector<Picture> decode_into_memory(const std::vector<Listed>& files,
                                        const std::vector<SourceConfig>& sources, const LoadOptions& o) {
  std::vector<std::vector<Picture>> loaded(files.size());
  std::vector<Finding> findings;
  int64_t total = 0;
  std::mutex mutex;
  parallel_for(static_cast<int64_t>(files.size()), 1, [&](int64_t begin, int64_t) {
    const auto i = static_cast<size_t>(begin);
    Finding finding;
    loaded[i] = decode(files[i], sources[files[i].source], o, finding);
    std::lock_guard lock(mutex);
    if (loaded[i].empty()) findings.push_back(finding);
    total += bytes_of(loaded[i]);
    if (total > o.memory) loaded[i].clear();
  });
  fail_on_problems("pictures that cannot be used:", findings);
  if (total > o.memory)
    fail(ErrorCode::limit, "the pictures take more than ", o.memory >> 20,
         " MiB decoded; raise data.cache, or set data.pack to a folder for decoded pictures, which are then "
         "mapped from disk");
  std::vector<Picture> all;
  for (auto& group : loaded) std::move(group.begin(), group.end(), std::back_inserter(all));
  return all;
}

}  // namespace

Pixels pixels_of(const Tensor& u8) {
  const auto kept = std::make_shared<Tensor>(u8);
  return {u8.dim(0), u8.dim(1), std::shared_ptr<const uint8_t>(kept, u8.data<uint8_t>())};
}

Tensor Pixels::tensor() const {
  Tensor copy({height, width, 3}, DType::u8);
  std::copy_n(at.get(), bytes(), copy.data<uint8_t>());
  return copy;
}

std::vector<Picture> load_pictures(const std::vector<SourceConfig>& sources, const LoadOptions& o) {
  std::vector<Listed> files;
  std::vector<Finding> findings;
  for (size_t s = 0; s < sources.size(); ++s)
    for (PicturePaths& paths : find_pictures(sources[s], findings)) files.push_back({std::move(paths), s});
  fail_on_problems("pictures do not pair up:", findings);
  if (o.pack.empty()) return decode_into_memory(files, sources, o);
  std::mutex mutex;
  const auto make = [&](size_t i) {  // goes on after a fault: a list is worth more than the first of it
    Finding finding;
    auto pictures = decode(files[i], sources[files[i].source], o, finding);
    std::lock_guard lock(mutex);
    if (pictures.empty()) findings.push_back(finding);
    return pictures;
  };
  auto pictures = packed_pictures(o.pack, pack_key(files, sources, o), files.size(), make, o.tell);
  fail_on_problems("pictures that cannot be used:", findings);
  return pictures;
}

}  // namespace dgp
