// What the emulator promises to report, each by a kernel with that bug planted, beside kernels that are
// right.
#include <cmath>
#include <emulator.h>
#include <fstream>
#include <sys/wait.h>
#include <unistd.h>

#include "tensor/cuda.h"
#include "tensor/cuda_gemm.h"
#include "tensor/cuda_stream.h"
#include "tensor/error.h"
#include "tensor/half.h"
#include "tests/emulator/planted.h"
#include "tests/test.h"

using emulator::Fault;
using emulator::Order;
using emulator::Placement;
using emulator::Settings;
using emulator::With;

namespace {

// Device memory of n values of T, and their way there and back.
template <class T>
struct Values {
  std::shared_ptr<std::byte[]> memory;
  size_t count;

  explicit Values(size_t n) : memory(dgp::cuda::allocate(static_cast<int64_t>(n * sizeof(T)))), count(n) {}
  explicit Values(const std::vector<T>& values) : Values(values.size()) {
    dgp::cuda::to_device(memory.get(), values.data(), static_cast<int64_t>(count * sizeof(T)));
  }
  T* data() const { return reinterpret_cast<T*>(memory.get()); }
  std::vector<T> back() const {
    std::vector<T> values(count);
    dgp::cuda::to_host(values.data(), memory.get(), static_cast<int64_t>(count * sizeof(T)));
    return values;
  }
};
using Floats = Values<float>;

std::vector<float> ramp(size_t n, float first = 0) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = first + static_cast<float>(i);
  return values;
}

// The words of the fault that f() ends in, or "".
std::string fault_of(const std::function<void()>& f) {
  try {
    f();
    dgp::cuda::synchronize();
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "";
}

// "planted.cu:20": where the text stands in planted.cu.
std::string line_of(const std::string& text) {
  std::ifstream source(DGP_SOURCE_DIR "/tests/emulator/planted.cu");
  int number = 1;
  for (std::string line; std::getline(source, line); ++number)
    if (line.find(text) != std::string::npos) return "planted.cu:" + std::to_string(number);
  return "nowhere";
}

}  // namespace

TEST_CASE("a right kernel gives one result in every order of its threads") {
  Floats x(ramp(64)), y(64);
  for (Order order : {Order::forward, Order::reverse, Order::shuffled}) {
    With with({.order = order});
    planted::reverse_block(x.data(), y.data(), true);
    std::vector<float> got = y.back();
    for (size_t i = 0; i < 64; ++i) CHECK(got[i] == static_cast<float>(63 - i));
  }
  With with({.every_order = true});
  CHECK(fault_of([&] { planted::reverse_block(x.data(), y.data(), true); }) == "");
}

TEST_CASE("a missing barrier is reported") {
  Floats x(ramp(64)), y(64);
  With with({.every_order = true});
  CHECK_THAT(fault_of([&] { planted::reverse_block(x.data(), y.data(), false); }),
             ContainsSubstring("depends on the order of threads"));
}

TEST_CASE("float atomics are reported, integer atomics are not") {
  std::vector<float> values = ramp(300);
  for (float& v : values) v = std::sin(v) * 1e3F;
  Floats x(values);
  With with({.every_order = true});
  Floats sum(std::vector<float>{0});
  CHECK_THAT(fault_of([&] { planted::sum_by_atomics(x.data(), 300, sum.data()); }),
             ContainsSubstring("float atomics"));
  Values<int> count(std::vector<int>{0});
  CHECK(fault_of([&] { planted::count_above(x.data(), 300, 500, count.data()); }) == "");
  int expected = 0;
  for (float v : values) expected += v > 500;
  CHECK(count.back()[0] == expected);
}

TEST_CASE("a divergent barrier is reported with both lines") {
  Floats y(64);
  std::string text = fault_of([&] { planted::divergent_barrier(y.data()); });
  CHECK_THAT(text, ContainsSubstring("divergent barrier"));
  CHECK_THAT(text, ContainsSubstring(line_of("one side")));
  CHECK_THAT(text, ContainsSubstring(line_of("other side")));
  text = fault_of([&] { planted::leave_before_barrier(y.data()); });
  CHECK_THAT(text, ContainsSubstring(line_of("too late")));
  CHECK_THAT(text, ContainsSubstring("thread (40,0,0) has left the kernel"));
  text = fault_of([&] { planted::divergent_shuffle(y.data()); });
  CHECK_THAT(text, ContainsSubstring(line_of("odd lanes stay away") + " (shuffle)"));
}

TEST_CASE("reads and writes outside a buffer are reported") {
  for (Placement placement : {Placement::end, Placement::begin}) {
    With with({.placement = placement});
    bool end = placement == Placement::end;
    Floats x(ramp(64)), y(64);
    CHECK(fault_of([&] { planted::copy(x.data(), y.data(), 0, 64); }) == "");
    CHECK(y.back() == ramp(64));
    // Beyond the edge that lies against a guard page reads are found; on the other side they are NaN.
    std::string over = fault_of([&] { planted::copy(x.data(), y.data(), 1, 64); });
    std::string under = fault_of([&] { planted::copy(x.data(), y.data(), -1, 64); });
    CHECK_THAT(end ? over : under, ContainsSubstring("outside a buffer: thread ("));
    CHECK_THAT(end ? over : under, ContainsSubstring(end ? "reads byte 256 of" : "reads byte -4 of"));
    CHECK((end ? under : over) == "");
    CHECK(std::isnan(y.back()[end ? 0 : 63]));
    // Writes are found on both sides.
    CHECK_THAT(fault_of([&] { planted::write_at(y.data(), 64); }), ContainsSubstring("outside"));
    CHECK_THAT(fault_of([&] { planted::write_at(y.data(), -1); }), ContainsSubstring("outside"));
    CHECK_THAT(fault_of([&] { planted::write_at(y.data(), -(int64_t{1} << 30)); }),
               ContainsSubstring("writes"));
    Floats odd(ramp(63));  // not a multiple of 16 bytes: a little room is left at the end
    CHECK_THAT(fault_of([&] { planted::write_at(odd.data(), 63); }), ContainsSubstring("outside"));
  }
  Floats x(ramp(8));
  std::vector<float> host(9);
  CHECK_THAT(fault_of([&] { dgp::cuda::to_device(x.data(), host.data(), 36); }),
             ContainsSubstring("36 bytes from byte 0"));
  CHECK_THAT(fault_of([&] { dgp::cuda::to_host(host.data(), x.data() + 1, 32); }),
             ContainsSubstring("32 bytes from byte 4"));
}

TEST_CASE("the host's touching of device memory is reported") {
  Floats x(ramp(8));
  dgp::cuda::synchronize();
  volatile float* p = x.data();
  auto text_of = [](const std::function<void()>& f) {
    try {
      emulator::host_code(f);
    } catch (const Fault& fault) {
      return std::string(fault.what());
    }
    return std::string();
  };
  CHECK_THAT(text_of([&] { static_cast<void>(p[3]); }),
             ContainsSubstring("the host reads device memory, byte 12"));
  CHECK_THAT(text_of([&] { p[1] = 2; }), ContainsSubstring("the host writes device memory, byte 4"));
  // Where nobody waits for it, it ends the process with the same words.
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    Floats fresh(1);
    static_cast<void>(p[3]);
    _exit(0);
  }
  close(ends[1]);
  char text[200] = {};
  CHECK(read(ends[0], text, sizeof(text) - 1) > 0);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK_THAT(std::string(text), ContainsSubstring("the host reads device memory"));
  CHECK(WEXITSTATUS(status) == 70);
  // And a kernel is not given the host's memory.
  std::vector<float> host(64);
  CHECK_THAT(fault_of([&] { planted::copy(host.data(), x.data(), 0, 8); }),
             ContainsSubstring("not to device memory"));
}

TEST_CASE("unwritten memory is NaN, shared memory anew for each block") {
  Floats y(32);
  for (float v : y.back()) CHECK(std::isnan(v));
  planted::read_unwritten_shared(y.data());
  for (float v : y.back()) CHECK(std::isnan(v));
}

TEST_CASE("shared arrays have bounds and a limit") {
  Floats y(32);
  CHECK(fault_of([&] { planted::shared_out_of_bounds(y.data(), 5); }) == "");
  CHECK_THAT(fault_of([&] { planted::shared_out_of_bounds(y.data(), 32); }),
             ContainsSubstring("thread (5,0,0) of block (0,0,0) writes byte 128 of shared array tile"));
  CHECK_THAT(fault_of([&] { planted::shared_out_of_bounds(y.data(), -1); }),
             ContainsSubstring("outside shared array tile"));
  CHECK_THAT(fault_of([&] { planted::large_shared(y.data()); }),
             ContainsSubstring("too much shared memory: the block takes 57344 bytes"));
}

TEST_CASE("use after free is reported, and freeing behind queued work is right") {
  Floats y(8);
  {
    Floats x(ramp(8));
    planted::copy(x.data(), y.data(), 0, 8);
  }  // freed in the stream's order, after the copy
  CHECK(y.back() == ramp(8));
  float* gone = nullptr;
  {
    Floats x(ramp(8));
    gone = x.data();
  }
  CHECK_THAT(fault_of([&] { planted::copy(gone, y.data(), 0, 8); }), ContainsSubstring("freed memory"));
  CHECK_THAT(fault_of([&] { dgp::cuda::to_device(gone, ramp(8).data(), 32); }),
             ContainsSubstring("use after free"));
  // Through a pointer that the launch cannot see: reached from another buffer.
  int64_t distance = gone - y.data();
  CHECK_THAT(fault_of([&] { planted::copy(y.data(), y.data(), distance, 1); }),
             ContainsSubstring("use after free: thread (0,0,0)"));
}

TEST_CASE("leaks are reported, failing allocations leave none") {
  dgp::cuda::synchronize();
  int64_t before = emulator::live_buffers();
  {
    Floats x(100);
    CHECK_THAT(fault_of(emulator::check_leaks), ContainsSubstring("400 bytes"));
  }
  dgp::cuda::synchronize();
  CHECK(emulator::live_buffers() == before);
  emulator::check_leaks();

  With with({.fail_allocation = 1});
  auto two = [] { Floats x(10), y(20); };
  CHECK_THROWS_AS(two(), dgp::Error);
  dgp::cuda::synchronize();
  emulator::check_leaks();
  emulator::settings().memory = 1000;
  CHECK_THROWS_WITH(Floats(300), ContainsSubstring("out of memory on the GPU"));
  CHECK_NOTHROW(Floats(200));
}

TEST_CASE("a stream runs in order, when it is waited for") {
  Floats x(ramp(8)), y(8);
  dgp::cuda::synchronize();
  std::vector<float> host = ramp(8, 100);
  dgp::cuda::to_device(x.data(), host.data(), 32);
  host.assign(8, 0);  // staged when the call returned
  planted::copy(x.data(), y.data(), 0, 8);
  dgp::cuda::zero(x.data(), 32);
  dgp::cuda::copy(x.data(), y.data() + 4, 16);
  CHECK(y.back() == std::vector<float>{100, 101, 102, 103, 104, 105, 106, 107});
  CHECK(x.back() == std::vector<float>{104, 105, 106, 107, 0, 0, 0, 0});
}

// x goes up on a queue of its own, a kernel copies it to y, and y comes down on another.
std::vector<float> there_and_back(bool wait_for_upload, bool wait_for_kernel) {
  using namespace dgp::cuda;
  const PageLocked host(8), result(8);
  Floats x(8), y(8);
  dgp::cuda::synchronize();
  for (int i = 0; i < 8; ++i) host.tensor().data<float>()[i] = static_cast<float>(i);
  std::fill_n(result.tensor().data<float>(), 8, -1.0F);
  Event uploaded, copied, down;
  upload(x.data(), host.tensor().bytes(), 32);
  uploaded.record(Queue::upload);
  if (wait_for_upload) uploaded.hold(Queue::main);
  planted::copy(x.data(), y.data(), 0, 8);
  copied.record(Queue::main);
  if (wait_for_kernel) copied.hold(Queue::download);
  download(result.tensor().bytes(), y.data(), 32);
  down.record(Queue::download);
  down.wait();
  std::vector<float> got(result.tensor().data<float>(), result.tensor().data<float>() + 8);
  dgp::cuda::synchronize();
  uploaded.wait();
  return got;
}

TEST_CASE("a missing wait for an event shows when the other stream comes later, or first") {
  using emulator::Streams;
  for (Streams streams : {Streams::lazy, Streams::eager}) {
    With with({.streams = streams});
    CHECK(there_and_back(true, true) == ramp(8));
  }
  With with({.streams = Streams::lazy});
  CHECK(there_and_back(false, true) != ramp(8));
  CHECK(there_and_back(true, false) != ramp(8));
}

TEST_CASE("a copy into memory before its allocation's turn in the other stream is reported") {
  using namespace dgp::cuda;
  const PageLocked host(8);
  for (bool wait : {false, true}) {
    Floats x(8);
    Event allocated, uploaded;
    allocated.record(Queue::main);
    if (wait) allocated.hold(Queue::upload);
    const std::string fault = fault_of([&] {
      upload(x.data(), host.tensor().bytes(), 32);
      uploaded.record(Queue::upload);
      uploaded.wait();
    });
    if (wait)
      CHECK(fault.empty());
    else
      CHECK_THAT(fault, ContainsSubstring("before the stream that it is allocated on has come so far"));
  }
}

// A buffer that is written again while it still goes down: without the wait this shows when main comes first.
TEST_CASE("a buffer used again before it was read shows when the other stream comes first") {
  using namespace dgp::cuda;
  using emulator::Streams;
  auto twice = [](Streams streams, bool wait) {
    With with({.streams = streams});
    const PageLocked result(8);
    Floats x(ramp(8)), y(8);
    Event made, down;
    planted::copy(x.data(), y.data(), 0, 8);
    made.record(Queue::main);
    made.hold(Queue::download);
    download(result.tensor().bytes(), y.data(), 32);
    down.record(Queue::download);
    if (wait) down.hold(Queue::main);
    dgp::cuda::zero(y.data(), 32);
    down.wait();
    std::vector<float> got(result.tensor().data<float>(), result.tensor().data<float>() + 8);
    dgp::cuda::synchronize();
    return got;
  };
  CHECK(twice(Streams::lazy, true) == ramp(8));
  CHECK(twice(Streams::eager, true) == ramp(8));
  CHECK(twice(Streams::eager, false) == std::vector<float>(8, 0.0F));
}

TEST_CASE("page-locked memory is read when a copy runs, and must still be locked then") {
  using namespace dgp::cuda;
  Floats x(8);
  dgp::cuda::synchronize();
  Event up;
  {
    const PageLocked host(8);
    std::fill_n(host.tensor().data<float>(), 8, 1.0F);
    upload(x.data(), host.tensor().bytes(), 32);
    up.record(Queue::upload);
    std::fill_n(host.tensor().data<float>(), 8, 2.0F);  // too early
    CHECK_THAT(fault_of(emulator::check_leaks), ContainsSubstring("page-locked memory, 4096 bytes"));
    up.wait();
    CHECK(x.back() == std::vector<float>(8, 2.0F));
    upload(x.data(), host.tensor().bytes(), 32);
    up.record(Queue::upload);
  }
  CHECK_THAT(fault_of([&] { up.wait(); }), ContainsSubstring("not locked any more"));
  With with({.fail_allocation = 0});
  CHECK_THROWS_WITH(PageLocked(8), ContainsSubstring("cannot be page-locked"));
}

TEST_CASE("a graph is recorded once and runs as often as it is launched") {
  using namespace dgp::cuda;
  Floats x(ramp(8)), y(8);
  const Graph graph([&] {
    planted::copy(x.data(), y.data(), 0, 8);
    dgp::cuda::copy(x.data(), y.data() + 4, 16);
  });
  CHECK(std::isnan(y.back()[0]));
  graph.launch();
  CHECK(y.back() == ramp(8));
  CHECK(x.back() == std::vector<float>{4, 5, 6, 7, 4, 5, 6, 7});
  graph.launch();
  CHECK(y.back() == std::vector<float>{4, 5, 6, 7, 4, 5, 6, 7});
}

TEST_CASE("memory that a graph allocates and frees is there for every launch, and goes with the graph") {
  using namespace dgp::cuda;
  Floats x(ramp(8)), y(8);
  dgp::cuda::synchronize();
  const int64_t before = emulator::live_buffers();
  {
    const Graph graph([&] {
      Floats between(8);
      planted::copy(between.data(), y.data() + 4, 0, 4);  // nothing yet, at any launch
      planted::copy(x.data(), between.data(), 0, 8);
      planted::copy(between.data(), y.data(), 0, 4);
    });
    CHECK(emulator::live_buffers() == before + 1);
    for (int i = 0; i < 2; ++i) {
      graph.launch();
      const std::vector<float> got = y.back();
      CHECK(std::vector<float>(got.begin(), got.begin() + 4) == ramp(4));
      CHECK(std::isnan(got[4]));
    }
  }
  CHECK(emulator::live_buffers() == before);
}

TEST_CASE("what a graph cannot hold, and memory freed since it was recorded, are reported") {
  using namespace dgp::cuda;
  Floats x(ramp(8)), y(8);
  std::vector<float> host(8);
  auto fault_in_graph = [&](const std::function<void()>& body) {
    return fault_of([&] { Graph graph(body); });
  };
  std::unique_ptr<Floats> kept;
  CHECK_THAT(fault_in_graph([&] { kept = std::make_unique<Floats>(8); }),
             ContainsSubstring("allocated in a graph is not freed in it"));
  CHECK_THAT(fault_in_graph([] { dgp::cuda::synchronize(); }), ContainsSubstring("a wait of the host while"));
  CHECK_THAT(fault_in_graph([&] { to_device(x.data(), host.data(), 32); }),
             ContainsSubstring("a copy from or to the host while"));
  CHECK_THAT(fault_in_graph([&] {
               gemm_by_blas({.ta = false,
                             .tb = false,
                             .m = 2,
                             .n = 2,
                             .k = 2,
                             .a = x.data(),
                             .lda = 2,
                             .b = x.data(),
                             .ldb = 2,
                             .c = y.data(),
                             .ldc = 2});
             }),
             ContainsSubstring("a call of cuBLAS while"));
  auto gone = std::make_unique<Floats>(ramp(8));
  const Graph copies([&] { planted::copy(gone->data(), y.data(), 0, 8); });
  const Graph zeros([&] { dgp::cuda::zero(gone->data(), 32); });
  gone.reset();
  CHECK_THAT(fault_of([&] { copies.launch(); }), ContainsSubstring("freed memory"));
  CHECK_THAT(fault_of([&] { zeros.launch(); }), ContainsSubstring("use after free"));
}

TEST_CASE("a copy within device memory may not overlap itself") {
  Floats x(ramp(8));
  CHECK_THAT(fault_of([&] { dgp::cuda::copy(x.data(), x.data() + 1, 16); }), ContainsSubstring("overlap"));
}

TEST_CASE("shuffles and votes of a warp") {
  std::vector<float> values = ramp(32, -10);
  Floats x(values), y(2);
  With with({.every_order = true});
  planted::sum_warp(x.data(), y.data());
  CHECK(y.back() == std::vector<float>{32 * 5.5F, 21});
}

TEST_CASE("matrix products of a warp") {
  std::vector<float> a(16 * 16), b(16 * 8);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(static_cast<int>(i * 7 % 23) - 11);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(static_cast<int>(i * 5 % 17) - 8);
  auto product = [&](size_t k) {
    std::vector<float> d(16 * 8, 0.0F);
    for (size_t i = 0; i < 16; ++i)
      for (size_t j = 0; j < 8; ++j)
        for (size_t c = 0; c < k; ++c) d[i * 8 + j] += a[i * k + c] * b[c * 8 + j];
    return d;
  };
  Floats d(16 * 8);
  With with({.every_order = true});
  Floats a8(std::vector<float>(a.begin(), a.begin() + 16 * 8)),
      b8(std::vector<float>(b.begin(), b.begin() + 64));
  planted::mma_tf32(a8.data(), b8.data(), d.data());
  CHECK(d.back() == product(8));
  auto halves = [](const std::vector<float>& values, auto type) {  // small integers are exact
    std::vector<uint16_t> bits;
    for (float v : values) bits.push_back(decltype(type)(v).bits);
    return Values<uint16_t>(bits);
  };
  planted::mma_bf16(halves(a, dgp::bf16{}).data(), halves(b, dgp::bf16{}).data(), d.data());
  CHECK(d.back() == product(16));
  planted::mma_f16(halves(a, dgp::f16{}).data(), halves(b, dgp::f16{}).data(), d.data());
  CHECK(d.back() == product(16));
}

TEST_CASE("matrices from shared memory, as they are and transposed") {
  std::vector<uint16_t> values(4 * 8 * 8);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint16_t>(i * 37 + 5);
  Values<uint16_t> x(values);
  Values<uint32_t> d(32 * 4);
  With with({.every_order = true});
  for (bool transposed : {false, true}) {
    planted::load_matrices(x.data(), d.data(), transposed);
    std::vector<uint32_t> got = d.back();
    for (size_t lane = 0; lane < 32; ++lane)
      for (size_t m = 0; m < 4; ++m) {
        size_t g = lane / 4, t = lane % 4;
        auto at = [&](size_t row, size_t column) { return uint32_t{values[m * 64 + row * 8 + column]}; };
        uint32_t want =
            transposed ? at(2 * t, g) | at(2 * t + 1, g) << 16 : at(g, 2 * t) | at(g, 2 * t + 1) << 16;
        CHECK(got[lane * 4 + m] == want);
      }
  }
}

TEST_CASE("asynchronous copies arrive when they are waited for") {
  Floats x(ramp(256)), y(256);
  std::vector<float> want(256);
  for (size_t i = 0; i < 256; ++i)
    want[i] = static_cast<float>(i / 128 * 128 + (31 - i % 128 / 4) * 4 + i % 4);
  With with({.every_order = true});
  planted::copy_in_stages(x.data(), y.data(), 0, 0, true);
  CHECK(y.back() == want);
  // Without a wait they have not arrived; with one for all but the latest, that one has not.
  planted::copy_in_stages(x.data(), y.data(), 0, 2, true);
  CHECK(std::isnan(y.back()[0]));
  planted::copy_in_stages(x.data(), y.data(), 0, 1, true);
  CHECK(y.back()[127] == want[127]);
  CHECK(std::isnan(y.back()[128]));
  // Others see them after a barrier.
  CHECK_THAT(fault_of([&] { planted::copy_in_stages(x.data(), y.data(), 0, 0, false); }),
             ContainsSubstring("depends on the order of threads"));
  // They are of whole fours, from within a buffer.
  std::string text = fault_of([&] { planted::copy_in_stages(x.data(), y.data(), 1, 0, true); });
  CHECK_THAT(text, ContainsSubstring("not a multiple of 16") && ContainsSubstring(line_of("of a four")));
  CHECK_THAT(fault_of([&] { planted::copy_in_stages(x.data(), y.data(), 4, 0, true); }),
             ContainsSubstring("outside a buffer"));
}

TEST_CASE("a stage that is filled again while others read it is reported") {
  Floats x(ramp(128)), y(256);
  With with({.every_order = true});
  planted::refill_stage(x.data(), y.data(), true);
  CHECK(y.back()[0] == 124);
  CHECK(y.back()[255] == 0);
  CHECK_THAT(fault_of([&] { planted::refill_stage(x.data(), y.data(), false); }),
             ContainsSubstring("depends on the order of threads"));
}
