#include <algorithm>
#include <cmath>

#include "train/basicsr_file.h"

namespace dgp::basicsr {
namespace {

// The roots of a section of theirs; several when it lists several folders.
std::vector<Node> roots(File& in, const std::string& path) {
  const auto list = [&](const char* key) {
    std::vector<Node> found;
    const Node node = in.at(path + "." + key);
    if (node.IsDefined() && node.IsSequence()) {
      for (const Node& item : node) found.push_back(item);
    } else if (node.IsDefined()) {
      found.push_back(node);
    }
    return found;
  };
  const std::vector<Node> gt = list("dataroot_gt"), lq = list("dataroot_lq");
  if (gt.empty()) in.wrong(path, "expects dataroot_gt, a folder of high-resolution pictures");
  if (!lq.empty() && lq.size() != gt.size())
    in.wrong(path + ".dataroot_lq", "expects as many folders as dataroot_gt, ", gt.size(), ", got ",
             lq.size());
  std::vector<Node> found;
  for (size_t i = 0; i < gt.size(); ++i) {
    Node root(YAML::NodeType::Map);
    root["hr"] = gt[i];
    if (!lq.empty()) root["lr"] = lq[i];
    for (const char* key : {"meta_info", "meta_info_file"}) move(in, path + "." + key, root, "meta_info");
    if (const std::string pattern = in.scalar(path + ".filename_tmpl", "{}");
        pattern != "{}" && !lq.empty()) {
      const size_t hole = pattern.find("{}");
      if (hole == std::string::npos) in.wrong(path + ".filename_tmpl", "expects a '{}'");
      root["lr_pattern"] = Node(pattern.substr(0, hole) + "*" + pattern.substr(hole + 2));
    }
    found.push_back(root);
  }
  return found;
}

void patch(File& in, Node data) {
  const std::string path = "datasets.train.";
  in.at("gt_size"), in.at(path + "gt_size");
  for (const char* key : {"lq_size", "patch_size"})
    if (in.has(path + key)) return move(in, path + key, data, "patch");
  const std::string key = in.has("gt_size") ? "gt_size" : path + "gt_size";
  const double scale = in.value("scale", 4), size = in.value(key, 0);
  if (size <= 0) in.wrong(path + "gt_size", "expects the side of high-resolution patches, in pixels");
  if (std::fmod(size, scale) != 0) in.wrong(key, "expects a multiple of the scale, ", scale, ", got ", size);
  data["patch"] = number(size / scale);
}

void augmentation(File& in, Node data) {
  const std::string path = "datasets.train.";
  Node augment = section(data, "augment");
  const bool flip = in.flag(path + "use_hflip") || in.flag(path + "use_flip"),
             turn = in.flag(path + "use_rot");
  augment["hflip"] = number(flip ? 0.5 : 0);
  augment["vflip"] = augment["transpose"] = number(turn ? 0.5 : 0);
  const bool train_wide = in.flag("train.use_moa") || in.flag("use_moa");
  const std::string names = in.has("train.moa_augs") ? "train.moa_augs" : path + "augmentation";
  const std::string shares = in.has("train.moa_probs") ? "train.moa_probs" : path + "aug_prob";
  in.at(path + "augmentation"), in.at(path + "aug_prob");
  const Node list = in.at(names), probabilities = in.at(shares);
  if (names.starts_with("train.") && !train_wide) return;
  if (!list.IsDefined() || !probabilities.IsDefined() || list.size() != probabilities.size()) return;
  std::string missing;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string name = list[i].Scalar();
    if (name == "mixup" || name == "cutblur")
      augment[name] = probabilities[i];
    else if (name != "none")
      missing += (missing.empty() ? "" : ", ") + name;
  }
  if (!missing.empty())
    in.note(names + ": left out: " + missing + "; mixup and cutblur are drawn independently");
}

// Shares in the order that dgp has them, of a list of names beside a list of numbers.
Node ordered_shares(File& in, const std::string& names, const std::string& shares,
                    const std::vector<std::string>& order) {
  std::vector<double> found(order.size(), 0);
  const Node list = in.at(names), numbers = in.at(shares);
  if (!list.IsSequence() || !numbers.IsSequence() || list.size() != numbers.size())
    in.wrong(shares, "expects a number for each of ", names);
  for (size_t i = 0; i < list.size(); ++i) {
    const auto place = std::find(order.begin(), order.end(), list[i].Scalar());
    if (place == order.end()) {
      if (!is_off(numbers[i])) in.note(names + ": left out: " + list[i].Scalar());
      continue;
    }
    found[static_cast<size_t>(place - order.begin())] = numbers[i].as<double>();
  }
  return Node(found);
}

// Real-ESRGAN's two rounds; `suffix`: "" or "2".
Node round(File& in, const std::string& suffix) {
  const std::string data = "datasets.train.";
  const auto path = [&](const std::string& key) {  // neosr's later files have a section of their own
    const std::string name = key + suffix;
    return in.has("degradations." + name) ? "degradations." + name : in.has(name) ? name : data + name;
  };
  Node stage(YAML::NodeType::Map);
  if (in.has(path("kernel_prob")))
    stage["kernels"] = ordered_shares(
        in, path("kernel_list"), path("kernel_prob"),
        {"iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"});
  if (in.has(path("resize_mode_prob")))
    stage["modes"] = ordered_shares(in, path("resize_mode_list"), path("resize_mode_prob"),
                                    {"area", "bilinear", "bicubic", "nearest-exact"});
  move(in, path("kernel_range"), stage, "size");
  move(in, path("sinc_prob"), stage, "sinc");
  move(in, path("blur_sigma"), stage, "sigma");
  move(in, path("betag_range"), stage, "generalized_beta");
  move(in, path("betap_range"), stage, "plateau_beta");
  move(in, path("blur_prob"), stage, "blur");
  if (!suffix.empty())
    for (const char* name : {"second_blur_prob", "degradations.second_blur_prob"})
      move(in, name, stage, "blur");
  move(in, path("resize_prob"), stage, "resize");
  move(in, path("resize_range"), stage, "factor");
  move(in, path("gaussian_noise_prob"), stage, "gaussian");
  move(in, path("noise_range"), stage, "noise_sigma");
  move(in, path("poisson_scale_range"), stage, "poisson_scale");
  move(in, path("gray_noise_prob"), stage, "grey");
  move(in, path("jpeg_prob"), stage, "jpeg");
  move(in, path("jpeg_range"), stage, "quality");
  return stage;
}

Node degradation(File& in) {
  Node degrade(YAML::NodeType::Map);
  degrade["preset"] = Node("realesrgan");
  degrade["usm"] =
      Node(in.flag("l1_gt_usm") || in.flag("gt_usm") || in.flag("datasets.train.gt_usm") ? "true" : "false");
  for (const char* key : {"percep_gt_usm", "gan_gt_usm"})
    if (in.has(key) && in.flag(key) != in.flag("l1_gt_usm"))
      in.note(std::string(key) + ": every loss is taken towards the same picture, as l1_gt_usm says");
  const std::string sinc = "final_sinc_prob";
  for (const std::string& path : {sinc, "datasets.train." + sinc, "degradations." + sinc})
    move(in, path, degrade, "final_sinc");
  degrade["first"] = round(in, "");
  degrade["second"] = round(in, "2");
  for (const char* key : {"resize_mode_list3", "resize_mode_prob3", "datasets.train.final_kernel_range"})
    if (in.has(key)) in.note(std::string(key) + ": left out; the last resize and filter are Real-ESRGAN's");
  return degrade;
}

}  // namespace

void data(File& in, Node out, int gpus) {
  const std::string path = "datasets.train";
  if (!in.has(path)) in.wrong("datasets", "expects a section train");
  in.take(path + ".name"), in.take("datasets"), in.take("datasets.train");
  Node data = section(out, "data");
  const std::string kind = bare(in.scalar(path + ".type")), model = lower(in.scalar("model_type"));
  const bool high_order = in.flag("high_order_degradation", true) &&
                          (kind == "realesrgandataset" || kind == "otf" || model == "otf");
  const size_t notes = in.notes().size();
  const Node degrade = degradation(in);
  bool degrades = false;
  for (Node root : roots(in, path)) {
    if (high_order && !std::as_const(root)["lr"]) root["degrade"] = degrade, degrades = true;
    data["train"].push_back(root);
  }
  if (!degrades) in.notes().resize(notes);
  patch(in, data);
  const double batch =
      in.value(path + (in.has(path + ".batch_size") ? ".batch_size" : ".batch_size_per_gpu"), 16);
  data["batch"] = number(batch * gpus);
  if (gpus > 1)
    in.note("data.batch: " + std::to_string(static_cast<int64_t>(batch) * gpus) +
            ", the whole batch of their " + std::to_string(gpus) + " GPUs");
  in.at(path + ".batch_size_per_gpu");
  move(in, path + ".num_worker_per_gpu", data, "workers");
  if (in.value(path + ".num_worker_per_gpu", 1) < 1) data["workers"] = number(1);
  move(in, path + (in.has(path + ".accum_iter") ? ".accum_iter" : ".accumulate"), out, "accumulate");
  augmentation(in, data);
  if (const double queue = in.value("queue_size", 0); queue > 0 && degrades)
    section(data, "pool")["pairs"] = number(queue);
}

void validation(File& in, Node out) {
  in.take("val");
  const bool on = in.has("val") && in.flag("val.val_enabled", true);
  Node validate = section(out, "validate");
  in.at("val.val_freq");
  if (on) move(in, "val.val_freq", validate, "every");
  in.take("val.metrics");
  const Node metrics = in.keys_of("val.metrics");
  std::string best;
  if (metrics.IsDefined())
    for (const auto& item : metrics) {
      const Node metric = in.keys_of("val.metrics." + item.first.Scalar());
      if (!metric.IsDefined()) continue;
      const std::string type = std::as_const(metric)["type"] ? std::as_const(metric)["type"].Scalar() : "";
      if (type != "calculate_psnr" && type != "calculate_ssim") {
        in.note("val.metrics." + item.first.Scalar() +
                ": left out; dgp eval has psnr, ssim, ms-ssim, niqe and lpips");
        continue;
      }
      if (const Node crop = std::as_const(metric)["crop_border"]) validate["border"] = crop;
      const Node y = std::as_const(metric)["test_y_channel"];
      if (best.empty() || type == "calculate_psnr")
        best = type.substr(10) + (y && !is_off(y) ? "_y" : "_rgb");
    }
  if (!best.empty()) validate["best"] = Node(best);
  const Node sets = in.keys_of("datasets");
  if (!sets.IsDefined()) return;
  for (const auto& item : sets) {
    const std::string key = item.first.Scalar();
    if (!key.starts_with("val") && !key.starts_with("test")) continue;
    in.take("datasets." + key);
    if (!on || !key.starts_with("val")) continue;
    for (const Node& root : roots(in, "datasets." + key)) validate["data"].push_back(root);
  }
}

}  // namespace dgp::basicsr
