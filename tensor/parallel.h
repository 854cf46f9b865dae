// Threads. Work is cut into chunks of a fixed size, so that what a chunk computes, and the order in which
// partial results are added, never depends on the number of threads.
#pragma once

#include <cstdint>
#include <functional>

namespace dgp {

int num_threads();            // threads the next parallel_for uses
void set_num_threads(int n);  // n >= 1

// body(begin, end) once for each chunk [c*grain, min(n, (c+1)*grain)), in any order, on several threads.
// An exception thrown by a body reaches the caller. Calls from inside a body run on that thread alone.
void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

// Sum over chunks of part(begin, end), added in chunk order in double.
double parallel_sum(int64_t n, int64_t grain, const std::function<double(int64_t begin, int64_t end)>& part);

inline constexpr int64_t kPointwiseGrain = 16384;  // elements a chunk of a pointwise loop

}  // namespace dgp
