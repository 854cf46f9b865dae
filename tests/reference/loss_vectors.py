"""Golden vectors of the image losses, from PyTorch in float64: tests/golden/ops/losses.json.

Run: python3 tests/reference/loss_vectors.py tests/golden/ops/losses.json

Images are [N,H,W,C] in the file; PyTorch's NCHW stays in here. Each case holds both images, the loss, and its
gradient by the first.
"""
import json
import sys

import torch
import torch.nn.functional as F

generator = torch.Generator().manual_seed(7)
cases = []


def rand(*shape):
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def case(op, f, n, h, w, c, noise=0.2, **options):
    x = (rand(n, h, w, c) * 100).round() / 100
    t = ((x + noise * (rand(n, h, w, c) - 0.5)) * 1000).round() / 1000
    leaf = x.clone().requires_grad_()
    y = f(leaf.permute(0, 3, 1, 2), t.permute(0, 3, 1, 2))
    y.backward()
    plain = lambda v: [float("%.12g" % e) for e in v.detach().flatten().tolist()]
    cases.append(dict(op=op, options=options, shape=[n, h, w, c], x=plain(x), t=plain(t), y=float("%.14g" % y.item()),
                      grad=plain(leaf.grad)))


def fft(x, t):
    d = torch.view_as_real(torch.fft.fft2(x)) - torch.view_as_real(torch.fft.fft2(t))
    return d.abs().mean()


def fft_amplitude(x, t):
    amplitude = lambda v: (torch.fft.fft2(v).real ** 2 + torch.fft.fft2(v).imag ** 2 + 1e-12).sqrt()
    return (amplitude(x) - amplitude(t)).abs().mean()


def focal_frequency(alpha):
    def f(x, t):
        d = torch.fft.fft2(x, norm="ortho") - torch.fft.fft2(t, norm="ortho")
        power = d.real ** 2 + d.imag ** 2
        weight = power.sqrt() ** alpha
        weight = (weight / weight.amax((-1, -2), keepdim=True)).clamp(0, 1).detach()
        return (weight * power).mean()
    return f


def filtered(v, kernel):
    c = v.shape[1]
    return F.conv2d(v, torch.tensor(kernel, dtype=v.dtype)[None, None].repeat(c, 1, 1, 1), groups=c)


def sobel(x, t):
    kernel = [[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    across = (filtered(x, kernel) - filtered(t, kernel)).abs().mean()
    kernel = [list(row) for row in zip(*kernel)]
    return across + (filtered(x, kernel) - filtered(t, kernel)).abs().mean()


def tv(x, _=None):
    return (x[..., 1:, :] - x[..., :-1, :]).abs().mean() + (x[..., 1:] - x[..., :-1]).abs().mean()


def ms_ssim(scales):
    def f(x, t):
        c = x.shape[1]
        g = torch.exp(-(torch.arange(11, dtype=torch.float64) - 5) ** 2 / (2 * 1.5 ** 2))
        window = (g[:, None] * g[None, :] / g.sum() ** 2).repeat(c, 1, 1, 1)
        blur = lambda v: F.conv2d(v, window, groups=c)
        weights = torch.tensor([0.0448, 0.2856, 0.3001, 0.2363, 0.1333], dtype=torch.float64)[:scales]
        weights = weights / weights.sum()
        product = 1
        for j in range(scales):
            mx, mt = blur(x), blur(t)
            vx, vt, cov = blur(x * x) - mx * mx, blur(t * t) - mt * mt, blur(x * t) - mx * mt
            c1, c2 = 0.01 ** 2, 0.03 ** 2
            value = (2 * cov + c2) / (vx + vt + c2)
            if j == scales - 1:
                value = value * (2 * mx * mt + c1) / (mx * mx + mt * mt + c1)
            product = product * value.mean((2, 3)).clamp(min=1e-6) ** weights[j]
            x, t = F.avg_pool2d(x, 2), F.avg_pool2d(t, 2)
        return 1 - product.mean()
    return f


for shape in ((2, 5, 6, 3), (1, 8, 7, 1), (1, 1, 1, 2)):
    case("fft_loss", fft, *shape)
    case("fft_amplitude_loss", fft_amplitude, *shape)
    case("focal_frequency_loss", focal_frequency(1), *shape, alpha=1)
    case("focal_frequency_loss", focal_frequency(0.5), *shape, alpha=0.5)
for shape in ((2, 5, 6, 3), (1, 3, 7, 1)):
    case("sobel_loss", sobel, *shape)
    case("tv_loss", tv, *shape)
    case("gradient_loss", lambda x, t: tv(x - t), *shape)
case("ms_ssim_loss", ms_ssim(2), 1, 23, 22, 2, scales=2)
case("ms_ssim_loss", ms_ssim(1), 2, 11, 12, 1, scales=1)

with open(sys.argv[1], "w") as f:
    json.dump(dict(torch=torch.__version__, cases=cases), f, separators=(",", ":"))
    f.write("\n")
