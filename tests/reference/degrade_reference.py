"""Golden numbers for the degradations, in float64 NumPy: python3 tests/reference/degrade_reference.py

Written from the definitions: kernels with an inverted covariance matrix, filters with explicit windows over a
padded picture, resizing with dense matrices, JPEG with the four-index cosine tensor. J1 is its integral,
summed. JPEG files are libjpeg's, through Pillow. Writes tests/golden/degrade.json.
"""
import io
import json
import math
import pathlib

import numpy as np
from PIL import Image

rng = np.random.default_rng(5)


def j1(x):
    """(1/pi) integral of cos(t - x sin t) over [0, pi]; the midpoint rule converges faster than any power."""
    t = (np.arange(400) + 0.5) * math.pi / 400
    return np.cos(t - x * np.sin(t)).mean()


def kernel(shape, size, sx=1.0, sy=1.0, angle=0.0, beta=1.0, cutoff=0.0):
    r = np.arange(size) - size // 2
    w = np.zeros((size, size))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag([sx ** 2, sy ** 2]) @ turn.T)
    for i, y in enumerate(r):
        for j, x in enumerate(r):
            p = np.array([x, y], float)
            q = p @ inverse @ p
            d = math.hypot(x, y)
            w[i, j] = {
                "gaussian": lambda: math.exp(-q / 2),
                "generalized": lambda: math.exp(-0.5 * q ** beta),
                "plateau": lambda: 1 / (q ** beta + 1),
                "sinc": lambda: cutoff * j1(cutoff * d) / (2 * math.pi * d) if d else cutoff ** 2 / (4 * math.pi),
            }[shape]()
    return w / w.sum()


def filtered(x, k):
    """The kernel padded with zeros to 21, as Real-ESRGAN has it."""
    p = (21 - len(k)) // 2
    k = np.pad(k, p) if p > 0 else k
    h = len(k) // 2
    padded = np.pad(x, ((h, h), (h, h), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, k.shape, axis=(0, 1))
    return np.einsum("yxcuv,uv->yxc", windows, k)


def matrix(n, out, mode, ratio):
    m = np.zeros((out, n))
    for o in range(out):
        if mode == "area":
            a, b = math.floor(o * n / out), math.ceil((o + 1) * n / out)
            m[o, a:b] = 1 / (b - a)
            continue
        at = ratio * (o + 0.5) - 0.5
        if mode == "bilinear":
            at = max(at, 0)
        base, t = math.floor(at), at - math.floor(at)
        if mode == "bilinear":
            taps = {0: 1 - t, 1: t}
        else:
            a = -0.75
            near = lambda d: (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
            far = lambda d: a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a
            taps = {-1: far(t + 1), 0: near(t), 1: near(1 - t), 2: far(2 - t)}
        for offset, w in taps.items():
            m[o, min(max(base + offset, 0), n - 1)] += w
    return m


def resized(x, h, w, mode, ratio):
    rows, columns = (matrix(n, out, mode, ratio or n / out) for n, out in ((x.shape[0], h), (x.shape[1], w)))
    return np.einsum("oh,hwc,pw->opc", rows, x, columns)


def usm(x):
    g = np.exp(-(np.arange(51) - 25.0) ** 2 / 128)
    k = np.outer(g, g) / g.sum() ** 2
    residual = x - filtered(x, k)
    soft = filtered((abs(residual) * 255 > 10).astype(float), k)
    return soft * np.clip(x + 0.5 * residual, 0, 1) + (1 - soft) * x


LUMA = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99]).reshape(8, 8).T
CHROMA = np.full((8, 8), 99)
CHROMA[:4, :4] = np.array([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]).T
n8 = np.arange(8)
C = np.cos((2 * n8[:, None] + 1) * n8[None] * math.pi / 16)  # [position, frequency]
COSINES = np.einsum("xu,yv->xyuv", C, C)
ALPHA = np.outer([1 / math.sqrt(2)] + [1] * 7, [1 / math.sqrt(2)] + [1] * 7)


def coded(plane, table):
    h, w = plane.shape
    b = plane.reshape(h // 8, 8, w // 8, 8).transpose(0, 2, 1, 3) - 128
    f = np.round(0.25 * ALPHA * np.einsum("ijxy,xyuv->ijuv", b, COSINES) / table) * table
    b = 0.25 * np.einsum("ijuv,xyuv->ijxy", f * ALPHA, COSINES) + 128
    return b.transpose(0, 2, 1, 3).reshape(h, w)


def jpeg(x, quality):
    factor = (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
    h, w = x.shape[:2]
    p = np.pad(x, ((0, -h % 16), (0, -w % 16), (0, 0))) * 255
    m = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    y, cb, cr = np.moveaxis(p @ m.T + [0, 128, 128], 2, 0)
    half = lambda c: c.reshape(len(c) // 2, 2, -1, 2).mean((1, 3))
    twice = lambda c: c.repeat(2, 0).repeat(2, 1) - 128
    cb, cr = (twice(coded(half(c), CHROMA * factor)) for c in (cb, cr))
    y = coded(y, LUMA * factor)
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 2)
    return np.clip(rgb[:h, :w], 0, 255) / 255


def jpeg_file(x, quality, halved):
    file = io.BytesIO()
    Image.fromarray(np.round(x * 255).astype(np.uint8)).save(file, "JPEG", quality=quality, subsampling=2 if halved else 0)
    return np.asarray(Image.open(file))


def short(a):
    return [float(f"{v:.9g}") for v in np.asarray(a).ravel()]


kernels = [dict(shape=s, size=n, sigma_x=a, sigma_y=b, angle=t, beta=e, cutoff=c,
                weights=[float(v) for v in kernel(s, n, a, b, t, e, c).ravel()])
           for s, n, a, b, t, e, c in [
               ("gaussian", 7, 0.2, 0.2, 0, 1, 0), ("gaussian", 9, 1.7, 1.7, 0, 1, 0),
               ("gaussian", 11, 2.5, 0.4, 0.7, 1, 0), ("generalized", 7, 1.3, 1.3, 0, 0.6, 0),
               ("generalized", 9, 0.8, 2.9, -2.2, 3.1, 0), ("plateau", 7, 2.1, 2.1, 0, 1.8, 0),
               ("plateau", 9, 1.1, 2.6, 2.9, 1, 0), ("sinc", 7, 1, 1, 0, 1, 1.2), ("sinc", 11, 1, 1, 0, 1, 3.0)]]
H, W = 37, 30
picture = np.round(np.clip(rng.random((H, W, 3)) * 0.3 + np.linspace(0, 0.7, W)[None, :, None], 0, 1) * 255) / 255
picture[8:20, 10:18] = np.array([230, 51, 102]) / 255
picture = picture.astype(np.float32).astype(float)
golden = dict(
    height=H, width=W, picture=[int(v) for v in np.round(picture.ravel() * 255)], kernels=kernels,
    filtered=short(filtered(picture, kernel("gaussian", 9, 0.8, 2.9, 0.7))[::3, ::3]),
    resized=[dict(height=h, width=w, mode=m, ratio=r, values=short(resized(picture, h, w, m, r)[::2, ::2]))
             for m in ("area", "bilinear", "bicubic")
             for h, w, r in ((9, 7, 0), (50, 41, 0), (int(H * 0.43), int(W * 0.43), 1 / 0.43))],
    usm=short(usm(picture)[::3, ::3]),
    jpeg=[dict(quality=q, values=short(jpeg(picture, q)[::3, ::3])) for q in (23.7, 50.0, 81.25)],
    files=[dict(quality=q, halved=h, values=[int(v) for v in jpeg_file(picture, q, h)[::2, ::2].ravel()])
           for q in (30, 75, 95) for h in (False, True)])
path = pathlib.Path(__file__).parent.parent / "golden" / "degrade.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
