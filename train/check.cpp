#include "train/check.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "tensor/file.h"
#include "tensor/parallel.h"
#include "train/loader.h"
#include "train/network.h"
#include "train/validate.h"

namespace dgp {
namespace {

// What two files share that are likely the same: size and the checksum of their beginning.
using Print = std::pair<int64_t, uint32_t>;

struct Looked {  // at one file
  ImageInfo info;
  Print print;
};

// An ending that is not what the format's is means that the file was cut off, or goes on: decoding tells.
bool ends_well(const std::string& end, const char* format) {
  if (std::string_view(format) == "PNG") return end == std::string_view("\0\0\0\0IEND\xAE\x42\x60\x82", 12);
  return std::string_view(format) == "JPEG" && end.ends_with("\xFF\xD9");
}

std::optional<Looked> look(const std::string& path, const std::string& name, bool decode, Finding& finding) {
  try {
    Looked found{picture_info(path), {}};
    const PictureFile file = picture_file(path);
    if (decode || !ends_well(file.end, found.info.format)) read_picture(path);
    found.print = {file.size, crc32(file.beginning.data(), file.beginning.size())};
    return found;
  } catch (const Error& e) {
    finding = unreadable(path, e, name);
    return {};
  }
}

void note_kind(const std::string& path, const ImageInfo& info, std::vector<Finding>& findings) {
  if (info.channels == 2 || info.channels == 4)
    findings.push_back({path, "alpha", "has transparency, which is ignored", false});
  if (info.channels <= 2) findings.push_back({path, "grey", "is grey: red, green and blue are alike", false});
  if (info.depth == 16)
    findings.push_back({path, "depth", "has 16 bits a sample, which are rounded to 8", false});
}

// What is known of one picture after its files were looked at.
struct Entry {
  PicturePaths paths;
  std::vector<Finding> findings = {};
  std::vector<std::pair<std::string, Print>> prints = {};
  int64_t bytes = 0, patches = 0;
  bool usable = false;
};

int64_t patches_of(int64_t H, int64_t W, int64_t side) { return (H / side) * (W / side); }

// Adds a picture's shrunk copies, which are kept decoded beside it.
void count_copies(Entry& e, const SourceConfig& source, const PictureSize& hr, int64_t scale, int64_t patch) {
  for (double size : source.sizes) {
    const auto shrunk = [&](int64_t n) {
      n = n / scale * scale;
      return size == 1 ? n : static_cast<int64_t>(std::ceil(static_cast<double>(n) * size)) / scale * scale;
    };
    const int64_t H = shrunk(hr.height), W = shrunk(hr.width);
    if (H < patch * scale || W < patch * scale) continue;
    e.bytes += H * W * 3;
    e.patches += patches_of(H, W, patch * scale);
  }
}

void examine(Entry& e, const SourceConfig& source, int64_t scale, int64_t patch, bool decode) {
  Finding finding;
  const auto hr = look(e.paths.hr, e.paths.name, decode, finding);
  if (!hr) e.findings.push_back(finding);
  std::optional<Looked> lr;
  if (!e.paths.lr.empty() && !(lr = look(e.paths.lr, e.paths.name, decode, finding)))
    e.findings.push_back(finding);
  if (!hr || (!e.paths.lr.empty() && !lr)) return;
  const PictureSize hr_size{hr->info.height, hr->info.width};
  const PictureSize lr_size = lr ? PictureSize{lr->info.height, lr->info.width} : PictureSize{};
  if (size_problem(e.paths, lr ? &lr_size : nullptr, hr_size, scale, patch, finding)) {
    e.findings.push_back(finding);
    return;
  }
  e.usable = true;
  note_kind(e.paths.hr, hr->info, e.findings);
  e.prints.emplace_back(e.paths.hr, hr->print);
  if (!lr) {
    count_copies(e, source, hr_size, scale, patch);
    e.usable = e.bytes > 0;
    if (!e.usable)
      e.findings.push_back(
          {e.paths.hr, "small", "is smaller than a patch at every one of its sizes", true, e.paths.name});
    return;
  }
  note_kind(e.paths.lr, lr->info, e.findings);
  e.prints.emplace_back(e.paths.lr, lr->print);
  e.bytes = 3 * (hr_size.height * hr_size.width + lr_size.height * lr_size.width);
  e.patches = patches_of(lr_size.height, lr_size.width, patch);
}

// Says of every file with the bytes of one before it that it has. Whole files are read only where size and
// beginning are the same.
class Twins {
 public:
  void look_at(const std::string& path, const Print& print, const std::string& where, SourceCheck& source) {
    auto& candidates = seen_[print];
    for (const auto& [other, place] : candidates)
      if (other == path || same_bytes(other, path)) {
        const bool leak = place.starts_with("data.") && where.starts_with("validate.");
        source.findings.push_back(
            {path, leak ? "leak" : "same",
             "is the same picture as " + (other == path ? "one" : other) + " of " + place, false});
        return;
      }
    candidates.emplace_back(path, where);
  }

 private:
  static bool same_bytes(const std::string& a, const std::string& b) {
    return picture_bytes(a) == picture_bytes(b);
  }
  std::map<Print, std::vector<std::pair<std::string, std::string>>> seen_;
};

SourceCheck check_source(const SourceConfig& source, const std::string& where, int64_t scale, int64_t patch,
                         bool decode, Twins& twins) {
  SourceCheck result{where, source.hr, !source.lr.empty()};
  std::vector<Entry> entries;
  for (PicturePaths& paths : find_pictures(source, result.findings)) entries.push_back({std::move(paths)});
  result.pictures = static_cast<int64_t>(entries.size());
  parallel_for(result.pictures, 1, [&](int64_t i, int64_t) {
    examine(entries[static_cast<size_t>(i)], source, scale, patch, decode);
  });
  for (Entry& e : entries) {
    result.findings.insert(result.findings.end(), e.findings.begin(), e.findings.end());
    result.usable += e.usable;
    result.bytes += e.bytes;
    result.patches += e.patches;
    for (const auto& [path, print] : e.prints) twins.look_at(path, print, where, result);
  }
  return result;
}

int64_t parameters_of(const TrainConfig& config) { return parameter_count(*make_network(config)); }

}  // namespace

int64_t DataCheck::problems() const {
  int64_t count = 0;
  for (const SourceCheck& source : sources)
    count += std::count_if(source.findings.begin(), source.findings.end(),
                           [](const Finding& f) { return f.problem; });
  return count;
}

DataCheck check_data(const TrainConfig& config, bool decode) {
  DataCheck result;
  result.decoded = decode;
  result.packed = !config.data.pack.empty();
  result.cache = config.data.cache << 20;
  const int64_t scale = config.model.scale, patch = config.data.patch;
  Twins twins;
  for (size_t i = 0; i < config.data.train.size(); ++i) {
    result.sources.push_back(
        check_source(config.data.train[i], "data.train." + std::to_string(i), scale, patch, decode, twins));
    result.pixel_bytes[0] += result.sources.back().bytes;
    result.patches += result.sources.back().patches;
  }
  for (size_t i = 0; i < config.validate.data.size(); ++i) {
    result.sources.push_back(check_source(config.validate.data[i], "validate.data." + std::to_string(i),
                                          scale, least_validation_size(config), decode, twins));
    result.pixel_bytes[1] += result.sources.back().bytes;
  }
  result.samples = config.iterations * config.accumulate * config.data.batch;
  const int64_t sample_bytes = 12 * patch * patch * (1 + scale * scale);  // three f32 a pixel
  result.batch_bytes = (kBatchesAhead + config.data.workers) * config.data.batch * sample_bytes;
  result.weight_bytes = 5 * 4 * parameters_of(config);
  return result;
}

TrainConfig without_bad(const TrainConfig& config, const DataCheck& check) {
  TrainConfig result = config;
  std::vector<SourceConfig*> sources;
  for (SourceConfig& s : result.data.train) sources.push_back(&s);
  for (SourceConfig& s : result.validate.data) sources.push_back(&s);
  for (size_t i = 0; i < sources.size(); ++i) {
    const SourceCheck& found = check.sources.at(i);
    if (found.usable == 0)
      fail(ErrorCode::bad_file, found.where, ": ", found.folder, ": no picture is left that can be used");
    std::set<std::string> bad;
    for (const Finding& f : found.findings)
      if (f.problem && !f.name.empty()) bad.insert(f.name);
    std::erase_if(sources[i]->only, [&](const std::string& name) { return bad.count(name) > 0; });
    for (const std::string& name : bad) sources[i]->skip.push_back(name);
  }
  return result;
}

}  // namespace dgp
