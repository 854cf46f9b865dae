// Memory that runs out at any moment on the (emulated) GPU: an error that says so, and nothing left behind.
#include <emulator.h>

#include "infer/upscaler.h"
#include "tensor/cuda_math.h"
#include "tests/infer/networks.h"
#include "tests/test.h"
#include "train/learner.h"

using namespace dgp;

namespace {

// `body` with every `stride`-th of its allocations refused in turn.
void refuse_each(const std::function<void()>& body, int64_t least, int64_t stride = 1) {
  auto buffers = [] {
    cuda::synchronize();
    return emulator::live_buffers();
  };
  const int64_t before = emulator::allocation_count();
  body();
  const int64_t all = emulator::allocation_count() - before, kept = buffers();
  CHECK(all > least);
  for (int64_t i = 0; i < all; i += stride) {
    emulator::With with({.thorough = false, .fail_allocation = i});
    CHECK_THROWS_WITH(body(), ContainsSubstring("out of memory on the GPU"));
    REQUIRE(buffers() == kept);
  }
}

TrainConfig small_learner() {
  TrainConfig config;
  config.device = "cuda", config.clip = 1;
  config.model.scale = 1, config.model.options = {{"channels", 1}, {"blocks", 0}, {"kernel", 1}};
  return config;
}

void refuse_in_step(const TrainConfig& config, int64_t least, int64_t stride = 1) {
  {
    const Batch batch{random_tensor({1, 8, 8, 3}, 1), random_tensor({1, 8, 8, 3}, 2)};
    Learner learner(config);
    refuse_each([&] { learner.step([&] { return batch; }, 1e-3, 0); }, least, stride);
  }
  cuda::synchronize();
  emulator::check_leaks();
}

TrainConfig adversarial_learner() {
  TrainConfig config = small_learner();
  config.gan.type = "hinge", config.gan.features = 1;
  return config;
}

}  // namespace

TEST_CASE("an allocation that fails before upscaling is an error and leaves nothing behind") {
  DGPNet net = random_net({2, 8, 1, 3, 1}, 3);
  refuse_each([&] { Upscaler(net, {.device = Device::cuda}); }, 10);
  emulator::check_leaks();
}

TEST_CASE("further images of a size allocate nothing, as they come, as graphs and in tiles") {
  DGPNet net = random_net({2, 8, 2, 3, 1}, 3);
  const Tensor lr = random_tensor({2, 21, 9, 3}, 5);
  for (const char* precision : {"full", "tf32", "fast", "bf16", "f16"})
    for (int64_t tile_rows : {-1, 8}) {
      CAPTURE(precision, tile_rows);
      const cuda::Using in_use(precision);
      const Upscaler upscale(net, {.tile_rows = tile_rows, .device = Device::cuda});
      const Tensor first = upscale(lr);
      const int64_t before = emulator::allocation_count();
      for (int i = 0; i < 2; ++i) CHECK(same_bits(upscale(lr), first));
      CHECK(emulator::allocation_count() == before);
    }
}

// Refused as a whole, the image goes through in tiles; with everything refused that is asked for, an error.
TEST_CASE("an allocation that fails while upscaling makes smaller tiles and the same result") {
  DGPNet net = random_net({2, 8, 2, 3, 1}, 3);
  Tensor lr = random_tensor({2, 21, 9, 3}, 5);
  const Tensor expected = Upscaler(net, {.device = Device::cuda})(lr);
  {
    std::vector<std::string> notices;
    UpscalerOptions options{.device = Device::cuda};
    options.notice = [&](const std::string& text) { notices.push_back(text); };
    for (int64_t i = 0; i < 6; ++i) {  // two blocks of device memory, four of the host's
      CAPTURE(i);
      const Upscaler upscale(net, options);
      const int64_t before = emulator::allocation_count();
      {
        emulator::With with({.fail_allocation = i});
        CHECK(same_bits(upscale(lr), expected));
      }
      const int64_t once = emulator::allocation_count() - before;
      CHECK(notices.size() == static_cast<size_t>(i + 1));
      CHECK(same_bits(upscale(lr), expected));  // in the tiles that were found to fit
      CHECK(emulator::allocation_count() - before == once);
    }
  }
  for (bool tiles : {false, true}) {
    const Upscaler upscale(net, {.tile_rows = tiles ? 0 : -1, .device = Device::cuda});
    cuda::synchronize();
    const int64_t kept = emulator::live_bytes();
    emulator::With with({.memory = kept});
    CHECK_THROWS_WITH(upscale(lr), ContainsSubstring("takes at least"));
    cuda::synchronize();
    CHECK(emulator::live_bytes() == kept);
  }
  cuda::synchronize();
  emulator::check_leaks();
}

TEST_CASE(
    "an allocation that fails in a training step, or before it, is an error and leaves nothing behind") {
  refuse_each([] { Learner learner(small_learner()); }, 50);
  emulator::check_leaks();
  refuse_in_step(small_learner(), 50);
  refuse_in_step(adversarial_learner(), 500, 53);
}

TEST_CASE("every allocation of an adversarial step", "[.failures]") {  // two minutes
  refuse_in_step(adversarial_learner(), 500);
}

TEST_CASE("training says what takes less memory") {
  Learner learner(small_learner());
  const Batch batch{random_tensor({1, 8, 8, 3}, 1), random_tensor({1, 8, 8, 3}, 2)};
  emulator::With with({.fail_allocation = 4});
  CHECK_THROWS_WITH(learner.step([&] { return batch; }, 1e-3, 0), ContainsSubstring("a smaller data.batch"));
}
