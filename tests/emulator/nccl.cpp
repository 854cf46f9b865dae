// Collectives wait in the stream like everything else, and then go through MPI.
#include <emulated_nccl.h>
#include <utility>

#include "tests/emulator/memory.h"

#ifdef DGP_MPI
#include <mpi.h>
#endif

using namespace emulator;

#ifdef DGP_MPI

struct ncclComm {
  int size;
};

namespace {

struct Move {
  bool sends;
  void* at;
  size_t count;
  int peer;
};
bool in_group = false;
std::vector<Move> group;
cudaStream_t group_stream = nullptr;

ncclResult_t add(const Move& move, cudaStream_t stream) {
  if (!in_group) return ncclInvalidUsage;  // a send alone waits for ever
  group.push_back(move);
  group_stream = stream;
  return ncclSuccess;
}

void move_all(const std::vector<Move>& moves) {
  for (const Move& m : moves)
    check_range(m.at, m.count * sizeof(float), m.sends ? "ncclSend reads" : "ncclRecv writes");
  const Opened opened;
  std::vector<MPI_Request> requests(moves.size());
  for (size_t i = 0; i < moves.size(); ++i) {
    const Move& m = moves[i];
    const int count = static_cast<int>(m.count);
    if (m.sends)
      MPI_Isend(m.at, count, MPI_FLOAT, m.peer, 0, MPI_COMM_WORLD, &requests[i]);
    else
      MPI_Irecv(m.at, count, MPI_FLOAT, m.peer, 0, MPI_COMM_WORLD, &requests[i]);
  }
  MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
}

}  // namespace

bool emulator::has_nccl() { return true; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  *id = {"the only group"};
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* communicator, int size, ncclUniqueId id, int rank) {
  int mpi_size = 0, mpi_rank = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &mpi_size);
  MPI_Comm_rank(MPI_COMM_WORLD, &mpi_rank);
  if (size != mpi_size || rank != mpi_rank || std::string(id.internal) != "the only group")
    return ncclInvalidUsage;
  *communicator = new ncclComm{size};
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  in_group = true;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  in_group = false;
  enqueue(group_stream, [moves = std::exchange(group, {})] { move_all(moves); });
  return ncclSuccess;
}

ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t, int peer, ncclComm_t,
                      cudaStream_t stream) {
  return add({true, const_cast<void*>(from), count, peer}, stream);
}

ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t, int peer, ncclComm_t, cudaStream_t stream) {
  return add({false, to, count, peer}, stream);
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t, ncclComm_t communicator,
                           cudaStream_t stream) {
  enqueue(stream, [=, size = static_cast<size_t>(communicator->size)] {
    check_range(from, count * sizeof(float), "ncclAllGather reads");
    check_range(to, size * count * sizeof(float), "ncclAllGather writes");
    const Opened opened;
    MPI_Allgather(from, static_cast<int>(count), MPI_FLOAT, to, static_cast<int>(count), MPI_FLOAT,
                  MPI_COMM_WORLD);
  });
  return ncclSuccess;
}

#else

bool emulator::has_nccl() { return false; }
ncclResult_t ncclGetUniqueId(ncclUniqueId*) { return ncclInvalidUsage; }
ncclResult_t ncclCommInitRank(ncclComm_t*, int, ncclUniqueId, int) { return ncclInvalidUsage; }
ncclResult_t ncclGroupStart() { return ncclInvalidUsage; }
ncclResult_t ncclGroupEnd() { return ncclInvalidUsage; }
ncclResult_t ncclSend(const void*, size_t, ncclDataType_t, int, ncclComm_t, cudaStream_t) {
  return ncclInvalidUsage;
}
ncclResult_t ncclRecv(void*, size_t, ncclDataType_t, int, ncclComm_t, cudaStream_t) {
  return ncclInvalidUsage;
}
ncclResult_t ncclAllGather(const void*, void*, size_t, ncclDataType_t, ncclComm_t, cudaStream_t) {
  return ncclInvalidUsage;
}

#endif

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclSuccess ? "no error" : "invalid usage";
}
