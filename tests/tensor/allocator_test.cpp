#include "tensor/allocator.h"

#include <cstring>
#include <thread>
#include <vector>

#include "tensor/error.h"
#include "tensor/tensor.h"
#include "tests/test.h"

using namespace dgp;

namespace {
constexpr int64_t kMiB = int64_t{1} << 20;
struct SettingsRestored {
  ~SettingsRestored() {
    set_memory_limit(0);
    set_fill_byte(-1);
    release_cached_memory();
  }
};
}  // namespace

TEST_CASE("allocator: in use, peak and cached", "[allocator]") {
  SettingsRestored restored;
  release_cached_memory();
  reset_peak_memory();
  MemoryStats before = memory_stats();
  CHECK(before.cached == 0);
  CHECK(before.peak == before.in_use);
  {
    auto a = allocate(3 * kMiB);
    CHECK(memory_stats().in_use == before.in_use + 3 * kMiB);
    auto b = a;  // shared: counted once
    CHECK(memory_stats().in_use == before.in_use + 3 * kMiB);
  }
  CHECK(memory_stats().in_use == before.in_use);
  CHECK(memory_stats().peak == before.in_use + 3 * kMiB);
  CHECK(memory_stats().cached == 3 * kMiB);
  reset_peak_memory();
  CHECK(memory_stats().peak == before.in_use);
  release_cached_memory();
  CHECK(memory_stats().cached == 0);
}

TEST_CASE("allocator: a freed block is used again, also by a size nearby", "[allocator]") {
  SettingsRestored restored;
  release_cached_memory();
  std::byte* block = allocate(kMiB).get();
  int64_t cached = memory_stats().cached;
  auto again = allocate(kMiB - 1000);
  CHECK(again.get() == block);
  CHECK(memory_stats().cached == cached - kMiB);
}

TEST_CASE("allocator: blocks are aligned, apart and writable to the last byte", "[allocator]") {
  SettingsRestored restored;
  std::vector<std::shared_ptr<std::byte[]>> blocks;
  std::vector<int64_t> sizes = {0, 1, 63, 64, 65, 1000, 4097, 123457, 3 * kMiB + 1};
  for (size_t i = 0; i < sizes.size(); ++i) {
    blocks.push_back(allocate(sizes[i]));
    CHECK(reinterpret_cast<uintptr_t>(blocks[i].get()) % 64 == 0);
    std::memset(blocks[i].get(), static_cast<int>(i), static_cast<size_t>(sizes[i]));
  }
  for (size_t i = 0; i < sizes.size(); ++i)
    for (int64_t j = 0; j < sizes[i]; j += 61) REQUIRE(blocks[i][j] == static_cast<std::byte>(i));
}

TEST_CASE("allocator: the limit counts what is in use and gives up the cache first", "[allocator]") {
  SettingsRestored restored;
  release_cached_memory();
  set_memory_limit(memory_stats().in_use + 4 * kMiB);
  { auto a = allocate(3 * kMiB); }
  CHECK(memory_stats().cached == 3 * kMiB);
  auto b = allocate(2 * kMiB);  // fits only without the cached block
  CHECK(memory_stats().cached == 0);
  try {
    allocate(3 * kMiB);
    FAIL("the limit was passed");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::limit);
    CHECK_THAT(error.what(), ContainsSubstring("3 MiB asked for") && ContainsSubstring("limit"));
  }
  CHECK_NOTHROW(allocate(kMiB));
  set_memory_limit(0);
  CHECK_NOTHROW(allocate(8 * kMiB));
}

TEST_CASE("allocator: impossible sizes are errors", "[allocator]") {
  CHECK_THROWS_AS(allocate(-1), Error);
  CHECK_THROWS_AS(allocate(int64_t{1} << 60), Error);
  CHECK_THROWS_AS(Tensor({int64_t{1} << 40, int64_t{1} << 40}), Error);
}

TEST_CASE("allocator: fresh blocks can be filled, to find reads of what was never written", "[allocator]") {
  SettingsRestored restored;
  { auto used = allocate(1024); }
  set_fill_byte(0xff);
  auto a = allocate(1024);
  for (int i = 0; i < 1024; ++i) REQUIRE(a[i] == std::byte{0xff});
}

TEST_CASE("allocator: threads may allocate and free at once", "[allocator]") {
  SettingsRestored restored;
  int64_t before = memory_stats().in_use;
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t t = 0; t < 4; ++t)
    threads.emplace_back([t, &wrong] {
      for (int64_t i = 0; i < 500; ++i) {
        auto size = static_cast<size_t>(64 + i * 97 % 5000);
        auto block = allocate(static_cast<int64_t>(size));
        std::memset(block.get(), static_cast<int>(t), size);
        for (size_t j = 0; j < size; j += 64)
          wrong[t] += block[static_cast<std::ptrdiff_t>(j)] != static_cast<std::byte>(t);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
  CHECK(memory_stats().in_use == before);
}
