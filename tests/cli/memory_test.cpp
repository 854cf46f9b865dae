// dgp upscale --max-memory as a process: the peak of its resident memory, as the system counts it, and that
// what it writes is what it writes without a limit.
#include <algorithm>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/image.h"
#include "models/state.h"
#include "tensor/npy.h"
#include "tests/cli/run.h"
#include "tests/infer/networks.h"
#include "tests/test.h"

using namespace dgp;

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCountsMemory = false;  // shadow memory is no memory of the program
#else
constexpr bool kCountsMemory = true;
#endif

struct Scene : TempFolder {
  explicit Scene(const DGPNetConfig& config) {
    DGPNet net = random_net(config, 3);
    save_model(path / "model.safetensors", net);
  }
  std::string upscale(const std::string& rest) const {
    return "upscale -q -m " + *this / "model.safetensors" + " " + rest;
  }
};

// Peak resident MiB of one run, which must succeed. A shell of its own starts it: a process begins with its
// starter's peak.
int64_t peak_of(const std::string& arguments) {
  std::string command = "'" DGP_PROGRAM "' " + arguments + "; exit $?";
  pid_t child = vfork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  struct rusage usage {};
  REQUIRE(wait4(child, &status, 0, &usage) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  return usage.ru_maxrss / 1024;
}

// A picture written row by row: a test must not need the memory that it denies the program.
void write_large(const std::string& path, int64_t height, int64_t width, int64_t channels) {
  ImageWriter writer(path, {width, height, channels, 8});
  Tensor row({1, width, channels});
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t i = 0; i < row.numel(); ++i)
      row.data<float>()[i] = static_cast<float>((i / 64 * 7 + y / 16 * 13 + i % 5) % 97) / 96;
    writer.rows(row);
  }
  writer.commit();
}

// Width of a PNG file, however large.
int64_t png_width(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char start[20] = {};
  file.read(start, sizeof start);
  int64_t width = 0;
  for (int i = 16; i < 20; ++i) width = width << 8 | static_cast<unsigned char>(start[i]);
  return width;
}

}  // namespace

TEST_CASE("a limit is kept, and changes no byte of a picture") {
  Scene scene({2, 24, 2, 3, 1});
  write_large(scene / "a.png", 1300, 1100, 3);
  std::string input = scene / "a.png" + " -o ";
  int64_t free_peak = peak_of(scene.upscale(input + scene / "free.png"));
  for (int64_t limit : {80, 120, 200}) {
    CAPTURE(limit, free_peak);
    int64_t peak =
        peak_of(scene.upscale(input + scene / "b.png" + " --max-memory " + std::to_string(limit) + "M"));
    if (kCountsMemory) CHECK(peak <= limit * 11 / 10);
    CHECK(contents(scene / "b.png") == contents(scene / "free.png"));
  }
  if (kCountsMemory) CHECK(free_peak > 220);
}

TEST_CASE("a limit is kept for every kind of file") {
  Scene scene({2, 16, 1, 3, 1});
  std::filesystem::create_directory(scene.path / "in");
  for (const char* name : {"grey.png", "greya.png", "rgb.png", "rgba.png", "rgb.bmp", "rgba.bmp"}) {
    std::string kind = name;
    int64_t channels = (kind.starts_with("rgb") ? 3 : 1) + (kind.find("a.") != std::string::npos ? 1 : 0);
    write_large(scene / ("in/" + kind), 900, 1000, channels);
  }
  NpyWriter array(scene / "in/x.npy", DType::f32, {2, 3, 800, 900});
  Tensor part = random_tensor({800, 900}, 1, -1, 2);
  for (int64_t p = 0; p < 6; ++p) array.write(p * part.numel(), part.numel(), part.data<float>());
  array.commit();
  std::string input = scene / "in" + " -o ";
  int64_t free_peak = peak_of(scene.upscale(input + scene / "free" + " --tile off"));
  int64_t peak = peak_of(scene.upscale(input + scene / "kept" + " --max-memory 64M"));
  if (kCountsMemory) CHECK(peak <= 70);
  if (kCountsMemory) CHECK(free_peak > 100);
  for (const auto& entry : std::filesystem::directory_iterator(scene.path / "in")) {
    std::string name = entry.path().filename();
    CAPTURE(name);
    CHECK(contents(scene / ("kept/" + name)) == contents(scene / ("free/" + name)));
  }
}

TEST_CASE("limits that cannot be kept, and sizes that are none") {
  Scene scene({2, 16, 1, 3, 1});
  write_large(scene / "a.png", 300, 400, 3);
  std::string rest = scene / "a.png" + " -o " + scene / "b.png" + " ";
  Outcome low = dgp_run(scene.upscale(rest + "--max-memory 1M"));
  CHECK(low.status == 4);
  CHECK_THAT(low.err, ContainsSubstring("at least") && ContainsSubstring("a.png"));
  for (const char* size : {"0", "-1G", "many", "1X", "12 M", "M", "1e30"})
    CHECK(dgp_run(scene.upscale(rest + "--max-memory '" + size + "'")).status == 2);
  for (const char* size : {"none", "1G", "0.5GiB", "400000000", "500000K"})
    CHECK(dgp_run(scene.upscale(rest + "--max-memory " + size)).status == 0);
}

TEST_CASE("where there is no room for temporary files, that is the error") {
  Scene scene({2, 24, 2, 3, 1});
  write_large(scene / "a.png", 1300, 1100, 3);
  std::string rest = scene / "a.png" + " -o " + scene / "b.png" + " --max-memory 80M";
  Outcome outcome = dgp_run(scene.upscale(rest), "TMPDIR=/nowhere");
  CHECK(outcome.status == 5);
  CHECK_THAT(outcome.err, ContainsSubstring("/nowhere") && ContainsSubstring("TMPDIR"));
  CHECK(!std::filesystem::exists(scene.path / "b.png"));
}

// Whether two files are the same, a piece at a time: what this process has once held counts for those it
// starts.
bool same_files(const std::string& a, const std::string& b) {
  std::ifstream files[] = {std::ifstream(a, std::ios::binary), std::ifstream(b, std::ios::binary)};
  std::vector<char> piece[2];
  while (files[0] && files[1]) {
    for (int i : {0, 1}) {
      piece[i].resize(1 << 20);
      files[i].read(piece[i].data(), 1 << 20);
      piece[i].resize(static_cast<size_t>(files[i].gcount()));
    }
    if (piece[0] != piece[1]) return false;
  }
  return files[0].eof() && files[1].eof();
}

// Hidden: it takes a minute and 2 GB of disk. `make test-large` runs it.
TEST_CASE("16384 x 16384 pixels stream in and out within a limit", "[.large]") {
  Scene enlarge({4, 8, 1, 3, 1}), restore({1, 8, 1, 3, 4});
  write_large(enlarge / "a.png", 4096, 4096, 3);
  std::string large = enlarge / "large.png";
  int64_t peak = peak_of(enlarge.upscale(enlarge / "a.png" + " -o " + large + " --max-memory 128M"));
  if (kCountsMemory) CHECK(peak <= 140);
  CHECK(png_width(large) == 16384);
  peak_of(enlarge.upscale(enlarge / "a.png" + " -o " + enlarge / "free.png --tile off"));
  CHECK(same_files(large, enlarge / "free.png"));

  write_large(restore / "a.png", 16384, 16384, 3);
  peak = peak_of(restore.upscale(restore / "a.png" + " -o " + restore / "b.png --max-memory 256M"));
  if (kCountsMemory) CHECK(peak <= 281);
  CHECK(png_width(restore / "b.png") == 16384);
}
