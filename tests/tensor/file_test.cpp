// Reading with limits, and writing that leaves the old file or the new one, never anything between.
#include "tensor/file.h"

#include <csignal>
#include <functional>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tensor/error.h"
#include "tests/temp_folder.h"
#include "tests/test.h"

using namespace dgp;

namespace {

ErrorCode code_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    INFO(e.what());
    return e.code();
  }
  FAIL("nothing was thrown");
  return ErrorCode::invalid;
}

}  // namespace

TEST_CASE("a written file reads back, replaced as a whole, without leftovers") {
  TempFolder folder;
  std::string path = folder / "a.bin";
  write_file(path, "first");
  std::string big(1 << 20, 'x');
  big[12345] = '\0';
  write_file(path, big);
  CHECK(read_file(path) == big);
  write_file(path, "");
  CHECK(read_file(path).empty());
  CHECK(folder.entries() == 1);
}

TEST_CASE("a file that is not committed leaves the old one and no temporary") {
  TempFolder folder;
  std::string path = folder / "a.bin";
  write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
    CHECK(read_file(path) == "old");
    CHECK(folder.entries() == 2);
  }
  CHECK(read_file(path) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("two writers of one name do not disturb each other") {
  TempFolder folder;
  std::string path = folder / "a.bin";
  AtomicFile one(path), two(path);
  one.write("one");
  two.write("two");
  one.commit();
  CHECK(read_file(path) == "one");
  two.commit();
  CHECK(read_file(path) == "two");
  CHECK(folder.entries() == 1);
}

TEST_CASE("permissions are kept, links are followed, the longest name works") {
  TempFolder folder;
  std::string path = folder / "a.bin";
  write_file(path, "old");
  REQUIRE(chmod(path.c_str(), 0640) == 0);
  std::filesystem::create_symlink("a.bin", folder / "link");
  write_file(folder / "link", "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(read_file(path) == "new");
  struct stat info;
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0640);
  write_file(folder / std::string(255, 'n'), "long");
  CHECK(folder.entries() == 3);
}

TEST_CASE("what cannot be written is an I/O error") {
  TempFolder folder;
  CHECK(code_of([&] { write_file(folder / "no/such/folder.bin", "x"); }) == ErrorCode::io);
  std::filesystem::create_directory(folder / "sub");
  CHECK(code_of([&] { write_file(folder / "sub", "x"); }) == ErrorCode::io);
  CHECK(code_of([&] { write_file("/dev/null", "x"); }) == ErrorCode::io);
  AtomicFile file(folder / "done");
  file.commit();
  CHECK(code_of([&] { file.write("x"); }) == ErrorCode::invalid);
  CHECK(code_of([&] { file.commit(); }) == ErrorCode::invalid);
}

TEST_CASE("a write that fails half way keeps the old file") {
  TempFolder folder;
  std::string path = folder / "a.bin";
  write_file(path, "old");
  // A limit on the size of files stands in for a full disk: the write stops part way.
  rlimit before;
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  ErrorCode code = code_of([&] { write_file(path, std::string(5000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(code == ErrorCode::io);
  CHECK(read_file(path) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("reading refuses what is missing, too large or not a regular file") {
  TempFolder folder;
  CHECK(code_of([&] { read_file(folder / "missing"); }) == ErrorCode::bad_file);
  CHECK(code_of([&] { read_file(folder.path.string()); }) == ErrorCode::bad_file);
  CHECK(code_of([&] { read_file("/dev/zero"); }) == ErrorCode::bad_file);
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(code_of([&] { read_file(folder / "pipe"); }) == ErrorCode::bad_file);
  write_file(folder / "ten", "0123456789");
  CHECK(read_file(folder / "ten", 10).size() == 10);
  CHECK(code_of([&] { read_file(folder / "ten", 9); }) == ErrorCode::bad_file);
  CHECK_THROWS_WITH(read_file(folder / "missing"), ContainsSubstring("missing: cannot open"));
}

TEST_CASE("crc32 is zlib's and PNG's") {
  CHECK(dgp::crc32("123456789", 9) == 0xcbf43926u);
  CHECK(dgp::crc32("6789", 4, dgp::crc32("12345", 5)) == 0xcbf43926u);
  CHECK(dgp::crc32("IEND", 4) == 0xae426082u);
}
