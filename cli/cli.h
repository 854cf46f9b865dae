// The dgp program: one file a subcommand, each with an add_<name> that declares its options and what runs. A
// subcommand throws dgp::Error (its code becomes the exit status) or Exit when there is nothing more to say.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "image/crop.h"
#include "ops/conv2d.h"
#include "tensor/cuda_math.h"
#include "tensor/error.h"
#include "tensor/tensor.h"

namespace dgp {

class Ranks;

// Ends the program quietly with this exit status.
struct Exit {
  int code;
};

void add_upscale(CLI::App& app, Ranks& ranks);
void add_train(CLI::App& app, Ranks& ranks);
void add_check(CLI::App& app);
void add_eval(CLI::App& app, Ranks& ranks);
void add_fuse(CLI::App& app);
void add_info(CLI::App& app);
void add_inspect(CLI::App& app);
void add_compare(CLI::App& app);
void add_degrade(CLI::App& app);
void add_bench(CLI::App& app);

// A new subcommand that shows its defaults and, under its options, an example.
CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& summary,
                      const std::string& example);

// Options several subcommands share.
struct DeviceOptions {
  std::string device = "auto";
  int threads = 0;  // 0: one a core
};
void add_device_options(CLI::App& command, DeviceOptions& options);
Device apply_with_cuda(const DeviceOptions& options);  // of commands that run on a GPU as well: which device
void apply(const DeviceOptions& options);              // throws Error where what is asked cannot be done here

// Of commands that share their work with the other ranks of a job (train/ranks.h): joins it, with this rank's
// part of the machine's cores.
void join(Ranks& ranks);

// --max-memory of commands that upscale; bytes, 0 for none: "600M", "1.5G" (of 1024), "2000000000". With
// --device cuda of the GPU's memory.
void add_memory_option(CLI::App& command, std::string& max_memory);
int64_t memory_limit(const std::string& text);

// --precision full|tf32|fast|bf16|f16 of commands that run a network: what is asked of the CPU's kernels and,
// while this lives, of the GPU's. Throws Error where the device has no such thing.
void add_precision_option(CLI::App& command, std::string& precision);
class ChosenPrecision {
 public:
  ChosenPrecision(const std::string& text, Device device);
  Precision on_cpu() const { return on_cpu_; }

 private:
  Precision on_cpu_ = Precision::full;
  std::optional<cuda::Using> on_gpu_;
};

// Ctrl-C, SIGTERM and, unless it is ignored, SIGHUP. The first sets the flag, so that work ends at the next
// safe point; another one, a quarter of a second later or more, ends the program at once. Under a launcher,
// which has its own way to end its processes and may pass a signal on twice, a second one does nothing, and
// SIGUSR1, which Open MPI's mpirun passes on where it ends the job upon others, counts as well.
void install_signal_handlers();
std::atomic<bool>& stop_flag();
int stop_exit_code();  // 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, 138 after SIGUSR1

// The file behind `-m`: a path, or the name of a bundled model, looked for in $DGP_WEIGHTS, beside the
// program, in the source tree and where `cmake --install` puts it.
std::filesystem::path find_model(const std::string& name);
inline constexpr const char* kModelHelp =
    "bundled model (classic-x4, real-x1, real-x4) or a .safetensors file";

// --crop X,Y,WIDTH,HEIGHT of a picture of this size; throws when it lies outside.
Box parse_crop(const std::string& text, int64_t width, int64_t height);

// "1234567" as "1,234,567"; 1234567 as "1.23 M".
std::string with_commas(int64_t n);
std::string with_unit(double value);
bool is_terminal(int descriptor);

}  // namespace dgp
