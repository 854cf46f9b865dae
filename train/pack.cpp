// Packed pictures: written once, group by group so that only a few are in memory, and mapped from then on.
#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tensor/file.h"
#include "tensor/parallel.h"
#include "train/pictures.h"

namespace dgp {
namespace {

using nlohmann::json;

constexpr std::string_view kMagic = "DGPPACK1";
constexpr int64_t kAlign = 64, kFooter = 32;
constexpr int64_t kGroup = 32;  // files decoded side by side before they are written

struct Mapping {
  void* address = MAP_FAILED;
  size_t size = 0;
  ~Mapping() {
    if (address != MAP_FAILED) munmap(address, size);
  }
};

std::shared_ptr<Mapping> map_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  auto mapping = std::make_shared<Mapping>();
  if (fd >= 0 && fstat(fd, &info) == 0 && info.st_size > 0) {
    mapping->size = static_cast<size_t>(info.st_size);
    mapping->address = mmap(nullptr, mapping->size, PROT_READ, MAP_SHARED, fd, 0);
  }
  const int why = errno;
  if (fd >= 0) ::close(fd);
  if (mapping->address == MAP_FAILED)
    fail(ErrorCode::io, path, ": cannot be mapped into memory: ", std::strerror(why));
  return mapping;
}

// Of a key, to compare and to name a file by.
std::string print_of(const std::string& key) {
  char text[64];
  std::snprintf(text, sizeof text, "%zu-%08x-%08x", key.size(), crc32(key.data(), key.size()),
                crc32(key.data(), key.size(), 0x9E3779B9));
  return text;
}

[[noreturn]] void refuse(const std::string& path) {
  fail(ErrorCode::bad_file, path, ": is damaged or no pack of dgp's; delete it, and it is made again");
}

Pixels pixels_at(const std::shared_ptr<Mapping>& mapping, const json& place, int64_t end,
                 const std::string& path) {
  if (place.is_null()) return {};
  const auto offset = place.at(0).get<int64_t>(), height = place.at(1).get<int64_t>(),
             width = place.at(2).get<int64_t>();
  const bool sound = offset >= 0 && height > 0 && width > 0 && height <= kMaxSide && width <= kMaxSide &&
                     offset <= end && height * width * 3 <= end - offset;
  if (!sound) refuse(path);
  return {height, width,
          std::shared_ptr<const uint8_t>(mapping, static_cast<const uint8_t*>(mapping->address) + offset)};
}

std::vector<Picture> open_pack(const std::string& path, const std::string& print) {
  const auto mapping = map_file(path);
  const auto size = static_cast<int64_t>(mapping->size);
  const char* bytes = static_cast<const char*>(mapping->address);
  if (size < kFooter || std::string_view(bytes + size - 8, 8) != kMagic) refuse(path);
  uint64_t footer[3];
  std::memcpy(footer, bytes + size - kFooter, sizeof footer);
  const uint64_t end = static_cast<uint64_t>(size - kFooter);
  if (footer[0] > end || footer[1] != end - footer[0]) refuse(path);
  const std::string_view index(bytes + footer[0], footer[1]);
  if (crc32(index.data(), index.size()) != footer[2]) refuse(path);
  std::vector<Picture> pictures;
  try {
    const json all = json::parse(index);
    if (all.at("key") != print) refuse(path);
    for (const json& p : all.at("pictures"))
      pictures.push_back({p.at("name"), pixels_at(mapping, p.at("lr"), static_cast<int64_t>(footer[0]), path),
                          pixels_at(mapping, p.at("hr"), static_cast<int64_t>(footer[0]), path),
                          p.at("source")});
  } catch (const json::exception&) {
    refuse(path);
  }
  return pictures;
}

class PackWriter {
 public:
  explicit PackWriter(const std::string& path) : file_(path) {}

  void add(const Picture& p) {
    const json lr = place(p.lr), hr = place(p.hr);
    pictures_.push_back({{"name", p.name}, {"source", p.source}, {"lr", lr}, {"hr", hr}});
  }
  void finish(const std::string& print) {
    const std::string index =
        json{{"key", print}, {"pictures", pictures_}}.dump(-1, ' ', false, json::error_handler_t::replace);
    const uint64_t footer[3] = {static_cast<uint64_t>(at_), index.size(), crc32(index.data(), index.size())};
    file_.write(index);
    file_.write(footer, sizeof footer);
    file_.write(kMagic);
    file_.commit();
  }

 private:
  json place(const Pixels& x) {
    if (!x.defined()) return nullptr;
    const json where = {at_, x.height, x.width};
    file_.write(x.at.get(), static_cast<size_t>(x.bytes()));
    const std::string gap(static_cast<size_t>((kAlign - x.bytes() % kAlign) % kAlign), '\0');
    file_.write(gap);
    at_ += x.bytes() + static_cast<int64_t>(gap.size());
    return where;
  }
  AtomicFile file_;
  int64_t at_ = 0;
  json pictures_ = json::array();
};

}  // namespace

std::vector<Picture> packed_pictures(const std::string& folder, const std::string& key, size_t files,
                                     const MakePictures& make,
                                     const std::function<void(const std::string&)>& tell) {
  const std::string print = print_of(key), path = folder + "/" + print + ".pack";
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) return open_pack(path, print);
  std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorCode::io, folder, ": cannot make the folder: ", error.message());
  if (tell) tell("packing the pictures of " + std::to_string(files) + " files into " + path);
  PackWriter writer(path);
  bool whole = true;
  const auto count = static_cast<int64_t>(files);
  for (int64_t first = 0; first < count; first += kGroup) {
    std::vector<std::vector<Picture>> group(static_cast<size_t>(std::min(kGroup, count - first)));
    parallel_for(static_cast<int64_t>(group.size()), 1, [&](int64_t i, int64_t) {
      group[static_cast<size_t>(i)] = make(static_cast<size_t>(first + i));
    });
    for (const auto& pictures : group) {
      whole = whole && !pictures.empty();
      for (const Picture& p : pictures) writer.add(p);
    }
  }
  if (!whole) return {};
  writer.finish(print);
  return open_pack(path, print);
}

}  // namespace dgp
