// How much memory this process may still take.
#pragma once

#include <cstdint>

namespace dgp {

// Bytes: what the system calls available, or less where a control group limits this process.
int64_t available_memory();

}  // namespace dgp
