// The processes of one job that mpirun started, "ranks" 0 to size - 1, and what they tell each other. A
// process that no launcher started is a job of one rank, for which every call below returns at once; so is
// every process of a build without MPI. All but leave() are to be called by all ranks in the same order, from
// the main thread. Sums are added in the order of ranks, so that equal runs give equal bits, which
// MPI_Allreduce does not promise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace dgp {

class Ranks {
 public:
  static bool built();     // whether this build can be more than one rank
  static bool launched();  // whether something like mpirun started this process

  // Becomes one of the job's ranks where a launcher started the process. A build without MPI throws
  // Error(invalid) when there would be more than one.
  void join();

  // The end of a rank that has joined. With status 0 it waits for the others; any other ends the whole job
  // with that status, wherever the others are, and does not return.
  void leave(int status);

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool first() const { return rank_ == 0; }       // the one that owns files and speaks for all
  int threads() const;                            // a rank's part of this machine's cores, at least 1
  int local_rank() const { return local_rank_; }  // among those on this machine

  // tensor[i] += the other ranks' tensor[i], in place, for f32 tensors of the same shapes and on the same
  // device everywhere. Each rank adds up one part of all elements, in double, and hands it round: what a rank
  // sends and receives does not grow with the number of ranks. Between GPUs NCCL carries them where it is
  // found and every rank has a GPU of its own; else they go through the CPU's memory. The bits are the same.
  void sum(const std::vector<Tensor>& tensors);
  void sum(std::vector<double>& values);
  bool by_nccl();  // whether sums between GPUs go through NCCL; to be called by all ranks

  int64_t largest(int64_t value);  // of all ranks' values
  bool any(bool value) { return largest(value ? 1 : 0) > 0; }
  void wait() { largest(0); }  // until every rank has come here

  // The first rank's value, to all. Other ranks' tensor has that shape already; a text may have any length.
  void broadcast(const Tensor& tensor);
  void broadcast(std::vector<double>& values);
  void broadcast(std::string& text);

  // Every rank's text, in the order of ranks, to the first; nothing to the others.
  std::vector<std::string> gather(const std::string& text);

  double seconds() const { return seconds_; }  // spent in all of these so far, waiting for slower ranks too

 private:
  class Stopwatch;
  void broadcast(void* bytes, int64_t count);

  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  bool joined_ = false;
  enum class Carrier { undecided, host, nccl } carrier_ = Carrier::undecided;  // of sums between GPUs
  double seconds_ = 0;
};

}  // namespace dgp
