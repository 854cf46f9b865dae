// TensorBoard's event files: TFRecord frames (u64 length, masked CRC-32C of it, data, masked CRC-32C of that;
// all little-endian) around protocol buffers of TensorFlow's Event, encoded by hand. Only what a run needs:
// scalars, PNG images, and the mark of a new session, upon which TensorBoard forgets what the last one wrote
// too far.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dgp {

uint32_t crc32c(std::string_view bytes);  // Castagnoli's polynomial, as in RFC 3720
uint32_t masked_crc32c(std::string_view bytes);

using Scalars = std::vector<std::pair<std::string, double>>;  // tags and values

// Messages and their frame, for the file and for tests. wall_time: seconds since 1970.
std::string version_event(double wall_time);  // the first of a file
std::string start_event(double wall_time, int64_t step);
std::string scalars_event(double wall_time, int64_t step, const Scalars& scalars);
std::string image_event(double wall_time, int64_t step, const std::string& tag, const std::string& png);
std::string framed(std::string_view message);

class EventFile {
 public:
  // A new file in the folder, named to come after those that are there. `step`: of the first event to come;
  // from it on, what older files hold is void.
  EventFile(const std::string& folder, int64_t step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  // Each is in the file, whole, when the call returns. Error(io) when it cannot be written.
  void scalars(int64_t step, const Scalars& scalars);
  void image(int64_t step, const std::string& tag, const std::string& png);

 private:
  void append(const std::string& event);

  std::string path_;
  int fd_ = -1;
};

void remove_event_files(const std::string& folder);

}  // namespace dgp
