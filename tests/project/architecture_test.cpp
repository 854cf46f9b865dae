// The folders are layers: tensor <- autograd <- ops <- models <- {infer, report <- train} <- cli, and image
// on tensor alone. A file includes its own layer and those it stands on. This reads every #include and names
// each that does not.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/test.h"

namespace fs = std::filesystem;

namespace {

const std::map<std::string, std::set<std::string>> kStandsOn = {
    {"tensor", {}},
    {"autograd", {"tensor"}},
    {"ops", {"tensor", "autograd"}},
    {"models", {"tensor", "autograd", "ops"}},
    {"image", {"tensor"}},
    {"infer", {"tensor", "autograd", "ops", "models", "image"}},
    {"report", {"tensor", "autograd", "ops", "models", "image"}},
    {"train", {"tensor", "autograd", "ops", "models", "image", "report"}},
    {"bench", {"tensor", "autograd", "ops", "models", "image", "infer", "report", "train", "cli"}},
    {"cli", {"tensor", "autograd", "ops", "models", "image", "infer", "report", "train", "bench"}},
};

std::vector<std::string> includes_of(std::istream& source) {
  static const std::regex quoted(R"re(^\s*#\s*include\s*"([^"]+)".*)re");
  std::vector<std::string> result;
  std::smatch match;
  for (std::string line; std::getline(source, line);)
    if (std::regex_match(line, match, quoted)) result.push_back(match[1]);
  return result;
}

// Empty when a file of `folder` may include `path`, else what is wrong with it.
std::string objection(const std::string& folder, const std::string& path) {
  std::string target = path.substr(0, path.find('/'));
  if (!kStandsOn.count(target)) return "is not written from the root of the repository";
  if (target != folder && !kStandsOn.at(folder).count(target)) return "points against the layers";
  return "";
}

}  // namespace

TEST_CASE("includes flow one way") {
  int files = 0;
  for (const auto& [folder, below] : kStandsOn) {
    fs::path root = fs::path(DGP_SOURCE_DIR) / folder;
    if (!fs::exists(root)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      auto extension = entry.path().extension();
      if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh") continue;
      std::ifstream source(entry.path());
      ++files;
      for (const std::string& path : includes_of(source)) {
        INFO(fs::relative(entry.path(), DGP_SOURCE_DIR).string() << " includes \"" << path << "\"");
        CHECK(objection(folder, path) == "");
      }
    }
  }
  CHECK(files > 20);
}

TEST_CASE("the include check sees an arrow that points the wrong way") {
  std::istringstream source(
      "#include \"tensor/tensor.h\"\n  #  include \"ops/conv2d.h\"  // why\n#include <vector>\n");
  CHECK(includes_of(source) == std::vector<std::string>{"tensor/tensor.h", "ops/conv2d.h"});
  CHECK(objection("ops", "tensor/tensor.h") == "");
  CHECK(objection("ops", "ops/kernels/kernels.h") == "");
  CHECK(objection("cli", "train/trainer.h") == "");
  for (auto [folder, path] : std::vector<std::pair<std::string, std::string>>{{"tensor", "autograd/var.h"},
                                                                              {"ops", "models/dgpnet.h"},
                                                                              {"image", "autograd/var.h"},
                                                                              {"infer", "train/trainer.h"},
                                                                              {"train", "infer/upscaler.h"},
                                                                              {"models", "cli/main.h"},
                                                                              {"ops", "conv2d.h"}})
    CHECK(objection(folder, path) != "");
}

TEST_CASE("the README prints the program that is compiled") {
  auto text_of = [](const char* path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  std::string example = text_of(DGP_SOURCE_DIR "/docs/example.cpp");
  REQUIRE(!example.empty());
  CHECK(text_of(DGP_SOURCE_DIR "/README.md").find("```cpp\n" + example + "```") != std::string::npos);
}
