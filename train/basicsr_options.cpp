#include "train/basicsr_options.h"

#include <algorithm>
#include <map>

#include "train/basicsr_file.h"

namespace dgp {
namespace basicsr {

void optimizer(File& in, const std::string& path, Node into) {
  const std::string type = bare(in.scalar(path + ".type"));
  static const std::map<std::string, std::string> names = {{"adamwsf", "schedulefree"},
                                                           {"adamwschedulefree", "schedulefree"}};
  const auto renamed = names.find(type);
  Node o = section(into, "optimizer");
  if (!type.empty()) o["type"] = Node(renamed == names.end() ? type : renamed->second);
  for (const char* key : {"lr", "betas", "weight_decay", "eps", "momentum", "nesterov"})
    move(in, path + "." + key, o, key);
  in.at(path + ".schedule_free");
}

namespace {

// How many GPUs the file's batch is for.
int general(File& in, Node out) {
  move(in, "name", out, "name");
  move(in, "manual_seed", out, "seed");
  move(in, "scale", section(out, "model"), "scale");
  const std::string gpus = in.scalar("num_gpu", "0");
  if (gpus != "0")
    in.note("num_gpu: " + gpus + ": where a run computes is said by --device; " +
            (is_off(in.at("use_amp")) ? "" : "use_amp by --set precision=f16 or bf16; ") +
            "several GPUs are several processes, mpirun -n N dgp train");
  in.at("use_amp"), in.at("amp_bf16"), in.at("bfloat16");
  return gpus == "auto" ? 1 : static_cast<int>(std::clamp(in.value("num_gpu", 1), 1.0, 1024.0));
}

void network(File& in, Node out, bool gan) {
  Node model = section(out, "model");
  const std::string type = in.scalar("network_g.type");
  in.take("network_g");
  const std::string init = in.scalar("path.pretrain_network_g");
  if (bare(type) == "dgpnet") {
    const Node theirs = in.keys_of("network_g");
    for (const auto& item : theirs)
      if (const std::string key = item.first.Scalar(); key != "type" && key != "upscale")
        model[key] = item.second;
    move(in, "path.pretrain_network_g", model, "init");
  } else {
    if (!in.overridden("model.preset") && !in.overridden("model.channels") && !in.overridden("model.type"))
      in.wrong(
          "network_g.type", "\"", type,
          "\" is no network of dgp's, which trains DGPNet: choose its size, for instance --set "
          "model.preset=base (or network_g: {type: DGPNet, preset: base}); the rest of the file is taken "
          "as it is");
    in.note("network_g: DGPNet in the place of " + type +
            (init.empty() ? "" : ", from its beginning: " + init + " holds weights of the other"));
  }
  if (!gan) return in.take("network_d");
  const std::string critic = in.scalar("network_d.type");
  if (bare(critic) != "unetdiscriminatorsn" && bare(critic) != "unetsn")
    in.note("network_d: Real-ESRGAN's U-Net in the place of " + critic);
  else
    move(in, "network_d.num_feat", section(out, "gan"), "features");
  in.take("network_d");
  if (in.has("path.pretrain_network_d"))
    in.note("path.pretrain_network_d: left out; the discriminator begins anew");
}

void training(File& in, Node out) {
  Node schedule = section(out, "schedule");
  in.take("train");
  move(in, in.has("train.total_iter") ? "train.total_iter" : "logger.total_iter", out, "iterations");
  move(in, in.has("train.ema_decay") ? "train.ema_decay" : "train.ema", out, "ema");
  if (!std::as_const(out)["ema"]) out["ema"] = number(0);
  if (const Node clip = in.at("train.grad_clip"); clip.IsDefined() && !is_off(clip)) {
    const bool yes = lower(clip.Scalar()) == "true";
    out["clip"] = yes ? number(100) : clip;
    if (yes) in.note("train.grad_clip: the gradient's norm is kept to 100, as traiNNer-redux does");
  }
  optimizer(in, "train.optim_g", out);
  const std::string type = bare(in.scalar("train.scheduler.type"));
  if (type.empty())
    schedule["type"] = Node("constant");
  else if (type == "multisteplr" || type == "multisteprestartlr")
    schedule["type"] = Node("multistep");
  else if (type == "cosineannealingrestartlr")
    schedule["type"] = Node("cosine_restart");
  else if (type == "cosineannealinglr" || type == "truecosineannealinglr" || type == "cosineannealing")
    schedule["type"] = Node("cosine");
  else
    in.wrong("train.scheduler.type",
             "expects MultiStepLR, MultiStepRestartLR, CosineAnnealingRestartLR or "
             "CosineAnnealingLR, got \"",
             in.scalar("train.scheduler.type"), "\"");
  const std::string s = "train.scheduler.";
  move(in, s + "milestones", schedule, "milestones");
  move(in, s + "gamma", schedule, "gamma");
  move(in, s + "periods", schedule, "periods");
  if (type == "cosineannealingrestartlr") move(in, s + "restart_weights", schedule, "restart_weights");
  move(in, s + "eta_min", schedule, "min_lr");
  if (in.has(s + "T_max") && in.scalar(s + "T_max") != in.scalar("train.total_iter"))
    in.note(s + "T_max: the cosine ends with the run");
  for (const char* key : {"restarts", "restart_weights"}) in.at(s + key);
  const std::string warmup = in.has("train.warmup_iter") ? "train.warmup_iter" : "train.optim_g.warmup_steps";
  in.at("train.optim_d.warmup_steps"), in.at("train.optim_g.warmup_steps");
  if (in.value(warmup, 0) > 0) move(in, warmup, schedule, "warmup");
  if (in.value("train.net_d_iters", 1) != 1)
    in.wrong("train.net_d_iters", "dgp updates both networks in every step: expects 1");
  move(in, "logger.print_freq", section(out, "log"), "every");
  move(in, "logger.save_checkpoint_freq", section(out, "checkpoint"), "every");
}

}  // namespace
}  // namespace basicsr

bool is_basicsr(const YAML::Node& root) { return root.IsMap() && (root["datasets"] || root["network_g"]); }

YAML::Node from_basicsr(const YAML::Node& root, const ConfigSource& source, std::vector<std::string>& notes) {
  basicsr::File in(root, source, notes);
  YAML::Node out(YAML::NodeType::Map);
  const int gpus = basicsr::general(in, out);
  const bool gan = basicsr::losses(in, out);
  basicsr::network(in, out, gan);
  basicsr::training(in, out);
  basicsr::validation(in, out);
  basicsr::data(in, out, gpus);
  in.finish();
  return out;
}

}  // namespace dgp
