#include "bench/runner.h"

#include <memory>
#include <optional>

#include "bench/bench.h"
#include "cli/cli.h"
#include "infer/edsr.h"
#include "infer/gpu.h"
#include "infer/upscaler.h"
#include "models/state.h"

namespace dgp {
namespace {

std::optional<DGPNet> preset(const std::string& name, int64_t scale, int64_t unshuffle) {
  if (name == "tiny") return DGPNet(DGPNetConfig::tiny(scale, unshuffle));
  if (name == "small") return DGPNet(DGPNetConfig::small(scale, unshuffle));
  if (name == "base") return DGPNet(DGPNetConfig::base(scale, unshuffle));
  if (name == "large") return DGPNet(DGPNetConfig::large(scale, unshuffle));
  return {};
}

// On the GPU: nothing but the network, from device memory to device memory.
template <class Forward>
std::function<Tensor(const Tensor&)> run_there(Forward forward) {
  return [forward](const Tensor& lr) {
    if (stop_flag()) throw Cancelled();
    return forward(lr);
  };
}

std::function<Tensor(const Tensor&)> run_of(const DGPNet& fused, const RunnerOptions& options) {
  if (options.device == Device::cuda)
    return run_there([upscaler = std::make_shared<GpuUpscaler>(fused, UpscalerOptions{.tile_rows = -1},
                                                               kBandBytes, cuda::storage())](
                         const Tensor& lr) { return upscaler->on_device(lr); });
  UpscalerOptions settings{.tile_rows = -1, .progress = [](double) { return !stop_flag(); }};
  settings.observe = options.observe;
  settings.precision = options.precision;
  return Upscaler(fused, settings);
}

Runner runner_of(const DGPNet& net, const RunnerOptions& options) {
  DGPNet fused = net.deploy ? net : fuse(net);
  const DGPNetConfig& c = fused.config;
  return {c.scale,
          c.channels,
          c.blocks,
          c.unshuffle,
          parameter_count(fused),
          [c](int64_t height, int64_t width) { return multiply_adds(c, Form::folded, height, width); },
          run_of(fused, options)};
}

Runner runner_of(EDSR net, const RunnerOptions& options) {
  const EDSRConfig c = net.config;
  int64_t count = 0;
  for (const Var& v : parameters(net)) count += v.value().numel();
  std::function<Tensor(const Tensor&)> run;
  if (options.device == Device::cuda) {
    net.visit([](const std::string&, Var& v) { v = Var(v.value().to(Device::cuda)); });
    run = run_there([net](const Tensor& lr) {
      NoGrad no_grad;
      return net(lr).value();
    });
  } else {
    run = [upscaler = EDSRUpscaler(net, options.precision, options.observe)](const Tensor& lr) {
      if (stop_flag()) throw Cancelled();
      return upscaler(lr);
    };
  }
  return {c.scale, c.channels, c.blocks,
          1,       count,      [c](int64_t height, int64_t width) { return multiply_adds(c, height, width); },
          run};
}

}  // namespace

DGPNet bench_network(const std::string& name, int64_t scale, int64_t unshuffle) {
  if (auto net = preset(name, scale, unshuffle)) return *net;
  return load_model(find_model(name).string());
}

Runner make_runner(const std::string& name, const RunnerOptions& options) {
  if (auto net = preset(name, options.scale, options.unshuffle)) return runner_of(*net, options);
  if (name == "edsr") {
    check(options.unshuffle == 1, "--unshuffle: edsr has none");
    return runner_of(EDSR(EDSRConfig::baseline(options.scale)), options);
  }
  std::string path = find_model(name).string();
  SafeTensors state = read_safetensors(path);
  auto architecture = state.metadata.find("architecture");
  if (architecture != state.metadata.end() && architecture->second == "edsr")
    return runner_of(edsr_from(state, path), options);
  return runner_of(model_from(state, path), options);
}

}  // namespace dgp
