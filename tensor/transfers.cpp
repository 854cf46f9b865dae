#include "tensor/transfers.h"

#include "tensor/cuda_stream.h"

namespace dgp {
namespace {

using cuda::Event, cuda::Queue;

struct Slot {
  Tensor device;  // f32 [n]
  cuda::PageLocked host;
  Shape shape;       // of what is in it
  Event sent, used;  // it has arrived; kernels are done with it on the device

  // The room may be memory that work on main still uses, handed out for what comes behind that.
  explicit Slot(const Tensor& room) : device(room), host(room.numel()) { used.record(Queue::main); }
  ~Slot() {
    try {
      sent.wait();   // before its memory is unlocked
    } catch (...) {  // told to whoever waits next
    }
  }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  Tensor of(const Tensor& memory) const { return memory.slab(0, numel(shape)).reshape(shape); }
  Tensor on_device() const { return of(device); }
  Tensor on_host() const { return of(host.tensor()); }
};

struct Pair {
  Slot first, second;
  explicit Pair(const Tensor& room)
      : first(room.slab(0, 1).reshape({-1})), second(room.slab(1, 1).reshape({-1})) {}
  Slot& operator[](int64_t i) { return i % 2 == 0 ? first : second; }
};

}  // namespace

struct Uploads::State {
  Pair slots;
  int64_t sent = 0;
  explicit State(const Tensor& room) : slots(room) {}
};

Uploads::Uploads(const Tensor& room) {
  if (room.defined()) state_ = std::make_shared<State>(room);
}

Tensor Uploads::next(const Shape& shape) {
  Slot& slot = state_->slots[state_->sent];
  slot.sent.wait();
  slot.shape = shape;
  return slot.on_host();
}

Tensor Uploads::send() {
  Slot &slot = state_->slots[state_->sent], &before = state_->slots[state_->sent + 1];
  const Tensor host = slot.on_host(), device = slot.on_device();
  before.used.record(Queue::main);
  slot.used.hold(Queue::upload);
  cuda::upload(device.device_data<float>(), host.bytes(), host.nbytes());
  slot.sent.record(Queue::upload);
  slot.sent.hold(Queue::main);
  ++state_->sent;
  return device;
}

struct Downloads::State {
  Pair slots;
  int64_t sent = 0, taken = 0;
  explicit State(const Tensor& room) : slots(room) {}
};

Downloads::Downloads(const Tensor& room) {
  if (room.defined()) state_ = std::make_shared<State>(room);
}

Tensor Downloads::next(const Shape& shape) {
  Slot& slot = state_->slots[state_->sent];
  slot.sent.hold(Queue::main);
  slot.shape = shape;
  return slot.on_device();
}

int Downloads::slot() const { return static_cast<int>(state_->sent % 2); }

void Downloads::send() {
  check(state_->sent - state_->taken < 2, "transfer: two bands are on their way already");
  Slot& slot = state_->slots[state_->sent++];
  const Tensor host = slot.on_host(), device = slot.on_device();
  slot.used.record(Queue::main);
  slot.used.hold(Queue::download);
  cuda::download(host.bytes(), device.device_data<float>(), host.nbytes());
  slot.sent.record(Queue::download);
}

Tensor Downloads::take() {
  Slot& slot = state_->slots[state_->taken++];
  slot.sent.wait();
  return slot.on_host();
}

}  // namespace dgp
