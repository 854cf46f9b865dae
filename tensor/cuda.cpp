#include "tensor/cuda.h"

#include "tensor/error.h"

namespace dgp::cuda {

namespace {
int chosen = 0;
}

void choose_device(int number) { chosen = number; }
int chosen_device() { return chosen; }

bool built() {
#ifdef DGP_CUDA
  return true;
#else
  return &device_status != nullptr;  // not null where a test links the emulator
#endif
}

std::string status() {
  if (!built()) return "this build of dgp has no CUDA support; build it with `make CUDA=1`, or use the CPU";
  static const std::string text = device_status();
  return text;
}

void require() {
  if (std::string why = status(); !why.empty()) fail(ErrorCode::limit, "device cuda: ", why);
}

}  // namespace dgp::cuda
