"""Golden vectors of perceptual loss and adversarial training, from PyTorch in float64.

Run: python3 tests/reference/adversarial_vectors.py   (PyTorch; writes into tests/golden)

perceptual.safetensors holds VGG19's convolutions at a width of 2 to 4 channels under torchvision's names, random;
adversarial.json everything else: images [N,H,W,C], the perceptual loss with its gradient, and the U-Net
discriminator (BasicSR's UNetDiscriminatorSN, written out with torch.nn.utils.spectral_norm) with its values,
gradients and spectral vectors after one call, and the losses of both sides. Weights are float32, so that both
sides start from the same numbers.
"""
import json
import os
import struct

import torch
import torch.nn.functional as F
from torch.nn.utils import spectral_norm

torch.manual_seed(3)
golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")


def rounded(*shape, bound=1.0):
    return ((torch.rand(shape) * 2 - 1) * bound).float().double()


def plain(t, digits=10):
    return [float(f"%.{digits}g" % v) for v in t.detach().double().flatten().tolist()]


def nhwc(t):
    return t.permute(0, 2, 3, 1)


def write_safetensors(path, tensors):
    header, body = {}, b""
    for name, t in tensors.items():
        data = t.float().contiguous().numpy().tobytes()
        header[name] = dict(dtype="F32", shape=list(t.shape), data_offsets=[len(body), len(body) + len(data)])
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + body)


# Perceptual loss: torchvision's vgg19.features, features before ReLU, L1, ImageNet's normalisation.
stages, widths = [2, 2, 4, 4, 4], [2, 3, 3, 4, 4]
vgg, layers, number, channels = {}, [], 0, 3
for stage, (count, width) in enumerate(zip(stages, widths)):
    for i in range(count):
        bound = (6 / (channels * 9)) ** 0.5
        vgg[f"features.{number}.weight"] = rounded(width, channels, 3, 3, bound=bound)
        vgg[f"features.{number}.bias"] = rounded(width, bound=0.1)
        layers.append((f"conv{stage + 1}_{i + 1}", number))
        number, channels = number + 2, width
    layers.append(("pool", number))
    number += 1
write_safetensors(os.path.join(golden, "perceptual.safetensors"), vgg)


def features(x, wanted):
    x = (x - torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
    found = {}
    for name, n in layers:
        if name == "pool":
            x = F.max_pool2d(x, 2)
            continue
        x = F.conv2d(x, vgg[f"features.{n}.weight"], vgg[f"features.{n}.bias"], padding=1)
        if name in wanted:
            found[name] = x
        if len(found) == len(wanted):
            break
        x = F.relu(x)
    return found


layer_weights = dict(conv1_2=0.1, conv2_2=0.1, conv3_4=1, conv4_4=1, conv5_4=1)
x = torch.rand(1, 3, 18, 17).float().double().requires_grad_()
t = torch.rand(1, 3, 18, 17).float().double()
fx, ft = features(x, layer_weights), features(t, layer_weights)
perceptual = sum(w * F.l1_loss(fx[k], ft[k]) for k, w in layer_weights.items())
perceptual.backward()


# The discriminator of Real-ESRGAN, two features wide.
class UNet(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        conv = torch.nn.Conv2d
        sizes = [(n, 2 * n, 4, 2), (2 * n, 4 * n, 4, 2), (4 * n, 8 * n, 4, 2), (8 * n, 4 * n, 3, 1),
                 (4 * n, 2 * n, 3, 1), (2 * n, n, 3, 1), (n, n, 3, 1), (n, n, 3, 1)]
        self.conv0 = conv(3, n, 3, 1, 1)
        for i, (a, b, k, s) in enumerate(sizes):
            setattr(self, f"conv{i + 1}", spectral_norm(conv(a, b, k, s, 1, bias=False)))
        self.conv9 = conv(n, 1, 3, 1, 1)

    def forward(self, x):
        act = lambda v: F.leaky_relu(v, 0.2)
        up = lambda v: F.interpolate(v, scale_factor=2, mode="bilinear", align_corners=False)
        x0 = act(self.conv0(x))
        x1, x2 = None, None
        x1 = act(self.conv1(x0))
        x2 = act(self.conv2(x1))
        x3 = act(self.conv3(x2))
        x4 = act(self.conv4(up(x3))) + x2
        x5 = act(self.conv5(up(x4))) + x1
        x6 = act(self.conv6(up(x5))) + x0
        return self.conv9(act(self.conv8(act(self.conv7(x6)))))


net = UNet(2).double()
state = {}
for name, value in list(net.named_parameters()) + list(net.named_buffers()):
    value.data.copy_(value.data.float().double())
    state[name] = dict(shape=list(value.shape), values=plain(value, 9))
image = torch.rand(1, 3, 16, 8).float().double().requires_grad_()
y = net(image)
seed = rounded(*y.shape)
y.backward(seed)
after = {name: plain(value) for name, value in net.named_buffers()}
gradients = {name: plain(p.grad) for name, p in net.named_parameters()}

z = torch.linspace(-3, 3, 7).double()
bce = F.binary_cross_entropy_with_logits
one, zero = torch.ones_like(z), torch.zeros_like(z)
losses = dict(
    vanilla=[bce(z, one).item(), bce(z, one).item(), bce(z, zero).item()],
    lsgan=[F.mse_loss(z, one).item(), F.mse_loss(z, one).item(), F.mse_loss(z, zero).item()],
    hinge=[-z.mean().item(), F.relu(1 - z).mean().item(), F.relu(1 + z).mean().item()],
)
with open(os.path.join(golden, "adversarial.json"), "w") as f:
    json.dump(dict(
        torch=torch.__version__,
        perceptual=dict(shape=[1, 18, 17, 3], x=plain(nhwc(x), 9), t=plain(nhwc(t), 9), loss=perceptual.item(),
                        grad=plain(nhwc(x.grad))),
        discriminator=dict(state=state, shape=[1, 16, 8, 3], x=plain(nhwc(image), 9), seed=plain(nhwc(seed), 9),
                           y=plain(nhwc(y)), grad=plain(nhwc(image.grad)), gradients=gradients, after=after),
        losses=losses), f, separators=(",", ":"))
    f.write("\n")
