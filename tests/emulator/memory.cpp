// Buffers on pages of their own. mprotect opens them to kernels and closes them to the host; a SIGSEGV
// handler puts what happened into words and jumps back to the launch.
#include "memory.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

namespace emulator {
namespace {

constexpr size_t kPage = 4096, kAlign = 16;
constexpr std::byte kUnwritten{0xFF};  // every float and double made of it is NaN
constexpr size_t kKeptFreed = 2000;    // freed buffers whose addresses are remembered

std::deque<std::unique_ptr<Buffer>> buffers;
int64_t next_id = 0;
bool in_launch = false;
sigjmp_buf* recover = nullptr;

size_t round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

Buffer* find(const void* address) {
  for (auto& buffer : buffers)
    if (buffer->memory.maps(address)) return buffer.get();
  return nullptr;
}

void on_fault(int number, siginfo_t* info, void* context) {
  bool write = false;
#if defined(__x86_64__)
  write = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR] & 2;
#else
  (void)context;
#endif
  bool ours = find(info->si_addr) != nullptr || in_launch;
  if (recover && ours) {
    fault_text() = explain(info->si_addr, write, in_launch);
    siglongjmp(*recover, 1);
  }
  if (ours) {
    std::string text = "emulator: " + explain(info->si_addr, write, in_launch) + "\n";
    if (::write(2, text.data(), text.size()) < 0) _exit(71);
    _exit(70);
  }
  std::signal(number, SIG_DFL);  // not ours: as if there were no handler
}

const Buffer& checked(const void* at, size_t bytes, const char* what) {
  Buffer* buffer = find(at);
  if (!buffer) throw Fault(std::string(what) + ": the address is not in device memory");
  if (buffer->freed)
    throw Fault(std::string(what) + ": use after free of buffer " + std::to_string(buffer->id));
  if (!buffer->reached)
    throw Fault(std::string(what) + ": buffer " + std::to_string(buffer->id) +
                " before the stream that it is allocated on has come so far");
  if (!buffer->memory.holds(at, bytes))
    throw Fault(std::string(what) + ": " + std::to_string(bytes) + " bytes from byte " +
                std::to_string(static_cast<const std::byte*>(at) - buffer->memory.data()) + " of buffer " +
                std::to_string(buffer->id) + ", which has " + std::to_string(buffer->memory.bytes()));
  return *buffer;
}

std::map<const std::byte*, size_t>& locked_memory() {  // bytes from an address
  static std::map<const std::byte*, size_t> all;
  return all;
}

bool page_locked(const void* at, size_t bytes) {
  auto* from = static_cast<const std::byte*>(at);
  auto above = locked_memory().upper_bound(from);
  if (above == locked_memory().begin()) return false;
  auto [begin, size] = *std::prev(above);
  return from + bytes <= begin + size;
}

// Whether the settings choose this allocation to fail.
bool to_fail() {
  bool chosen = settings().fail_allocation == 0;
  if (settings().fail_allocation >= 0) --settings().fail_allocation;
  return chosen;
}

int devices_told() {
  const char* text = std::getenv("DGP_EMULATOR_DEVICES");
  return text ? std::max(1, std::atoi(text)) : 1;
}

}  // namespace

void release(void* block) {
  auto found = std::find_if(buffers.begin(), buffers.end(),
                            [&](auto& b) { return b->memory.maps(block) && b->memory.data() == block; });
  if (found == buffers.end()) throw Fault("free: no buffer begins at this address");
  if ((*found)->freed) throw Fault("free: buffer " + std::to_string((*found)->id) + " was freed before");
  bool whole = (*found)->memory.slack_is_whole();
  (*found)->freed = true;
  (*found)->memory.forget();
  if (!whole)
    throw Fault("a kernel wrote outside buffer " + std::to_string((*found)->id) + " of " +
                std::to_string((*found)->memory.bytes()) + " bytes");
  if (buffers.size() > kKeptFreed) {
    auto oldest = std::find_if(buffers.begin(), buffers.end(), [](auto& b) { return b->freed; });
    buffers.erase(oldest);
  }
}

void forget_values(void* block) {
  const Guarded& memory = checked(block, 0, "an allocation in a graph").memory;
  memory.open();
  memory.fill();
  if (settings().thorough) memory.close();
}

Settings& settings() {
  static Settings instance{.thorough = !std::getenv("DGP_EMULATOR_QUICK"), .devices = devices_told()};
  return instance;
}

Guarded::Guarded(size_t bytes, Placement placement)
    : inner_(round_up(std::max<size_t>(bytes, 1), kPage)), bytes_(bytes) {
  void* pages =
      mmap(nullptr, inner_ + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  pages_ = static_cast<std::byte*>(pages);
  data_ = pages_ + kPage + (placement == Placement::end ? inner_ - round_up(bytes, kAlign) : 0);
  open();
  fill();
}
Guarded::~Guarded() { munmap(pages_, inner_ + 2 * kPage); }
void Guarded::open() const {
  if (!open_) mprotect(pages_ + kPage, inner_, PROT_READ | PROT_WRITE);
  open_ = true;
}
void Guarded::close() const {
  if (open_) mprotect(pages_ + kPage, inner_, PROT_NONE);
  open_ = false;
}
void Guarded::forget() const {
  close();
  madvise(pages_ + kPage, inner_, MADV_DONTNEED);
}
void Guarded::fill() const { std::fill_n(pages_ + kPage, inner_, kUnwritten); }
bool Guarded::slack_is_whole() const {
  auto whole = [](const std::byte* from, const std::byte* to) {
    return std::all_of(from, to, [](std::byte b) { return b == kUnwritten; });
  };
  bool was_open = open_;
  open();
  bool result = whole(pages_ + kPage, data_) && whole(data_ + bytes_, pages_ + kPage + inner_);
  if (!was_open) close();
  return result;
}
bool Guarded::maps(const void* address) const {
  auto* at = static_cast<const std::byte*>(address);
  return at >= pages_ && at < pages_ + inner_ + 2 * kPage;
}
bool Guarded::holds(const void* from, size_t count) const {
  auto* at = static_cast<const std::byte*>(from);
  return at >= data_ && count <= bytes_ && at <= data_ + (bytes_ - count);
}

void check_range(const void* at, size_t bytes, const char* what) { checked(at, bytes, what); }

std::vector<Buffer*> live() {
  std::vector<Buffer*> found;
  for (auto& buffer : buffers)
    if (!buffer->freed) found.push_back(buffer.get());
  return found;
}
Opened::Opened() {
  for (Buffer* buffer : live()) buffer->memory.open();
}
Opened::~Opened() {
  if (!settings().thorough) return;
  for (Buffer* buffer : live()) buffer->memory.close();
}
void check_slack() {
  if (!settings().thorough) return;
  for (Buffer* buffer : live())
    if (!buffer->memory.slack_is_whole()) {
      buffer->memory.open();  // reported once
      std::vector<std::byte> values(buffer->memory.data(), buffer->memory.data() + buffer->memory.bytes());
      buffer->memory.fill();
      std::copy(values.begin(), values.end(), buffer->memory.data());
      buffer->memory.close();
      throw Fault("a kernel wrote outside buffer " + std::to_string(buffer->id) + " of " +
                  std::to_string(buffer->memory.bytes()) + " bytes");
    }
}

std::string explain(const void* address, bool write, bool launched) {
  std::string who = launched ? where() : "the host", verb = write ? " writes " : " reads ";
  auto place = [&](const Guarded& memory) {
    auto at = static_cast<const std::byte*>(address) - memory.data();
    return "byte " + std::to_string(at) + " of ";
  };
  for (auto& array : shared_arrays())
    if (array->memory.maps(address))
      return who + verb + place(array->memory) + "shared array " + array->name + ", which has " +
             std::to_string(array->memory.bytes());
  const Buffer* buffer = find(address);
  if (!buffer) return who + verb + "an address that is neither device memory nor mapped";
  std::string name = "buffer " + std::to_string(buffer->id) + ", which has " +
                     std::to_string(buffer->memory.bytes()) + " bytes";
  if (buffer->freed) return "use after free: " + who + verb + place(buffer->memory) + name;
  if (!launched) return "the host" + verb + "device memory, " + place(buffer->memory) + name + ": copy it";
  return "outside a buffer: " + who + verb + place(buffer->memory) + name;
}

std::string& fault_text() {
  static std::string text;
  return text;
}
Recover::Recover(sigjmp_buf* back) : before(recover) {
  install_fault_handler();
  recover = back;
}
Recover::~Recover() { recover = before; }
void set_in_launch(bool value) { in_launch = value; }

void install_fault_handler() {
  static std::byte stack[1 << 16];
  stack_t alternate{};
  alternate.ss_sp = stack, alternate.ss_size = sizeof(stack);
  sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

void host_code(const std::function<void()>& f) {
  sigjmp_buf back;
  Recover guard(&back);
  if (sigsetjmp(back, 1) != 0) throw Fault(fault_text());
  f();
}

int64_t live_buffers() { return static_cast<int64_t>(live().size() + locked_memory().size()); }
int64_t live_bytes() {
  int64_t sum = 0;
  for (Buffer* buffer : live()) sum += static_cast<int64_t>(buffer->memory.bytes());
  return sum;
}
int64_t allocation_count() { return next_id; }
void check_leaks() {
  std::string text;
  for (Buffer* buffer : live())
    text +=
        "\n  buffer " + std::to_string(buffer->id) + ", " + std::to_string(buffer->memory.bytes()) + " bytes";
  for (auto& [at, bytes] : locked_memory())
    text += "\n  page-locked memory, " + std::to_string(bytes) + " bytes";
  if (!text.empty()) throw Fault("never freed:" + text);
}
bool is_device(const void* pointer) {
  Buffer* buffer = find(pointer);
  return buffer && !buffer->freed;
}

}  // namespace emulator

using namespace emulator;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = settings().devices;
  return cudaSuccess;
}
// They are alike and share their memory: a process uses one.
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= settings().devices) return cudaErrorInvalidDevice;
  chosen_device() = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulated GPU", settings().capability, 0};
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorNoDevice:
      return "no device";
    case cudaErrorInvalidDevice:
      return "invalid device";
    case cudaErrorMemoryAllocation:
      break;
  }
  return "out of memory";
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = static_cast<size_t>(settings().memory);
  *free = static_cast<size_t>(std::max<int64_t>(0, settings().memory - live_bytes()));
  return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** block, size_t bytes, cudaStream_t stream) {
  install_fault_handler();
  if (to_fail()) return cudaErrorMemoryAllocation;
  if (live_bytes() + static_cast<int64_t>(bytes) > settings().memory) finish(stream);  // frees may be waiting
  if (live_bytes() + static_cast<int64_t>(bytes) > settings().memory) return cudaErrorMemoryAllocation;
  buffers.push_back(std::unique_ptr<Buffer>(new Buffer{Guarded(bytes, settings().placement), next_id++}));
  if (settings().thorough) buffers.back()->memory.close();
  *block = buffers.back()->memory.data();
  note_allocation(stream, *buffers.back());
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* block, cudaStream_t stream) {
  if (block) enqueue_free(stream, block);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  auto* source = static_cast<const std::byte*>(from);
  auto reads = [=] { return &checked(from, bytes, "copy reads").memory; };
  auto writes = [=] { return &checked(to, bytes, "copy writes").memory; };
  if ((kind == cudaMemcpyHostToDevice && find(from)) || (kind == cudaMemcpyDeviceToHost && find(to)))
    throw Fault("copy: the host's side of it is device memory");
  if (kind != cudaMemcpyDeviceToDevice) refuse_in_capture(stream, "a copy from or to the host");
  if (kind == cudaMemcpyHostToDevice) {
    // Pageable memory is staged before the call returns; page-locked memory is read when the copy runs.
    const bool locked = page_locked(from, bytes);
    std::vector<std::byte> staged;
    if (!locked) staged.assign(source, source + bytes);
    enqueue(stream, [=] {
      if (locked && !page_locked(from, bytes)) throw Fault("copy: the host's memory is not locked any more");
      const Guarded* target = writes();
      target->open();
      std::memcpy(to, locked ? source : staged.data(), bytes);
      if (settings().thorough) target->close();
    });
  } else {
    const bool locked = page_locked(to, bytes);
    if (kind == cudaMemcpyDeviceToDevice && source < static_cast<std::byte*>(to) + bytes &&
        static_cast<std::byte*>(to) < source + bytes)
      throw Fault("copy: source and target overlap");
    enqueue(stream, [=] {
      if (locked && !page_locked(to, bytes)) throw Fault("copy: the host's memory is not locked any more");
      const Guarded *origin = reads(), *target = kind == cudaMemcpyDeviceToDevice ? writes() : nullptr;
      origin->open();
      if (target) target->open();
      std::memmove(to, from, bytes);
      if (settings().thorough) origin->close();
      if (target && settings().thorough) target->close();
    });
  }
  return cudaSuccess;
}

cudaError_t cudaHostRegister(void* memory, size_t bytes, unsigned) {
  if (to_fail()) return cudaErrorMemoryAllocation;
  ++next_id;
  if (!locked_memory().emplace(static_cast<const std::byte*>(memory), bytes).second)
    throw Fault("memory is locked that is locked already");
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* memory) {
  if (locked_memory().erase(static_cast<const std::byte*>(memory)) == 0)
    throw Fault("memory is unlocked that was not locked");
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  enqueue(stream, [=] {
    const Guarded& target = checked(to, bytes, "memset writes").memory;
    target.open();
    std::memset(to, value, bytes);
    if (settings().thorough) target.close();
  });
  return cudaSuccess;
}
