"""DGPNet in its training form, in PyTorch. Parameters are named as in a weights file of dgp's.

`form` says how a DGConv runs: "fused", as one would train it in earnest (operators act on kernels, one convolution;
convolutions of one input joined), or "parallel", as the paper draws it (a convolution an operator, weighted and added).
"""
import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from dgpnet import CONFIGS, SLOPE

ALL = ("csg", "csa", "hg", "vg", "vc", "idg")
STATISTICAL = ("csa", "vc")
STRUCTURAL = ("csg", "hg", "vg", "idg")
HIDDEN = 16  # of the balance factors' layers


class DGConv(nn.Module):
    def __init__(self, inputs, outputs, operators=ALL):
        super().__init__()
        self.operators = operators
        bound = math.sqrt(6 / (1 + SLOPE**2) / (9 * inputs * len(operators)))
        self.weight = nn.ParameterDict(
            {name: nn.Parameter(torch.empty(outputs, inputs, 3, 3).uniform_(-bound, bound)) for name in operators})
        self.bias = nn.Parameter(torch.zeros(outputs))
        if "idg" in operators:
            location = torch.randint(0, 9, (outputs, inputs))
            self.register_buffer("idg_location", location)
        self.balance = nn.Sequential(nn.Linear(9 * len(operators), HIDDEN), nn.ReLU(),
                                     nn.Linear(HIDDEN, len(operators)))

    def kernel(self, name):
        w = self.weight[name]
        if name == "csg":
            return w - w.mean((2, 3), keepdim=True)
        if name == "csa":
            return w + w.mean((2, 3), keepdim=True)
        if name == "hg":
            return w - w.flip(3)
        if name == "vg":
            return w - w.flip(2)
        if name == "idg":
            centre = F.one_hot(self.idg_location, 9).to(w.dtype).view_as(w)
            return w - centre * w.sum((2, 3), keepdim=True)
        return w

    def kernels(self):
        """The operators' kernels [n,O,I,3,3] and their balance factors [n]."""
        kernels = torch.stack([self.kernel(name) for name in self.operators])
        size = torch.sqrt(kernels.square().mean((1, 2)) + 1e-12).flatten()
        return kernels, 2 * torch.sigmoid(self.balance(size / (size.mean() + 1e-8)))

    def fused(self):
        kernels, factors = self.kernels()
        return torch.mv(kernels.flatten(1).t(), factors).view(kernels.shape[1:])

    def parallel(self, x):
        kernels, factors = self.kernels()
        y = self.bias.view(1, -1, 1, 1)
        for kernel, factor in zip(kernels, factors):
            y = y + factor * F.conv2d(x, kernel, padding=1)
        return y


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        hidden = max(4, 2 * channels // 8)
        self.squeeze, self.excite = nn.Linear(2 * channels, hidden), nn.Linear(hidden, 2 * channels)
        self.project = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, z):
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(z.mean((2, 3))))))
        return self.project(z * gate[:, :, None, None])


class Block(nn.Module):
    def __init__(self, channels, form):
        super().__init__()
        self.form = form
        self.statistical = DGConv(channels, channels, STATISTICAL)
        self.structural = DGConv(channels, channels, STRUCTURAL)
        for name in ("stat_to_stat", "stat_to_struct", "struct_to_stat", "struct_to_struct"):
            setattr(self, name, DGConv(channels, channels))
        self.attend_stat, self.attend_struct = Attention(channels), Attention(channels)

    def pair(self, x, first, second):
        """Two DGConvs of one input."""
        if self.form == "parallel":
            return first.parallel(x), second.parallel(x)
        weight, bias = torch.cat([first.fused(), second.fused()]), torch.cat([first.bias, second.bias])
        return F.conv2d(x, weight, bias, padding=1).chunk(2, 1)

    def forward(self, x):
        s, t = (F.leaky_relu(part, SLOPE) for part in self.pair(x, self.statistical, self.structural))
        s_upper, s_lower = self.pair(s, self.stat_to_stat, self.stat_to_struct)
        t_upper, t_lower = self.pair(t, self.struct_to_stat, self.struct_to_struct)
        upper, lower = torch.cat([s_upper, t_upper], 1), torch.cat([s_lower, t_lower], 1)
        return x + self.attend_stat(upper) + self.attend_struct(lower)


class TrainableDGPNet(nn.Module):
    """[N,3,H,W] -> [N,3,4H,4W]."""

    def __init__(self, preset, form="fused"):
        super().__init__()
        channels, blocks = CONFIGS[preset]
        self.form, self.scale = form, 4
        self.head = DGConv(3, channels)
        self.body = nn.Sequential(*[Block(channels, form) for _ in range(blocks)])
        self.upsample = nn.Conv2d(channels, 3 * self.scale**2, 3, padding=1)
        self.tail = DGConv(3, 3)

    def conv(self, layer, x):
        return layer.parallel(x) if self.form == "parallel" else F.conv2d(x, layer.fused(), layer.bias, padding=1)

    def forward(self, lr):
        hr = F.pixel_shuffle(self.upsample(self.body(self.conv(self.head, lr))), self.scale)
        base = F.interpolate(lr, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return self.conv(self.tail, hr + base)


def random_weights(preset, seed):
    """The training form's tensors, such that every path matters, and metadata."""
    torch.manual_seed(seed)
    channels, blocks = CONFIGS[preset]
    config = {"scale": 4, "channels": channels, "blocks": blocks, "kernel": 3, "unshuffle": 1}
    tensors = {name: tensor.detach() for name, tensor in TrainableDGPNet(preset).state_dict().items()}
    return tensors, {"format": "pt", "architecture": "dgpnet", "fused": "false", "config": json.dumps(config)}
