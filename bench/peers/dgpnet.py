"""DGPNet in PyTorch as it is deployed: fused, or folded as well.

Written to be fast in the peers: convolutions of one input are joined into one, as a user of PyTorch who
deploys the network would. The values equal dgp's up to rounding.
"""
import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from weights import read_safetensors

SLOPE = 0.1
CONFIGS = {"tiny": (16, 2), "small": (32, 4), "base": (48, 6), "large": (64, 12)}  # channels, blocks
SECOND_STAGE = ("stat_to_stat", "stat_to_struct", "struct_to_stat", "struct_to_struct")


def random_model(preset, seed, scale=4):
    """Fused weights and metadata such that every path matters and values stay of the order of one."""
    channels, blocks = CONFIGS[preset]
    hidden = max(4, 2 * channels // 8)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}

    def layer(name, *shape, gain=1.0):
        deviation = gain * math.sqrt(2.0 / math.prod(shape[1:]))
        tensors[name + ".weight"] = torch.randn(shape, generator=generator) * deviation
        tensors[name + ".bias"] = torch.randn(shape[0], generator=generator) * 0.05

    layer("head", channels, 3, 3, 3)
    for i in range(blocks):
        for name in ("statistical", "structural") + SECOND_STAGE:
            layer(f"body.{i}.{name}", channels, channels, 3, 3)
        for name in ("attend_stat", "attend_struct"):
            layer(f"body.{i}.{name}.squeeze", hidden, 2 * channels)
            layer(f"body.{i}.{name}.excite", 2 * channels, hidden)
            layer(f"body.{i}.{name}.project", channels, 2 * channels, 1, 1, gain=0.2)
    layer("upsample", 3 * scale**2, channels, 3, 3, gain=0.2)
    layer("tail", 3, 3, 3, 3)
    config = {"scale": scale, "channels": channels, "blocks": blocks, "kernel": 3, "unshuffle": 1}
    return tensors, {"format": "pt", "architecture": "dgpnet", "fused": "true", "config": json.dumps(config)}


def conv(weight, bias):
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2)
    layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
    return layer


class Attention(nn.Module):
    def __init__(self, tensors, prefix):
        super().__init__()
        squeeze, excite = tensors[prefix + ".squeeze.weight"], tensors[prefix + ".excite.weight"]
        # 1x1 convolutions rather than linears: no reshape between the mean and the gate
        self.squeeze = conv(squeeze[:, :, None, None], tensors[prefix + ".squeeze.bias"])
        self.excite = conv(excite[:, :, None, None], tensors[prefix + ".excite.bias"])
        self.project = conv(tensors[prefix + ".project.weight"], tensors[prefix + ".project.bias"])

    def gate(self, mean):
        return torch.sigmoid(self.excite(F.relu(self.squeeze(mean))))

    def forward(self, z):
        return self.project(z * self.gate(z.mean((2, 3), keepdim=True)))


class Block(nn.Module):
    def __init__(self, tensors, prefix):
        super().__init__()

        def joined(*names):
            return conv(torch.cat([tensors[f"{prefix}.{name}.weight"] for name in names]),
                        torch.cat([tensors[f"{prefix}.{name}.bias"] for name in names]))

        self.first = joined("statistical", "structural")
        self.from_stat = joined("stat_to_stat", "stat_to_struct")
        self.from_struct = joined("struct_to_stat", "struct_to_struct")
        self.attend_stat = Attention(tensors, prefix + ".attend_stat")
        self.attend_struct = Attention(tensors, prefix + ".attend_struct")

    def forward(self, x):
        s, t = F.leaky_relu(self.first(x), SLOPE).chunk(2, 1)
        s_upper, s_lower = self.from_stat(s).chunk(2, 1)
        t_upper, t_lower = self.from_struct(t).chunk(2, 1)
        upper, lower = torch.cat([s_upper, t_upper], 1), torch.cat([s_lower, t_lower], 1)
        return x + self.attend_stat(upper) + self.attend_struct(lower)


class FoldedBlock(Block):
    """The same function of one image as two convolutions, as dgp computes it: the means that the gates take
    are linear in the sums of the first stage's output over the 3x3 shifts of the image, so gate and
    projection fold into the second stage's kernel before it runs.
    """

    def __init__(self, tensors, prefix):
        super().__init__(tensors, prefix)
        for to in ("stat", "struct"):  # [2C,2C,3,3], block diagonal: one half sees s, the other t
            halves = [tensors[f"{prefix}.{source}_to_{to}.weight"] for source in ("stat", "struct")]
            zero = torch.zeros_like(halves[0])
            self.register_buffer("kernel_" + to, torch.cat([torch.cat([halves[0], zero], 1),
                                                            torch.cat([zero, halves[1]], 1)]))
            self.register_buffer("bias_" + to, torch.cat(
                [tensors[f"{prefix}.{source}_to_{to}.bias"] for source in ("stat", "struct")]))

    @staticmethod
    def shifted_means(h):
        """[1,C,H,W] -> [C,3,3]: the mean of what each tap of a zero-padded 3x3 convolution sees."""
        area = h.shape[2] * h.shape[3]
        columns = h.sum(2)[0]  # [C,W]
        by_row = torch.stack([columns - h[0, :, -1], columns, columns - h[0, :, 0]], 1)  # [C,3,W]
        total = by_row.sum(2)
        return torch.stack([total - by_row[:, :, -1], total, total - by_row[:, :, 0]], 2) / area

    def forward(self, x):
        h = F.leaky_relu(self.first(x), SLOPE)
        means = self.shifted_means(h)
        weight, bias = 0, 0
        for attend, kernel, offset in ((self.attend_stat, self.kernel_stat, self.bias_stat),
                                       (self.attend_struct, self.kernel_struct, self.bias_struct)):
            mean = torch.mv(kernel.flatten(1), means.flatten()) + offset
            mix = attend.project.weight.flatten(1) * attend.gate(mean[None, :, None, None]).flatten()
            weight = weight + (mix @ kernel.flatten(1)).view(-1, *kernel.shape[1:])
            bias = bias + mix @ offset + attend.project.bias
        return x + F.conv2d(h, weight, bias, padding=1)


class DGPNet(nn.Module):
    """[N,3,H,W] -> [N,3,scale H,scale W], of a fused file with unshuffle 1; N 1 when folded."""

    def __init__(self, path, folded=False):
        super().__init__()
        block = FoldedBlock if folded else Block
        tensors, metadata = read_safetensors(path)
        config = json.loads(metadata["config"])
        if metadata["fused"] != "true" or config["unshuffle"] != 1:
            raise SystemExit(f"{path}: expects a fused model with unshuffle 1")
        self.scale = config["scale"]
        self.head, self.upsample, self.tail = (conv(tensors[n + ".weight"], tensors[n + ".bias"])
                                               for n in ("head", "upsample", "tail"))
        self.body = nn.Sequential(*[block(tensors, f"body.{i}") for i in range(config["blocks"])])

    def forward(self, lr):
        hr = F.pixel_shuffle(self.upsample(self.body(self.head(lr))), self.scale)
        if self.scale > 1:
            lr = F.interpolate(lr, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return self.tail(hr + lr)
