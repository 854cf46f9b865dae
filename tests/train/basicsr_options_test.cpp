// Options files as BasicSR, Real-ESRGAN, traiNNer-redux and neosr have them: keys and values are those of
// their published examples.
#include "tensor/error.h"
#include "tests/test.h"
#include "train/config.h"
#include "train/schedule.h"

using namespace dgp;

namespace {

const std::string kMsrGan = R"(name: 004_MSRGAN_x4
model_type: SRGANModel
scale: 4
num_gpu: 1
manual_seed: 7
datasets:
  train:
    name: DIV2K
    type: PairedImageDataset
    dataroot_gt: DIV2K_train_HR_sub
    dataroot_lq: DIV2K_train_LR_bicubic/X4_sub
    filename_tmpl: '{}x4'
    io_backend:
      type: disk
    gt_size: 128
    use_hflip: true
    use_rot: false
    use_shuffle: true
    num_worker_per_gpu: 6
    batch_size_per_gpu: 16
    dataset_enlarge_ratio: 100
    prefetch_mode: ~
  val:
    name: Set14
    type: PairedImageDataset
    dataroot_gt: Set14/GTmod12
    dataroot_lq: Set14/LRbicx4
    io_backend:
      type: disk
  val_2:
    name: Set5
    type: PairedImageDataset
    dataroot_gt: Set5/GTmod12
    dataroot_lq: Set5/LRbicx4
network_g:
  type: MSRResNet
  num_in_ch: 3
  num_feat: 64
network_d:
  type: VGGStyleDiscriminator
  num_in_ch: 3
  num_feat: 64
path:
  pretrain_network_g: net_g_1000000.pth
  strict_load_g: true
  resume_state: ~
train:
  ema_decay: 0.999
  optim_g:
    type: Adam
    lr: !!float 1e-4
    weight_decay: 0
    betas: [0.9, 0.99]
  optim_d:
    type: Adam
    lr: !!float 2e-4
    weight_decay: 0
    betas: [0.8, 0.99]
  scheduler:
    type: MultiStepLR
    milestones: [50000, 100000]
    gamma: 0.25
  total_iter: 400000
  warmup_iter: -1
  pixel_opt:
    type: L1Loss
    loss_weight: !!float 1e-2
    reduction: mean
  gan_opt:
    type: GANLoss
    gan_type: vanilla
    real_label_val: 1.0
    fake_label_val: 0.0
    loss_weight: !!float 5e-3
  net_d_iters: 1
  net_d_init_iters: 100
val:
  val_freq: !!float 5e3
  save_img: true
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 4
      test_y_channel: false
logger:
  print_freq: 200
  save_checkpoint_freq: !!float 5e3
  use_tb_logger: true
  wandb:
    project: ~
    resume_id: ~
dist_params:
  backend: nccl
  port: 29500
)";

const std::string kRealEsrgan = R"(name: x4plus
model_type: RealESRGANModel
scale: 4
num_gpu: 4
manual_seed: 0
l1_gt_usm: True
percep_gt_usm: True
gan_gt_usm: False
resize_prob: [0.2, 0.7, 0.1]
resize_range: [0.15, 1.5]
gaussian_noise_prob: 0.5
noise_range: [1, 30]
poisson_scale_range: [0.05, 3]
gray_noise_prob: 0.4
jpeg_range: [30, 95]
second_blur_prob: 0.8
resize_prob2: [0.3, 0.4, 0.3]
resize_range2: [0.3, 1.2]
gaussian_noise_prob2: 0.5
noise_range2: [1, 25]
poisson_scale_range2: [0.05, 2.5]
gray_noise_prob2: 0.4
jpeg_range2: [30, 95]
gt_size: 256
queue_size: 180
datasets:
  train:
    name: DF2K+OST
    type: RealESRGANDataset
    dataroot_gt: DF2K
    meta_info: meta_info_DF2K.txt
    io_backend:
      type: disk
    blur_kernel_size: 21
    kernel_list: ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']
    kernel_prob: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
    sinc_prob: 0.1
    blur_sigma: [0.2, 3]
    betag_range: [0.5, 4]
    betap_range: [1, 2]
    blur_kernel_size2: 21
    kernel_list2: ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']
    kernel_prob2: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
    sinc_prob2: 0.1
    blur_sigma2: [0.2, 1.5]
    betag_range2: [0.5, 4]
    betap_range2: [1, 2]
    final_sinc_prob: 0.8
    gt_size: 256
    use_hflip: True
    use_rot: False
    num_worker_per_gpu: 5
    batch_size_per_gpu: 12
    dataset_enlarge_ratio: 1
network_g:
  type: RRDBNet
  num_feat: 64
network_d:
  type: UNetDiscriminatorSN
  num_in_ch: 3
  num_feat: 48
  skip_connection: True
path:
  pretrain_network_g: RealESRNet_x4plus.pth
  param_key_g: params_ema
train:
  ema_decay: 0.999
  optim_g: {type: Adam, lr: 1e-4, weight_decay: 0, betas: [0.9, 0.99]}
  optim_d: {type: Adam, lr: 1e-4, weight_decay: 0, betas: [0.9, 0.99]}
  scheduler: {type: MultiStepLR, milestones: [400000], gamma: 0.5}
  total_iter: 400000
  warmup_iter: -1
  pixel_opt: {type: L1Loss, loss_weight: 1.0, reduction: mean}
  perceptual_opt:
    type: PerceptualLoss
    layer_weights: {'conv1_2': 0.1, 'conv3_4': 2}
    vgg_type: vgg19
    use_input_norm: true
    perceptual_weight: !!float 1.0
    style_weight: 0
    range_norm: false
    criterion: l1
  gan_opt: {type: GANLoss, gan_type: vanilla, loss_weight: !!float 1e-1}
  net_d_iters: 1
  net_d_init_iters: 0
logger:
  print_freq: 100
  save_checkpoint_freq: !!float 5e3
)";

const std::string kTraiNNer = R"(name: 4x_SPAN
scale: 4
use_amp: true
amp_bf16: false
use_channels_last: true
fast_matmul: false
num_gpu: auto
high_order_degradation: true
high_order_degradations_debug: false
lq_usm: false
lq_usm_radius_range: [1, 25]
thicklines_prob: 0.0
blur_prob: 0.25
resize_prob: [0.2, 0.7, 0.1]
resize_mode_list: ['bilinear', 'bicubic', 'nearest-exact', 'lanczos']
resize_mode_prob: [0.25, 0.25, 0.2, 0.3]
resize_range: [0.4, 1.5]
gaussian_noise_prob: 0.0
noise_range: [0, 0]
poisson_scale_range: [0, 0]
gray_noise_prob: 0.0
jpeg_prob: 0.9
jpeg_range: [75, 95]
blur_prob2: 0.0
resize_prob2: [0.3, 0.4, 0.3]
resize_range2: [0.6, 1.2]
jpeg_prob2: 1.0
jpeg_range2: [75, 95]
queue_size: 120
datasets:
  train:
    name: Train Dataset
    type: realesrgandataset
    dataroot_gt: [
      datasets/hr,
      datasets/hr2
    ]
    kernel_list: ['iso', 'aniso']
    kernel_prob: [0.6, 0.4]
    kernel_range: [5, 17]
    final_sinc_prob: 0.0
    lq_size: 64
    use_hflip: true
    use_rot: true
    num_worker_per_gpu: 8
    batch_size_per_gpu: 16
    accum_iter: 2
  val:
    name: Val Dataset
    type: pairedimagedataset
    dataroot_gt: [val/hr]
    dataroot_lq: [val/lr]
network_g:
  type: DGPNet
  preset: base
path:
  pretrain_network_g: dgp.safetensors
train:
  ema_decay: 0.999
  grad_clip: true
  optim_g: {type: AdamW, lr: !!float 1e-4, weight_decay: 0, betas: [0.9, 0.99]}
  scheduler: {type: CosineAnnealingRestartLR, periods: [250000, 250000], restart_weights: [1, 0.5], eta_min: 1e-7}
  total_iter: 500000
  warmup_iter: 1000
  losses:
    - type: mssimloss
      loss_weight: 0.5
    - type: charbonnierloss
      loss_weight: 1.0
    - type: ldlloss
      loss_weight: 0
    - type: ffloss
      alpha: 1.0
      loss_weight: 0.2
  use_moa: true
  moa_augs: ['none', 'mixup', 'cutmix', 'cutblur']
  moa_probs: [0.5, 0.1, 0.1, 0.3]
val:
  val_enabled: false
  val_freq: 1000
logger:
  print_freq: 100
  save_checkpoint_freq: 1000
)";

struct Read {
  TrainConfig config;
  std::string notes;
};
Read read(const std::string& yaml, const std::vector<std::string>& overrides = {"model.preset=base"}) {
  std::vector<std::string> notes;
  Read result{parse_config(yaml, "their.yml", overrides, &notes), ""};
  for (const std::string& note : notes) result.notes += note + "\n";
  return result;
}

std::string changed(std::string yaml, const std::string& from, const std::string& to) {
  const size_t at = yaml.find(from);
  REQUIRE(at != std::string::npos);
  return yaml.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a BasicSR options file is read as it stands, with a network of ours") {
  const auto [c, notes] = read(kMsrGan);
  CHECK(c.name == "004_MSRGAN_x4");
  CHECK(c.seed == 7);
  CHECK(c.model.scale == 4);
  CHECK(c.model.options.at("channels") == 48);
  CHECK(c.model.init.empty());
  REQUIRE(c.data.train.size() == 1);
  CHECK(c.data.train[0].hr == "DIV2K_train_HR_sub");
  CHECK(c.data.train[0].lr == "DIV2K_train_LR_bicubic/X4_sub");
  CHECK(c.data.train[0].lr_pattern == "*x4");
  CHECK(c.data.patch == 32);
  CHECK(c.data.batch == 16);
  CHECK(c.data.workers == 6);
  CHECK(c.data.augment.hflip == 0.5);
  CHECK(c.data.augment.vflip == 0);
  CHECK(c.data.augment.transpose == 0);
  CHECK(c.iterations == 400000);
  CHECK(c.ema == 0.999);
  CHECK(c.optimizer.type == "adam");
  CHECK(c.optimizer.lr == 1e-4);
  CHECK(c.optimizer.options.at("beta2") == 0.99);
  CHECK(learning_rate(c, 0) == 1e-4);
  CHECK(learning_rate(c, 50000) == 2.5e-5);
  CHECK(c.loss.size() == 1);
  CHECK(c.loss[0].type == "l1");
  CHECK(c.loss[0].weight == 1e-2);
  CHECK(c.gan.type == "vanilla");
  CHECK(c.gan.weight == 5e-3);
  CHECK(c.gan.alone == 100);
  CHECK(c.gan.optimizer.lr == 2e-4);
  CHECK(c.gan.optimizer.options.at("beta1") == 0.8);
  CHECK(c.validate.every == 5000);
  CHECK(c.validate.border == 4);
  CHECK(c.validate.best == "psnr_rgb");
  REQUIRE(c.validate.data.size() == 2);
  CHECK(c.validate.data[0].lr == "Set14/LRbicx4");
  CHECK(c.validate.data[1].hr == "Set5/GTmod12");
  CHECK(c.log.every == 200);
  CHECK(c.checkpoint.every == 5000);
  CHECK(c.clip == 0);
  CHECK_THAT(notes, ContainsSubstring("DGPNet in the place of MSRResNet") &&
                        ContainsSubstring("U-Net in the place of VGGStyleDiscriminator") &&
                        ContainsSubstring("of no use here: ") && ContainsSubstring("dist_params"));
  CHECK(to_yaml(parse_config(to_yaml(c), "again.yml")) == to_yaml(c));
}

TEST_CASE("Real-ESRGAN's options are the preset that bears its name") {
  const std::vector<std::string> overrides = {"model.preset=small", "loss.1.weights=vgg19.safetensors"};
  const auto [c, notes] = read(kRealEsrgan, overrides);
  REQUIRE(c.data.train.size() == 1);
  DegradeConfig expected = degrade_preset("realesrgan");
  const auto as_text = [&](const DegradeConfig& degrade) {
    TrainConfig config = c;
    config.data.train[0].degrade = degrade;
    return to_yaml(config);
  };
  CHECK(as_text(c.data.train[0].degrade) == as_text(expected));
  CHECK(c.data.train[0].meta_info == "meta_info_DF2K.txt");
  CHECK(c.data.patch == 64);
  CHECK(c.data.batch == 48);
  CHECK(c.data.pool.pairs == 180);
  CHECK(c.gan.features == 48);
  REQUIRE(c.loss.size() == 2);
  CHECK(c.loss[1].type == "perceptual");
  CHECK(c.loss[1].options.at("conv3_4") == 2);
  CHECK(c.loss[1].options.at("conv5_4") == 0);
  CHECK_THAT(notes, ContainsSubstring("48, the whole batch of their 4 GPUs") &&
                        ContainsSubstring("gan_gt_usm: every loss is taken towards the same picture"));
  CHECK_THROWS_WITH(read(kRealEsrgan), ContainsSubstring("their.yml:") &&
                                           ContainsSubstring("train.perceptual_opt") &&
                                           ContainsSubstring("--set loss.1.weights=vgg19.safetensors"));
  // One number of it changed, and so the degradation.
  const auto other = read(changed(kRealEsrgan, "noise_range2: [1, 25]", "noise_range2: [1, 5]"), overrides);
  CHECK(other.config.data.train[0].degrade.second.noise_sigma == Range{1, 5});
  // Real-ESRGAN's fine-tuning on pairs makes no degradation.
  const auto pairs = read(
      changed(changed(kRealEsrgan, "    dataroot_gt: DF2K\n", "    dataroot_gt: DF2K\n    dataroot_lq: LQ\n"),
              "RealESRGANDataset", "RealESRGANPairedDataset"),
      overrides);
  CHECK(pairs.config.data.train[0].lr == "LQ");
  CHECK(pairs.config.data.pool.pairs == 0);
  CHECK_THAT(pairs.notes, !ContainsSubstring("gan_gt_usm"));
}

TEST_CASE("a file of traiNNer-redux: several roots, a list of losses, its own degradation") {
  const auto [c, notes] = read(kTraiNNer, {});
  CHECK(c.model.preset == "base");
  CHECK(c.model.init == "dgp.safetensors");
  REQUIRE(c.data.train.size() == 2);
  CHECK(c.data.train[1].hr == "datasets/hr2");
  const DegradeConfig& d = c.data.train[1].degrade;
  CHECK(d.first.blur == 0.25);
  CHECK(d.first.kernels == std::vector<double>{0.6, 0.4, 0, 0, 0, 0});
  CHECK(d.first.size == Range{5, 17});
  CHECK(d.first.modes == std::vector<double>{0, 0.25, 0.25, 0.2});
  CHECK(d.first.jpeg == 0.9);
  CHECK(d.second.blur == 0);
  CHECK(d.second.quality == Range{75, 95});
  CHECK(d.final_sinc == 0);
  CHECK(!d.usm);
  CHECK(c.data.patch == 64);
  CHECK(c.accumulate == 2);
  CHECK(c.data.augment.transpose == 0.5);
  CHECK(c.data.augment.mixup == 0.1);
  CHECK(c.data.augment.cutblur == 0.3);
  CHECK(c.clip == 100);
  CHECK(c.optimizer.type == "adamw");
  CHECK(c.schedule.type == "cosine_restart");
  CHECK(c.schedule.warmup == 1000);
  CHECK(c.schedule.min_lr == 1e-7);
  REQUIRE(c.loss.size() == 3);
  CHECK(c.loss[0].type == "ms_ssim");
  CHECK(c.loss[1].type == "charbonnier");
  CHECK(c.loss[1].options.at("eps") == 1e-6);  // sqrt(d^2 + 1e-12)
  CHECK(c.loss[2].type == "focal_frequency");
  CHECK(c.validate.data.empty());
  CHECK_THAT(notes, ContainsSubstring("resize_mode_list: left out: lanczos") &&
                        ContainsSubstring("moa_augs: left out: cutmix") &&
                        ContainsSubstring("--set precision=f16"));
}

TEST_CASE("neosr's names for the same things") {
  std::string yaml = changed(kTraiNNer, "    lq_size: 64\n", "    patch_size: 48\n");
  yaml = changed(yaml, "    batch_size_per_gpu: 16\n    accum_iter: 2\n",
                 "    batch_size: 8\n    accumulate: 3\n");
  yaml = changed(yaml, "  ema_decay: 0.999\n", "  ema: 0.99\n");
  yaml = changed(yaml, "type: realesrgandataset", "type: otf");
  yaml = changed(yaml, "{type: AdamW, lr", "{type: adamw_sf, schedule_free: true, warmup_steps: 1600, lr");
  yaml = changed(yaml,
                 "  scheduler: {type: CosineAnnealingRestartLR, periods: [250000, 250000], "
                 "restart_weights: [1, 0.5], eta_min: 1e-7}\n",
                 "");
  yaml = changed(yaml, "  warmup_iter: 1000\n", "");
  yaml = changed(yaml, "  losses:\n",
                 "  consistency_opt: {type: consistency_loss, loss_weight: 0}\n  losses:\n");
  const TrainConfig c = read(yaml, {}).config;
  CHECK(c.data.patch == 48);
  CHECK(c.data.batch == 8);
  CHECK(c.accumulate == 3);
  CHECK(c.ema == 0.99);
  CHECK(c.optimizer.type == "schedulefree");
  CHECK(c.schedule.type == "constant");
  CHECK(c.schedule.warmup == 1600);
  CHECK(c.data.train[0].degrade.type == "ordered");
}

TEST_CASE("what cannot be read as asked is told with its line and what to do") {
  const auto complaint = [](const std::string& yaml, const std::vector<std::string>& overrides = {}) {
    try {
      read(yaml, overrides);
    } catch (const Error& e) {
      CHECK(e.code() == ErrorCode::invalid);
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  const std::vector<std::string> base = {"model.preset=base"};
  CHECK_THAT(complaint(kMsrGan), ContainsSubstring("their.yml:36: network_g.type") &&
                                     ContainsSubstring("MSRResNet") &&
                                     ContainsSubstring("--set model.preset=base"));
  CHECK_THAT(complaint(changed(kMsrGan, "ema_decay", "ema_dekay"), base),
             ContainsSubstring("their.yml:") && ContainsSubstring("unknown key \"train.ema_dekay\"") &&
                 ContainsSubstring("\"ema_decay\""));
  CHECK_THAT(complaint(changed(kMsrGan, "gt_size: 128", "gt_size: 126"), base),
             ContainsSubstring("their.yml:15: datasets.train.gt_size") &&
                 ContainsSubstring("multiple of the scale"));
  CHECK_THAT(complaint(changed(kMsrGan, "L1Loss", "LDLLoss"), base),
             ContainsSubstring("train.pixel_opt: dgp has no LDLLoss"));
  CHECK_THAT(complaint(changed(kMsrGan, "type: MultiStepLR", "type: KneeLR"), base),
             ContainsSubstring("train.scheduler.type") && ContainsSubstring("\"KneeLR\""));
  CHECK_THAT(complaint(changed(kMsrGan, "lr: !!float 1e-4", "lr: fast"), base),
             ContainsSubstring("their.yml:51: optimizer.lr: expects a number"));
  CHECK_THAT(complaint(changed(kMsrGan, "gan_type: vanilla", "gan_type: wgan"), base),
             ContainsSubstring("gan.type") && ContainsSubstring("wgan"));
  CHECK_THAT(complaint(changed(kTraiNNer, "lq_usm: false", "lq_usm: true")),
             ContainsSubstring("lq_usm: dgp does not do this"));
  CHECK_THAT(complaint(changed(kTraiNNer, "dataroot_lq: [val/lr]", "dataroot_lq: [a, b]")),
             ContainsSubstring("accepted"));
  CHECK_THAT(complaint(changed(changed(kTraiNNer, "dataroot_lq: [val/lr]", "dataroot_lq: [a, b]"),
                               "val_enabled: false", "val_enabled: true")),
             ContainsSubstring("datasets.val.dataroot_lq: expects as many folders as dataroot_gt, 1, got 2"));
  for (const char* yaml :
       {"datasets: [1, 2]\n", "datasets: {train: {dataroot_gt: a, gt_size: 64}}\ntrain: [1]\n",
        "val: {metrics: [1]}\ndatasets: {train: {dataroot_gt: a, gt_size: 64}}\n"})
    CHECK_THAT(complaint(yaml, base),
               ContainsSubstring("their.yml:") && ContainsSubstring("expects keys with values"));
  CHECK_THROWS_WITH(load_config("options.toml"),
                    ContainsSubstring("options.toml") && ContainsSubstring("YAML"));
}
