#include "train/validate.h"

#include <algorithm>

#include "image/image.h"
#include "image/metrics.h"
#include "image/resize.h"

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

}  // namespace

double Quality::by_name(const std::string& name) const {
  return name == "psnr_rgb" ? psnr_rgb : name == "psnr_y" ? psnr_y : name == "ssim_rgb" ? ssim_rgb : ssim_y;
}

int64_t least_validation_size(const TrainConfig& config) {
  const int64_t scale = config.model.scale;
  return std::max<int64_t>(8, (2 * config.validate.border + 11 + scale - 1) / scale);
}

Validator::Validator(const TrainConfig& config, const std::string& folder)
    : scale_(config.model.scale),
      border_(config.validate.border),
      every_(config.validate.every),
      device_(config.computes_on()),
      images_(static_cast<size_t>(config.validate.images)),
      folder_(folder) {
  if (config.validate.data.empty()) return;
  const int64_t least = least_validation_size(config);
  Dataset data(config.validate.data, scale_, least, config.data.cache << 20);
  for (size_t i = 0; i < data.pictures().size(); ++i) {
    auto [lr, hr] = data.whole(i);
    if (const int64_t crop = config.validate.crop; crop > 0) {
      // Cut on both sides alike, so that the two stay aligned.
      const int64_t h = std::min(crop, lr.dim(0)), w = std::min(crop, lr.dim(1));
      const int64_t H = lr.dim(0) - (lr.dim(0) - h) / 2 * 2, W = lr.dim(1) - (lr.dim(1) - w) / 2 * 2;
      lr = cut(lr, centre_box(lr, H, W));
      hr = cut(hr, centre_box(hr, H * scale_, W * scale_));
    }
    names_.push_back(data.pictures()[i].name);
    enlarged_.push_back(scale_ == 1 ? lr : to_u8(imresize(to_float(lr), static_cast<double>(scale_))));
    baseline_.push_back(measure(enlarged_.back(), hr, border_));
    if (i < images_) {
      write_crop(folder_ + "/" + names_[i] + "_input.png", enlarged_.back());
      write_crop(folder_ + "/" + names_[i] + "_hr.png", hr);
      previews_.push_back(write_preview(folder_, names_[i], lr, enlarged_.back(), hr, scale_));
    } else {
      enlarged_.back() = {};
    }
    lr_.push_back(lr);
    hr_.push_back(hr);
  }
}

std::vector<std::string> Validator::shown() const {
  return {names_.begin(), names_.begin() + static_cast<std::ptrdiff_t>(std::min(images_, names_.size()))};
}

std::optional<Validation> Validator::run(const Network& net, int64_t iteration,
                                         const std::atomic<bool>* stop) const {
  NoGrad inference;
  Validation result;
  const double weight = 1.0 / static_cast<double>(lr_.size());
  for (size_t i = 0; i < lr_.size(); ++i) {
    if (stop && *stop) return {};
    const Tensor x = to_float(lr_[i]);
    const Tensor y = net(x.reshape({1, x.dim(0), x.dim(1), 3}).to(device_)).value().to(Device::cpu);
    const Tensor output = to_u8(y.reshape({y.dim(1), y.dim(2), 3}));
    result.rows.push_back({names_[i], measure(output, hr_[i], border_), baseline_[i]});
    add(result.mean, result.rows.back().output, weight);
    add(result.baseline, baseline_[i], weight);
    if (i >= images_) continue;
    write_crop(folder_ + "/" + names_[i] + "_output.png", output);
    add_preview(folder_, names_[i], iteration, every_, cut(output, previews_[i]));
  }
  return result;
}

}  // namespace dgp
