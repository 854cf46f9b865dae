// The loss scale's rules, with the values of PyTorch's GradScaler.
#include "train/loss_scale.h"

#include "tests/test.h"

using dgp::LossScale;

TEST_CASE("a loss scale begins at 65536, is halved by an overflow and doubled after 2000 good steps") {
  LossScale scale(true);
  CHECK(scale.value() == 65536);
  CHECK(scale.lower());
  CHECK(scale.value() == 32768);
  for (int i = 0; i < 1999; ++i) scale.good_step();
  CHECK(scale.value() == 32768);
  scale.good_step();
  CHECK(scale.value() == 65536);
  for (int i = 0; i < 1999; ++i) scale.good_step();
  CHECK(scale.lower());  // the count begins again
  scale.good_step();
  CHECK(scale.value() == 32768);
}

TEST_CASE("a loss scale of one is the least: what is not finite then owes nothing to it") {
  LossScale scale(true);
  int halvings = 0;
  while (scale.lower()) ++halvings;
  CHECK(halvings == 16);
  CHECK(scale.value() == 1);
}

TEST_CASE("a loss scale's state goes on where it was; none is the first") {
  LossScale scale(true), other(true);
  scale.lower();
  for (int i = 0; i < 1999; ++i) scale.good_step();
  other.set_state(scale.state());
  other.good_step();
  CHECK(other.value() == 65536);
  scale.set_state({});
  CHECK(scale.state() == std::vector<double>{65536, 0});
}

TEST_CASE("without scaling the factor is one, whatever happens") {
  LossScale none(false);
  CHECK_FALSE(none.lower());
  for (int i = 0; i < 2000; ++i) none.good_step();
  none.set_state({1024, 3});
  CHECK(none.value() == 1);
}
