// Asynchronous copies into shared memory. What they bring arrives when the thread waits for it, not before:
// until then the place is NaN, so that a kernel that reads without waiting, or fills a place that is still
// being read, leaves other values.
#include <array>
#include <deque>

#include "memory.h"

namespace emulator {
namespace {

constexpr size_t kBytes = 16;
struct Copy {
  std::byte* to;
  std::array<std::byte, kBytes> values;
};
using Group = std::vector<Copy>;

std::vector<std::deque<Group>> groups;  // of each thread of the block; the last one is being collected

std::deque<Group>& mine() {
  const uint3 t = here->thread;
  const size_t index = (size_t{t.z} * here->block_size.y + t.y) * here->block_size.x + t.x;
  if (groups.size() <= index) groups.resize(index + 1);
  if (groups[index].empty()) groups[index].emplace_back();
  return groups[index];
}

bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % kBytes == 0; }

}  // namespace

void copy_async(void* shared, const void* global, bool there, Site site) {
  auto says = [&](const char* what) {
    return Fault(where() + ", " + site.file + ":" + std::to_string(site.line) + ": " + what);
  };
  if (!is_shared(shared)) throw says("an asynchronous copy to what is not shared memory");
  if (!is_aligned(shared) || (there && !is_aligned(global)))
    throw says("an asynchronous copy of 16 bytes from or to what is not a multiple of 16");
  Copy copy{static_cast<std::byte*>(shared), {}};
  if (there) std::memcpy(copy.values.data(), global, kBytes);
  std::memset(shared, 0xFF, kBytes);
  mine().back().push_back(copy);
}

void commit_copies() { mine().emplace_back(); }

void wait_for_copies(size_t latest) {
  std::deque<Group>& all = mine();
  for (; all.size() > latest + 1; all.pop_front())
    for (const Copy& copy : all.front()) std::memcpy(copy.to, copy.values.data(), kBytes);
}

void forget_copies() { groups.clear(); }

}  // namespace emulator
