// Trains DGPNet on a folder of photographs and enlarges a picture with it: example PHOTOS STEPS IN OUT
#include <dgp/dgp.h>

using namespace dgp;

int main(int, char** argv) {
  DGPNet net(DGPNetConfig::small(4), Rng(1));  // scale 4; untrained, it is bilinear upsampling
  SourceConfig folder;
  folder.hr = argv[1];
  Dataset photos({folder}, 4, 48, int64_t{4} << 30);  // LR patches of 48x48, at most 4 GiB decoded
  Adam adam(parameters(net), {});
  int64_t steps = std::stoll(argv[2]);
  for (int64_t step = 0; step < steps; ++step) {
    auto [lr, hr] = photos.batch(Rng(2).split(step), 8);  // [8,48,48,3], [8,192,192,3] in [0, 1]
    Var loss = l1_loss(net(lr), hr);
    backward(loss);  // fills the parameters' gradients, frees the graph
    adam.step(cosine(3e-4, step, steps));
    adam.clear_gradients();
  }
  save_model("mine.safetensors", net);
  Upscaler upscale(net);  // one convolution a DGConv, two a block
  write_image(argv[4], upscale(read_image(argv[3])));
}
