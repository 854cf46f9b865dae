"""Golden vectors of ops/diff_jpeg.h, from PyTorch in float64: tests/golden/ops/diff_jpeg.json.

Run: python3 tests/reference/diff_jpeg_vectors.py tests/golden/ops/diff_jpeg.json   (torch 1.13 made the committed file)

BasicSR's DiffJPEG (basicsr/utils/diffjpeg.py) step by step, with both of its roundings: images are [N,H,W,C] in
[0, 1]; each case has the result and, for the smooth rounding, the input's gradient under the stored `dy`.
"""
import json
import math
import sys

import torch
import torch.nn.functional as F

generator = torch.Generator().manual_seed(7)

LUMA = torch.tensor([[16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
                     [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
                     [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99]], dtype=torch.float64).T
CHROMA = torch.full((8, 8), 99, dtype=torch.float64)
CHROMA[:4, :4] = torch.tensor([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]],
                              dtype=torch.float64).T
BASIS = torch.tensor([[math.cos((2 * x + 1) * u * math.pi / 16) for u in range(8)] for x in range(8)], dtype=torch.float64)
ALPHA = torch.tensor([1 / math.sqrt(2)] + [1] * 7, dtype=torch.float64)
DCT = torch.einsum("xu,yv->xyuv", BASIS, BASIS)
SCALE = torch.outer(ALPHA, ALPHA) * 0.25


def whole(x):
    return torch.round(x)


def smooth(x):
    return torch.round(x) + (x - torch.round(x)) ** 3


def coded(plane, table, rounding):
    """plane [N,H,W], whole blocks."""
    n, h, w = plane.shape
    blocks = plane.reshape(n, h // 8, 8, w // 8, 8).permute(0, 1, 3, 2, 4) - 128
    c = SCALE * torch.einsum("nijxy,xyuv->nijuv", blocks, DCT)
    c = rounding(c / table) * table
    back = torch.einsum("nijuv,xyuv->nijxy", SCALE * 4 * c, DCT) / 4 + 128
    return back.permute(0, 1, 3, 2, 4).reshape(n, h, w)


def diff_jpeg(x, quality, rounding):
    factor = (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
    n, h, w, _ = x.shape
    p = F.pad(x.permute(0, 3, 1, 2), (0, -w % 16, 0, -h % 16)) * 255
    r, g, b = p[:, 0], p[:, 1], p[:, 2]
    y = 0.299 * r + 0.587 * g + 0.114 * b
    blue, red = (F.avg_pool2d(c + 128, 2) for c in (-0.168736 * r - 0.331264 * g + 0.5 * b,
                                                    0.5 * r - 0.418688 * g - 0.081312 * b))
    y = coded(y, LUMA * factor, rounding)
    blue, red = (coded(c, CHROMA * factor, rounding).repeat_interleave(2, 1).repeat_interleave(2, 2) - 128
                 for c in (blue, red))
    rgb = torch.stack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], 3)
    return torch.clamp(rgb[:, :h, :w], 0, 255) / 255


def plain(t):
    return dict(shape=list(t.shape), values=[float("%.11g" % v) for v in t.detach().flatten().tolist()])


cases = []
for (n, h, w), quality in (((1, 16, 16), 60), ((2, 13, 21), 23.5), ((1, 9, 34), 92.25)):
    across = torch.linspace(0, 0.6, w, dtype=torch.float64)[None, None, :, None]
    x = (torch.rand((n, h, w, 3), generator=generator, dtype=torch.float64) * 0.5 + across - 0.05).clamp(0, 1)
    x = ((x * 100).round() / 100).requires_grad_()
    dy = ((torch.rand(x.shape, generator=generator, dtype=torch.float64) * 2 - 1) * 100).round() / 100
    y = diff_jpeg(x, quality, smooth)
    y.backward(dy)
    cases.append(dict(quality=quality, x=plain(x), dy=plain(dy), smooth=plain(y), dx=plain(x.grad),
                      whole=plain(diff_jpeg(x.detach(), quality, whole))))

with open(sys.argv[1], "w") as f:
    json.dump(dict(torch=torch.__version__, cases=cases), f, separators=(",", ":"))
    f.write("\n")
