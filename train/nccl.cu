#include <algorithm>

#include "tensor/cuda_kernel.h"
#include "train/nccl.h"

#ifdef DGP_CUDA_EMULATED
#include <emulated_nccl.h>
#else
#include <dlfcn.h>
// What NCCL 2 has had for an interface since its beginning; its header is no part of the CUDA toolkit.
extern "C" {
using ncclComm_t = struct ncclComm*;
struct ncclUniqueId {
  char internal[128];
};
enum ncclResult_t { ncclSuccess = 0 };
enum ncclDataType_t { ncclFloat32 = 7 };
}
#endif

namespace dgp::cuda::nccl {
namespace {

struct Library {
  ncclResult_t (*get_unique_id)(ncclUniqueId*) = nullptr;
  ncclResult_t (*init_rank)(ncclComm_t*, int, ncclUniqueId, int) = nullptr;
  ncclResult_t (*group_start)() = nullptr;
  ncclResult_t (*group_end)() = nullptr;
  ncclResult_t (*send)(const void*, size_t, ncclDataType_t, int, ncclComm_t, cudaStream_t) = nullptr;
  ncclResult_t (*receive)(void*, size_t, ncclDataType_t, int, ncclComm_t, cudaStream_t) = nullptr;
  ncclResult_t (*all_gather)(const void*, void*, size_t, ncclDataType_t, ncclComm_t, cudaStream_t) = nullptr;
  const char* (*error_text)(ncclResult_t) = nullptr;
  bool whole = false;
};

Library open() {
  Library l;
#ifdef DGP_CUDA_EMULATED
  l = {ncclGetUniqueId, ncclCommInitRank, ncclGroupStart,     ncclGroupEnd,        ncclSend,
       ncclRecv,        ncclAllGather,    ncclGetErrorString, emulator::has_nccl()};
#else
  void* library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (!library) return l;
  l.whole = true;
  auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    l.whole = l.whole && function;
  };
  find(l.get_unique_id, "ncclGetUniqueId");
  find(l.init_rank, "ncclCommInitRank");
  find(l.group_start, "ncclGroupStart");
  find(l.group_end, "ncclGroupEnd");
  find(l.send, "ncclSend");
  find(l.receive, "ncclRecv");
  find(l.all_gather, "ncclAllGather");
  find(l.error_text, "ncclGetErrorString");
#endif
  return l;
}

const Library& library() {
  static const Library instance = open();
  return instance;
}

struct Group {
  ncclComm_t communicator = nullptr;
  int rank = 0, size = 1;
};
Group group;

void check_nccl(ncclResult_t result, const char* what) {
  if (result != ncclSuccess) fail(ErrorCode::io, "NCCL ", what, ": ", library().error_text(result));
}

// Row 0 of x [count, length] becomes the sum of all rows, in order.
__global__ void add_rows_kernel(float* x, int count, int64_t length) {
  int64_t i = element();
  if (i >= length) return;
  double sum = 0;
  for (int r = 0; r < count; ++r) sum += double{x[r * length + i]};
  x[i] = static_cast<float>(sum);
}

}  // namespace

bool found() { return library().whole; }

std::string unique_id() {
  ncclUniqueId id;
  check_nccl(library().get_unique_id(&id), "ncclGetUniqueId");
  return {id.internal, sizeof id.internal};
}

void join(const std::string& id, int rank, int size) {
  check(!group.communicator && id.size() == sizeof(ncclUniqueId), "nccl: one group, with its id");
  ncclUniqueId copy;
  std::copy(id.begin(), id.end(), copy.internal);
  stream();  // chooses the GPU
  check_nccl(library().init_rank(&group.communicator, size, copy, rank), "ncclCommInitRank");
  group.rank = rank, group.size = size;
}

void sum(float* packed, float* received, int64_t part) {
  check(group.communicator != nullptr, "nccl: sum before join");
  const auto count = static_cast<size_t>(part);
  check_nccl(library().group_start(), "ncclGroupStart");
  for (int r = 0; r < group.size; ++r) {
    check_nccl(library().send(packed + r * part, count, ncclFloat32, r, group.communicator, stream()),
               "ncclSend");
    check_nccl(library().receive(received + r * part, count, ncclFloat32, r, group.communicator, stream()),
               "ncclRecv");
  }
  check_nccl(library().group_end(), "ncclGroupEnd");
  launch(add_rows_kernel, blocks_for(part), kBlock, received, group.size, part);
  check_nccl(library().all_gather(received, packed, count, ncclFloat32, group.communicator, stream()),
             "ncclAllGather");
}

}  // namespace dgp::cuda::nccl
