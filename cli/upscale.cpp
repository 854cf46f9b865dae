// dgp upscale: images, folders of images and .npy arrays through a DGPNet.
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "cli/cli.h"
#include "cli/jobs.h"
#include "cli/progress.h"
#include "image/image.h"
#include "infer/upscaler.h"
#include "models/state.h"
#include "tensor/npy.h"
#include "train/ranks.h"

namespace dgp {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMaxPngSide = 1000000;  // what common readers accept

struct UpscaleOptions {
  std::vector<std::string> inputs;
  std::string output, model = "real-x4", tile = "auto", max_memory = "none", precision = "full";
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

// An image under way. What went wrong at its start is told when it is finished.
struct Started {
  const Job* job;
  std::unique_ptr<ImageReader> reader = {};
  std::optional<Upscaler::Running> running = {};
  std::exception_ptr error = {};
};

Started start(const Job& job, const Upscaler& upscaler) {
  Started started{&job};
  if (job.npy) return started;
  try {
    started.reader = std::make_unique<ImageReader>(job.input.string());
    const ImageInfo& info = started.reader->info();
    check_output_size(job, info.width * upscaler.scale(), info.height * upscaler.scale());
    started.running = upscaler.start(*started.reader);
  } catch (...) {
    started.error = std::current_exception();
  }
  return started;
}

// Returns "17x9 -> 68x36".
std::string finish_image(Started& image, const Upscaler& upscaler, Progress& progress) {
  if (image.error) std::rethrow_exception(image.error);
  const ImageInfo& info = image.reader->info();
  ImageInfo result = info;
  result.width *= upscaler.scale(), result.height *= upscaler.scale();
  progress.expect(result.width * result.height);
  ImageWriter writer(image.job->output.string(), result);
  image.running->finish([&](const Tensor& rows, int64_t) { writer.rows(rows); });
  writer.commit();
  return size_text(info.width, info.height) + " -> " + size_text(result.width, result.height);
}

// Rows [1,R,W,3] from or to planes: copy(plane, offset, count, values) moves `count` values of a plane.
template <class Copy>
void for_each_plane(const Tensor& rows, int64_t first, bool reading, Copy&& copy) {
  int64_t width = rows.dim(-2), count = rows.numel() / 3;
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t c = 0; c < 3; ++c) {
    float* pixels = rows.data<float>() + c;
    if (!reading)
      for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = pixels[3 * i];
    copy(c, first * width, count, values.data());
    if (reading)
      for (int64_t i = 0; i < count; ++i) pixels[3 * i] = values[static_cast<size_t>(i)];
  }
}

// Float arrays go through as they are: no rounding, no clamping.
std::string upscale_npy(const Job& job, const Upscaler& upscaler, Progress& progress) {
  NpyReader lr(job.input.string());
  const Shape& shape = lr.shape();
  if (lr.dtype() != DType::f32 || shape.size() != 4 || shape[1] != 3 || numel(shape) == 0)
    fail(ErrorCode::bad_file, job.input.string(), ": expects f32 [N,3,H,W], holds ", to_string(lr.dtype()),
         " ", to_string(shape));
  int64_t s = upscaler.scale(), lr_plane = shape[2] * shape[3], hr_plane = lr_plane * s * s;
  Shape result{shape[0], 3, shape[2] * s, shape[3] * s};
  progress.expect(shape[0] * hr_plane);
  NpyWriter hr(job.output.string(), DType::f32, result);
  auto start = [&](int64_t n) {
    return upscaler.start(shape[2], shape[3], [&, n](const Tensor& rows, int64_t first) {
      for_each_plane(rows, first, true, [&](int64_t c, int64_t at, int64_t count, float* values) {
        lr.read((n * 3 + c) * lr_plane + at, count, values);
      });
    });
  };
  std::optional<Upscaler::Running> next = start(0);
  for (int64_t n = 0; n < shape[0]; ++n) {
    progress.part(n, shape[0]);
    Upscaler::Running image = *std::exchange(next, std::nullopt);
    if (n + 1 < shape[0]) next = start(n + 1);  // on the GPU it is computed while this one is written
    image.finish([&](const Tensor& rows, int64_t first) {
      for_each_plane(rows, first, false, [&](int64_t c, int64_t at, int64_t count, const float* values) {
        hr.write((n * 3 + c) * hr_plane + at, count, values);
      });
    });
  }
  hr.commit();
  return to_string(shape) + " -> " + to_string(result);
}

// One job; returns its exit status. Interruption ends the program, everything else the job alone.
int finish(Started started, const Upscaler& upscaler, Progress& progress) {
  const Job& job = *started.job;
  progress.start(job.input.filename().string());
  try {
    if (job.output.has_parent_path()) fs::create_directories(job.output.parent_path());
    std::string sizes =
        job.npy ? upscale_npy(job, upscaler, progress) : finish_image(started, upscaler, progress);
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

// Of the first job that failed, whichever rank had it: what one process would end with.
int common_status(int status, size_t job, size_t jobs, Ranks& ranks) {
  const auto rest = static_cast<int64_t>(jobs - job);
  return static_cast<int>(ranks.largest(status == 0 ? 0 : rest << 8 | status) & 0xff);
}

// Rank r of n takes the jobs r, r + n, ...
void run_upscale(const UpscaleOptions& options, Ranks& ranks) {
  join(ranks);
  if (!ranks.first())
    ranks.wait();  // until the first has gone through the options: what is wrong is told once
  const Device device = apply_with_cuda(options.device);
  const ChosenPrecision precision(options.precision, device);
  UpscalerOptions settings{.tile_rows = tile_rows(options.tile),
                           .max_memory = memory_limit(options.max_memory),
                           .device = device,
                           .precision = precision.on_cpu()};
  std::vector<Job> jobs = plan_jobs(options.inputs, options.output);
  const auto first = static_cast<size_t>(ranks.rank()), step = static_cast<size_t>(ranks.size());
  Progress progress(options.quiet,
                    static_cast<int64_t>(first < jobs.size() ? (jobs.size() - first - 1) / step + 1 : 0));
  settings.progress = [&](double fraction) {
    progress.update(fraction);
    return !stop_flag();
  };
  settings.notice = [&](const std::string& text) { progress.note(text); };
  Upscaler upscaler(load_model(find_model(options.model).string()), settings);
  if (ranks.first()) ranks.wait();
  ranks.wait();  // nothing is written before every rank has listed the files
  int status = 0;
  size_t failed = 0;
  std::optional<Started> next;
  for (size_t i = first; i < jobs.size(); i += step) {
    Started job = next ? *std::exchange(next, std::nullopt) : start(jobs[i], upscaler);
    // On the GPU the next one is computed while this one is written.
    if (device == Device::cuda && !jobs[i].npy && i + step < jobs.size())
      next = start(jobs[i + step], upscaler);
    int code = finish(std::move(job), upscaler, progress);
    if (status == 0) status = code, failed = i;
    if (stop_flag()) throw Exit{stop_exit_code()};
  }
  progress.end(ranks);
  status = common_status(status, failed, jobs.size(), ranks);
  if (status != 0) throw Exit{status};
}

}  // namespace

void add_upscale(CLI::App& app, Ranks& ranks) {
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
  add_memory_option(*command, options->max_memory);
  add_precision_option(*command, options->precision);
  add_device_options(*command, options->device);
  command->add_flag("-q,--quiet", options->quiet, "say nothing but errors");
  command->callback([options, &ranks] { run_upscale(*options, ranks); });
}

}  // namespace dgp
