// dgp degrade: what it writes, that it repeats itself, and how it refuses.
#include <nlohmann/json.hpp>

#include "image/image.h"
#include "tests/cli/run.h"
#include "tests/test.h"
#include "tests/train/pictures.h"

namespace {

Outcome degrade_run(const std::string& in, const std::string& out, const std::string& rest = "",
                    const std::string& before = "") {
  std::string arguments = "degrade ";
  arguments.append(in).append(" -o ").append(out).append(" ").append(rest);
  return dgp_run(arguments, before);
}

}  // namespace

TEST_CASE("degrade writes pictures, parameters and a sheet, the same ones each time") {
  TempFolder temp;
  write_pictures(temp / "in", 2, 70, 90);
  REQUIRE(degrade_run(temp / "in", temp / "a", "--n 3 --seed 7").status == 0);
  REQUIRE(degrade_run(temp / "in", temp / "b", "--n 3 --seed 7", "OMP_NUM_THREADS=1").status == 0);
  REQUIRE(degrade_run(temp / "in", temp / "c", "--n 3 --seed 8").status == 0);
  for (const std::string file : {"degraded_0002.png", "parameters.json", "sheet.html"}) {
    std::string first = contents(std::filesystem::path(temp / "a") / file);
    REQUIRE(!first.empty());
    CHECK(first == contents(std::filesystem::path(temp / "b") / file));
    CHECK(first != contents(std::filesystem::path(temp / "c") / file));
  }
  CHECK(dgp::read_rgb8(temp / "a/degraded_0001.png").shape() == dgp::Shape{17, 22, 3});
  auto drawn = nlohmann::json::parse(contents(temp / "a/parameters.json"));
  REQUIRE(drawn["pictures"].size() == 3);
  CHECK(drawn["pictures"][1]["steps"][0]["step"] == "sharpen");
  CHECK_THAT(contents(temp / "a/sheet.html"), ContainsSubstring("<dt>JPEG</dt><dd>quality ") &&
                                                  ContainsSubstring("p1.png") &&
                                                  ContainsSubstring("shrunk.png"));
}

TEST_CASE("degrade refuses unknown presets, and files that are no pictures or too small") {
  TempFolder temp;
  write_pictures(temp / "in", 1, 16, 16);
  Outcome o = degrade_run(temp / "in", temp / "out", "--preset harsh");
  CHECK(o.status == 2);
  CHECK_THAT(o.err, ContainsSubstring("harsh") && ContainsSubstring("realesrgan"));
  o = degrade_run(temp / "none.png", temp / "out");
  CHECK(o.status == 3);
  CHECK_THAT(o.err, ContainsSubstring("none.png"));
  std::ofstream(temp / "text.png") << "text";
  CHECK(degrade_run(temp / "text.png", temp / "out").status == 3);
  CHECK(degrade_run(temp / "in", temp / "text.png").status == 5);
}
