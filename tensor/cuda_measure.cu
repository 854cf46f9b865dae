// Work is doubled until it takes long enough to be timed, so that the same code suits every device.
#include <algorithm>
#include <cmath>

#include "tensor/cuda_kernel.h"
#include "tensor/cuda_measure.h"
#include "tensor/tensor.h"

namespace dgp::cuda {
namespace {

constexpr int kChains = 8, kRounds = 2048, kTries = 5;
constexpr double kLongEnough = 5;  // milliseconds
constexpr int64_t kMostBlocks = int64_t{1} << 20, kLeastBytes = int64_t{1} << 20,
                  kMostBytes = int64_t{1} << 30;

class Event {
 public:
  Event() {
    choose_in_thread();
    check_cuda(cudaEventCreate(&event_), "cudaEventCreate");
  }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record() { check_cuda(cudaEventRecord(event_, stream()), "cudaEventRecord"); }
  double until(const Event& end) const {
    float ms = 0;
    check_cuda(cudaEventSynchronize(end.event_), "cudaEventSynchronize");
    check_cuda(cudaEventElapsedTime(&ms, event_, end.event_), "cudaEventElapsedTime");
    return static_cast<double>(ms);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Independent chains hide the latency of each; the result is kept only where it cannot be, so that nothing is
// optimised away and nothing stored.
__global__ void multiply_adds_kernel(float x, float y, float* sink) {
  float a[kChains];
  for (int j = 0; j < kChains; ++j) a[j] = static_cast<float>(threadIdx.x + static_cast<unsigned>(j));
  for (int r = 0; r < kRounds; ++r)
    for (int j = 0; j < kChains; ++j) a[j] = std::fma(a[j], x, y);
  float sum = 0;
  for (int j = 0; j < kChains; ++j) sum += a[j];
  if (sum == -1) *sink = sum;
}

double least(const std::function<void()>& queue) {
  double best = milliseconds(queue);
  for (int i = 1; i < kTries; ++i) best = std::min(best, milliseconds(queue));
  return best;
}

}  // namespace

double milliseconds(const std::function<void()>& queue) {
  Event begin, end;
  begin.record();
  queue();
  end.record();
  return begin.until(end);
}

double peak_gflops() {
  Tensor sink({1}, DType::f32, Device::cuda);
  int64_t blocks = 1;
  auto run = [&] {
    launch(multiply_adds_kernel, static_cast<unsigned>(blocks), kBlock, 0.5F, 1.0F,
           sink.device_data<float>());
  };
  while (blocks < kMostBlocks && milliseconds(run) < kLongEnough) blocks *= 2;
  return 2.0 * static_cast<double>(blocks * kBlock) * kChains * kRounds / least(run) / 1e6;
}

double bandwidth_gbs() {
  for (int64_t bytes = kLeastBytes;; bytes *= 2) {
    Tensor from = Tensor::zeros({bytes}, DType::u8, Device::cuda), to({bytes}, DType::u8, Device::cuda);
    auto run = [&] { to.copy_from(from); };
    const bool last = bytes >= kMostBytes || 8 * bytes > free_memory();
    if (last || milliseconds(run) >= kLongEnough) return 2.0 * static_cast<double>(bytes) / least(run) / 1e6;
  }
}

}  // namespace dgp::cuda
