#include "train/validate.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "image/image.h"
#include "image/metrics.h"
#include "image/resize.h"
#include "train/rank_data.h"

namespace dgp {
namespace {

constexpr int64_t kShownHeight = 300, kShownWidth = 400;  // of the crops written for people to look at

void write_crop(const std::string& path, const Tensor& u8) {
  write_image(path, {to_float(cut(u8, centre_box(u8, kShownHeight, kShownWidth))), 8});
}

Quality measure(const Tensor& a, const Tensor& b, int64_t border) {
  return {psnr(a, b, border, false), psnr(a, b, border, true), ssim(a, b, border, false),
          ssim(a, b, border, true)};
}

void add(Quality& sum, const Quality& q, double weight) {
  sum.psnr_rgb += q.psnr_rgb * weight, sum.psnr_y += q.psnr_y * weight;
  sum.ssim_rgb += q.ssim_rgb * weight, sum.ssim_y += q.ssim_y * weight;
}

// What one rank tells of a picture; its output's pixels follow where it is shown.
struct Measured {
  size_t index;
  int64_t height, width;
  Quality output, baseline;
};

}  // namespace

double Quality::by_name(const std::string& name) const {
  return name == "psnr_rgb" ? psnr_rgb : name == "psnr_y" ? psnr_y : name == "ssim_rgb" ? ssim_rgb : ssim_y;
}

int64_t least_validation_size(const TrainConfig& config) {
  const int64_t scale = config.model.scale;
  return std::max<int64_t>(8, (2 * config.validate.border + 11 + scale - 1) / scale);
}

Validator::Validator(const TrainConfig& config, const std::string& folder, Ranks& ranks)
    : scale_(config.model.scale),
      border_(config.validate.border),
      every_(config.validate.every),
      device_(config.computes_on()),
      images_(static_cast<size_t>(config.validate.images)),
      folder_(folder),
      ranks_(ranks) {
  if (config.validate.data.empty()) return;
  const int64_t least = least_validation_size(config);
  Dataset data(config.validate.data, scale_, least, config.data.cache << 20);
  check_equal_pictures("validate.data", data, ranks);
  for (size_t i = 0; i < data.pictures().size(); ++i) {
    names_.push_back(data.pictures()[i].name);
    const bool mine = i % static_cast<size_t>(ranks.size()) == static_cast<size_t>(ranks.rank());
    const bool shows = ranks.first() && is_shown(i);
    if (!mine && !shows) continue;
    auto [lr, hr] = data.whole(i);
    if (const int64_t crop = config.validate.crop; crop > 0) {
      // Cut on both sides alike, so that the two stay aligned.
      const int64_t h = std::min(crop, lr.dim(0)), w = std::min(crop, lr.dim(1));
      const int64_t H = lr.dim(0) - (lr.dim(0) - h) / 2 * 2, W = lr.dim(1) - (lr.dim(1) - w) / 2 * 2;
      lr = cut(lr, centre_box(lr, H, W));
      hr = cut(hr, centre_box(hr, H * scale_, W * scale_));
    }
    const Tensor enlarged = scale_ == 1 ? lr : to_u8(imresize(to_float(lr), static_cast<double>(scale_)));
    if (shows) {
      write_crop(folder_ + "/" + names_[i] + "_input.png", enlarged);
      write_crop(folder_ + "/" + names_[i] + "_hr.png", hr);
      previews_.push_back(write_preview(folder_, names_[i], lr, enlarged, hr, scale_));
    }
    if (mine) mine_.push_back({i, lr, hr, measure(enlarged, hr, border_)});
  }
}

std::vector<std::string> Validator::shown() const {
  return {names_.begin(), names_.begin() + static_cast<std::ptrdiff_t>(std::min(images_, names_.size()))};
}

std::string Validator::measured(const Network& net, const Item& item) const {
  const Tensor x = to_float(item.lr);
  const Tensor y = net(x.reshape({1, x.dim(0), x.dim(1), 3}).to(device_)).value().to(Device::cpu);
  const Tensor output = to_u8(y.reshape({y.dim(1), y.dim(2), 3}));
  const Measured m{item.index, output.dim(0), output.dim(1), measure(output, item.hr, border_),
                   item.baseline};
  std::string bytes(reinterpret_cast<const char*>(&m), sizeof m);
  if (is_shown(item.index))
    bytes.append(reinterpret_cast<const char*>(output.bytes()), static_cast<size_t>(output.nbytes()));
  return bytes;
}

std::optional<Validation> Validator::run(const Network& net, const std::atomic<bool>* stop) const {
  NoGrad inference;
  std::string mine;
  bool stopped = false;
  for (const Item& item : mine_) {
    stopped = stop && *stop;
    if (stopped) break;
    mine += measured(net, item);
  }
  if (ranks_.any(stopped)) return {};
  const std::vector<std::string> all = ranks_.gather(mine);
  if (!ranks_.first()) return {};
  Validation result;
  result.rows.resize(count());
  result.shown.resize(shown().size());
  for (const std::string& bytes : all)
    for (const char *at = bytes.data(), *end = at + bytes.size(); at < end;) {
      Measured m;
      std::memcpy(&m, at, sizeof m);
      at += sizeof m;
      result.rows[m.index] = {names_[m.index], m.output, m.baseline};
      if (!is_shown(m.index)) continue;
      Tensor& output = result.shown[m.index] = Tensor({m.height, m.width, 3}, DType::u8);
      std::memcpy(output.bytes(), at, static_cast<size_t>(output.nbytes()));
      at += output.nbytes();
    }
  const double weight = 1.0 / static_cast<double>(count());
  for (const ValidationRow& row : result.rows) {
    add(result.mean, row.output, weight);
    add(result.baseline, row.baseline, weight);
  }
  return result;
}

void Validator::show(const Validation& found, int64_t iteration) const {
  for (size_t i = 0; i < found.shown.size(); ++i) {
    write_crop(folder_ + "/" + names_[i] + "_output.png", found.shown[i]);
    add_preview(folder_, names_[i], iteration, every_, cut(found.shown[i], previews_[i]));
  }
}

std::string metrics_line(int64_t iteration, const Validation& found, int64_t border, double best) {
  using nlohmann::ordered_json;
  auto to_json = [](const Quality& q) {
    return ordered_json{
        {"psnr_rgb", q.psnr_rgb}, {"psnr_y", q.psnr_y}, {"ssim_rgb", q.ssim_rgb}, {"ssim_y", q.ssim_y}};
  };
  ordered_json rows = ordered_json::array();
  for (const ValidationRow& row : found.rows)
    rows.push_back(
        {{"name", row.name}, {"output", to_json(row.output)}, {"baseline", to_json(row.baseline)}});
  return ordered_json{{"iteration", iteration},
                      {"validation",
                       {{"border", border},
                        {"mean", to_json(found.mean)},
                        {"baseline", to_json(found.baseline)},
                        {"rows", rows}}},
                      {"best", best}}
      .dump();
}

std::string to_text(const Validation& found, const std::string& baseline_name) {
  const Quality &mean = found.mean, &base = found.baseline;
  char text[200];
  std::snprintf(text, sizeof text, "PSNR Y %.3f dB (%s %.3f), RGB %.3f (%.3f); SSIM Y %.4f (%.4f)",
                mean.psnr_y, baseline_name.c_str(), base.psnr_y, mean.psnr_rgb, base.psnr_rgb, mean.ssim_y,
                base.ssim_y);
  return text;
}

}  // namespace dgp
