"""Golden vectors of the ops, from PyTorch in float64: tests/golden/ops/ops.json.

Run: python3 tests/reference/ops_reference.py tests/golden/ops/ops.json   (torch 1.13 made the committed file)

Images are [N,H,W,C] in the file; PyTorch's NCHW stays in here. Each case holds its inputs, the result, and the
gradient of every input under the stored seed gradient `dy`.
"""
import json
import math
import sys

import torch
import torch.nn.functional as F

generator = torch.Generator().manual_seed(20240611)
cases = []


def rand(*shape, low=-1.0, high=1.0):
    return torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low


def plain(t):
    return dict(shape=list(t.shape), values=[float("%.11g" % v) for v in t.detach().flatten().tolist()])


def case(op, f, inputs, **options):
    leaves = [float_as_stored(t).requires_grad_() for t in inputs]
    y = f(*leaves)
    dy = float_as_stored(rand(*y.shape))
    y.backward(dy)
    cases.append(dict(op=op, options=options, inputs=[plain(t) for t in leaves], y=plain(y), dy=plain(dy),
                      grads=[plain(t.grad) for t in leaves]))


def float_as_stored(t):
    """Inputs with two decimals: few digits in the file, exact on reading."""
    return (t * 100).round() / 100


def nchw(f):
    return lambda x, *rest: f(x.permute(0, 3, 1, 2), *rest).permute(0, 2, 3, 1)


def resize(mode, h, w):
    corners = {} if mode == "nearest" else dict(align_corners=False)
    return nchw(lambda x: F.interpolate(x, size=(h, w), mode=mode, **corners))


for mode in ("nearest", "bilinear", "bicubic"):
    for (h, w), (oh, ow) in (((5, 7), (10, 14)), ((4, 3), (12, 9)), ((3, 4), (12, 16)), ((7, 6), (3, 11)), ((1, 5), (4, 2)),
                             ((9, 8), (5, 3))):
        case("resize", resize(mode, oh, ow), [rand(1, h, w, 1)], mode=mode, h=oh, w=ow)

for r, c in ((1, 2), (2, 3), (3, 1)):
    case("pixel_shuffle", nchw(lambda x: F.pixel_shuffle(x, r)), [rand(2, 2, 3, c * r * r)], r=r)
    case("pixel_unshuffle", nchw(lambda x: F.pixel_unshuffle(x, r)), [rand(2, 2 * r, 3 * r, c)], r=r)

for mode, name in (("constant", "zero"), ("reflect", "reflect"), ("replicate", "replicate")):
    for top, bottom, left, right in ((0, 1, 0, 2), (2, 3, 4, 1)):
        case("pad2d", nchw(lambda x: F.pad(x, (left, right, top, bottom), mode=mode)), [rand(1, 4, 5, 2)], mode=name,
             top=top, bottom=bottom, left=left, right=right)

for name, f in (("gelu", F.gelu), ("silu", F.silu), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("exp", torch.exp),
                ("softmax", lambda x: F.softmax(x, -1))):
    case(name, f, [rand(3, 7, low=-4, high=4)])
case("prelu", lambda x, a: F.prelu(x, a), [rand(4, 3), rand(3)])

case("layer_norm", lambda x, g, b: F.layer_norm(x, (6,), g, b, 1e-5), [rand(2, 3, 6), rand(6), rand(6)], eps=1e-5)


def attention(heads):
    """torch.nn.functional.multi_head_attention_forward with identity projections."""
    def f(q, k, v):
        d = q.shape[-1]
        eye = torch.eye(d, dtype=torch.float64)
        y, _ = F.multi_head_attention_forward(
            q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), d, heads, None, torch.zeros(3 * d, dtype=torch.float64),
            None, None, False, 0.0, eye, None, use_separate_proj_weight=True, q_proj_weight=eye, k_proj_weight=eye,
            v_proj_weight=eye)
        return y.transpose(0, 1)
    return f


case("attention", attention(2), [rand(2, 3, 4, low=-2, high=2), rand(2, 5, 4, low=-2, high=2), rand(2, 5, 4)], heads=2)


def ssim_loss(x, t):
    """1 - mean SSIM: one 11x11 Gaussian window a channel, valid region, as scikit-image and BasicSR compute it."""
    c = x.shape[1]
    g = torch.exp(-(torch.arange(11, dtype=torch.float64) - 5) ** 2 / (2 * 1.5 ** 2))
    window = (g[:, None] * g[None, :] / g.sum() ** 2).repeat(c, 1, 1, 1)
    blur = lambda v: F.conv2d(v, window, groups=c)
    mx, mt = blur(x), blur(t)
    vx, vt, cov = blur(x * x) - mx * mx, blur(t * t) - mt * mt, blur(x * t) - mx * mt
    c1, c2 = 0.01 ** 2, 0.03 ** 2
    ssim = (2 * mx * mt + c1) * (2 * cov + c2) / ((mx * mx + mt * mt + c1) * (vx + vt + c2))
    return 1 - ssim.mean()


def two_images(f):
    return lambda x, t: f(x.permute(0, 3, 1, 2), t.permute(0, 3, 1, 2))


image = rand(1, 12, 14, 2, low=0, high=1)
case("ssim_loss", two_images(ssim_loss), [image, (image + 0.2 * rand(1, 12, 14, 2)).clamp(0, 1)])
case("l1_loss", F.l1_loss, [rand(2, 3, 4), rand(2, 3, 4)])
case("mse_loss", F.mse_loss, [rand(2, 3, 4), rand(2, 3, 4)])
case("charbonnier_loss", lambda x, t: torch.sqrt((x - t) ** 2 + 1e-3 ** 2).mean(), [rand(2, 3, 4), rand(2, 3, 4)])
case("linear", F.linear, [rand(2, 3, 5), rand(4, 5), rand(4)])
case("matmul", torch.matmul, [rand(2, 3, 5), rand(2, 5, 4)])

with open(sys.argv[1], "w") as f:
    json.dump(dict(torch=torch.__version__, cases=cases), f, separators=(",", ":"))
    f.write("\n")
