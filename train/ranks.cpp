#include "train/ranks.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <sched.h>
#include <thread>
#include <unistd.h>

#ifdef DGP_MPI
#include <mpi.h>
#endif

#include "tensor/cuda.h"
#include "tensor/parallel.h"
#include "train/nccl.h"

namespace dgp {
namespace {

using Clock = std::chrono::steady_clock;

// What launchers set: Open MPI's mpirun, MPICH's and Slurm's PMI, PMIx.
constexpr const char* kLaunchers[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"};

}  // namespace

class Ranks::Stopwatch {
 public:
  explicit Stopwatch(Ranks& ranks) : ranks_(ranks) {}
  ~Stopwatch() { ranks_.seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  Ranks& ranks_;
  Clock::time_point start_ = Clock::now();
};

bool Ranks::launched() {
  return std::any_of(std::begin(kLaunchers), std::end(kLaunchers),
                     [](const char* v) { return std::getenv(v); });
}

int Ranks::threads() const {
  cpu_set_t allowed;
  const int64_t all = sysconf(_SC_NPROCESSORS_ONLN);
  const int64_t mine = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : all;
  return static_cast<int>(std::max<int64_t>(1, std::min(mine, all / local_size_)));
}

#ifdef DGP_MPI

namespace {

const MPI_Comm kAll = MPI_COMM_WORLD;

int whole(int64_t count) {
  check(count <= std::numeric_limits<int>::max(), "ranks: a message of ", count, " elements is too long");
  return static_cast<int>(count);
}

// Adds rows 1 to count - 1 of x [count, length] to row 0, in order and in double.
void add_rows(float* x, int64_t count, int64_t length) {
  constexpr int64_t kBlock = 512;
  parallel_for(length, kPointwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += kBlock) {
      const int64_t n = std::min(kBlock, end - at);
      double sum[kBlock] = {};
      for (int64_t r = 0; r < count; ++r)
        for (int64_t i = 0; i < n; ++i) sum[i] += double{x[r * length + at + i]};
      for (int64_t i = 0; i < n; ++i) x[at + i] = static_cast<float>(sum[i]);
    }
  });
}

}  // namespace

bool Ranks::built() { return true; }

void Ranks::join() {
  if (joined_ || !launched()) return;
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  joined_ = true;
  MPI_Comm_rank(kAll, &rank_);
  MPI_Comm_size(kAll, &size_);
  MPI_Comm here;
  MPI_Comm_split_type(kAll, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
  MPI_Comm_rank(here, &local_rank_);
  MPI_Comm_size(here, &local_size_);
  MPI_Comm_free(&here);
}

void Ranks::leave(int status) {
  if (!joined_) return;
  joined_ = false;
  if (status != 0) MPI_Abort(kAll, status);
  MPI_Finalize();
}

// NCCL has no two ranks on one GPU.
bool Ranks::by_nccl() {
  if (size_ == 1) return false;
  if (carrier_ == Carrier::undecided) {
    carrier_ =
        any(!cuda::nccl::found() || local_size_ > cuda::device_count()) ? Carrier::host : Carrier::nccl;
    if (carrier_ == Carrier::nccl) {
      std::string id = first() ? cuda::nccl::unique_id() : "";
      broadcast(id);
      cuda::nccl::join(id, rank_, size_);
    }
  }
  return carrier_ == Carrier::nccl;
}

void Ranks::sum(const std::vector<Tensor>& tensors) {
  if (size_ == 1 || tensors.empty()) return;
  const Device device = tensors[0].device();
  const bool gpu = device == Device::cuda, nccl = gpu && by_nccl();
  if (gpu) cuda::synchronize();  // what the GPU has still to do is no communication
  const Stopwatch watch(*this);
  int64_t count = 0;
  for (const Tensor& t : tensors) count += t.numel();
  const int64_t part = (count + size_ - 1) / size_;
  Tensor packed({part * size_}, DType::f32, device);
  int64_t at = 0;
  for (const Tensor& t : tensors) {
    packed.slab(at, t.numel()).copy_from(t.reshape({-1}));
    at += t.numel();
  }
  packed.slab(count, part * size_ - count).fill(0);
  if (nccl) {
    const Tensor received(packed.shape(), DType::f32, device);
    cuda::nccl::sum(packed.device_data<float>(), received.device_data<float>(), part);
  } else {
    const Tensor here = packed.to(Device::cpu), received(packed.shape());
    MPI_Alltoall(here.data<float>(), whole(part), MPI_FLOAT, received.data<float>(), whole(part), MPI_FLOAT,
                 kAll);
    add_rows(received.data<float>(), size_, part);
    MPI_Allgather(received.data<float>(), whole(part), MPI_FLOAT, here.data<float>(), whole(part), MPI_FLOAT,
                  kAll);
    if (gpu) packed.copy_from(here);
  }
  at = 0;
  for (const Tensor& t : tensors) {
    t.reshape({-1}).copy_from(packed.slab(at, t.numel()));
    at += t.numel();
  }
  if (gpu) cuda::synchronize();
}

void Ranks::sum(std::vector<double>& values) {
  if (size_ == 1) return;
  const Stopwatch watch(*this);
  const size_t count = values.size();
  std::vector<double> all(count * static_cast<size_t>(size_));
  MPI_Allgather(values.data(), whole(static_cast<int64_t>(count)), MPI_DOUBLE, all.data(),
                whole(static_cast<int64_t>(count)), MPI_DOUBLE, kAll);
  std::copy_n(all.begin(), count, values.begin());
  for (size_t i = count; i < all.size(); ++i) values[i % count] += all[i];
}

// Others may take minutes to come here, as while the first writes a report: after a moment this sleeps rather
// than keep a core busy.
int64_t Ranks::largest(int64_t value) {
  if (size_ == 1) return value;
  const Stopwatch watch(*this);
  int64_t found = 0;
  MPI_Request request;
  MPI_Iallreduce(&value, &found, 1, MPI_INT64_T, MPI_MAX, kAll, &request);
  int done = 0;
  for (const auto start = Clock::now(); MPI_Test(&request, &done, MPI_STATUS_IGNORE), done == 0;)
    if (Clock::now() - start > std::chrono::milliseconds(2))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return found;
}

void Ranks::broadcast(void* bytes, int64_t count) {
  const Stopwatch watch(*this);
  constexpr int64_t kMost = 1 << 30;
  for (int64_t at = 0; at < count; at += kMost)
    MPI_Bcast(static_cast<char*>(bytes) + at, whole(std::min(kMost, count - at)), MPI_BYTE, 0, kAll);
}

void Ranks::broadcast(const Tensor& tensor) {
  if (size_ == 1) return;
  const Tensor here = tensor.to(Device::cpu);
  broadcast(here.bytes(), here.nbytes());
  if (tensor.device() != Device::cpu) tensor.copy_from(here);
}

void Ranks::broadcast(std::vector<double>& values) {
  if (size_ > 1) broadcast(values.data(), static_cast<int64_t>(values.size() * sizeof(double)));
}

void Ranks::broadcast(std::string& text) {
  if (size_ == 1) return;
  auto length = static_cast<int64_t>(text.size());
  broadcast(&length, sizeof length);
  text.resize(static_cast<size_t>(length));
  broadcast(text.data(), length);
}

std::vector<std::string> Ranks::gather(const std::string& text) {
  const Stopwatch watch(*this);
  constexpr int kTag = 1;
  if (!first()) {
    MPI_Send(text.data(), whole(static_cast<int64_t>(text.size())), MPI_BYTE, 0, kTag, kAll);
    return {};
  }
  std::vector<std::string> all{text};
  for (int r = 1; r < size_; ++r) {
    MPI_Status status;
    int length = 0;
    MPI_Probe(r, kTag, kAll, &status);
    MPI_Get_count(&status, MPI_BYTE, &length);
    std::string& other = all.emplace_back(static_cast<size_t>(length), '\0');
    MPI_Recv(other.data(), length, MPI_BYTE, r, kTag, kAll, MPI_STATUS_IGNORE);
  }
  return all;
}

#else

bool Ranks::built() { return false; }

void Ranks::join() {
  auto number_in = [](const char* variable) {
    const char* text = std::getenv(variable);
    return text ? std::strtoll(text, nullptr, 10) : 0;
  };
  const int64_t size =
      std::max({number_in(kLaunchers[0]), number_in(kLaunchers[1]), number_in(kLaunchers[2]) + 1});
  check(size <= 1,
        "started as one of several processes by mpirun, but this build of dgp has no MPI: install "
        "libopenmpi-dev, configure and build again; or start dgp without mpirun");
}

void Ranks::leave(int) {}
void Ranks::sum(const std::vector<Tensor>&) {}
void Ranks::sum(std::vector<double>&) {}
bool Ranks::by_nccl() { return false; }
int64_t Ranks::largest(int64_t value) { return value; }
void Ranks::broadcast(const Tensor&) {}
void Ranks::broadcast(std::vector<double>&) {}
void Ranks::broadcast(std::string&) {}
std::vector<std::string> Ranks::gather(const std::string& text) { return {text}; }

#endif

}  // namespace dgp
