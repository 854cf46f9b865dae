// Streams, events and graphs. A stream keeps what is queued on it until somebody waits: for the stream, or
// for an event in it. Work of several streams may come in any order that events allow; two extremes of it are
// run (Settings::streams), so that a missing wait shows in one of them.
#include <chrono>
#include <deque>
#include <memory>

#include "memory.h"

namespace emulator {
namespace {

using Clock = std::chrono::steady_clock;

struct Work {
  std::function<void()> run;
  bool of_memory = false;     // an allocation or a free: done even after a fault
  Stream* awaited = nullptr;  // begins when that one has come to `position`
  int64_t position = 0;
};

struct Recorded {  // of a graph
  std::vector<std::function<void()>> work;
  std::vector<void*> blocks;     // that it allocates; they live as long as it does
  std::vector<void*> not_freed;  // of those, so far

  ~Recorded() {
    for (void* block : blocks) try {
        release(block);
      } catch (const Fault&) {
      }
  }
};

}  // namespace

struct Stream {
  int device = chosen_device();
  std::deque<Work> queue;
  int64_t queued = 0, done = 0;       // works, since it was created
  std::unique_ptr<Recorded> capture;  // while a graph is captured
};

struct Graph {
  std::shared_ptr<const Recorded> recorded;
};

struct Event {
  int device = chosen_device();
  Stream* stream = nullptr;  // null: never recorded
  int64_t position = 0;      // works of the stream that come before it
  std::shared_ptr<Clock::time_point> time = std::make_shared<Clock::time_point>();
};

namespace {

std::deque<std::unique_ptr<Stream>>& streams() {  // all there ever were: events may outlive them
  static std::deque<std::unique_ptr<Stream>> all;
  return all;
}

void push(Stream* stream, Work work) {
  stream->queue.push_back(std::move(work));
  ++stream->queued;
}

bool ready(const Work& work) { return !work.awaited || work.awaited->done >= work.position; }

void step(Stream& stream) {
  Work work = std::move(stream.queue.front());
  stream.queue.pop_front();
  ++stream.done;
  if (work.run) work.run();
}

void run_others(const Stream& but) {
  for (bool moved = true; moved;) {
    moved = false;
    for (auto& other : streams())
      while (other.get() != &but && !other->queue.empty() && ready(other->queue.front())) {
        step(*other);
        moved = true;
      }
  }
}

void reach(Stream& stream, int64_t position) {
  while (stream.done < position) {
    if (settings().streams == Streams::eager) run_others(stream);
    const Work& next = stream.queue.front();
    if (!ready(next)) reach(*next.awaited, next.position);
    step(stream);
  }
}

// What follows a fault has nothing to stand on; only memory is still given back.
void abandon() {
  for (auto& stream : streams()) {
    for (Work& work : stream->queue) try {
        if (work.of_memory) work.run();
      } catch (const Fault&) {
      }
    stream->queue.clear();
    stream->done = stream->queued;
  }
}

void wait_for(Stream& stream, int64_t position) {
  refuse_in_capture(&stream, "a wait of the host");
  try {
    reach(stream, position);
  } catch (...) {
    std::exception_ptr fault = std::current_exception();
    abandon();
    std::rethrow_exception(fault);
  }
}

}  // namespace

void enqueue(Stream* stream, std::function<void()> work) {
  if (stream->capture)
    stream->capture->work.push_back(std::move(work));
  else
    push(stream, {std::move(work)});
}
void enqueue_free(Stream* stream, void* block) {
  if (!stream->capture) return push(stream, {[=] { release(block); }, true});
  if (std::erase(stream->capture->not_freed, block) == 0)
    throw Fault("memory is freed in a graph that was allocated outside it");
  stream->capture->work.push_back([=] { forget_values(block); });
}
void note_allocation(Stream* stream, Buffer& buffer) {
  if (!stream->capture) return push(stream, {[&buffer] { buffer.reached = true; }, true});
  void* block = buffer.memory.data();
  buffer.reached = true;
  stream->capture->blocks.push_back(block);
  stream->capture->not_freed.push_back(block);
  stream->capture->work.push_back([=] { forget_values(block); });
}
int& chosen_device() {
  thread_local int device = 0;
  return device;
}
void check_device(const Stream* stream, const char* what) {
  if (stream->device != chosen_device())
    throw Fault(what + (" on a stream of GPU " + std::to_string(stream->device)) +
                " by a thread that has chosen GPU " + std::to_string(chosen_device()));
}
void finish(Stream* stream) { wait_for(*stream, stream->queued); }
void refuse_in_capture(const Stream* stream, const std::string& what) {
  if (stream->capture) throw Fault(what + " while a graph is captured");
}

}  // namespace emulator

using namespace emulator;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  streams().push_back(std::make_unique<Stream>());
  *stream = streams().back().get();
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return cudaStreamSynchronize(stream); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  finish(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  refuse_in_capture(stream, "a wait for an event");
  if (event->stream) push(stream, {{}, false, event->stream, event->position});
  return cudaSuccess;
}

// Events note the host's time when their stream reaches them: the time that the emulator takes, which says
// nothing of a GPU's.
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new Event;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  refuse_in_capture(stream, "the recording of an event");
  check_device(stream, "the recording of an event");
  if (event->device != stream->device) throw Fault("an event of another GPU than the stream's is recorded");
  enqueue(stream, [time = event->time] { *time = Clock::now(); });
  event->stream = stream;
  event->position = stream->queued;
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!event->stream) throw Fault("an event is waited for that was never recorded");
  wait_for(*event->stream, event->position);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!begin->stream || !end->stream) throw Fault("the time between events that were never recorded");
  *milliseconds = std::chrono::duration<float, std::milli>(*end->time - *begin->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  refuse_in_capture(stream, "another capture");
  stream->capture = std::make_unique<Recorded>();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream->capture) throw Fault("the end of a capture that was not begun");
  std::unique_ptr<Recorded> recorded = std::move(stream->capture);
  if (!recorded->not_freed.empty()) {
    for (void* block : recorded->not_freed) std::erase(recorded->blocks, block);
    throw Fault("memory that is allocated in a graph is not freed in it");
  }
  *graph = new Graph{std::shared_ptr<const Recorded>(std::move(recorded))};
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new Graph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  check_device(stream, "the launch of a graph");
  enqueue(stream, [recorded = executable->recorded] {
    for (const auto& work : recorded->work) work();
  });
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return cudaGraphDestroy(executable); }
