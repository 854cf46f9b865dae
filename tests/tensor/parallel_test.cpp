#include "tensor/parallel.h"

#include <atomic>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "tensor/error.h"
#include "tests/test.h"

using namespace dgp;

namespace {
struct ThreadsRestored {
  int before = num_threads();
  ~ThreadsRestored() { set_num_threads(before); }
};
const int kThreads[] = {1, 2, 3, 4, 8};
}  // namespace

TEST_CASE("parallel_for visits each chunk once, whatever the number of threads", "[parallel]") {
  ThreadsRestored restored;
  for (int threads : kThreads) {
    set_num_threads(threads);
    CHECK(num_threads() == threads);
    for (int64_t n : {0, 1, 6, 7, 8, 100}) {
      std::vector<std::atomic<int>> visits(static_cast<size_t>(n));
      std::atomic<bool> chunks_fixed = true;
      parallel_for(n, 7, [&](int64_t begin, int64_t end) {
        if (begin % 7 != 0 || end != std::min(n, begin + 7)) chunks_fixed = false;
        for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
      });
      CHECK(chunks_fixed);
      for (const auto& v : visits) CHECK(v == 1);
    }
  }
}

TEST_CASE("an exception in a body reaches the caller, and the next loop runs", "[parallel]") {
  ThreadsRestored restored;
  for (int threads : kThreads) {
    set_num_threads(threads);
    auto throwing = [&](int64_t begin, int64_t) {
      if (begin == 5) throw std::runtime_error("chunk five");
    };
    CHECK_THROWS_WITH(parallel_for(20, 1, throwing), "chunk five");
    auto all = [](int64_t, int64_t) { fail(ErrorCode::numeric, "every chunk"); };
    CHECK_THROWS_AS(parallel_for(20, 1, all), Error);
    CHECK_THROWS_WITH(
        parallel_sum(20, 1, [](int64_t, int64_t) -> double { throw std::runtime_error("sum"); }), "sum");
    std::atomic<int> count = 0;
    parallel_for(20, 1, [&](int64_t, int64_t) { ++count; });
    CHECK(count == 20);
  }
}

TEST_CASE("parallel_for inside parallel_for does all its work", "[parallel]") {
  ThreadsRestored restored;
  set_num_threads(4);
  std::atomic<int> count = 0;
  parallel_for(10, 1, [&](int64_t, int64_t) {
    parallel_for(10, 3, [&](int64_t b, int64_t e) { count += static_cast<int>(e - b); });
  });
  CHECK(count == 100);
}

TEST_CASE("parallel_sum gives the same bits on any number of threads", "[parallel]") {
  ThreadsRestored restored;
  auto part = [](int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += std::sin(static_cast<double>(i)) * std::pow(10, i % 13);
    return sum;
  };
  set_num_threads(1);
  double one = parallel_sum(100003, 1000, part);
  for (int threads : kThreads) {
    set_num_threads(threads);
    CHECK(parallel_sum(100003, 1000, part) == one);
  }
  CHECK(parallel_sum(0, 10, part) == 0);
  CHECK(parallel_sum(10, 3, [](int64_t b, int64_t e) { return static_cast<double>(e - b); }) == 10);
}

TEST_CASE("set_num_threads refuses nonsense", "[parallel]") {
  CHECK_THROWS_AS(set_num_threads(0), Error);
  CHECK_THROWS_AS(set_num_threads(-3), Error);
  CHECK_THROWS_AS(set_num_threads(5000), Error);
}
