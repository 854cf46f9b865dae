// Events note the host's time when their stream reaches them: the time that the emulator takes, which says
// nothing of a GPU's.
#include <chrono>
#include <emulator.h>
#include <memory>

using Clock = std::chrono::steady_clock;

struct emulator::Event {
  cudaStream_t stream = nullptr;  // null: never recorded
  std::shared_ptr<Clock::time_point> time =
      std::make_shared<Clock::time_point>();  // the queue may outlive it
};

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new emulator::Event;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  emulator::enqueue(stream, [time = event->time] { *time = Clock::now(); });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!event->stream) throw emulator::Fault("an event is waited for that was never recorded");
  return cudaStreamSynchronize(event->stream);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!begin->stream || !end->stream)
    throw emulator::Fault("the time between events that were never recorded");
  *milliseconds = std::chrono::duration<float, std::milli>(*end->time - *begin->time).count();
  return cudaSuccess;
}
