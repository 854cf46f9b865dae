// dgp check: what is wrong with the pictures of a configuration, before training on them.
#include "train/check.h"

#include <iostream>
#include <memory>

#include "cli/cli.h"

namespace dgp {
namespace {

struct CheckOptions {
  std::string config;
  std::vector<std::string> overrides;
  bool decode = false, json = false;
};

void run_check(const CheckOptions& options) {
  std::vector<std::string> notes;
  const TrainConfig config = load_config(options.config, options.overrides, &notes);
  if (!options.json)
    for (const std::string& note : notes) std::cout << options.config << ": " << note << "\n";
  const DataCheck found = check_data(config, options.decode);
  std::cout << (options.json ? to_json(found) : to_text(found));
  if (found.problems() > 0) throw Exit{static_cast<int>(ErrorCode::bad_file)};
  if (!found.fits()) throw Exit{static_cast<int>(ErrorCode::limit)};
}

}  // namespace

void add_check(CLI::App& app) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = add_command(app, "check", "Find what is wrong with a configuration's pictures",
                                  "dgp check configs/classic-x4.yml --set data.train.0.hr=photos");
  command->add_option("CONFIG", options->config, "configuration file")->required();
  command->add_option("--set", options->overrides, "key=value: replaces a key of the configuration")
      ->allow_extra_args(false)
      ->expected(1)
      ->take_all();
  command->add_flag("--decode", options->decode, "decode every picture, not headers alone");
  command->add_flag("--json", options->json, "print JSON: every finding with its file, kind and text");
  command->callback([options] { run_check(*options); });
}

}  // namespace dgp
