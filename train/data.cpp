#include "train/data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "image/image.h"
#include "image/resize.h"
#include "tensor/parallel.h"
#include "train/degrade.h"
#include "train/degrade_ops.h"

namespace dgp {
namespace fs = std::filesystem;
namespace {

// What '*' stands for in `name`, or nothing when it does not match.
bool match(const std::string& pattern, const std::string& name, std::string& star) {
  if (pattern.empty()) {
    star = fs::path(name).stem().string();
    return is_image_name(name);
  }
  size_t at = pattern.find('*');
  std::string before = pattern.substr(0, at), after = pattern.substr(at + 1);
  if (name.size() < before.size() + after.size() || !name.starts_with(before) || !name.ends_with(after))
    return false;
  star = name.substr(before.size(), name.size() - before.size() - after.size());
  return is_image_name(name);
}

std::map<std::string, std::string> list_folder(const std::string& folder, const std::string& pattern,
                                               std::vector<std::string>& problems) {
  std::error_code error;
  fs::directory_iterator files(folder, error);
  if (error) fail(ErrorCode::bad_file, folder, ": cannot read the folder: ", error.message());
  std::map<std::string, std::string> found;
  std::string star;
  for (const auto& entry : files) {
    std::string name = entry.path().filename().string();
    if (name.starts_with(".") || !entry.is_regular_file() || !match(pattern, name, star)) continue;
    auto [at, fresh] = found.emplace(star, entry.path().string());
    if (!fresh) problems.push_back(entry.path().string() + ": same name as " + at->second);
  }
  return found;
}

[[noreturn]] void fail_list(const std::string& what, std::vector<std::string> problems) {
  std::sort(problems.begin(), problems.end());
  std::string text = what;
  for (size_t i = 0; i < problems.size() && i < 50; ++i) text += "\n  " + problems[i];
  if (problems.size() > 50) text += "\n  and " + std::to_string(problems.size() - 50) + " more";
  fail(ErrorCode::bad_file, text);
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

Tensor cut_to_multiple(const Tensor& u8, int64_t s) {
  const int64_t H = u8.dim(0) / s * s, W = u8.dim(1) / s * s;
  if (H == u8.dim(0) && W == u8.dim(1)) return u8;
  Tensor cut({H, W, 3}, DType::u8);
  for (int64_t y = 0; y < H; ++y)
    std::copy_n(u8.data<uint8_t>() + y * u8.dim(1) * 3, W * 3, cut.data<uint8_t>() + y * W * 3);
  return cut;
}

std::string size_text(const Tensor& t) { return std::to_string(t.dim(1)) + "x" + std::to_string(t.dim(0)); }

// Square [y, y+n) x [x, x+n) of a picture, perhaps flipped and transposed, to floats in [0, 1].
template <class T>
void copy_square(const Tensor& picture, int64_t y, int64_t x, int64_t n, unsigned turn, float* out) {
  const int64_t W = picture.dim(1);
  const float unit = sizeof(T) == 1 ? 255.f : 1.f;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j, out += 3) {
      int64_t r = turn & 4 ? j : i, c = turn & 4 ? i : j;
      if (turn & 1) r = n - 1 - r;
      if (turn & 2) c = n - 1 - c;
      const T* from = picture.data<T>() + ((y + r) * W + x + c) * 3;
      for (int k = 0; k < 3; ++k) out[k] = static_cast<float>(from[k]) / unit;
    }
}

// LR pixels around a patch that are degraded with it. Two blurs of 21 pixels and sharpening reach far.
int64_t margin_of(const DegradeConfig& config, int64_t scale) {
  if (config.type == "ordered" || config.type == "shuffled") return std::max<int64_t>(64 / scale, 8);
  return scale == 1 ? 16 : 4;
}

}  // namespace

std::vector<PicturePaths> find_pictures(const SourceConfig& source) {
  std::vector<std::string> problems;
  auto hr = list_folder(source.hr, source.hr_pattern, problems);
  std::map<std::string, std::string> lr;
  if (!source.lr.empty()) lr = list_folder(source.lr, source.lr_pattern, problems);
  std::vector<PicturePaths> found;
  for (const auto& [name, path] : hr) {
    if (contains(source.skip, name) || (!source.only.empty() && !contains(source.only, name))) continue;
    auto partner = lr.find(name);
    if (!source.lr.empty() && partner == lr.end())
      problems.push_back(path + ": no partner in " + source.lr);
    else
      found.push_back({name, source.lr.empty() ? "" : partner->second, path});
  }
  for (const auto& [name, path] : lr)
    if (!hr.count(name)) problems.push_back(path + ": no partner in " + source.hr);
  for (const std::string& name : source.only)
    if (!hr.count(name)) problems.push_back(source.hr + ": no picture is called " + name);
  if (!problems.empty()) fail_list("pictures do not pair up:", problems);
  if (found.empty())
    fail(ErrorCode::bad_file, source.hr, ": no pictures",
         source.hr_pattern.empty() ? "" : " match " + source.hr_pattern);
  return found;
}

Dataset::Dataset(std::vector<SourceConfig> sources, int64_t scale, int64_t patch, int64_t cache_bytes)
    : sources_(std::move(sources)), scale_(scale), patch_(patch) {
  std::vector<std::pair<PicturePaths, size_t>> files;
  for (size_t s = 0; s < sources_.size(); ++s)
    for (PicturePaths& paths : find_pictures(sources_[s])) files.emplace_back(std::move(paths), s);
  std::vector<std::vector<Picture>> loaded(files.size());
  std::vector<std::string> problems;
  int64_t total = 0;
  std::mutex mutex;
  parallel_for(static_cast<int64_t>(files.size()), 1, [&](int64_t begin, int64_t) {
    auto i = static_cast<size_t>(begin);
    try {
      load(files[i].first, files[i].second, loaded[i]);
      std::lock_guard lock(mutex);
      for (const Picture& p : loaded[i]) total += p.hr.nbytes() + (p.lr.defined() ? p.lr.nbytes() : 0);
      if (total > cache_bytes) loaded[i].clear();
    } catch (const Error& e) {
      std::lock_guard lock(mutex);
      problems.emplace_back(e.what());
    }
  });
  if (!problems.empty()) fail_list("pictures that cannot be used:", problems);
  if (total > cache_bytes)
    fail(ErrorCode::limit, "the pictures take more than ", cache_bytes >> 20,
         " MiB decoded; raise data.cache");
  bytes_ = total;
  double sum = 0;
  for (auto& group : loaded)
    for (Picture& p : group) {
      cumulative_.push_back(sum += sources_[p.source].weight);
      pictures_.push_back(std::move(p));
    }
  check(sum > 0 || pictures_.empty(), "every root of pictures has weight 0");
}

void Dataset::load(const PicturePaths& paths, size_t source, std::vector<Picture>& into) const {
  Tensor hr = read_rgb8(paths.hr), lr;
  const auto refuse = [&](const std::string& path, const auto&... why) {
    fail(ErrorCode::bad_file, path, ": ", why...);
  };
  if (!paths.lr.empty()) {
    lr = read_rgb8(paths.lr);
    if (hr.dim(0) != lr.dim(0) * scale_ || hr.dim(1) != lr.dim(1) * scale_)
      refuse(paths.lr, "is ", size_text(lr), ", but its partner is ", size_text(hr), ", not ", scale_,
             " times as large");
  } else {
    hr = cut_to_multiple(hr, scale_);
  }
  const int64_t least = patch_ * scale_;
  if (hr.dim(0) < least || hr.dim(1) < least)
    refuse(paths.hr, "is ", size_text(hr), ", smaller than a patch of ", least, "x", least);
  if (lr.defined()) {
    into.push_back({paths.name, lr, hr, source});
    return;
  }
  for (double size : sources_[source].sizes) {
    Tensor copy = size == 1 ? hr : cut_to_multiple(to_u8(imresize(to_float(hr), size)), scale_);
    if (copy.dim(0) >= least && copy.dim(1) >= least) into.push_back({paths.name, {}, copy, source});
  }
}

Batch Dataset::batch(const Rng& rng, int64_t count, bool augment) const {
  const int64_t p = patch_, hp = patch_ * scale_;
  Batch batch{Tensor({count, p, p, 3}), Tensor({count, hp, hp, 3})};
  for (int64_t i = 0; i < count; ++i)
    sample(rng.split(static_cast<uint64_t>(i)), augment, batch.lr.data<float>() + i * p * p * 3,
           batch.hr.data<float>() + i * hp * hp * 3);
  return batch;
}

void Dataset::sample(Rng rng, bool augment, float* lr, float* hr) const {
  auto chosen = std::upper_bound(cumulative_.begin(), cumulative_.end(), rng.uniform() * cumulative_.back());
  const Picture& picture =
      pictures_[std::min(static_cast<size_t>(chosen - cumulative_.begin()), pictures_.size() - 1)];
  const int64_t s = scale_, p = patch_;
  const unsigned turn = augment ? static_cast<unsigned>(rng.below(8)) : 0;
  if (picture.lr.defined()) {
    int64_t y = rng.below(picture.lr.dim(0) - p + 1), x = rng.below(picture.lr.dim(1) - p + 1);
    copy_square<uint8_t>(picture.lr, y, x, p, turn, lr);
    copy_square<uint8_t>(picture.hr, y * s, x * s, p * s, turn, hr);
    return;
  }
  // The HR square is degraded with a margin around it, so that its borders come out as in the whole picture.
  const DegradeConfig& degrade_config = sources_[picture.source].degrade;
  const int64_t H = picture.hr.dim(0), W = picture.hr.dim(1), margin = margin_of(degrade_config, s);
  const int64_t y = rng.below(H - p * s + 1), x = rng.below(W - p * s + 1);
  const int64_t top = std::min(margin, y / s), left = std::min(margin, x / s);
  const int64_t rows = top + p + std::min(margin, (H - y) / s - p);
  const int64_t columns = left + p + std::min(margin, (W - x) / s - p);
  Tensor region({rows * s, columns * s, 3});
  for (int64_t r = 0; r < rows * s; ++r) {
    const uint8_t* from = picture.hr.data<uint8_t>() + ((y - top * s + r) * W + x - left * s) * 3;
    float* to = region.data<float>() + r * columns * s * 3;
    for (int64_t i = 0; i < columns * s * 3; ++i) to[i] = static_cast<float>(from[i]) / 255;
  }
  Tensor small = degrade(region, s, degrade_config, rng.split(1));
  copy_square<float>(small, top, left, p, turn, lr);
  if (degrade_config.type == "ordered" && degrade_config.usm)
    copy_square<float>(sharpen_usm(region), top * s, left * s, p * s, turn, hr);
  else
    copy_square<uint8_t>(picture.hr, y, x, p * s, turn, hr);
}

std::pair<Tensor, Tensor> Dataset::whole(size_t index) const {
  const Picture& picture = pictures_.at(index);
  if (picture.lr.defined()) return {picture.lr, picture.hr};
  Tensor lr = degrade(to_float(picture.hr), scale_, sources_[picture.source].degrade, Rng(1).split(index));
  return {to_u8(lr), picture.hr};
}

}  // namespace dgp
