// Packed pictures give the bits of those in memory, are made once, and a damaged pack is refused.
#include <filesystem>

#include "tensor/file.h"
#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/loader.h"

using namespace dgp;
namespace fs = std::filesystem;

namespace {

bool same(const Tensor& a, const Tensor& b) {
  return std::equal(a.bytes(), a.bytes() + a.nbytes(), b.bytes());
}

std::vector<std::string> packs(const std::string& folder) {
  std::vector<std::string> all;
  for (const auto& entry : fs::directory_iterator(folder)) all.push_back(entry.path().string());
  return all;
}

}  // namespace

TEST_CASE("batches from a pack are those from memory, pairs and shrunk copies alike") {
  TempFolder temp;
  write_pictures(temp / "hr", 3, 48, 52);
  write_pictures(temp / "lr", 3, 24, 26);
  write_pictures(temp / "photos", 40, 60, 44);
  const std::vector<SourceConfig> sources = {{.lr = temp / "lr", .hr = temp / "hr"},
                                             {.hr = temp / "photos", .sizes = {1, 0.7}}};
  LoadOptions options{2, 12, 1 << 24};
  Dataset memory(sources, options);
  int told = 0;
  options.pack = temp / "pack", options.memory = 1;
  options.tell = [&](const std::string&) { ++told; };
  for (int run = 0; run < 2; ++run) {
    Dataset packed(sources, options);
    CHECK(packed.pictures().size() == memory.pictures().size());
    CHECK(packed.bytes() == memory.bytes());
    for (uint64_t i = 0; i < 10; ++i) {
      const Batch a = memory.batch(Rng(5).split(i), 4), b = packed.batch(Rng(5).split(i), 4);
      CHECK(same(a.lr, b.lr));
      CHECK(same(a.hr, b.hr));
    }
  }
  CHECK(told == 1);  // the second run maps what the first wrote
  CHECK(packs(temp / "pack").size() == 1);

  write_image(temp / "photos/p1.png", {test_picture(62, 44, 99), 8});  // a picture changes: another pack
  Dataset changed(sources, options);
  CHECK(told == 2);
  CHECK(changed.bytes() != memory.bytes());
}

TEST_CASE("a pack with any byte of its index changed, or cut off, is refused; faults leave none") {
  TempFolder temp;
  write_pictures(temp / "hr", 2, 24, 24);
  const std::vector<SourceConfig> sources = {{.hr = temp / "hr"}};
  LoadOptions options{2, 12, 1, temp / "pack"};
  Dataset first(sources, options);
  const std::string file = packs(temp / "pack").at(0), sound = read_file(file);
  const size_t pixels = 2 * 24 * 24 * 3;
  for (size_t at = pixels; at < sound.size(); at += 3) {
    std::string bytes = sound;
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    write_file(file, bytes);
    INFO(at);
    CHECK_THROWS_AS(Dataset(sources, options), Error);
  }
  for (size_t size : {size_t{0}, size_t{10}, pixels, sound.size() - 1}) {
    write_file(file, sound.substr(0, size));
    CHECK_THROWS_AS(Dataset(sources, options), Error);
  }
  write_file(file, sound);
  CHECK(Dataset(sources, options).bytes() == first.bytes());

  fs::remove_all(temp / "pack");
  write_file(temp / "hr/p1.png", "no picture");
  try {
    Dataset(sources, options);
    FAIL("accepted");
  } catch (const Error& e) {
    CHECK_THAT(e.what(), ContainsSubstring("p1.png: expected a PNG"));
  }
  CHECK(packs(temp / "pack").empty());
}

TEST_CASE("a trainer that waits for data is told what to do, and one that does not is left alone") {
  TrainConfig config;
  config.data.train = {SourceConfig{.hr = "x"}};
  config.data.workers = 1;
  CHECK(waiting_advice(config, 0.05, 8).empty());
  CHECK_THAT(waiting_advice(config, 0.2, 8), ContainsSubstring("20%") && ContainsSubstring("data.workers"));
  config.data.workers = 8;
  CHECK_THAT(waiting_advice(config, 0.2, 8), !ContainsSubstring("data.workers"));
  config.data.train[0].degrade = degrade_preset("realesrgan");
  CHECK_THAT(waiting_advice(config, 0.2, 8), ContainsSubstring("data.pool"));
}
