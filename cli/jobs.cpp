#include "cli/jobs.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sys/stat.h>

#include "image/image.h"
#include "tensor/error.h"

namespace dgp {
namespace fs = std::filesystem;

namespace {

bool is_npy_name(const fs::path& path) { return path.extension() == ".npy"; }

// PNG, JPEG, BMP or .npy by its first bytes.
bool starts_like_an_image(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string start(6, '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  for (const char* magic : {"\x89PNG", "\xFF\xD8\xFF", "\x93NUMPY"})
    if (start.starts_with(magic)) return true;
  if (!start.starts_with("BM")) return false;
  try {  // two letters are not much of a signature
    image_info(path.string());
    return true;
  } catch (const Error&) {
    return false;
  }
}

// The name of a result: the input's, with .png added where the ending would not say how to write it.
fs::path result_name(const fs::path& name) {
  return is_image_name(name.string()) || is_npy_name(name) ? name : fs::path(name.string() + ".png");
}

bool inside(const fs::path& path, const fs::path& folder) {
  auto [end, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end();
}

// Files of a folder to upscale, relative to it, in order; results of an earlier run are left out.
std::vector<fs::path> files_below(const fs::path& folder, const fs::path& output) {
  fs::path results = fs::weakly_canonical(output);
  bool output_inside = results != fs::weakly_canonical(folder);
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry :
       fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied)) {
    if (!entry.is_regular_file()) continue;
    if (output_inside && inside(fs::weakly_canonical(entry.path()), results)) continue;
    bool wanted = is_image_name(entry.path().string()) || is_npy_name(entry.path());
    if (wanted || starts_like_an_image(entry.path()))
      files.push_back(entry.path().lexically_relative(folder));
  }
  std::sort(files.begin(), files.end());
  if (files.empty())
    fail(ErrorCode::bad_file, folder.string(), ": no images (PNG, JPEG, BMP) or .npy arrays in it");
  return files;
}

// What tells files apart whatever they are called: device and inode; {0, 0} where there is no file.
std::pair<dev_t, ino_t> identity(const fs::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino};
}

// The writer goes by the output's ending.
void check_ending(const Job& job) {
  check(job.npy == is_npy_name(job.output) && (job.npy || is_image_name(job.output.string())), "output ",
        job.output.string(), ": expects ",
        job.npy ? "the ending .npy for an array" : "a .png, .jpg or .bmp file");
}

void check_jobs(const std::vector<Job>& jobs) {
  std::map<fs::path, fs::path> results;
  for (const Job& job : jobs) {
    check_ending(job);
    auto [other, fresh] = results.emplace(fs::weakly_canonical(job.output), job.input);
    check(fresh, job.input.string(), " and ", other->second.string(), " would both become ",
          job.output.string());
  }
  std::set<std::pair<dev_t, ino_t>> inputs;
  for (const Job& job : jobs) inputs.insert(identity(job.input));
  for (const Job& job : jobs)
    check(!fs::exists(job.output) || !inputs.contains(identity(job.output)), "output ", job.output.string(),
          " would overwrite an input; choose another output");
}

}  // namespace

std::vector<Job> plan_jobs(const std::vector<std::string>& inputs, const std::string& output) {
  std::vector<Job> jobs;
  bool into_folder = inputs.size() > 1 || output.ends_with('/') || fs::is_directory(output);
  for (const std::string& input : inputs) {
    if (!fs::exists(input)) fail(ErrorCode::bad_file, input, ": no such file or folder");
    if (fs::is_directory(input)) {
      check(!fs::is_regular_file(output), "output ", output, ": is a file; a folder's results need a folder");
      for (const fs::path& file : files_below(input, output))
        jobs.push_back({input / file, output / result_name(file), is_npy_name(file)});
    } else {
      fs::path name = fs::path(input).filename();
      jobs.push_back({input, into_folder ? output / result_name(name) : fs::path(output), is_npy_name(name)});
    }
  }
  check_jobs(jobs);
  return jobs;
}

}  // namespace dgp
