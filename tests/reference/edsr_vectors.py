"""Writes tests/golden/edsr_x*.safetensors: EDSR's results and gradients by PyTorch, in float64.

The network is written after BasicSR's edsr_arch.py, whose parameter names the files bear. Run
`python3 tests/reference/edsr_vectors.py` (PyTorch 1.13 or newer); fixed seeds, so a second run writes the same.
"""
import json
import os
from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F

import dgpnet_reference as ref

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


class EDSR(nn.Module):
    def __init__(self, scale, channels, blocks):
        super().__init__()
        self.mean = torch.tensor([0.4488, 0.4371, 0.4040]).double().view(1, 3, 1, 1)
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*[Block(channels) for _ in range(blocks)])
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        stages = []
        for factor in {1: [], 2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]:
            stages += [nn.Conv2d(channels, factor**2 * channels, 3, padding=1), nn.PixelShuffle(factor)]
        self.upsample = nn.Sequential(*stages)
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, lr):
        first = self.conv_first((lr - self.mean) * 255)
        x = self.conv_after_body(self.body(first)) + first
        return self.conv_last(self.upsample(x)) / 255 + self.mean


def vectors(scale, channels, blocks, images, height, width):
    torch.manual_seed(scale)
    net = EDSR(scale, channels, blocks).float().double()  # weights that float32 holds exactly
    x = torch.rand(images, 3, height, width).double().requires_grad_()
    y = net(x)
    dy = torch.randn_like(y)
    y.backward(dy)
    config = json.dumps({"scale": scale, "channels": channels, "blocks": blocks})
    path = os.path.join(GOLDEN, "edsr_x%d" % scale)
    ref.save_safetensors(path + ".safetensors", OrderedDict((k, v.float()) for k, v in net.state_dict().items()),
                         {"format": "pt", "architecture": "edsr", "config": config})
    out = OrderedDict(x=x.detach(), y=y.detach(), dy=dy, dx=x.grad)
    out.update(("grad." + k, p.grad) for k, p in net.named_parameters())
    ref.save_safetensors(path + "_io.safetensors", out)


if __name__ == "__main__":
    vectors(1, 4, 1, 1, 9, 7)
    vectors(2, 5, 2, 2, 6, 5)
    vectors(3, 3, 1, 1, 5, 8)
    vectors(4, 4, 2, 1, 7, 6)
