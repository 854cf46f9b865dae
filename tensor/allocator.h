// CPU memory: 64-byte aligned blocks, kept in free lists by size so that a training step allocates nothing
// from the system after the first. Thread-safe. Blocks of 2 MiB and more are asked to be huge pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace dgp {

struct MemoryStats {
  int64_t in_use = 0;  // bytes handed out now
  int64_t peak = 0;    // largest in_use since the start or reset_peak_memory()
  int64_t cached = 0;  // bytes kept for reuse
  int64_t fresh = 0;   // bytes asked of the system since the start
};

// A block of at least `bytes` bytes, uninitialised; it returns to the cache with the last reference.
// Throws Error(limit) when the system or memory_limit() refuses.
std::shared_ptr<std::byte[]> allocate(int64_t bytes);

MemoryStats memory_stats();
void reset_peak_memory();
void release_cached_memory();          // gives cached blocks back to the system
void set_memory_limit(int64_t bytes);  // of in_use + cached; 0: none (the default)
void set_fill_byte(int value);         // tests: fill fresh blocks with this byte; -1: leave them (default)

}  // namespace dgp
