"""Writes tests/golden/lpips_{alex,vgg}.safetensors: networks of LPIPS' structure, narrow and with random weights, a
pair of pictures and their distance, in PyTorch (1.13 or newer): python3 tests/reference/lpips_vectors.py

Names are those of lpips.LPIPS(net=...).state_dict(). Written from Zhang et al. 2018 and the package's documentation:
inputs in [-1, 1], shifted and scaled per channel; features after ReLU, divided by their length + 1e-10; squared
differences weighted by 1x1 convolutions; mean over pixels, sum over layers. float64 on weights that float32 holds.
"""
import os
from collections import OrderedDict

import torch
import torch.nn.functional as F

import dgpnet_reference as ref

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# (index in torchvision's features, outputs, kernel, stride, padding); "pool": size; "tap": features are taken here
ALEX = [(0, 6, 11, 4, 2), "tap", ("pool", 3), (3, 8, 5, 1, 2), "tap", ("pool", 3), (6, 7, 3, 1, 1), "tap",
        (8, 5, 3, 1, 1), "tap", (10, 4, 3, 1, 1), "tap"]
VGG = [(0, 3, 3, 1, 1), (2, 4, 3, 1, 1), "tap", ("pool", 2), (5, 4, 3, 1, 1), (7, 5, 3, 1, 1), "tap", ("pool", 2),
       (10, 5, 3, 1, 1), (12, 6, 3, 1, 1), (14, 6, 3, 1, 1), "tap", ("pool", 2),
       (17, 6, 3, 1, 1), (19, 6, 3, 1, 1), (21, 7, 3, 1, 1), "tap", ("pool", 2),
       (24, 7, 3, 1, 1), (26, 6, 3, 1, 1), (28, 5, 3, 1, 1), "tap"]


def weights(plan):
    state, channels, stage = OrderedDict(), 3, 1
    for step in plan:
        if step == "tap":
            state["lin%d.model.1.weight" % (stage - 1)] = torch.rand(1, channels, 1, 1)
            stage += 1
        elif step[0] != "pool":
            index, outputs, k = step[:3]
            name = "net.slice%d.%d." % (stage, index)
            state[name + "weight"] = torch.randn(outputs, channels, k, k) * (2 / (channels * k * k)) ** 0.5
            state[name + "bias"] = torch.randn(outputs) * 0.1
            channels = outputs
    return state


def features(plan, state, x):
    shift, scale = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (SHIFT, SCALE))
    x, stage, taps = (2 * x - 1 - shift) / scale, 1, []
    for step in plan:
        if step == "tap":
            taps.append(x)
            stage += 1
        elif step[0] == "pool":
            x = F.max_pool2d(x, step[1], 2)
        else:
            index, _, _, stride, padding = step
            name = "net.slice%d.%d." % (stage, index)
            x = F.relu(F.conv2d(x, state[name + "weight"].double(), state[name + "bias"].double(), stride, padding))
    return taps


def distance(plan, state, a, b):
    total = 0
    for l, (fa, fb) in enumerate(zip(features(plan, state, a), features(plan, state, b))):
        unit = lambda f: f / ((f ** 2).sum(1, keepdim=True).sqrt() + 1e-10)
        total = total + F.conv2d((unit(fa) - unit(fb)) ** 2, state["lin%d.model.1.weight" % l].double()).mean()
    return total


if __name__ == "__main__":
    for name, plan in (("alex", ALEX), ("vgg", VGG)):
        torch.manual_seed(len(name))
        state = weights(plan)
        a = torch.rand(1, 3, 43, 38)
        b = (a + 0.2 * torch.randn_like(a)).clamp(0, 1)
        out = OrderedDict(state)
        out.update(a=a, b=b, distance=distance(plan, state, a.double(), b.double()).view(1))
        ref.save_safetensors(os.path.join(GOLDEN, "lpips_%s.safetensors" % name), out,
                             dict(source="tests/reference/lpips_vectors.py"))
        print(name, out["distance"].item())
