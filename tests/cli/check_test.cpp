// dgp check as a process: what it prints, how it ends; dgp train refuses and, on demand, goes on.
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tests/cli/run.h"
#include "tests/test.h"
#include "tests/train/pictures.h"

using namespace dgp;

TEST_CASE("dgp check ends with the status that says whether training can begin") {
  TempFolder temp;
  TrainConfig config = small_run(temp);
  config.iterations = 3;
  const std::string file = temp / "run.yml";
  write_file(file, to_yaml(config));
  Outcome sound = dgp_run("check " + file);
  CHECK(sound.status == 0);
  CHECK_THAT(sound.out, ContainsSubstring("no problems") && ContainsSubstring("3 pictures"));
  CHECK(dgp_run("check " + file + " --set data.pach=3").status == 2);
  CHECK(dgp_run("check " + temp / "none.yml").status == 3);

  std::string bytes = contents(temp / "hr/p1.png");
  bytes[bytes.size() / 2] ^= 0x40;
  write_file(temp / "hr/p1.png", bytes);
  write_file(temp / "hr/p2.png", "no picture");
  Outcome bad = dgp_run("check --decode --json " + file);
  CHECK(bad.status == 3);
  auto json = nlohmann::json::parse(bad.out);
  CHECK(json["problems"] == 2);
  CHECK(json["sources"][0]["usable"] == 1);
  CHECK(json["sources"][0]["findings"][0]["name"] == "p1");

  Outcome refused = dgp_run("train " + file);
  CHECK(refused.status == 3);
  CHECK_THAT(refused.err, ContainsSubstring("hr/p2.png: expected a PNG") && ContainsSubstring("--skip-bad"));
  CHECK_FALSE(std::filesystem::exists(config.folder()));
  Outcome rest = dgp_run("train --skip-bad " + file);
  CHECK(rest.status == 0);
  CHECK_THAT(rest.out, ContainsSubstring("left out: " + temp / "hr/p1.png") &&
                           ContainsSubstring("left out: " + temp / "hr/p2.png") &&
                           ContainsSubstring("1 training pictures"));
}
