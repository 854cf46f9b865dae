// dgp inspect: what a network's directional gradient convolutions do to a picture. Feature maps of each
// operator in one DGConv, the kernels and the balance factors of all of them.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/cli.h"
#include "image/crop.h"
#include "image/image.h"
#include "models/state.h"
#include "report/colour.h"
#include "report/html.h"
#include "report/operators.h"
#include "tensor/file.h"

namespace dgp {
namespace fs = std::filesystem;

namespace {

using nlohmann::ordered_json;

constexpr int64_t kSide = 256;  // of the part of a large picture that is shown

struct InspectOptions {
  std::string model, image, output, layer = "head", crop;
  int64_t channels = 6;
  DeviceOptions device;
};

// A picture of the page, and its file beside it where a folder is written.
struct Shown {
  std::string file, caption;
  Tensor picture;  // f32 [H,W,3 or 4]
};

struct Row {
  std::string title, css;
  std::vector<Shown> pictures;
};

Tensor shown_part(const Tensor& image, const InspectOptions& options, std::string& note) {
  const int64_t H = image.dim(0), W = image.dim(1);
  const Box box = options.crop.empty() ? centre_box(image, kSide, kSide) : parse_crop(options.crop, W, H);
  note = std::to_string(box.width) + "x" + std::to_string(box.height) + " pixels at " +
         std::to_string(box.x) + "," + std::to_string(box.y) + " of " + std::to_string(W) + "x" +
         std::to_string(H);
  return cut(image, box);
}

// Maps of the chosen channels in one scale.
Row maps(const std::string& title, const std::string& css, const std::string& file, const Tensor& x,
         const std::vector<int64_t>& channels) {
  Row row{title, css, {}};
  const Limits limits = limits_of(x);
  row.title += " <span class=\"note\">" + number(limits.low, 3) + " to " + number(limits.high, 3) + "</span>";
  for (int64_t c : channels)
    row.pictures.push_back({"features_" + file + "_" + std::to_string(c) + ".png",
                            "channel " + std::to_string(c), viridis(channel(x, c), limits.low, limits.high)});
  return row;
}

std::vector<Row> feature_rows(const Tensor& image, const LayerFeatures& found, int64_t count) {
  std::vector<Row> rows;
  const std::vector<int64_t> channels = strongest_channels(found.output, count);
  rows.push_back(
      maps("input of " + found.layer, "", "input", found.input, strongest_channels(found.input, count)));
  rows.back().pictures.insert(rows.back().pictures.begin(), Shown{"image.png", "<b>picture</b>", image});
  for (const OperatorFeatures& o : found.operators) {
    const std::string name = to_string(o.op);
    rows.push_back(maps(name + ", α " + decimals(o.alpha, 3) + ", RMS " + number(o.rms, 3), name, name,
                        o.features, channels));
  }
  rows.push_back(maps("their sum and the bias, the output", "", "output", found.output, channels));
  return rows;
}

std::string feature_section(const std::vector<Row>& rows) {
  std::ostringstream html;
  for (const Row& row : rows) {
    html << "<h3 class=\"op " << row.css << "\">" << row.title << "</h3><div class=\"strip\">";
    for (const Shown& shown : row.pictures)
      html << "<figure><img alt=\"" << escaped(shown.file) << "\" src=\"" << png_uri(shown.picture)
           << "\"><figcaption>" << shown.caption << "</figcaption></figure>";
    html << "</div>\n";
  }
  return html.str();
}

ordered_json to_json(const std::vector<OperatorKernels>& layers, const LayerFeatures& found) {
  ordered_json balance, features;
  for (const OperatorKernels& layer : layers)
    for (size_t j = 0; j < layer.operators.size(); ++j)
      balance[layer.name][to_string(layer.operators[j])] = layer.alpha[j];
  for (const OperatorFeatures& o : found.operators) features[to_string(o.op)] = {{"rms", o.rms}};
  return {{"balance", balance}, {"layer", found.layer}, {"features", features}};
}

void write_folder(const fs::path& folder, const std::vector<Row>& rows,
                  const std::vector<OperatorKernels>& layers, const LayerFeatures& found) {
  for (const Row& row : rows)
    for (const Shown& shown : row.pictures) write_image((folder / shown.file).string(), {shown.picture, 8});
  for (const OperatorKernels& layer : layers)
    for (size_t j = 0; j < layer.operators.size(); ++j) {
      const Shape& s = layer.kernels.shape();
      const Tensor w = layer.kernels.slab(static_cast<int64_t>(j), 1).reshape({s[1], s[2], s[3], s[4]});
      const Limits limits = limits_of(w, 0.995);
      write_image(
          (folder / ("kernels_" + layer.name + "_" + to_string(layer.operators[j]) + ".png")).string(),
          {kernel_mosaic(w, std::max(-limits.low, limits.high)), 8});
    }
  write_file((folder / "inspect.json").string(), to_json(layers, found).dump(2) + "\n");
}

void run_inspect(const InspectOptions& options) {
  apply(options.device);
  const fs::path output(options.output);
  const bool single = output.extension() == ".html";
  const std::string file = find_model(options.model).string();
  DGPNet net = load_model(file);
  check_has_operators(net, file);
  std::string note;
  const Tensor image = shown_part(to_float(read_rgb8(options.image)), options, note);
  const std::vector<OperatorKernels> layers = operator_kernels(net);
  const LayerFeatures found = layer_features(net, image, options.layer);
  const std::vector<Row> rows = feature_rows(image, found, options.channels);

  std::ostringstream body;
  body << "<h1>" << escaped(fs::path(file).filename().string()) << "</h1><p class=\"note\">×"
       << net.config.scale << ", " << net.config.channels << " channels, " << net.config.blocks << " blocks; "
       << escaped(fs::path(options.image).filename().string()) << ", " << note << "</p>\n<h2>Features of "
       << escaped(found.layer)
       << "</h2><p class=\"note\">What each operator adds to the output, α (W ∗ x), in the "
       << "output channels that vary most. One scale a row, from dark violet to yellow.</p>\n"
       << feature_section(rows)
       << "<h2>Kernels and balance factors</h2><p class=\"note\">Rows of a picture are outputs, columns "
          "inputs, the "
          "first eight of each; α W, red above zero, blue below, one scale a DGConv.</p>\n"
       << kernel_table(layers);
  if (!single) {
    fs::create_directories(output);
    write_folder(output, rows, layers, found);
  }
  const std::string path = single ? options.output : (output / "index.html").string();
  write_file(path, page("dgp inspect: " + options.model, body.str()));
  std::printf("%s\n", path.c_str());
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = add_command(
      app, "inspect", "Show what the directional gradients of a network see in a picture",
      "dgp inspect runs/mine/best.safetensors photo.jpg -o look.html --layer body.0.stat_to_stat");
  command->add_option("MODEL", options->model, "weights of the training form, as dgp train writes them")
      ->required();
  command->add_option("IMAGE", options->image, "picture")->required();
  command
      ->add_option("-o,--output", options->output,
                   "FILE.html, or a folder: index.html, PNG files, inspect.json")
      ->required();
  command->add_option("--layer", options->layer,
                      "DGConv whose features are shown: head, tail, body.0.statistical, ...");
  command->add_option("--channels", options->channels, "feature maps an operator")->check(CLI::Range(1, 64));
  command->add_option("--crop", options->crop,
                      "X,Y,W,H: part of the picture; else its centre, at most 256x256");
  add_device_options(*command, options->device);
  command->callback([options] { run_inspect(*options); });
}

}  // namespace dgp
