#include "train/preview.h"

#include <algorithm>
#include <filesystem>

#include "image/image.h"
#include "report/pictures.h"

namespace dgp {
namespace fs = std::filesystem;
namespace {

// Iterations whose output crops lie in the folder, in order.
std::vector<int64_t> kept(const std::string& folder, const std::string& name) {
  std::vector<int64_t> found;
  const std::string before = name + "_crop_", after = ".png";
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string file = entry.path().filename().string();
    if (!file.starts_with(before) || !file.ends_with(after)) continue;
    const std::string digits = file.substr(before.size(), file.size() - before.size() - after.size());
    if (digits.empty() || digits.size() > 18 || digits.find_first_not_of("0123456789") != std::string::npos)
      continue;
    found.push_back(std::stoll(digits));
  }
  std::sort(found.begin(), found.end());
  return found;
}

Tensor read_or_none(const std::string& path) { return fs::exists(path) ? read_rgb8(path) : Tensor(); }

}  // namespace

std::string preview_path(const std::string& folder, const std::string& name, const std::string& kind) {
  return folder + "/" + name + "_crop_" + kind + ".png";
}

Box write_preview(const std::string& folder, const std::string& name, const Tensor& lr,
                  const Tensor& enlarged, const Tensor& truth, int64_t scale) {
  const Box box = telling_box(enlarged, truth, std::max(kPreviewSide, scale), scale);
  write_image(preview_path(folder, name, "lr"), {to_float(cut(lr, shrunk(box, scale))), 8});
  write_image(preview_path(folder, name, "input"), {to_float(cut(enlarged, box)), 8});
  write_image(preview_path(folder, name, "hr"), {to_float(cut(truth, box)), 8});
  return box;
}

void add_preview(const std::string& folder, const std::string& name, int64_t iteration, int64_t every,
                 const Tensor& crop) {
  write_image(preview_path(folder, name, std::to_string(iteration)), {to_float(crop), 8});
  int64_t stride = 1;
  while (iteration / every / stride > kMostPreviews) stride *= 2;
  std::error_code ignored;
  for (int64_t at : kept(folder, name))
    if (at > iteration || (at != iteration && (at % every != 0 || at / every % stride != 0)))
      fs::remove(preview_path(folder, name, std::to_string(at)), ignored);
}

Preview read_preview(const std::string& folder, const std::string& name) {
  Preview p{read_or_none(preview_path(folder, name, "lr")),
            read_or_none(preview_path(folder, name, "input")),
            read_or_none(preview_path(folder, name, "hr")),
            {}};
  for (int64_t iteration : kept(folder, name))
    p.outputs.emplace_back(iteration, read_rgb8(preview_path(folder, name, std::to_string(iteration))));
  return p;
}

}  // namespace dgp
