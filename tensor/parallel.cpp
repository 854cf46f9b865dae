#include "tensor/parallel.h"

#include <exception>
#include <mutex>
#include <omp.h>
#include <vector>

#include "tensor/error.h"

namespace dgp {

int num_threads() { return omp_get_max_threads(); }

void set_num_threads(int n) {
  check(n >= 1 && n <= 1024, "set_num_threads: expects 1 to 1024, got ", n);
  omp_set_num_threads(n);
}

void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  int64_t chunks = (n + grain - 1) / grain;
  auto run = [&](int64_t c) { body(c * grain, c * grain + grain < n ? c * grain + grain : n); };
  if (chunks == 1 || num_threads() == 1 || omp_in_parallel()) {
    for (int64_t c = 0; c < chunks; ++c) run(c);
    return;
  }
  std::exception_ptr failure;
  std::mutex mutex;
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t c = 0; c < chunks; ++c) {
    try {
      run(c);
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

double parallel_sum(int64_t n, int64_t grain, const std::function<double(int64_t, int64_t)>& part) {
  if (n <= 0) return 0;
  std::vector<double> parts(static_cast<size_t>((n + grain - 1) / grain));
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    parts[static_cast<size_t>(begin / grain)] = part(begin, end);
  });
  double sum = 0;
  for (double p : parts) sum += p;
  return sum;
}

}  // namespace dgp
