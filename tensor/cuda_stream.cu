// Queues for copies, events and graphs, thinly over CUDA's.
#include "tensor/cuda_kernel.h"
#include "tensor/cuda_stream.h"

namespace dgp::cuda {
namespace {

cudaStream_t make_stream() {
  cudaStream_t made = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return made;
}

cudaStream_t stream_of(Queue queue) {
  if (queue == Queue::main) return stream();
  choose_in_thread();
  static cudaStream_t up = make_stream(), down = make_stream();
  return queue == Queue::upload ? up : down;
}

void queue_copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind, Queue queue) {
  if (bytes > 0)
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream_of(queue)), "copy");
}

cudaEvent_t event_of(const std::shared_ptr<void>& event) { return static_cast<cudaEvent_t>(event.get()); }

}  // namespace

std::shared_ptr<void> lock_pages(void* memory, int64_t bytes) {
  choose_in_thread();
  cudaError_t error = cudaHostRegister(memory, static_cast<size_t>(bytes), cudaHostRegisterDefault);
  if (error != cudaSuccess) cudaGetLastError();  // taken note of
  if (error == cudaErrorMemoryAllocation)
    fail(ErrorCode::limit, "out of memory: ", bytes >> 20, " MiB cannot be page-locked");
  check_cuda(error, "cudaHostRegister");
  return {memory, [](void* m) { cudaHostUnregister(m); }};
}

void upload(void* device, const void* host, int64_t bytes) {
  queue_copy(device, host, bytes, cudaMemcpyHostToDevice, Queue::upload);
}
void download(void* host, const void* device, int64_t bytes) {
  queue_copy(host, device, bytes, cudaMemcpyDeviceToHost, Queue::download);
}

void Event::record(Queue queue) {
  const cudaStream_t in = stream_of(queue);  // first: an event belongs to the GPU that the thread has chosen
  if (!event_) {
    cudaEvent_t made = nullptr;
    check_cuda(cudaEventCreateWithFlags(&made, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    event_ = {made, [](void* e) { cudaEventDestroy(static_cast<cudaEvent_t>(e)); }};
  }
  check_cuda(cudaEventRecord(event_of(event_), in), "cudaEventRecord");
}
void Event::hold(Queue queue) const {
  if (event_) check_cuda(cudaStreamWaitEvent(stream_of(queue), event_of(event_), 0), "cudaStreamWaitEvent");
}
void Event::wait() const {
  if (event_) check_cuda(cudaEventSynchronize(event_of(event_)), "cudaEventSynchronize");
}

Graph::Graph(const std::function<void()>& body) {
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  try {
    body();
  } catch (...) {
    cudaStreamEndCapture(stream(), &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream(), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t made = nullptr;
  cudaError_t error = cudaGraphInstantiate(&made, graph, 0);
  cudaGraphDestroy(graph);
  check_cuda(error, "cudaGraphInstantiate");
  executable_ = {made, [](void* e) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(e)); }};
}
void Graph::launch() const {
  check_cuda(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_.get()), stream()), "cudaGraphLaunch");
}

}  // namespace dgp::cuda
