// How much memory this process has taken, and may still take.
#pragma once

#include <cstdint>

namespace dgp {

// Bytes: what the system calls available, or less where a control group limits this process.
int64_t available_memory();

// Bytes of this process that are in memory now, its program and libraries too; 0 where the system does not
// tell.
int64_t resident_memory();

}  // namespace dgp
