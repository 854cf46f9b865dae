// dgp upscale: images, folders of images and .npy arrays through a DGPNet.
#include <memory>

#include "cli/cli.h"
#include "cli/jobs.h"
#include "cli/progress.h"
#include "image/image.h"
#include "image/png_writer.h"
#include "infer/upscaler.h"
#include "models/state.h"
#include "ops/permute.h"
#include "tensor/npy.h"

namespace dgp {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMaxPngSide = 1000000;  // what common readers accept

struct UpscaleOptions {
  std::vector<std::string> inputs;
  std::string output, model = "real-x4", tile = "auto";
  DeviceOptions device;
  bool quiet = false;
};

int64_t tile_rows(const std::string& text) {
  if (text == "auto") return 0;
  if (text == "off") return -1;
  size_t used = 0;
  int64_t rows = 0;
  try {
    rows = std::stoll(text, &used);
  } catch (const std::exception&) {
  }
  check(used == text.size() && rows >= 1 && rows <= kMaxSide, "--tile ", text,
        ": expects auto, off or a number of rows from 1 to ", kMaxSide);
  return rows;
}

std::string lower_extension(const fs::path& path) {
  std::string text = path.extension().string();
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string size_text(int64_t width, int64_t height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

// Formats have their limits; better known before the work than after it.
void check_output_size(const Job& job, int64_t width, int64_t height) {
  std::string ending = lower_extension(job.output);
  bool jpeg = ending == ".jpg" || ending == ".jpeg";
  int64_t side = jpeg ? kMaxJpegSide : ending == ".bmp" ? kMaxSide : kMaxPngSide;
  if (width > side || height > side)
    fail(ErrorCode::limit, job.input.string(), ": the result would be ", size_text(width, height),
         " pixels; ", ending, " holds at most ", side, " a side", side < kMaxPngSide ? ", .png more" : "");
}

// Returns "17x9 -> 68x36".
std::string upscale_image(const Job& job, const Upscaler& upscaler, Progress& progress) {
  Image lr = read_image(job.input.string());
  int64_t height = lr.pixels.dim(0), width = lr.pixels.dim(1), s = upscaler.scale();
  check_output_size(job, width * s, height * s);
  progress.expect(width * s * height * s);
  if (lower_extension(job.output) == ".png") {
    PngWriter writer(job.output.string(), width * s, height * s, lr.pixels.dim(2), lr.depth);
    upscaler.stream(lr, [&](const Tensor& rows, int64_t) { writer.rows(rows); });
    writer.commit();
  } else {
    write_image(job.output.string(), upscaler(lr));
  }
  return size_text(width, height) + " -> " + size_text(width * s, height * s);
}

// Float arrays go through as they are: no rounding, no clamping.
std::string upscale_npy(const Job& job, const Upscaler& upscaler, Progress& progress) {
  Tensor lr = read_npy(job.input.string());
  if (lr.dtype() != DType::f32 || lr.rank() != 4 || lr.dim(1) != 3 || lr.numel() == 0)
    fail(ErrorCode::bad_file, job.input.string(), ": expects f32 [N,3,H,W], holds ", to_string(lr.dtype()),
         " ", to_string(lr.shape()));
  int64_t s = upscaler.scale();
  progress.expect(lr.dim(0) * lr.dim(2) * s * lr.dim(3) * s);
  NoGrad no_grad;
  Tensor hr = upscaler(permute(lr, {0, 2, 3, 1}).value());
  hr = permute(hr, {0, 3, 1, 2}).value();
  write_npy(job.output.string(), hr);
  return to_string(lr.shape()) + " -> " + to_string(hr.shape());
}

// One job; returns its exit status. Interruption ends the program, everything else the job alone.
int run_job(const Job& job, const Upscaler& upscaler, Progress& progress) {
  progress.start(job.input.filename().string());
  try {
    if (job.output.has_parent_path()) fs::create_directories(job.output.parent_path());
    std::string sizes =
        job.npy ? upscale_npy(job, upscaler, progress) : upscale_image(job, upscaler, progress);
    progress.finish(job.input.string() + " -> " + job.output.string() + "  " + sizes);
    return 0;
  } catch (const Cancelled&) {
    progress.failed("interrupted");
    throw Exit{stop_exit_code()};
  } catch (const Error& error) {
    std::string message = error.what(), name = job.input.string();
    progress.failed(message.find(name) == std::string::npos ? name + ": " + message : message);
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    progress.failed(job.input.string() + ": out of memory");
    return static_cast<int>(ErrorCode::limit);
  } catch (const fs::filesystem_error& error) {
    progress.failed(error.what());
    return static_cast<int>(ErrorCode::io);
  }
}

void run_upscale(const UpscaleOptions& options) {
  UpscalerOptions settings{.tile_rows = tile_rows(options.tile), .device = apply_with_cuda(options.device)};
  check(settings.device == Device::cpu || settings.tile_rows <= 0, "--tile ", options.tile,
        ": --device cuda computes an image as a whole; leave --tile out");
  std::vector<Job> jobs = plan_jobs(options.inputs, options.output);
  Progress progress(options.quiet, static_cast<int64_t>(jobs.size()));
  settings.progress = [&](double fraction) {
    progress.update(fraction);
    return !stop_flag();
  };
  Upscaler upscaler(load_model(find_model(options.model).string()), settings);
  int status = 0;
  for (const Job& job : jobs) {
    int code = run_job(job, upscaler, progress);
    if (status == 0) status = code;
    if (stop_flag()) throw Exit{stop_exit_code()};
  }
  progress.end();
  if (status != 0) throw Exit{status};
}

}  // namespace

void add_upscale(CLI::App& app) {
  auto options = std::make_shared<UpscaleOptions>();
  CLI::App* command =
      add_command(app, "upscale", "Upscale or restore images, folders and .npy arrays (f32 [N,3,H,W])",
                  "dgp upscale photo.jpg -o photo_x4.png\n  dgp upscale holiday/ -o bigger/ -m classic-x4");
  command->add_option("input", options->inputs, "PNG, JPEG and BMP files, folders (mirrored), .npy arrays")
      ->required()
      ->capture_default_str();
  command
      ->add_option("-o,--output", options->output,
                   "file, or folder when there are several inputs or a folder")
      ->required();
  command->add_option("-m,--model", options->model, kModelHelp);
  command->add_option("--tile", options->tile,
                      "rows of the input a tile: auto, off or a number; same result");
  add_device_options(*command, options->device);
  command->add_flag("-q,--quiet", options->quiet, "say nothing but errors");
  command->callback([options] { run_upscale(*options); });
}

}  // namespace dgp
