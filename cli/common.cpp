// What subcommands share: signals, finding a model, numbers for people.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <unistd.h>

#include "cli/cli.h"
#include "tensor/cuda.h"
#include "tensor/parallel.h"
#include "train/ranks.h"

namespace dgp {
namespace fs = std::filesystem;

namespace {

std::atomic<bool> stop{false};
std::atomic<int> signal_number{0};
std::atomic<int64_t> first_signal{0};  // when it came, in ms
bool launched = false;                 // by mpirun or the like

// timeout(1) and others signal a process and then its whole group: what comes so close is one request.
constexpr int64_t kOneRequest = 250;  // ms

void on_signal(int number) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t ms = int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
  int64_t first = 0;
  if (!first_signal.compare_exchange_strong(first, ms)) {
    if (launched || ms - first < kOneRequest) return;
    _exit(128 + number);
  }
  signal_number = number;
  stop = true;
}

// Folders that may hold bundled models, in the order they are looked at.
std::vector<fs::path> weight_folders() {
  std::vector<fs::path> folders;
  if (const char* chosen = std::getenv("DGP_WEIGHTS")) folders.emplace_back(chosen);
  std::error_code none;
  fs::path program = fs::read_symlink("/proc/self/exe", none);
  if (!none) folders.push_back(program.parent_path().parent_path() / "weights");
  folders.emplace_back(DGP_WEIGHTS_SOURCE);
  if (!none) folders.push_back(program.parent_path().parent_path() / "share/dgp/weights");
  folders.emplace_back(DGP_WEIGHTS_INSTALL);
  return folders;
}

}  // namespace

CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& summary,
                      const std::string& example) {
  CLI::App* command = app.add_subcommand(name, summary);
  command->option_defaults()->always_capture_default();
  command->footer("Example:\n  " + example);
  return command;
}

void add_device_options(CLI::App& command, DeviceOptions& options) {
  command.add_option("--device", options.device, "where to compute; auto: the CPU")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  command.add_option("--threads", options.threads, "threads; 0: one a core")->check(CLI::Range(0, 1024));
}

void apply(const DeviceOptions& options) {
  check(options.device != "cuda", "--device cuda: this command computes on the CPU alone; use cpu or auto");
  if (options.threads > 0) set_num_threads(options.threads);
}

Device apply_with_cuda(const DeviceOptions& options) {
  if (options.threads > 0) set_num_threads(options.threads);
  if (options.device != "cuda") return Device::cpu;
  check(cuda::built(), "--device cuda: this build of dgp has no CUDA support; use cpu or auto");
  cuda::require();
  return Device::cuda;
}

void join(Ranks& ranks) {
  ranks.join();
  cuda::choose_device(ranks.local_rank());
  if (ranks.size() > 1) set_num_threads(ranks.threads());
}

void add_memory_option(CLI::App& command, std::string& max_memory) {
  command.add_option(
      "--max-memory", max_memory,
      "memory the program may take, such as 600M or 1.5G: tiles are chosen to keep it, and what "
      "does not fit goes to TMPDIR; none: what the machine has. With --device cuda, of the GPU's memory");
}

int64_t memory_limit(const std::string& text) {
  if (text == "none") return 0;
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
  }
  std::string unit = text.substr(used);
  if (unit.ends_with("iB")) unit.resize(unit.size() - 2);
  size_t power = std::string_view("KMGT").find(unit);
  bool known = used > 0 && (unit.empty() || (unit.size() == 1 && power != std::string_view::npos));
  double bytes = known ? value * std::pow(1024.0, unit.empty() ? 0.0 : static_cast<double>(power) + 1) : 0;
  check(bytes >= 1 && bytes < 1e18, "--max-memory ", text, ": expects a size such as 600M, 1.5G or none");
  return static_cast<int64_t>(bytes);
}

void add_precision_option(CLI::App& command, std::string& precision) {
  command
      .add_option(
          "--precision", precision,
          "full: f32; fast: convolutions multiply in bf16 (3x3 ones on a CPU with AVX512-BF16, all on a "
          "GPU since Ampere); tf32: on such a GPU, between the two; bf16, f16: there too, feature maps are "
          "stored so")
      ->check(CLI::IsMember({"full", "tf32", "fast", "bf16", "f16"}));
}

ChosenPrecision::ChosenPrecision(const std::string& text, Device device) {
  if (device == Device::cpu) {
    check(text == "full" || text == "fast", "--precision ", text,
          ": is of the GPU; use full or fast, or --device cuda");
    on_cpu_ = text == "fast" ? Precision::fast : Precision::full;
  } else if (text != "full") {
    on_gpu_.emplace(text);
  }
}

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  launched = Ranks::launched();
  if (launched) sigaction(SIGUSR1, &action, nullptr);
  struct sigaction before {};
  sigaction(SIGHUP, nullptr, &before);
  if (before.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup asks to be left alone
}

std::atomic<bool>& stop_flag() { return stop; }

int stop_exit_code() { return 128 + (signal_number == 0 ? SIGINT : signal_number.load()); }

fs::path find_model(const std::string& name) {
  std::error_code none;
  if (fs::is_regular_file(name, none)) return name;
  bool path_like = name.find('/') != std::string::npos || fs::path(name).extension() == ".safetensors";
  if (path_like) fail(ErrorCode::bad_file, name, ": no such model file");
  std::string tried;
  for (const fs::path& folder : weight_folders()) {
    fs::path file = folder / (name + ".safetensors");
    if (fs::is_regular_file(file, none)) return file;
    tried += "\n  " + file.lexically_normal().string();
  }
  fail(ErrorCode::invalid, "no model is called '", name, "'; looked for", tried);
}

Box parse_crop(const std::string& text, int64_t width, int64_t height) {
  std::array<long long, 4> n{};
  char rest = 0;
  const int found = std::sscanf(text.c_str(), "%lld,%lld,%lld,%lld%c", &n[0], &n[1], &n[2], &n[3], &rest);
  check(found == 4, "--crop ", text, ": expects x,y,width,height");
  const Box box{n[0], n[1], n[2], n[3]};
  const bool inside = box.x >= 0 && box.y >= 0 && box.width > 0 && box.height > 0 && box.width <= width &&
                      box.height <= height && box.x <= width - box.width && box.y <= height - box.height;
  check(inside, "--crop ", text, ": lies outside the picture, ", width, "x", height);
  return box;
}

std::string with_commas(int64_t n) {
  std::string digits = std::to_string(n);
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > (n < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

std::string with_unit(double value) {
  static constexpr std::array units{"", " k", " M", " G", " T"};
  size_t unit = 0;
  for (; std::abs(value) >= 1000 && unit + 1 < units.size(); ++unit) value /= 1000;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f%s" : "%.2f%s", value, units[unit]);
  return text.data();
}

bool is_terminal(int descriptor) { return isatty(descriptor) == 1; }

}  // namespace dgp
