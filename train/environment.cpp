#include "train/environment.h"

#include <fstream>
#include <sys/utsname.h>
#include <unistd.h>

#include "tensor/isa.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

// What follows the colon of a "key : value" line of a file of /proc.
std::string line_of(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key)) {
      const size_t at = line.find_first_not_of(" \t", line.find(':') + 1);
      return at == std::string::npos ? "" : line.substr(at);
    }
  return "";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> environment() {
  std::vector<std::pair<std::string, std::string>> all;
  all.emplace_back("dgp", DGP_VERSION);
  all.emplace_back("processor", line_of("/proc/cpuinfo", "model name"));
  all.emplace_back("kernels for", to_string(current_isa()));
  all.emplace_back("threads",
                   std::to_string(num_threads()) + " of " + std::to_string(sysconf(_SC_NPROCESSORS_ONLN)));
  if (const int64_t bytes = resident_bytes())
    all.emplace_back("memory in use", std::to_string(bytes >> 20) + " MiB");
  struct utsname system {};
  if (uname(&system) == 0)
    all.emplace_back("system", std::string(system.sysname) + " " + system.release + " " + system.machine);
#ifdef __VERSION__
  all.emplace_back("compiler", __VERSION__);
#endif
  return all;
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  return file >> total >> resident ? resident * sysconf(_SC_PAGESIZE) : 0;
}

}  // namespace dgp
