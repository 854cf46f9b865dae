// The line that a run says of itself.
#include "tests/test.h"
#include "train/trainer.h"

using namespace dgp;

TEST_CASE("a line of progress has rate, memory, what is best and the time left") {
  TrainProgress p;
  p.iteration = 12400, p.iterations = 300000, p.loss = 0.0213, p.lr = 2e-4, p.rate = 31.25, p.waiting = 0.034;
  p.memory = int64_t{3} << 29, p.best = 29.84, p.has_best = true, p.seconds_left = 9203.4;
  CHECK(to_text(p, "psnr_y") ==
        "12400/300000 4%  loss 0.02130  lr 2.00e-04  31.25 it/s  waiting 3%  1.50 GiB  best psnr_y 29.840  "
        "2h 33m left");
  p.has_best = false, p.memory = 0, p.seconds_left = 61;
  p.terms = {{"l1", 0.02}, {"fft", 0.0013}};
  CHECK(to_text(p, "") ==
        "12400/300000 4%  loss 0.02130 (l1 0.02000 fft 0.00130)  lr 2.00e-04  31.25 it/s  waiting 3%  1m 01s "
        "left");
  p.seconds_left = 200000;
  CHECK_THAT(to_text(p, ""), ContainsSubstring("2d 07h left"));
  p.seconds_left = 1e300 * 1e300;  // not yet known
  CHECK_THAT(to_text(p, ""), ContainsSubstring("0s left"));
  p.iteration = 299999;
  CHECK_THAT(to_text(p, ""), ContainsSubstring("299999/300000 99%"));
}
