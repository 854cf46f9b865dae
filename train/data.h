// Training pictures: found, paired, decoded once into memory as bytes, and cut into random patches. Every
// random choice is a function of (seed, iteration, sample), so that neither resuming nor the number of
// loading threads changes anything.
#pragma once

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"
#include "train/config.h"

namespace dgp {

struct PicturePaths {
  std::string name, lr, hr;  // lr is empty for pictures degraded on the fly
};

// The files of a source, by name. Throws Error(bad_file) that lists every file without a partner.
std::vector<PicturePaths> find_pictures(const SourceConfig& source);

struct Picture {
  std::string name;
  Tensor lr, hr;  // u8 [H,W,3], [scale*H,scale*W,3]; lr is undefined when it is made on the fly
  size_t source = 0;
};

struct Batch {
  Tensor lr, hr;  // f32 [N,p,p,3], [N,s*p,s*p,3]
};

class Dataset {
 public:
  // Decodes everything. Throws Error(bad_file) with the list of all pictures that cannot be read, whose
  // sizes do not match, or that are smaller than a patch (LR pixels); Error(limit) past cache_bytes.
  Dataset(std::vector<SourceConfig> sources, int64_t scale, int64_t patch, int64_t cache_bytes);

  const std::vector<Picture>& pictures() const { return pictures_; }
  int64_t bytes() const { return bytes_; }

  // One patch: lr [patch,patch,3] and hr [scale*patch,scale*patch,3] in [0, 1]; augment: flips,
  // transposition.
  void sample(Rng rng, bool augment, float* lr, float* hr) const;

  // `count` patches, the i-th drawn from rng.split(i).
  Batch batch(const Rng& rng, int64_t count, bool augment = true) const;

  // A whole picture's LR and HR as bytes, as validation wants them; HR is cut to a multiple of the scale.
  std::pair<Tensor, Tensor> whole(size_t index) const;

 private:
  void load(const PicturePaths& paths, size_t source, std::vector<Picture>& into) const;

  std::vector<SourceConfig> sources_;
  int64_t scale_, patch_, bytes_ = 0;
  std::vector<Picture> pictures_;
  std::vector<double> cumulative_;  // of the pictures' weights
};

// Makes batches ahead of the trainer on threads of its own.
class Loader {
 public:
  // Batches number `first` on. Sample i of batch b is drawn from Rng(seed).split(b).split(i).
  Loader(const Dataset& data, const TrainConfig& config, int64_t first);
  ~Loader();

  Batch next();                                      // in order; a worker's exception comes out here
  double waited_seconds() const { return waited_; }  // by the trainer, in next(), so far

 private:
  void work();
  Batch make(int64_t number) const;

  const Dataset& data_;
  const TrainConfig& config_;
  int64_t next_made_, next_taken_;
  double waited_ = 0;
  bool stop_ = false;
  std::exception_ptr failure_;
  std::map<int64_t, Batch> ready_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> workers_;
};

}  // namespace dgp
