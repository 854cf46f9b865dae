// Pictures as public data sets come: suffixes in one folder, two folders, lists in both of BasicSR's forms,
// LMDB; and how often each root is drawn.
#include "train/sources.h"

#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tests/test.h"
#include "tests/train/pictures.h"
#include "train/data.h"
#include "train/lmdb_reader.h"
#ifdef DGP_LMDB
#include <lmdb.h>
#endif

using namespace dgp;

namespace {

void write_pair(const std::string& lr, const std::string& hr, int64_t scale, uint64_t seed) {
  for (const std::string& path : {lr, hr})
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  write_image(lr, {test_picture(16, 20, seed), 8});
  write_image(hr, {test_picture(16 * scale, 20 * scale, seed), 8});
}

// "name lr hr" of every picture, paths without the folder of the test; findings as "kind file".
std::vector<std::string> pairs(const TempFolder& temp, const SourceConfig& source) {
  std::vector<Finding> findings;
  std::vector<std::string> list;
  const auto shown = [&](const std::string& path) {
    return path.empty() ? "-" : std::filesystem::relative(path, temp.path).string();
  };
  for (const PicturePaths& p : find_pictures(source, findings))
    list.push_back(p.name + " " + shown(p.lr) + " " + shown(p.hr));
  for (const Finding& f : findings) list.push_back(f.kind + " " + shown(f.file));
  return list;
}

using List = std::vector<std::string>;

}  // namespace

TEST_CASE("RealSR, DRealSR and City100 pair up as they are published") {
  TempFolder temp;
  for (const char* n : {"001", "002"}) {  // RealSR v3: one folder for each camera and scale
    const std::string base = temp / "RealSR(V3)/Canon/Train/4/Canon_" + std::string(n);
    write_pair(base + "_LR4.png", base + "_HR.png", 1, 1);
    const std::string city = temp / "City100/" + std::string(n);  // one folder
    write_pair(city + "L.png", city + "H.png", 1, 2);
    // DRealSR: two folders, suffixes that differ, LR smaller by the scale
    write_pair(temp / "Train_x4/train_LR/panasonic_" + n + "_x1.png",
               temp / "Train_x4/train_HR/panasonic_" + n + "_x4.png", 4, 3);
  }
  const std::string v3 = temp / "RealSR(V3)/Canon/Train/4";
  const SourceConfig realsr{.lr = v3, .hr = v3, .lr_pattern = "*_LR4.png", .hr_pattern = "*_HR.png"};
  const SourceConfig city{
      .lr = temp / "City100", .hr = temp / "City100", .lr_pattern = "*L.png", .hr_pattern = "*H.png"};
  const SourceConfig drealsr{.lr = temp / "Train_x4/train_LR",
                             .hr = temp / "Train_x4/train_HR",
                             .lr_pattern = "*_x1.png",
                             .hr_pattern = "*_x4.png"};
  CHECK(
      pairs(temp, realsr) ==
      List{"Canon_001 RealSR(V3)/Canon/Train/4/Canon_001_LR4.png RealSR(V3)/Canon/Train/4/Canon_001_HR.png",
           "Canon_002 RealSR(V3)/Canon/Train/4/Canon_002_LR4.png RealSR(V3)/Canon/Train/4/Canon_002_HR.png"});
  CHECK(pairs(temp, city) ==
        List{"001 City100/001L.png City100/001H.png", "002 City100/002L.png City100/002H.png"});
  CHECK(pairs(temp, drealsr) ==
        List{"panasonic_001 Train_x4/train_LR/panasonic_001_x1.png Train_x4/train_HR/panasonic_001_x4.png",
             "panasonic_002 Train_x4/train_LR/panasonic_002_x1.png Train_x4/train_HR/panasonic_002_x4.png"});
  CHECK(Dataset({realsr, city}, 1, 16, 1 << 24).pictures().size() == 4);
  CHECK(Dataset({drealsr}, 4, 16, 1 << 24).pictures().size() == 2);
  try {
    Dataset({drealsr}, 2, 8, 1 << 24);
    FAIL("accepted");
  } catch (const Error& e) {
    CHECK_THAT(e.what(), ContainsSubstring("not 2 times as large; it would be for model.scale: 4"));
  }
}

TEST_CASE("meta_info lists are read in both forms, and what they name must be there") {
  TempFolder temp;
  for (const char* n : {"0001_s001", "0001 s002", "0002_s001"})
    write_pair(temp / "DIV2K/X2/" + n + "x2.png", temp / "DIV2K/HR/" + n + ".png", 2, 4);
  write_file(temp / "list.txt",
             "0001_s001.png (32,40,3)\r\n0001 s002.png (32, 40, 3) 1\n\n0009.png (32,40,3)\n");
  SourceConfig source{.lr = temp / "DIV2K/X2",
                      .hr = temp / "DIV2K/HR",
                      .lr_pattern = "*x2.png",
                      .meta_info = temp / "list.txt"};
  CHECK(pairs(temp, source) == List{"0001_s001 DIV2K/X2/0001_s001x2.png DIV2K/HR/0001_s001.png",
                                    "0001 s002 DIV2K/X2/0001 s002x2.png DIV2K/HR/0001 s002.png",
                                    "partner DIV2K/HR/0009.png", "partner DIV2K/X2/0009x2.png"});
  source.lr.clear();
  CHECK(pairs(temp, source).at(0) == "0001_s001 - DIV2K/HR/0001_s001.png");
  // Real-ESRGAN's: two paths a line, both relative to one root; a changed ending is found.
  write_file(temp / "list.txt",
             "HR/0001_s001.jpg, X2/0001_s001x2.png\nHR/0002_s001.png, X2/0002_s001x2.png\n");
  source.hr = temp / "DIV2K";
  CHECK(pairs(temp, source) == List{"HR_0001_s001 DIV2K/X2/0001_s001x2.png DIV2K/HR/0001_s001.png",
                                    "HR_0002_s001 DIV2K/X2/0002_s001x2.png DIV2K/HR/0002_s001.png"});
  source.only = {"HR_0002_s001"};
  CHECK(pairs(temp, source).size() == 1);
  source.meta_info = temp / "none.txt";
  CHECK(pairs(temp, source) == List{"folder none.txt"});
}

TEST_CASE(
    "a root's share of the samples does not depend on its number of pictures; weights are per picture") {
  TempFolder temp;
  for (int i = 0; i < 6; ++i)  // red tells the root
    for (const char* root : {"a", "b", "c"}) {
      if (root[0] == 'a' && i >= 2) continue;
      std::filesystem::create_directories(temp / root);
      write_image(temp / root + std::string("/") + std::to_string(i) + ".png",
                  {Tensor::full({16, 16, 3}, root[0] == 'a'   ? 0
                                             : root[0] == 'b' ? 0.4
                                                              : 0.8),
                   8});
    }
  const auto drawn = [&](const std::vector<SourceConfig>& sources) {
    Dataset data(sources, 1, 8, 1 << 20);
    std::array<double, 3> counts{};
    Tensor lr({8, 8, 3}), hr({8, 8, 3});
    constexpr int kDraws = 20000;
    for (uint64_t i = 0; i < kDraws; ++i) {
      data.sample(Rng(1).split(i), AugmentConfig::none(), lr.data<float>(), hr.data<float>());
      counts[static_cast<size_t>(std::lround(hr.data<float>()[0] / 0.4))] += 1.0 / kDraws;
    }
    return counts;
  };
  SourceConfig a{.hr = temp / "a"}, b{.hr = temp / "b"}, c{.hr = temp / "c"};
  b.weight = 2, c.weight = 0.5;
  const double error = 0.015;         // more than four deviations of a share near 1/2
  auto by_weight = drawn({a, b, c});  // 2, 12, 3 of 17
  CHECK(by_weight[0] == Approx(2.0 / 17).margin(error));
  CHECK(by_weight[1] == Approx(12.0 / 17).margin(error));
  a.share = 0.5;
  auto shared = drawn({a, b, c});  // half; the rest 12 : 3
  CHECK(shared[0] == Approx(0.5).margin(error));
  CHECK(shared[1] == Approx(0.4).margin(error));
  CHECK(shared[2] == Approx(0.1).margin(error));
}

#ifdef DGP_LMDB
namespace {
void write_lmdb(const std::string& folder, const std::vector<std::pair<std::string, std::string>>& values) {
  std::filesystem::create_directories(folder);
  MDB_env* env = nullptr;
  MDB_txn* transaction = nullptr;
  MDB_dbi table = 0;
  REQUIRE(mdb_env_create(&env) == 0);
  REQUIRE(mdb_env_set_mapsize(env, 1 << 20) == 0);
  REQUIRE(mdb_env_open(env, folder.c_str(), 0, 0644) == 0);
  REQUIRE(mdb_txn_begin(env, nullptr, 0, &transaction) == 0);
  REQUIRE(mdb_dbi_open(transaction, nullptr, 0, &table) == 0);
  for (const auto& [key, value] : values) {
    MDB_val k{key.size(), const_cast<char*>(key.data())}, v{value.size(), const_cast<char*>(value.data())};
    REQUIRE(mdb_put(transaction, table, &k, &v, 0) == 0);
  }
  REQUIRE(mdb_txn_commit(transaction) == 0);
  mdb_env_close(env);
}
}  // namespace

TEST_CASE("an LMDB as BasicSR writes it gives the pictures that went in") {
  TempFolder temp;
  REQUIRE(lmdb_built());
  std::vector<std::pair<std::string, std::string>> lr, hr;
  for (const char* n : {"baboon", "comic"}) {
    write_pair(temp / "lr/" + n + ".png", temp / "hr/" + n + ".png", 2, n[0]);
    lr.emplace_back(n, read_file(temp / "lr/" + n + ".png"));
    hr.emplace_back(n, read_file(temp / "hr/" + n + ".png"));
  }
  write_lmdb(temp / "lr.lmdb", lr);
  write_lmdb(temp / "hr.lmdb", hr);
  write_file(temp / "hr.lmdb/meta_info.txt", "baboon.png (32,40,3) 1\ncomic.png (32,40,3) 1\n");
  const SourceConfig source{.lr = temp / "lr.lmdb/", .hr = temp / "hr.lmdb"};  // one without a list
  CHECK(pairs(temp, source) ==
        List{"baboon lr.lmdb/baboon hr.lmdb/baboon", "comic lr.lmdb/comic hr.lmdb/comic"});
  Dataset from_lmdb({source}, 2, 8, 1 << 24),
      from_folder({{.lr = temp / "lr", .hr = temp / "hr"}}, 2, 8, 1 << 24);
  const Batch a = from_lmdb.batch(Rng(3), 4), b = from_folder.batch(Rng(3), 4);
  CHECK(std::equal(a.hr.bytes(), a.hr.bytes() + a.hr.nbytes(), b.hr.bytes()));
  CHECK(std::equal(a.lr.bytes(), a.lr.bytes() + a.lr.nbytes(), b.lr.bytes()));
  CHECK(picture_info(temp / "hr.lmdb/comic").width == 40);

  write_file(temp / "list.txt", "comic.png (32,40,3)\nlenna.png (32,40,3)\n");
  CHECK(pairs(temp, {.lr = temp / "lr.lmdb", .hr = temp / "hr.lmdb", .meta_info = temp / "list.txt"}) ==
        List{"comic lr.lmdb/comic hr.lmdb/comic", "partner hr.lmdb/lenna", "partner lr.lmdb/lenna"});
  write_file(temp / "hr.lmdb/meta_info.txt", "baboon.png (32,40,3) 1\nlenna.png (32,40,3) 1\n");
  CHECK(pairs(temp, source) ==
        List{"baboon lr.lmdb/baboon hr.lmdb/baboon", "name hr.lmdb/lenna", "partner lr.lmdb/comic"});
  std::filesystem::create_directories(temp / "no.lmdb");
  CHECK(pairs(temp, {.hr = temp / "no.lmdb"}) == List{"folder no.lmdb"});
}
#else
TEST_CASE("a build without LMDB says what to do") {
  TempFolder temp;
  try {
    pairs(temp, {.hr = temp / "hr.lmdb"});
    FAIL("accepted");
  } catch (const Error& e) {
    CHECK(e.code() == ErrorCode::invalid);
    CHECK_THAT(e.what(), ContainsSubstring("liblmdb-dev"));
  }
}
#endif
