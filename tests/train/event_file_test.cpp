// TensorBoard's event files: published checksums, and the bytes that the tensorboard package writes
// (tests/reference/event_vectors.py).
#include "train/event_file.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/trainer.h"

using namespace dgp;

namespace {

std::string hex(const std::string& bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (char c : bytes) text += digits[static_cast<uint8_t>(c) >> 4], text += digits[c & 15];
  return text;
}

std::string unhex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  return bytes;
}

std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().find("tfevents") != std::string::npos) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

// The messages of a file of whole, sound records.
std::vector<std::string> messages(const std::string& path) {
  const std::string file = read_file(path);
  std::vector<std::string> all;
  for (size_t at = 0; at < file.size();) {
    uint64_t length = 0;
    for (size_t i = 0; i < 8; ++i)
      length |= static_cast<uint64_t>(static_cast<uint8_t>(file.at(at + i))) << (8 * i);
    all.push_back(file.substr(at + 12, length));
    REQUIRE(file.substr(at, 16 + length) == framed(all.back()));
    at += 16 + length;
  }
  return all;
}

int count_of(const std::vector<std::string>& all, const std::string& part) {
  int count = 0;
  for (const std::string& message : all) count += message.find(part) != std::string::npos;
  return count;
}

}  // namespace

TEST_CASE("CRC-32C has the values of RFC 3720") {
  CHECK(crc32c("123456789") == 0xe3069283U);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aaU);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43U);
  std::string up, down;
  for (int i = 0; i < 32; ++i) up += static_cast<char>(i), down += static_cast<char>(31 - i);
  CHECK(crc32c(up) == 0x46dd794eU);
  CHECK(crc32c(down) == 0x113fdb5cU);
  // TensorFlow's mask: rotated right by 15, and a constant added.
  CHECK(masked_crc32c("123456789") == ((0xe3069283U >> 15 | 0xe3069283U << 17) + 0xa282ead8U));
}

TEST_CASE("event records are the bytes that the tensorboard package writes") {
  const auto golden = nlohmann::json::parse(std::ifstream(DGP_SOURCE_DIR "/tests/golden/events.json"));
  const double time = golden["time"];
  Scalars scalars;
  for (const auto& pair : golden["scalars"]) scalars.emplace_back(pair[0], pair[1]);
  const auto& records = golden["records"];
  CHECK(hex(framed(version_event(time))) == records["version"]);
  CHECK(hex(framed(start_event(time, 301))) == records["start"]);
  CHECK(hex(framed(scalars_event(time, 70000, scalars))) == records["scalars"]);
  CHECK(hex(framed(image_event(time, 12, "validation/p0", unhex(golden["png"])))) == records["image"]);
  CHECK_THROWS_AS(image_event(time, 12, "x", "no picture"), Error);
}

TEST_CASE("a run writes what metrics.jsonl says for TensorBoard too, and a new file when it goes on") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.iterations = 4, config.checkpoint.every = 4;
  config.validate.data = config.data.train, config.validate.every = 2, config.validate.border = 2;
  config.validate.images = 1;
  train(config);
  auto files = event_files(config.folder());
  REQUIRE(files.size() == 1);
  auto all = messages(files[0]);
  CHECK(all[0].find("brain.Event:2") != std::string::npos);
  CHECK(count_of(all, "train/loss") == 2);
  CHECK(count_of(all, "speed/share_waiting_for_data") == 2);
  CHECK(count_of(all, "validation/psnr_y") == 2);
  CHECK(count_of(all, "baseline/ssim_rgb") == 2);
  CHECK(count_of(all, "balance/body.0.struct_to_stat/idg") == 2);
  CHECK(count_of(all, "validation/p0") == 2);

  config.iterations = 6;
  train(config, {}, true);
  files = event_files(config.folder());
  REQUIRE(files.size() == 2);
  all = messages(files[1]);
  CHECK(hex(all[1]).ends_with("10053a020801"));  // step 5, a new session
  CHECK(count_of(all, "train/loss") == 1);
}
