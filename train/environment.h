// Where a run takes place: what a report says of the machine and the program.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dgp {

std::vector<std::pair<std::string, std::string>> environment();  // a name and a value each, for people

int64_t resident_bytes();  // memory this process holds now; 0 where the system does not say

}  // namespace dgp
