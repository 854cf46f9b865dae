// Device memory of the emulator: buffers between guard pages, and what an address means.
#pragma once

#include <csetjmp>
#include <emulator.h>
#include <memory>
#include <string>
#include <vector>

namespace emulator {

// Bytes between two guard pages, against the edge that the placement asks for; the rest of the pages is
// slack, filled like unwritten memory and looked at after each launch.
class Guarded {
 public:
  Guarded(size_t bytes, Placement placement);
  ~Guarded();
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  void open() const;
  void close() const;
  void forget() const;  // closes it and gives its memory back; the addresses stay taken
  void fill() const;    // with NaN, slack too
  bool slack_is_whole() const;
  bool maps(const void* address) const;
  bool holds(const void* from, size_t count) const;

 private:
  std::byte* pages_;
  size_t inner_;  // bytes between the guards
  mutable bool open_ = false;
  std::byte* data_;
  size_t bytes_;
};

struct Buffer {
  Guarded memory;
  int64_t id;
  bool freed = false;
  bool reached = false;  // has the stream that it was allocated on come so far?
};

// All buffers that are not freed, open while one of these lives.
struct Opened {
  Opened();
  ~Opened();
};
std::vector<Buffer*> live();
void check_range(const void* at, size_t bytes, const char* what);  // throws Fault unless in one live buffer
void check_slack();  // throws Fault naming the buffer that was written beyond its edges

// Buffers by the address at which they begin.
void release(void* block);        // throws Fault where none does, or was freed, or was written beyond
void forget_values(void* block);  // as if nothing had been written to it

// On streams (streams.cpp). A graph may allocate what it frees itself: the block lives as long as the graph.
void enqueue_free(Stream* stream, void* block);  // done even after a fault
void note_allocation(Stream* stream, Buffer& buffer);
void finish(Stream* stream);  // waits for all that is queued
int& chosen_device();         // by this thread
void refuse_in_capture(const Stream* stream, const std::string& what);

// What is wrong with an access there; in words, for a Fault.
std::string explain(const void* address, bool write, bool in_launch);

// Memory faults jump to `back` while this lives; the words are in fault_text().
struct Recover {
  explicit Recover(sigjmp_buf* back);
  ~Recover();
  sigjmp_buf* before;
};
std::string& fault_text();
void install_fault_handler();  // again and again: test frameworks install their own
void set_in_launch(bool value);

// Shared arrays, for explain(); they are made by the scheduler.
struct SharedArray {
  Guarded memory;
  const void* key;
  std::string name;
  bool fresh = false;  // taken by the block that runs
};
std::vector<std::unique_ptr<SharedArray>>& shared_arrays();
bool is_shared(const void* address);
void forget_copies();  // that a block which has ended did not wait for
std::string where();   // "thread (3,0,0) of block (0,0,0)", or "the host"

}  // namespace emulator
