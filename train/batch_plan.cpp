#include "train/batch_plan.h"

#include "image/image.h"

namespace dgp {
namespace {

using Target = DegradePlan::Target;

// Of one sample: its pictures, which are one where LR is made on the GPU, and where the patch lies in both.
struct Sample {
  DegradePlanner::Id lr, hr;
  bool degraded, sharpened;
  int64_t y, x;  // LR pixels
  Placement place;
};

class BatchPlanner {
 public:
  BatchPlanner(const Dataset& data, const AugmentConfig& augment) : data_(data), augment_(augment) {}

  void add(const Rng& rng) {
    const Recipe recipe = data_.recipe(rng, data_.patch());
    Sample sample = pictures_of(recipe);
    sample.place = data_.place(rng, augment_, recipe.height, recipe.width);
    sample.y += sample.place.y, sample.x += sample.place.x;
    samples_.push_back(sample);
  }

  // Sample `to` keeps `share` of itself and takes the rest from sample `other`.
  void mix(double share, size_t to, size_t other) {
    mixed_.push_back({share, static_cast<int64_t>(to), static_cast<int64_t>(other)});
  }

  BatchPlan take(int64_t count) {
    planner_.launch(DegradeKernel::bytes, bytes_);
    std::vector<DegradePlanner::Id> sharpened, degraded;
    for (const Sample& s : samples_) {
      if (s.sharpened) sharpened.push_back(s.hr);
      if (s.degraded) degraded.push_back(s.lr);
    }
    planner_.sharpen(sharpened);
    cut_hr();  // before the same pictures are degraded
    planner_.degrade(degraded);
    planner_.round(degraded);
    cut_lr();
    mix_all();
    return {planner_.take(), count, data_.patch(), data_.scale(), static_cast<int64_t>(samples_.size())};
  }

 private:
  struct Mixed {
    double share;
    int64_t to, other;
  };

  DegradePlanner::Id picture(const Pixels& pixels, const Region& at, Degradation steps = {}) {
    const auto id = planner_.add(at.height, at.width, std::move(steps));
    bytes_.push_back(planner_.bytes(id, pixels.at.get() + (at.y * pixels.width + at.x) * 3, at.height,
                                    at.width * 3, pixels.width * 3));
    return id;
  }

  Sample pictures_of(const Recipe& r) {
    const Picture& from = *r.picture;
    if (!r.degrade) return {picture(from.lr, r.lr), picture(from.hr, r.hr), false, false, 0, 0, {}};
    if (r.degrade->type == "real") {
      const Pair pair = data_.make(r);  // both on multiples of 1/255
      const Pixels lr = pixels_of(to_u8(pair.lr)), hr = pixels_of(to_u8(pair.hr));
      return {picture(lr, {0, 0, lr.height, lr.width}),
              picture(hr, {0, 0, hr.height, hr.width}),
              false,
              false,
              0,
              0,
              {}};
    }
    Degradation steps = draw_degradation(*r.degrade, data_.scale(), r.hr.height, r.hr.width, r.drawn);
    const bool sharpened = sharpens(*r.degrade);
    if (sharpened) steps.erase(steps.begin());
    const auto id = picture(from.hr, r.hr, std::move(steps));
    return {id, id, true, sharpened, r.top, r.left, {}};
  }

  CutJob cut(const Sample& s, DegradePlanner::Id id, int64_t scale, int64_t to) const {
    const auto& [hflip, vflip, transpose] = s.place.turn;
    const auto& order = s.place.colours.order;
    return {planner_.at(id),
            planner_.width(id),
            s.y * scale,
            s.x * scale,
            data_.patch() * scale,
            to,
            hflip,
            vflip,
            transpose,
            {order[0], order[1], order[2]}};
  }

  int64_t patch_values(int64_t scale) const { return 3 * data_.patch() * data_.patch() * scale * scale; }

  void cut_hr() {
    const int64_t s = data_.scale(), p = data_.patch();
    std::vector<CutJob> cuts, shrunk;
    std::vector<ResampleJob> rows, columns;
    for (size_t i = 0; i < samples_.size(); ++i) {
      const Sample& sample = samples_[i];
      cuts.push_back(cut(sample, sample.hr, s, static_cast<int64_t>(i) * patch_values(s)));
      const Colours& c = sample.place.colours;
      if (!c.cutblur) continue;
      int64_t sharp = planner_.reserve(patch_values(s));
      shrunk.push_back(cut(sample, sample.hr, s, sharp));
      if (s > 1) {
        const int64_t between = planner_.reserve(3 * p * p * s), small = planner_.reserve(patch_values(1));
        rows.push_back(planner_.bicubic(sharp, between, 1, p * s, p, p * s * 3));
        columns.push_back(planner_.bicubic(between, small, p, p * s, p, 3));
        sharp = small;
      }
      pastes_.push_back(
          {sharp, static_cast<int64_t>(i) * patch_values(1), p, c.top, c.left, c.side, c.inside});
    }
    planner_.launch(DegradeKernel::cut, cuts, Target::hr);
    planner_.launch(DegradeKernel::cut, shrunk);
    planner_.launch(DegradeKernel::resample, rows);
    planner_.launch(DegradeKernel::resample, columns);
  }

  void cut_lr() {
    std::vector<CutJob> cuts;
    for (size_t i = 0; i < samples_.size(); ++i)
      cuts.push_back(cut(samples_[i], samples_[i].lr, 1, static_cast<int64_t>(i) * patch_values(1)));
    planner_.launch(DegradeKernel::cut, cuts, Target::lr);
    planner_.launch(DegradeKernel::paste, pastes_, Target::lr);
  }

  void mix_all() {
    for (const auto& [target, n] :
         {std::pair{Target::lr, patch_values(1)}, {Target::hr, patch_values(data_.scale())}}) {
      std::vector<MixJob> jobs;
      for (const Mixed& m : mixed_)
        jobs.push_back(
            {m.to * n, m.other * n, n, static_cast<float>(m.share), static_cast<float>(1 - m.share)});
      planner_.launch(DegradeKernel::mix, jobs, target);
    }
  }

  const Dataset& data_;
  const AugmentConfig& augment_;
  DegradePlanner planner_;
  std::vector<Sample> samples_;
  std::vector<BytesJob> bytes_;
  std::vector<PasteJob> pastes_;
  std::vector<Mixed> mixed_;
};

}  // namespace

BatchPlan plan_batch(const Dataset& data, const Rng& rng, int64_t count, const AugmentConfig& augment,
                     int64_t first) {
  BatchPlanner planner(data, augment);
  for (int64_t i = 0; i < count; ++i) planner.add(rng.split(static_cast<uint64_t>(first + i)));
  auto other = static_cast<size_t>(count);
  for (int64_t i = 0; i < count; ++i) {
    const Partner partner = data.partner(rng.split(static_cast<uint64_t>(first + i)), augment);
    if (partner.share == 1) continue;
    planner.add(partner.rng);
    planner.mix(partner.share, static_cast<size_t>(i), other++);
  }
  return planner.take(count);
}

Batch run_batch(const BatchPlan& plan, cuda::PlanRunner& runner) {
  const int64_t p = plan.patch, P = p * plan.scale;
  const Tensor lr({plan.samples, p, p, 3}, DType::f32, Device::cuda);
  const Tensor hr({plan.samples, P, P, 3}, DType::f32, Device::cuda);
  runner.run(plan.plan, lr, hr);
  return {lr.slab(0, plan.count), hr.slab(0, plan.count)};
}

}  // namespace dgp
