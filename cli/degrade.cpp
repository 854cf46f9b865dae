// dgp degrade: what a degradation does to a picture, to look at before training on it: pictures, their drawn
// parameters as JSON, and a contact sheet, one HTML file, with the parameters under each picture.
#include <algorithm>
#include <iostream>
#include <memory>

#include "cli/cli.h"
#include "image/image.h"
#include "report/html.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "train/degradation.h"

namespace dgp {
namespace fs = std::filesystem;
namespace {

struct DegradeOptions {
  std::string input, output, preset = "realesrgan";
  int64_t count = 16, seed = 1, scale = 4, size = 400;
};

struct Shown {
  std::string file;    // name in the output folder
  std::string source;  // the picture it was made from
  int64_t height, width;
  Degradation degradation;
};

std::vector<std::string> inputs(const std::string& input) {
  std::error_code none;
  if (!fs::is_directory(input, none)) return {input};
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(input))
    if (entry.is_regular_file() && is_image_name(entry.path().string())) files.push_back(entry.path());
  if (files.empty()) fail(ErrorCode::bad_file, input, ": the folder holds no PNG, JPEG or BMP picture");
  std::sort(files.begin(), files.end());
  return files;
}

// The middle of a picture, at most `size` a side (0: all of it), its sides multiples of the scale.
Tensor middle(const std::string& path, const DegradeOptions& o) {
  const Tensor x = to_float(read_rgb8(path));
  const int64_t limit = o.size > 0 ? o.size : std::max(x.dim(0), x.dim(1));
  const int64_t H = std::min(x.dim(0), limit) / o.scale * o.scale;
  const int64_t W = std::min(x.dim(1), limit) / o.scale * o.scale;
  if (H == 0 || W == 0)
    fail(ErrorCode::bad_file, path, ": is ", x.dim(1), "x", x.dim(0), ", expected at least ", o.scale,
         " pixels a side; choose a larger picture or a smaller --scale");
  Tensor y({H, W, 3});
  const int64_t top = (x.dim(0) - H) / 2, left = (x.dim(1) - W) / 2;
  for (int64_t r = 0; r < H; ++r)
    std::copy_n(x.data<float>() + ((top + r) * x.dim(1) + left) * 3, W * 3, y.data<float>() + r * W * 3);
  return y;
}

std::string numbered(int64_t i) {
  std::string digits = std::to_string(i);
  return "degraded_" + std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits + ".png";
}

constexpr const char* kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>dgp degrade</title><style>
:root{color-scheme:light dark;--page:#f5f5f7;--card:#fff;--line:#ddd;--soft:#666}
@media(prefers-color-scheme:dark){:root{--page:#111;--card:#1c1c1e;--line:#3a3a3c;--soft:#aaa}}
body{margin:24px;font:13px/1.45 system-ui,sans-serif;background:var(--page)}
h1{font-size:20px;margin:0 0 4px}p{margin:0 0 20px;color:var(--soft);max-width:75ch}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:16px;align-items:start}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;overflow:hidden}
img{width:100%;image-rendering:pixelated;display:block}
figcaption{padding:10px 12px 0;font-weight:600;overflow-wrap:anywhere}
figcaption span{color:var(--soft);font-weight:400}
dl{display:grid;grid-template-columns:max-content 1fr;gap:1px 12px;margin:6px 0 12px;padding:0 12px}
dt{color:var(--soft)}dd{margin:0;font-variant-numeric:tabular-nums}
</style></head><body>
)";

// `link`: a file beside the page that the picture leads to, or nothing.
std::string figure(const std::string& png, const std::string& link, const std::string& title,
                   const std::string& note, const Degradation& steps) {
  const std::string image =
      "<img alt=\"" + escaped(title) + "\" src=\"data:image/png;base64," + base64(png) + "\">";
  std::string text =
      "<figure>" + (link.empty() ? image : "<a href=\"" + escaped(link) + "\">" + image + "</a>");
  text += "<figcaption>" + escaped(title) + " <span>" + escaped(note) + "</span></figcaption><dl>";
  for (const DegradeStep& step : steps) {
    const auto [name, values] = to_words(step);
    text += "<dt>" + escaped(name) + "</dt><dd>" + escaped(values) + "</dd>";
  }
  return text + "</dl></figure>\n";
}

// sharp.png, the first picture as it is, and shrunk.png, without any other loss: what the degraded ones are
// to be held against.
std::string references(const Tensor& sharp, const std::string& source, const DegradeOptions& o) {
  const int64_t H = sharp.dim(0), W = sharp.dim(1);
  const auto shown = [&](const std::string& file, const Tensor& x, const std::string& note,
                         const Degradation& steps) {
    write_image(o.output + "/" + file, {x, 8});
    return figure(read_file(o.output + "/" + file), file, file, note, steps);
  };
  const Degradation shrunk = draw_degradation(degrade_preset("bicubic"), o.scale, H, W, Rng(0));
  return shown("sharp.png", sharp, source + ", " + std::to_string(W) + "×" + std::to_string(H), {}) +
         shown("shrunk.png", apply_degradation(shrunk, sharp), "nothing else", shrunk);
}

void write_sheet(const std::string& folder, const Tensor& sharp, const std::vector<Shown>& all,
                 const DegradeOptions& o) {
  AtomicFile page(folder + "/sheet.html");
  page.write(kHead);
  page.write(
      "<h1>" + escaped(o.preset) + " at scale " + std::to_string(o.scale) + "</h1>\n<p>" +
      std::to_string(o.count) + (o.count == 1 ? " draw" : " draws") + " from seed " + std::to_string(o.seed) +
      "; the steps are in the order in which they are applied. parameters.json has the same numbers in full "
      "precision.</p>\n<main>\n");
  page.write(references(sharp, all.at(0).source, o));
  for (const Shown& s : all)
    page.write(figure(read_file(folder + "/" + s.file), s.file, s.file, "from " + s.source, s.degradation));
  page.write("</main></body></html>\n");
  page.commit();
}

std::string parameters(const std::vector<Shown>& all, const DegradeOptions& o) {
  std::string text = "{\"preset\":\"" + o.preset + "\",\"scale\":" + std::to_string(o.scale) +
                     ",\"seed\":" + std::to_string(o.seed) + ",\"pictures\":[";
  for (size_t i = 0; i < all.size(); ++i)
    text += std::string(i ? "," : "") + "\n{\"file\":\"" + all[i].file +
            "\",\"sample\":" + std::to_string(i) + ",\"height\":" + std::to_string(all[i].height) +
            ",\"width\":" + std::to_string(all[i].width) + ",\"steps\":" + to_json(all[i].degradation) + "}";
  return text + "]}\n";
}

void run_degrade(const DegradeOptions& o) {
  const DegradeConfig config = degrade_preset(o.preset);
  std::vector<Tensor> pictures;
  std::vector<std::string> files = inputs(o.input);
  files.resize(std::min(files.size(), static_cast<size_t>(o.count)));
  for (const std::string& file : files) pictures.push_back(middle(file, o));
  std::error_code error;
  fs::create_directories(o.output, error);
  if (error) fail(ErrorCode::io, o.output, ": cannot make the folder: ", error.message());
  std::vector<Shown> shown(static_cast<size_t>(o.count));
  parallel_for(o.count, 1, [&](int64_t i, int64_t) {
    if (stop_flag()) return;
    const auto at = static_cast<size_t>(i), from = at % pictures.size();
    const Tensor& x = pictures[from];
    const Rng rng = Rng(static_cast<uint64_t>(o.seed)).split(static_cast<uint64_t>(i));
    shown[at] = {numbered(i), fs::path(files[from]).filename().string(), x.dim(0), x.dim(1),
                 draw_degradation(config, o.scale, x.dim(0), x.dim(1), rng)};
    write_image(o.output + "/" + shown[at].file, {apply_degradation(shown[at].degradation, x), 8});
  });
  if (stop_flag()) throw Exit{stop_exit_code()};
  write_file(o.output + "/parameters.json", parameters(shown, o));
  write_sheet(o.output, pictures[0], shown, o);
  std::cout << o.count << " pictures, parameters.json and sheet.html are in " << o.output << "\n";
}

}  // namespace

void add_degrade(CLI::App& app) {
  auto options = std::make_shared<DegradeOptions>();
  CLI::App* command =
      add_command(app, "degrade", "Show what a degradation does: pictures, parameters, a contact sheet",
                  "dgp degrade photo.jpg -o look --preset realesrgan --n 16 --seed 1");
  command->add_option("IN", options->input, "a picture, or a folder whose pictures take turns")->required();
  command->add_option("-o,--output", options->output, "folder for what is written")->required();
  command->add_option("--preset", options->preset, "bicubic, mild, realesrgan or bsrgan");
  command->add_option("--n", options->count, "how many to draw")->check(CLI::Range(1, 1000));
  command->add_option("--seed", options->seed, "seed; sample i depends on it and i alone")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 53));
  command->add_option("--scale", options->scale, "how many times smaller")->check(CLI::Range(1, 8));
  command->add_option("--size", options->size, "side of the middle square that is used; 0: the whole picture")
      ->check(CLI::Range(0, 16384));
  command->callback([options] { run_degrade(*options); });
}

}  // namespace dgp
