#include "tensor/allocator.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <vector>

#include "tensor/error.h"

namespace dgp {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;

// Sizes are rounded so that near-equal requests share a free list: to 1/8 of the next power of two.
int64_t rounded(int64_t bytes) {
  int64_t step = kAlignment;
  while (step * 16 <= bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

class Cache {
 public:
  std::byte* take(int64_t size) {
    std::lock_guard lock(mutex_);
    std::byte* block = nullptr;
    if (auto& list = free_[size]; !list.empty()) {
      block = list.back();
      list.pop_back();
      stats_.cached -= size;
    } else {
      block = fresh(size);
    }
    stats_.in_use += size;
    if (stats_.in_use > stats_.peak) stats_.peak = stats_.in_use;
    if (fill_ >= 0) std::memset(block, fill_, static_cast<size_t>(size));
    return block;
  }

  void give(std::byte* block, int64_t size) {
    std::lock_guard lock(mutex_);
    stats_.in_use -= size;
    try {
      free_[size].push_back(block);
      stats_.cached += size;
    } catch (...) {  // no memory for the list itself
      std::free(block);
    }
  }

  void release() {
    std::lock_guard lock(mutex_);
    release_locked();
  }

  MemoryStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.peak = stats_.in_use;
  }
  void set_limit(int64_t bytes) {
    std::lock_guard lock(mutex_);
    limit_ = bytes;
  }
  void set_fill(int value) {
    std::lock_guard lock(mutex_);
    fill_ = value;
  }

 private:
  std::byte* fresh(int64_t size) {
    auto over = [&] { return limit_ > 0 && stats_.in_use + stats_.cached + size > limit_; };
    if (over()) release_locked();
    void* block = over() ? nullptr : system_block(size);
    if (!block && !over()) {
      release_locked();
      block = system_block(size);
    }
    if (!block)
      fail(ErrorCode::limit, "out of memory: ", size >> 20, " MiB asked for while ", stats_.in_use >> 20,
           " MiB are in use", limit_ > 0 ? ", limit " + std::to_string(limit_ >> 20) + " MiB" : "");
    stats_.fresh += size;
    return static_cast<std::byte*>(block);
  }

  static void* system_block(int64_t size) {
    bool huge = size >= kHugePage;
    void* block = nullptr;
    if (posix_memalign(&block, huge ? kHugePage : kAlignment, static_cast<size_t>(size)) != 0) return nullptr;
    if (huge) madvise(block, static_cast<size_t>(size), MADV_HUGEPAGE);
    return block;
  }

  void release_locked() {
    for (auto& [size, list] : free_)
      for (std::byte* block : list) std::free(block);
    free_.clear();
    stats_.cached = 0;
  }

  std::mutex mutex_;
  std::map<int64_t, std::vector<std::byte*>> free_;
  MemoryStats stats_;
  int64_t limit_ = 0;
  int fill_ = -1;
};

Cache& cache() {
  static Cache* instance = new Cache;  // never destroyed: static tensors may outlive any static cache
  return *instance;
}

}  // namespace

std::shared_ptr<std::byte[]> allocate(int64_t bytes) {
  check(bytes >= 0 && bytes <= (int64_t{1} << 42), "allocate: ", bytes, " bytes is out of range");
  int64_t size = rounded(bytes > 0 ? bytes : 1);
  return {cache().take(size), [size](std::byte* block) { cache().give(block, size); }};
}

MemoryStats memory_stats() { return cache().stats(); }
void reset_peak_memory() { cache().reset_peak(); }
void release_cached_memory() { cache().release(); }
void set_memory_limit(int64_t bytes) { cache().set_limit(bytes); }
void set_fill_byte(int value) { cache().set_fill(value); }

}  // namespace dgp
