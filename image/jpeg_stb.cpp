// JPEG's entropy coding and transforms are stb_image's (decoding) and stb_image_write's (encoding), which
// this file alone includes. Only a file that jpeg.cpp has walked comes here, and only with a budget: memory
// beyond it is refused, fresh memory is zero, and what a failed decode holds is freed here.
#include "image/jpeg_stb.h"

#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include "tensor/error.h"

namespace {

// The memory of the decode that runs on this thread.
struct Arena {
  size_t left;
  std::unordered_map<void*, size_t> blocks;

  explicit Arena(size_t budget) : left(budget) {}
  ~Arena() {
    for (auto [block, size] : blocks) std::free(block);
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void* take(size_t size) {
    if (size > left) return nullptr;
    void* block = std::calloc(size > 0 ? size : 1, 1);
    if (!block) return nullptr;
    blocks.emplace(block, size);
    left -= size;
    return block;
  }
  void give(void* block) {
    auto found = blocks.find(block);
    if (found == blocks.end()) return;
    left += found->second;
    blocks.erase(found);
    std::free(block);
  }
};

thread_local Arena* arena = nullptr;

[[maybe_unused]] void* arena_resize(void* block, size_t before, size_t after) {
  void* grown = arena->take(after);
  if (grown && block) {
    std::memcpy(grown, block, before < after ? before : after);
    arena->give(block);
  }
  return grown;
}

}  // namespace

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS 65535
#define STBI_MALLOC(size) arena->take(size)
#define STBI_REALLOC_SIZED(block, before, after) arena_resize(block, before, after)
#define STBI_FREE(block) arena->give(block)
#define STBI_ASSERT(x) \
  if (!(x)) dgp::fail(dgp::ErrorCode::bad_file, "broken Huffman code")
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wsign-compare"
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#else
#include <stb_image.h>
#include <stb_image_write.h>
#endif
#pragma GCC diagnostic pop

namespace dgp {

std::string stb_decode_jpeg(std::string_view bytes, size_t budget, int64_t width, int64_t height,
                            int channels, uint8_t* pixels) {
  Arena memory(budget);
  struct Current {
    explicit Current(Arena* now) { arena = now; }
    ~Current() { arena = nullptr; }
  } current(&memory);
  int w = 0, h = 0, c = 0;
  stbi_uc* decoded = nullptr;
  try {
    decoded = stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()),
                                    static_cast<int>(bytes.size()), &w, &h, &c, channels);
  } catch (const Error& error) {
    return error.what();
  }
  if (!decoded) return stbi_failure_reason() ? stbi_failure_reason() : "cannot be decoded";
  if (w != width || h != height) return "size changes within the file";
  std::memcpy(pixels, decoded, static_cast<size_t>(width * height * channels));
  return {};
}

std::string stb_encode_jpeg(const uint8_t* pixels, int width, int height, int channels, int quality) {
  std::string out;
  auto append = [](void* into, void* data, int size) {
    static_cast<std::string*>(into)->append(static_cast<const char*>(data), static_cast<size_t>(size));
  };
  if (!stbi_write_jpg_to_func(append, &out, width, height, channels, pixels, quality))
    fail(ErrorCode::invalid, "JPEG encoding failed");
  return out;
}

}  // namespace dgp
