// What `dgp upscale` has to do: which files there are and where each result goes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace dgp {

struct Job {
  std::filesystem::path input, output;
  bool npy = false;
};

// One file and an output that is no folder: that file. Otherwise `output` is a folder; folders are mirrored
// into it with all their images and arrays, whatever their names say. Throws Error(invalid) when a result
// would overwrite an input or another result, Error(bad_file) when an input does not exist or a folder holds
// nothing.
std::vector<Job> plan_jobs(const std::vector<std::string>& inputs, const std::string& output);

}  // namespace dgp
