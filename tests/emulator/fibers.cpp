// Runs a launch: one block after another, its threads as fibers that change at barriers and warp operations.
// Fibers are made once by ucontext and live on from block to block; changing between them is setjmp and
// longjmp, which need no system call.
#include <algorithm>
#include <array>
#include <csetjmp>
#include <exception>
#include <numeric>
#include <random>
#include <sys/mman.h>
#include <ucontext.h>

#include "memory.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {

Here* here = nullptr;

namespace {

constexpr size_t kStack = size_t{256} << 10;

enum class Status { ready, at_barrier, in_warp, done };

struct Fiber {
  Here at;  // first: `here` points to it
  Status status = Status::ready;
  Site site{};
  const char* operation = "";
  unsigned mask = 0, index = 0;
  Payload payload{};
  ucontext_t context{};
  jmp_buf state{};
  bool started = false;
  void* stack = nullptr;
};

struct Run {  // of the launch that is under way; outside the frames that a fault jumps over
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<unsigned> blocks, order;         // in the order in which they run
  std::vector<std::array<Payload, 32>> table;  // of each warp: what its lanes laid down last
  std::mt19937 random;
  const std::function<void()>* body = nullptr;
  std::exception_ptr error;
  jmp_buf scheduler{};
  unsigned threads = 0;
};
Run current;

// AddressSanitizer must know which stack it looks at: leave() before a change, arrive() after it.
const void* scheduler_stack = nullptr;
size_t scheduler_size = 0;
void leave([[maybe_unused]] const void* stack, [[maybe_unused]] size_t size) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(nullptr, stack, size);
#endif
}
void arrive([[maybe_unused]] bool in_fiber) {
#ifdef __SANITIZE_ADDRESS__
  const void* stack = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &size);
  if (in_fiber) scheduler_stack = stack, scheduler_size = size;
#endif
}

Fiber& self() { return *reinterpret_cast<Fiber*>(here); }

__attribute__((noinline)) void yield() {
  if (_setjmp(self().state) == 0) {
    leave(scheduler_stack, scheduler_size);
    _longjmp(current.scheduler, 1);
  }
  arrive(true);
}

void fiber_main() {
  arrive(true);
  for (;;) {
    try {
      (*current.body)();
    } catch (...) {
      current.error = std::current_exception();
    }
    self().status = Status::done;
    yield();
  }
}

__attribute__((noinline)) void resume(Fiber& fiber) {
  here = &fiber.at;
  if (_setjmp(current.scheduler) != 0) return arrive(false);
  leave(fiber.stack, kStack);
  if (fiber.started) _longjmp(fiber.state, 1);
  fiber.started = true;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = kStack;
  makecontext(&fiber.context, fiber_main, 0);
  setcontext(&fiber.context);
}

void grow(unsigned threads) {
  while (current.fibers.size() < threads) {
    auto fiber = std::make_unique<Fiber>();
    void* stack =
        mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) throw std::bad_alloc();
    mprotect(stack, 4096, PROT_NONE);  // an overflow faults
    fiber->stack = stack;
    fiber->index = static_cast<unsigned>(current.fibers.size());
    current.fibers.push_back(std::move(fiber));
  }
}

std::string text(uint3 i) {
  std::string words = "(";
  for (unsigned n : {i.x, i.y, i.z}) words.append(std::to_string(n)).append(",");
  words.back() = ')';
  return words;
}
std::string place(const Fiber& f) {
  std::string who = "thread " + text(f.at.thread);
  if (f.status == Status::done) return who + " has left the kernel";
  std::string file = f.site.file;
  return who + " waits at " + file.substr(file.rfind('/') + 1) + ":" + std::to_string(f.site.line) + " (" +
         (f.status == Status::at_barrier ? "__syncthreads" : f.operation) + ")";
}
bool same_wait(const Fiber& a, const Fiber& b) {
  return a.status == b.status && a.site.line == b.site.line && std::strcmp(a.site.file, b.site.file) == 0 &&
         a.mask == b.mask;
}

[[noreturn]] void divergent() {
  Fiber& first = *current.fibers[0];
  for (unsigned i = 1; i < current.threads; ++i)
    if (Fiber& other = *current.fibers[i];
        other.status != first.status ||
        (first.status != Status::done &&
         (other.site.line != first.site.line || std::strcmp(other.site.file, first.site.file) != 0)))
      throw Fault("divergent barrier in block " + text(first.at.block) + ": " + place(first) + ", but " +
                  place(other));
  throw Fault("lanes outside a mask are waited for: " + place(first));
}

// Lets the lanes of a warp go on whose whole mask has arrived at one place.
bool release_warp(unsigned warp) {
  bool any = false;
  unsigned first = warp * 32, count = std::min(32U, current.threads - first);
  for (unsigned i = 0; i < count; ++i) {
    Fiber& leader = *current.fibers[first + i];
    if (leader.status != Status::in_warp) continue;
    bool whole = true;
    for (unsigned j = 0; j < 32 && whole; ++j)
      if (leader.mask >> j & 1) whole = j < count && same_wait(leader, *current.fibers[first + j]);
    if (!whole) continue;
    any = true;
    for (unsigned j = 0, mask = leader.mask; j < count; ++j)
      if (mask >> j & 1) {
        current.table[warp][j] = current.fibers[first + j]->payload;
        current.fibers[first + j]->status = Status::ready;
      }
  }
  return any;
}

// True when someone can go on; false when all threads have left the kernel.
bool release() {
  bool any = false;
  for (unsigned warp = 0; warp * 32 < current.threads; ++warp) any |= release_warp(warp);
  if (any) return true;
  const Fiber& first = *current.fibers[0];
  for (unsigned i = 0; i < current.threads; ++i) {
    const Fiber& f = *current.fibers[i];
    if (f.status == Status::in_warp || f.status != first.status ||
        (f.status == Status::at_barrier && !same_wait(f, first)))
      divergent();
  }
  if (first.status == Status::done) return false;
  for (unsigned i = 0; i < current.threads; ++i) current.fibers[i]->status = Status::ready;
  return true;
}

void put_in_order(std::vector<unsigned>& list, unsigned count, Order order) {
  list.resize(count);
  std::iota(list.begin(), list.end(), 0U);
  if (order == Order::reverse) std::reverse(list.begin(), list.end());
  if (order == Order::shuffled) std::shuffle(list.begin(), list.end(), current.random);
}

void run_block(Order order) {
  for (auto& array : shared_arrays()) array->fresh = false;
  forget_copies();
  do {
    put_in_order(current.order, current.threads, order);
    for (unsigned i : current.order)
      if (current.fibers[i]->status == Status::ready) {
        resume(*current.fibers[i]);
        if (current.error) std::rethrow_exception(current.error);
      }
  } while (release());
  for (auto& array : shared_arrays())
    if (array->fresh && !array->memory.slack_is_whole())
      throw Fault("a kernel wrote outside shared array " + array->name);
}

void run_grid(dim3 grid, dim3 block, Order order) {
  put_in_order(current.blocks, grid.x * grid.y * grid.z, order);
  for (unsigned b : current.blocks) {
    for (unsigned i = 0; i < current.threads; ++i) {
      Fiber& f = *current.fibers[i];
      f.at = {{i % block.x, i / block.x % block.y, i / (block.x * block.y)},
              {b % grid.x, b / grid.x % grid.y, b / (grid.x * grid.y)},
              block,
              grid};
      f.status = Status::ready;
    }
    run_block(order);
  }
}

// The launch once; what went wrong is thrown when memory is closed again.
void run_once(dim3 grid, dim3 block, Order order) {
  static sigjmp_buf back;
  current.error = nullptr;
  current.random.seed(1);
  {
    Opened opened;
    Recover recover(&back);
    set_in_launch(true);
    if (sigsetjmp(back, 1) == 0) {
      try {
        run_grid(grid, block, order);
      } catch (...) {
        current.error = std::current_exception();
      }
    } else {
      leave(scheduler_stack, scheduler_size);
      arrive(false);
      current.error = std::make_exception_ptr(Fault(fault_text()));
    }
    set_in_launch(false);
    here = nullptr;
  }
  if (current.error) {
    for (auto& fiber : current.fibers) fiber->started = false;  // some stand in the middle of the kernel
    std::rethrow_exception(current.error);
  }
  check_slack();
}

using Contents = std::vector<std::vector<std::byte>>;
Contents contents() {
  Opened opened;
  Contents all;
  for (Buffer* b : live()) all.emplace_back(b->memory.data(), b->memory.data() + b->memory.bytes());
  return all;
}
void restore(const Contents& all) {
  Opened opened;
  size_t i = 0;
  for (Buffer* b : live()) std::copy(all[i].begin(), all[i].end(), b->memory.data()), ++i;
}

}  // namespace

void run(dim3 grid, dim3 block, const std::function<void()>& body) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 || grid.x > 0x7fffffffU)
    throw Fault("launch: the grid is out of range");
  current.threads = block.x * block.y * block.z;
  if (current.threads == 0 || current.threads > 1024)
    throw Fault("launch: a block of " + std::to_string(current.threads) + " threads");
  grow(current.threads);
  current.table.resize((current.threads + 31) / 32);
  current.body = &body;
  if (!settings().every_order) return run_once(grid, block, settings().order);
  Contents before = contents();
  run_once(grid, block, Order::forward);
  Contents expected = contents();
  for (Order order : {Order::reverse, Order::shuffled}) {
    restore(before);
    run_once(grid, block, order);
    Contents got = contents();
    for (size_t i = 0; i < got.size(); ++i)
      if (got[i] != expected[i])
        throw Fault("the result depends on the order of threads: buffer " + std::to_string(live()[i]->id) +
                    " differs when they run " + (order == Order::reverse ? "reversed" : "shuffled") +
                    ". A barrier is missing, or there are float atomics");
  }
}

void sync_threads(Site site) {
  self().status = Status::at_barrier;
  self().site = site;
  self().mask = 0;
  yield();
}

unsigned lane() { return self().index % 32; }

const Payload* exchange(unsigned mask, const Payload& mine, const char* operation, Site site) {
  Fiber& f = self();
  if (!(mask >> lane() & 1)) throw Fault("a warp operation's mask leaves out the lane that calls it");
  f.status = Status::in_warp;
  f.site = site;
  f.mask = mask;
  f.operation = operation;
  f.payload = mine;
  yield();
  return current.table[self().index / 32].data();
}

unsigned ballot(unsigned mask, bool vote, Site site) {
  Payload mine{};
  mine.word[0] = vote;
  const Payload* all = exchange(mask, mine, "vote", site);
  unsigned result = 0;
  for (unsigned i = 0; i < 32; ++i)
    if (mask >> i & 1) result |= all[i].word[0] << i;
  return result;
}

std::vector<std::unique_ptr<SharedArray>>& shared_arrays() {
  static std::vector<std::unique_ptr<SharedArray>> arrays;
  return arrays;
}

void* shared_array(const void* key, const char* name, size_t bytes) {
  auto& arrays = shared_arrays();
  auto found = std::find_if(arrays.begin(), arrays.end(),
                            [&](auto& a) { return a->key == key && a->memory.bytes() == bytes; });
  if (found == arrays.end()) {
    arrays.push_back(
        std::unique_ptr<SharedArray>(new SharedArray{Guarded(bytes, settings().placement), key, name}));
    found = arrays.end() - 1;
  }
  if (!(*found)->fresh) {
    (*found)->fresh = true;
    (*found)->memory.fill();
    int64_t sum = 0;
    for (auto& array : arrays) sum += array->fresh ? static_cast<int64_t>(array->memory.bytes()) : 0;
    if (sum > settings().shared_memory)
      throw Fault("too much shared memory: the block takes " + std::to_string(sum) + " bytes (last, array " +
                  name + " of " + std::to_string(bytes) + "), the device has " +
                  std::to_string(settings().shared_memory));
  }
  return (*found)->memory.data();
}

bool is_shared(const void* address) {
  auto& arrays = shared_arrays();
  return std::any_of(arrays.begin(), arrays.end(),
                     [&](auto& a) { return a->fresh && a->memory.maps(address); });
}

std::string where() {
  if (!here) return "a kernel";
  return "thread " + text(here->thread) + " of block " + text(here->block);
}

}  // namespace emulator
