#include "train/event_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "tensor/error.h"

namespace dgp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kBefore = "events.out.tfevents.";

std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
    table[i] = crc;
  }
  return table;
}

std::string little_endian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}

// Protocol buffers: a key (number and wire type), then the value.
std::string varint(uint64_t value) {
  std::string text;
  for (; value > 127; value >>= 7) text += static_cast<char>((value & 127) | 128);
  return text + static_cast<char>(value);
}
std::string integer(int number, int64_t value) {
  return varint(static_cast<uint64_t>(number) << 3) + varint(static_cast<uint64_t>(value));
}
std::string real(int number, double value) {
  return varint(static_cast<uint64_t>(number) << 3 | 1) + little_endian(std::bit_cast<uint64_t>(value), 8);
}
std::string real32(int number, float value) {
  return varint(static_cast<uint64_t>(number) << 3 | 5) + little_endian(std::bit_cast<uint32_t>(value), 4);
}
std::string bytes(int number, std::string_view value) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(value.size()) + std::string(value);
}

std::string event(double wall_time, int64_t step, const std::string& what) {
  return real(1, wall_time) + (step != 0 ? integer(2, step) : "") + what;
}

uint32_t big_endian(const std::string& text, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(text.at(at + i));
  return value;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::vector<fs::path> event_files(const std::string& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().starts_with(kBefore)) found.push_back(entry.path());
  return found;
}

// Files are read in the order of their names: the time in seconds, or later than the latest there.
std::string next_name(const std::string& folder) {
  int64_t time = static_cast<int64_t>(now());
  const size_t skip = std::strlen(kBefore);
  for (const fs::path& file : event_files(folder))
    time = std::max<int64_t>(time, 1 + std::atoll(file.filename().string().substr(skip).c_str()));
  return folder + "/" + kBefore + std::to_string(time) + ".dgp";
}

}  // namespace

uint32_t crc32c(std::string_view text) {
  static const std::array<uint32_t, 256> table = crc_table();
  uint32_t crc = ~0U;
  for (char c : text) crc = crc >> 8 ^ table[(crc ^ static_cast<uint8_t>(c)) & 255];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view text) {
  const uint32_t crc = crc32c(text);
  return std::rotr(crc, 15) + 0xa282ead8U;
}

std::string version_event(double wall_time) { return event(wall_time, 0, bytes(3, "brain.Event:2")); }

std::string start_event(double wall_time, int64_t step) {
  return event(wall_time, step, bytes(7, integer(1, 1)));  // SessionLog, status START
}

std::string scalars_event(double wall_time, int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars)
    summary += bytes(1, bytes(1, tag) + real32(2, static_cast<float>(value)));
  return event(wall_time, step, bytes(5, summary));
}

std::string image_event(double wall_time, int64_t step, const std::string& tag, const std::string& png) {
  check(png.size() > 24 && png.starts_with("\x89PNG"), "image_event: expects a PNG file's bytes");
  const std::string image = integer(1, big_endian(png, 20)) + integer(2, big_endian(png, 16)) +
                            integer(3, 3) + bytes(4, png);  // height, width, colours
  return event(wall_time, step, bytes(5, bytes(1, bytes(1, tag) + bytes(4, image))));
}

std::string framed(std::string_view message) {
  const std::string length = little_endian(message.size(), 8);
  return length + little_endian(masked_crc32c(length), 4) + std::string(message) +
         little_endian(masked_crc32c(message), 4);
}

EventFile::EventFile(const std::string& folder, int64_t step) : path_(next_name(folder)) {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd_ < 0) fail(ErrorCode::io, path_, ": cannot open: ", std::strerror(errno));
  append(version_event(now()));
  if (step > 0) append(start_event(now(), step));
}

EventFile::~EventFile() { ::close(fd_); }

void EventFile::scalars(int64_t step, const Scalars& scalars) { append(scalars_event(now(), step, scalars)); }

void EventFile::image(int64_t step, const std::string& tag, const std::string& png) {
  append(image_event(now(), step, tag, png));
}

void EventFile::append(const std::string& event) {
  const std::string record = framed(event);
  const off_t before = ::lseek(fd_, 0, SEEK_END);
  for (size_t done = 0; done < record.size();) {
    const ssize_t n = ::write(fd_, record.data() + done, record.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int error = errno;
      if (::ftruncate(fd_, before) == 0) errno = error;  // half a record would hide all that follow
      fail(ErrorCode::io, path_, ": cannot write: ", errno == ENOSPC ? "disk full" : std::strerror(errno));
    }
    done += static_cast<size_t>(n);
  }
}

void remove_event_files(const std::string& folder) {
  for (const fs::path& file : event_files(folder)) {
    std::error_code ignored;
    fs::remove(file, ignored);
  }
}

}  // namespace dgp
