// The configuration of a training run, read from YAML. Every key has a type and a range; an unknown key, a
// wrong type or a value out of range is an error that names the file, the line and the nearest known key.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "train/losses.h"

namespace dgp {

using Range = std::array<double, 2>;  // [low, high]: a number drawn uniformly between them

// One round of blur, resize, noise and JPEG (train/degradation.h). The defaults are Real-ESRGAN's first.
struct DegradeStage {
  double blur = 1;       // probability
  Range size = {7, 21};  // of kernels, odd
  double sinc = 0.1;     // share of sinc filters among the kernels
  std::vector<double> kernels = {0.45, 0.25, 0.12, 0.03, 0.12, 0.03};  // Gaussian iso and aniso, generalized
                                                                       // iso and aniso, plateau iso and aniso
  Range sigma = {0.2, 3}, generalized_beta = {0.5, 4}, plateau_beta = {1, 2};
  std::vector<double> resize = {0.2, 0.7, 0.1};  // shares of enlarging, shrinking, keeping
  Range factor = {0.15, 1.5};                    // smallest and largest
  std::vector<double> modes = {1, 1, 1, 0};      // shares of area, bilinear, bicubic, nearest
  double noise = 1, gaussian = 0.5, grey = 0.4;  // probability; shares: of Gaussian (else Poisson), of grey
  Range noise_sigma = {1, 30}, poisson_scale = {0.05, 3};
  double jpeg = 1;  // probability
  Range quality = {30, 95};
};

// How low-resolution patches are made from high-resolution ones (train/degrade.h, train/degradation.h).
struct DegradeConfig {
  std::string preset;            // sets what follows to known values: bicubic, mild, realesrgan, bsrgan
  std::string type = "bicubic";  // bicubic: MATLAB's imresize; real: blur, shrink, noise, JPEG; ordered:
                                 // Real-ESRGAN's; shuffled: BSRGAN's
  struct {
    double probability = 0.8, anisotropic = 0.5;
    Range sigma = {0.2, 1.5};  // of the Gaussian, in HR pixels
  } blur;
  struct {
    double bicubic = 1, bilinear = 1, area = 1;  // relative frequencies
  } resize;
  struct {
    double probability = 0.8, poisson = 0.3, grey = 0.4;  // shares: of noisy, of those Poisson, of those grey
    Range sigma = {1, 12};                                // Gaussian, of 255
    Range scale = {0.2, 1.5};                             // Poisson, relative to one electron a grey level
  } noise;
  struct {
    double probability = 0.8, subsample = 0.7;
    Range quality = {50, 95};
  } jpeg;
  // ordered
  int64_t orders = 2;
  bool usm = false;  // sharpen the picture first, and train towards the sharpened one
  double final_sinc = 0.8;
  DegradeStage first, second;
  // shuffled
  struct {
    double halve = 0.25, grey = 0.4, jpeg = 0.9;
    Range noise_sigma = {2, 25}, quality = {30, 95};
  } shuffled;
  std::string coder = "diff";  // JPEG of ordered and shuffled: diff (DiffJPEG) or file (dgp's own coder)
};

// The values of a preset. Throws Error(invalid) for a name that is none.
DegradeConfig degrade_preset(const std::string& name);

// One root of pictures: pairs (lr and hr) or high-resolution pictures alone (hr), degraded on the fly.
struct SourceConfig {
  std::string lr = {}, hr = {};                   // folders
  std::string lr_pattern = {}, hr_pattern = {};   // file names with one '*', "*_LR.png"; empty: every image
  std::string meta_info = {};                     // a file that lists the pictures (train/listing.h)
  std::vector<std::string> only = {}, skip = {};  // what '*' stands for: names to take, names to leave
  double weight = 1;                // how often a picture is drawn, relative to those of other roots
  double share = 0;                 // of the samples, whatever the number of pictures; 0: by weight
  std::vector<double> sizes = {1};  // high-resolution pictures alone: also use copies shrunk by these
  DegradeConfig degrade = {};
};

struct OptimizerConfig {
  std::string type = "adam";  // of optimizers() (train/optimizer.h)
  double lr = 3e-4;
  Options options = {};  // of that type; what is not there has the type's default
};

// Probabilities of the augmentations of a sample (train/augment.h).
struct AugmentConfig {
  double hflip = 0.5, vflip = 0.5, transpose = 0.5;
  double channels = 0, cutblur = 0, mixup = 0;
  double cutblur_ratio = 0.7, mixup_alpha = 1.2;  // side of the cut to that of the patch; of Beta(a, a)

  static AugmentConfig none() { return {0, 0, 0}; }
};

// Pairs that several samples are cut from (train/pool.h).
struct PoolConfig {
  int64_t pairs = 0, reuse = 1;  // how many at a time, 0: none; samples that each gives on average
  int64_t size = 0;              // LR pixels a side; 0: one and a half patches
};

struct TrainConfig {
  std::string name = "run";
  std::string out;                 // run folder; empty: runs/<name>
  std::string device = "cpu";      // or cuda: where the network learns and batches are made
  std::string precision = "full";  // on the GPU also tf32, fast, bf16 and f16 (docs/cuda.md)
  int64_t seed = 1, iterations = 100000, threads = 0;
  struct {
    std::string type = "dgpnet";         // of networks() (train/network.h)
    std::string preset = {}, init = {};  // init: a safetensors file of either form to start from
    int64_t scale = 4;
    Options options = {};  // of that type; what is not there has the type's default
  } model;
  struct {
    std::vector<SourceConfig> train;
    int64_t patch = 48, batch = 16, workers = 1,
            cache = 4096;  // patch: LR pixels; cache: MiB of decoded pixels
    std::string pack;      // a folder for decoded pixels, mapped from there; empty: they are kept in memory
    AugmentConfig augment;
    PoolConfig pool;
  } data;
  OptimizerConfig optimizer;
  struct {
    std::string type = "cosine";  // train/schedule.h
    int64_t warmup = 0;
    double min_lr = 1e-7;                                                // cosine, cosine_restart
    std::vector<int64_t> milestones = {};                                // multistep
    double gamma = 0.5;                                                  // multistep
    std::vector<int64_t> periods = {};                                   // cosine_restart
    std::vector<double> restart_weights = {};                            // cosine_restart
    double pct_start = 0.3, div_factor = 25, final_div_factor = 10'000;  // onecycle
  } schedule;
  std::vector<LossTerm> loss = {{"l1"}};
  struct {                      // adversarial training (train/discriminator.h)
    std::string type = "none";  // or vanilla, lsgan, hinge
    double weight = 0.1;        // of the network's part, added to the loss
    int64_t features = 64;      // of the discriminator
    int64_t alone = 0;          // so many iterations at the start in which it learns alone
    OptimizerConfig optimizer = {"adam", 1e-4};
  } gan;
  double ema = 0.999, clip = 0;  // clip: largest gradient norm, 0: none
  int64_t accumulate = 1;
  struct {
    int64_t every = 1000, border = 0, images = 4, crop = 0;  // crop: centre square of LR pixels, 0: whole
    std::string best = "psnr_y";
    std::vector<SourceConfig> data;
  } validate;
  struct {
    int64_t every = 100, returns = 3;  // of the preview; so many returns before the run ends, 0: no watch
    double outlier = 8, colour = 0.1, backoff = 0.5;  // train/watch.h; the rate's factor after a return
  } watch;
  struct {
    int64_t every = 500, keep = 2;  // keep: so many of the newest
  } checkpoint;
  struct {
    int64_t every = 50;
  } log;

  Device computes_on() const { return device == "cuda" ? Device::cuda : Device::cpu; }
  std::string folder() const { return out.empty() ? "runs/" + name : out; }
};

// `overrides` are "key.path=value" texts that replace or add keys, list items by number: data.train.0.hr=DIR.
// An options file of BasicSR's kind is read as well (train/basicsr_options.h), before overrides apply; what
// became of it is told in `notes`.
TrainConfig load_config(const std::string& path, const std::vector<std::string>& overrides = {},
                        std::vector<std::string>* notes = nullptr);
TrainConfig parse_config(const std::string& yaml, const std::string& name,
                         const std::vector<std::string>& overrides = {},
                         std::vector<std::string>* notes = nullptr);

std::string to_yaml(const TrainConfig& config);  // every key, defaults too

// A fingerprint of what decides the weights: two runs that share it and the iteration share their bits.
uint32_t config_hash(const TrainConfig& config);

}  // namespace dgp
