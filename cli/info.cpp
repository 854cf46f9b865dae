// dgp info: what a model or a picture is.
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/cli.h"
#include "image/image.h"
#include "models/state.h"

namespace dgp {
namespace fs = std::filesystem;

namespace {

using nlohmann::ordered_json;

struct InfoOptions {
  std::vector<std::string> files;
  bool tensors = false, json = false;
};

constexpr int64_t kHeight = 270, kWidth = 480;

// LR pixels on each side that a result's pixel depends on, not counting the blocks' whole-image gates.
int64_t reach(const DGPNetConfig& c) {
  int64_t halo = c.kernel / 2;
  return ((1 + 2 * c.blocks) * halo + 1) * c.unshuffle + (halo + c.scale - 1) / c.scale;
}

ordered_json model_info(const std::string& file, bool tensors) {
  SafeTensors state = read_safetensors(file);
  DGPNet net = model_from(state, file);
  const DGPNetConfig& c = net.config;
  ordered_json info{{"file", file},
                    {"kind", "DGPNet"},
                    {"form", net.deploy ? "fused" : "training"},
                    {"scale", c.scale},
                    {"channels", c.channels},
                    {"blocks", c.blocks},
                    {"kernel", c.kernel},
                    {"unshuffle", c.unshuffle},
                    {"parameters", parameter_count(net)},
                    {"multiply_adds_480x270", multiply_adds(c, Form::folded, kHeight, kWidth)},
                    {"reach_pixels", reach(c)},
                    {"bytes", fs::file_size(file)}};
  for (Part part : c.without) info["without"].push_back(kPartNames[static_cast<size_t>(part)]);
  for (const auto& [key, value] : state.metadata)
    if (key != "config" && key != "format" && key != "architecture" && key != "fused")
      info["metadata"][key] = value;
  if (tensors)
    for (const auto& [name, tensor] : state.tensors)
      info["tensors"].push_back(
          {{"name", name}, {"type", to_string(tensor.dtype())}, {"shape", tensor.shape()}});
  return info;
}

ordered_json picture_info(const std::string& file) {
  ImageInfo image = image_info(file);
  static constexpr const char* kinds[] = {"", "grey", "grey and alpha", "RGB", "RGB and alpha"};
  return {{"file", file},
          {"kind", image.format},
          {"width", image.width},
          {"height", image.height},
          {"channels", kinds[image.channels]},
          {"bits", image.depth},
          {"megapixels", static_cast<double>(image.width * image.height) / 1e6},
          {"bytes", fs::file_size(file)}};
}

void print(const ordered_json& info, const std::string& indent = "") {
  for (const auto& [key, value] : info.items()) {
    if (key == "tensors") {
      for (const ordered_json& tensor : value)
        std::cout << "  " << tensor["name"].get<std::string>() << "  " << tensor["type"].get<std::string>()
                  << " " << tensor["shape"].dump() << "\n";
    } else if (value.is_object()) {
      std::cout << indent << key << "\n";
      print(value, indent + "  ");
    } else {
      std::string text = value.is_string()           ? value.get<std::string>()
                         : value.is_number_integer() ? with_commas(value.get<int64_t>())
                                                     : value.dump();
      std::cout << indent << key << std::string(key.size() < 24 ? 24 - key.size() : 1, ' ') << text << "\n";
    }
  }
}

// A picture by its first bytes, else a model.
ordered_json describe(const std::string& name, bool tensors) {
  if (fs::is_regular_file(name) && fs::path(name).extension() != ".safetensors") return picture_info(name);
  return model_info(find_model(name).string(), tensors);
}

void run_info(const InfoOptions& options) {
  ordered_json all = ordered_json::array();
  for (const std::string& file : options.files) {
    ordered_json info = describe(file, options.tensors);
    if (options.json) {
      all.push_back(info);
      continue;
    }
    print(info);
    if (&file != &options.files.back()) std::cout << "\n";
  }
  if (options.json)
    std::cout << (all.size() == 1 ? all[0] : all).dump(2, ' ', false, ordered_json::error_handler_t::replace)
              << "\n";
}

}  // namespace

void add_info(CLI::App& app) {
  auto options = std::make_shared<InfoOptions>();
  CLI::App* command = add_command(app, "info", "Describe models and pictures",
                                  "dgp info real-x4\n  dgp info photo.jpg --json");
  command->add_option("file", options->files, "bundled models, .safetensors files, pictures")->required();
  command->add_flag("--tensors", options->tensors, "list a model's tensors");
  command->add_flag("--json", options->json, "print JSON");
  command->callback([options] { run_info(*options); });
}

}  // namespace dgp
