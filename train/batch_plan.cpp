#include "train/batch_plan.h"

#include "image/image.h"

namespace dgp {
namespace {

using Target = DegradePlan::Target;

int64_t aligned(int64_t floats) { return (floats + 63) / 64 * 64; }
int64_t square_values(int64_t side) { return 3 * side * side; }

// Of one sample: its pictures, which are one where LR is made on the GPU, or a pair that is there already;
// and where the patch lies in both.
struct Sample {
  DegradePlanner::Id lr, hr;
  bool degraded, sharpened;
  int64_t y, x;  // LR pixels
  Placement place;
  bool pooled = false;
  int64_t at = 0, width = 0;  // of the pooled pair
};

class BatchPlanner {
 public:
  // room: of the pool that samples are from.
  explicit BatchPlanner(const Dataset& data, const PoolRoom* room = nullptr) : data_(data), room_(room) {}

  void add(const Rng& rng, const AugmentConfig& augment) {
    const Recipe recipe = data_.recipe(rng, data_.patch());
    Sample sample = pictures_of(recipe);
    sample.place = data_.place(rng, augment, recipe.height, recipe.width);
    sample.y += sample.place.y, sample.x += sample.place.x;
    samples_.push_back(sample);
  }

  void add(const PooledSample& s) {
    if (samples_.empty()) planner_.reserve(room_->slots * room_->pair);
    samples_.push_back(
        {0, 0, false, false, s.place.y, s.place.x, s.place, true, room_->at(s.number), s.width});
  }

  // Sample `to` keeps `share` of itself and takes the rest from sample `other`.
  void mix(double share, size_t to, size_t other) {
    mixed_.push_back({share, static_cast<int64_t>(to), static_cast<int64_t>(other)});
  }

  PairPlan pair(const Recipe& r, int64_t number) {
    const Sample s = pictures_of(r);
    const int64_t scale = data_.scale(), at = room_->at(number);
    const auto piece = [&](DegradePlanner::Id id, int64_t by, int64_t to) {
      planner_.launch(DegradeKernel::cut,
                      std::vector<CutJob>{{planner_.at(id),
                                           planner_.width(id),
                                           s.y * by,
                                           s.x * by,
                                           r.height * by,
                                           r.width * by,
                                           to,
                                           false,
                                           false,
                                           false,
                                           {0, 1, 2}}},
                      Target::pool);
    };
    planner_.launch(DegradeKernel::bytes, bytes_);
    if (s.sharpened) planner_.sharpen({s.hr});
    piece(s.hr, scale, at + room_->lr);
    if (s.degraded) planner_.degrade({s.lr}), planner_.round({s.lr});
    piece(s.lr, 1, at);
    return {planner_.take(), r.height, r.width};
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

  // Of a sample's LR or HR.
  CutJob cut(const Sample& s, bool hr, int64_t to) const {
    const auto& [hflip, vflip, transpose] = s.place.turn;
    const auto& order = s.place.colours.order;
    const int64_t scale = hr ? data_.scale() : 1, side = data_.patch() * scale;
    const auto id = hr ? s.hr : s.lr;
    return {s.pooled ? s.at + (hr ? room_->lr : 0) : planner_.at(id),
            s.pooled ? s.width * scale : planner_.width(id),
            s.y * scale,
            s.x * scale,
            side,
            side,
            to,
            hflip,
            vflip,
            transpose,
            {order[0], order[1], order[2]}};
  }

  int64_t patch_values(int64_t scale) const { return square_values(data_.patch() * scale); }

  void cut_hr() {
    const int64_t s = data_.scale(), p = data_.patch();
    std::vector<CutJob> cuts, shrunk;
    std::vector<ResampleJob> rows, columns;
    for (size_t i = 0; i < samples_.size(); ++i) {
      const Sample& sample = samples_[i];
      cuts.push_back(cut(sample, true, static_cast<int64_t>(i) * patch_values(s)));
      const Colours& c = sample.place.colours;
      if (!c.cutblur) continue;
      int64_t sharp = planner_.reserve(patch_values(s));
      shrunk.push_back(cut(sample, true, sharp));
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
      cuts.push_back(cut(samples_[i], false, static_cast<int64_t>(i) * patch_values(1)));
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
  const PoolRoom* room_;
  DegradePlanner planner_;
  std::vector<Sample> samples_;
  std::vector<BytesJob> bytes_;
  std::vector<PasteJob> pastes_;
  std::vector<Mixed> mixed_;
};

}  // namespace

BatchPlan plan_batch(const Dataset& data, const Rng& rng, int64_t count, const AugmentConfig& augment,
                     int64_t first) {
  BatchPlanner planner(data);
  for (int64_t i = 0; i < count; ++i) planner.add(rng.split(static_cast<uint64_t>(first + i)), augment);
  auto other = static_cast<size_t>(count);
  for (int64_t i = 0; i < count; ++i) {
    const Partner partner = data.partner(rng.split(static_cast<uint64_t>(first + i)), augment);
    if (partner.share == 1) continue;
    planner.add(partner.rng, augment);
    planner.mix(partner.share, static_cast<size_t>(i), other++);
  }
  return planner.take(count);
}

PoolRoom::PoolRoom(const Dataset& data, int64_t slots_, int64_t size, int64_t samples)
    : slots(slots_),
      lr(aligned(square_values(size))),
      pair(lr + aligned(square_values(size * data.scale()))),
      floats(slots * pair) {
  // A sample and one that is mixed into it may have a square of HR pasted into LR, shrunk in two steps.
  const int64_t p = data.patch(), P = p * data.scale();
  floats += 2 * samples * (aligned(square_values(P)) + aligned(3 * p * P) + aligned(square_values(p)));
}

PairPlan plan_pair(const Dataset& data, const Recipe& recipe, const PoolRoom& room, int64_t number) {
  return BatchPlanner(data, &room).pair(recipe, number);
}

BatchPlan plan_from_pairs(const Dataset& data, const PoolRoom& room, const std::vector<PooledSample>& samples,
                          const std::vector<PooledMix>& mixed) {
  BatchPlanner planner(data, &room);
  for (const PooledSample& sample : samples) planner.add(sample);
  for (size_t i = 0; i < mixed.size(); ++i) {
    planner.add(mixed[i].other);
    planner.mix(mixed[i].share, static_cast<size_t>(mixed[i].to), samples.size() + i);
  }
  BatchPlan plan = planner.take(static_cast<int64_t>(samples.size()));
  plan.plan.in_pool = true;
  return plan;
}

Batch run_batch(const BatchPlan& plan, const Tensor& data, cuda::PlanRunner& runner, const Tensor& pool) {
  const int64_t p = plan.patch, P = p * plan.scale;
  const Tensor lr({plan.samples, p, p, 3}, DType::f32, Device::cuda);
  const Tensor hr({plan.samples, P, P, 3}, DType::f32, Device::cuda);
  runner.run(plan.plan, data, {lr, hr, pool});
  return {lr.slab(0, plan.count), hr.slab(0, plan.count)};
}

}  // namespace dgp
