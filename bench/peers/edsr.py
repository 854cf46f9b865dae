"""EDSR-baseline in PyTorch: plain 3x3 convolutions, nothing to fold. Parameters bear BasicSR's names."""
import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from weights import read_safetensors

CHANNELS, BLOCKS = 64, 16
MEAN = (0.4488, 0.4371, 0.4040)  # DIV2K's


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


class EDSR(nn.Module):
    """[N,3,H,W] -> [N,3,4H,4W]."""

    def __init__(self, channels=CHANNELS, blocks=BLOCKS):
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*[Block(channels) for _ in range(blocks)])
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = nn.Sequential(nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2),
                                      nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2))
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, lr):
        first = self.conv_first((lr - self.mean) * 255)
        x = self.conv_after_body(self.body(first)) + first
        return self.conv_last(self.upsample(x)) / 255 + self.mean


def random_edsr(seed):
    """Weights of a variance that keeps values of one size from layer to layer, and metadata."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, parameter in EDSR().state_dict().items():
        deviation = 1.0 if parameter.dim() == 1 else math.sqrt(1 / math.prod(parameter.shape[1:]))
        if ".conv2." in name or "after_body" in name:
            deviation *= 0.3  # what the residuals add
        tensors[name] = torch.randn(parameter.shape, generator=generator) * deviation
    config = {"scale": 4, "channels": CHANNELS, "blocks": BLOCKS}
    return tensors, {"format": "pt", "architecture": "edsr", "config": json.dumps(config)}


def load_edsr(path):
    tensors, metadata = read_safetensors(path)
    config = json.loads(metadata["config"])
    net = EDSR(config["channels"], config["blocks"])
    net.load_state_dict(tensors)
    return net
