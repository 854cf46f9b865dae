// Which GPU is in use is each thread's own matter to CUDA; to dgp it is the process's.
#include <cstdlib>
#include <emulator.h>
#include <filesystem>
#include <thread>

#include "tensor/cuda_gemm.h"
#include "tensor/cuda_measure.h"
#include "tensor/cuda_stream.h"
#include "tests/test.h"

using namespace dgp;

namespace {

void in_a_thread(const std::function<void()>& body) {
  std::exception_ptr error;
  std::thread([&] {
    try {
      body();
    } catch (...) {
      error = std::current_exception();
    }
  }).join();
  if (error) std::rethrow_exception(error);
}

}  // namespace

TEST_CASE("threads work on the GPU that their process has chosen") {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  CHECK(std::system(("DGP_EMULATOR_DEVICES=2 '" + self + "' '[second_gpu]' > /dev/null").c_str()) == 0);
}

// In a process of its own, since the GPU is chosen once.
TEST_CASE("each call on the second GPU may be the first of its thread", "[.second_gpu]") {
  cuda::choose_device(1);
  Tensor x = Tensor::full({64, 64}, 2).to(Device::cuda), y({64, 64}, DType::f32, Device::cuda);
  const cuda::Graph graph([&] { cuda::fill(y.device_data<float>(), y.numel(), 1); });
  in_a_thread([&] { graph.launch(); });
  in_a_thread([&] { cuda::fill(x.device_data<float>(), x.numel(), 3); });
  in_a_thread([&] { CHECK(x.to(Device::cpu).data<float>()[0] == 3); });
  in_a_thread([&] {
    cuda::Event event;
    event.record(cuda::Queue::main);
    event.hold(cuda::Queue::upload);
  });
  in_a_thread([&] {
    cuda::Event event;
    event.record(cuda::Queue::download);
  });
  in_a_thread([&] {
    const cuda::PageLocked host(4096);
    cuda::upload(x.device_data<float>(), host.tensor().bytes(), x.nbytes());
  });
  in_a_thread([] { CHECK(cuda::milliseconds([] {}) >= 0); });
  in_a_thread([] { CHECK(cuda::free_memory() > 0); });
  in_a_thread([&] {
    const float* a = x.device_data<float>();
    cuda::gemm({false, false, 64, 64, 64, a, 64, a, 64, y.device_data<float>(), 64});
  });
  cuda::synchronize();
}
