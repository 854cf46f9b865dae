"""Golden numbers for resize and metrics, in float64 NumPy: python3 tests/reference/image_reference.py

Written from the definitions (MATLAB's imresize and rgb2ycbcr, Wang et al. 2004 for SSIM), with dense matrices and
explicit windows where the program uses tap tables and separable sums; JPEG files from libjpeg, through Pillow.
Writes tests/golden/image.json.
"""
import io
import json
import math
import pathlib

import numpy as np
import PIL.Image
import PIL.ImageOps


def cubic(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x ** 3 - 2.5 * x ** 2 + 1
    if x <= 2:
        return -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2
    return 0.0


def resize_matrix(n, out, scale):
    """[out, n]: row o holds the weight of every input position in output position o."""
    s = min(scale, 1.0)
    matrix = np.zeros((out, n))
    for o in range(out):
        centre = (o + 0.5) / scale - 0.5
        for i in range(math.floor(centre - 2 / s), math.ceil(centre + 2 / s) + 1):
            mirrored = i % (2 * n)
            matrix[o, mirrored if mirrored < n else 2 * n - 1 - mirrored] += cubic(s * (centre - i))
    return matrix / matrix.sum(1, keepdims=True)


def imresize(x, out_h, out_w, scale_h, scale_w):
    rows, columns = resize_matrix(x.shape[0], out_h, scale_h), resize_matrix(x.shape[1], out_w, scale_w)
    return np.einsum("oh,hwc,pw->opc", rows, x, columns)


def luma(rgb):
    return 16 + (65.481 * rgb[..., :1] + 128.553 * rgb[..., 1:2] + 24.966 * rgb[..., 2:]) / 255


def prepare(image, border, use_luma):
    image = image.astype(np.float64)
    if use_luma and image.shape[2] == 3:
        image = luma(image)
    return image[border:image.shape[0] - border, border:image.shape[1] - border]


def psnr(a, b, border, use_luma):
    a, b = prepare(a, border, use_luma), prepare(b, border, use_luma)
    return 10 * math.log10(255 ** 2 / np.mean((a - b) ** 2))


def ssim(a, b, border, use_luma):
    a, b = prepare(a, border, use_luma), prepare(b, border, use_luma)
    g = np.exp(-(np.arange(11) - 5.0) ** 2 / (2 * 1.5 ** 2))
    window = np.outer(g, g) / g.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for c in range(a.shape[2]):
        for y in range(a.shape[0] - 10):
            for x in range(a.shape[1] - 10):
                p, q = a[y:y + 11, x:x + 11, c], b[y:y + 11, x:x + 11, c]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                cov = (window * (p - mp) * (q - mq)).sum()
                values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp * mp + mq * mq + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def jpeg(image, orientation=1, **options):
    """A JPEG file's bytes in hex, and what libjpeg makes of them, upright."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    image.save(stream, "JPEG", exif=exif, **options)
    decoded = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(stream.getvalue())))
    pixels = np.array(decoded).reshape(decoded.height, decoded.width, -1)
    return {"hex": stream.getvalue().hex(), "shape": pixels.shape, "pixels": pixels.ravel().tolist()}


def jpegs():
    y, x = np.mgrid[0:13, 0:18]
    rgb = np.stack([20 + 12 * y, 240 - 10 * x, 60 + 4 * x + 5 * y], -1).astype(np.uint8)
    image = PIL.Image.fromarray(rgb)
    cases = {"baseline": jpeg(image, quality=92, subsampling=0),
             "progressive, halved colour": jpeg(image, quality=92, subsampling=2, progressive=True),
             "grey": jpeg(image.convert("L"), quality=90)}
    for orientation in range(2, 9):
        cases[f"orientation {orientation}"] = jpeg(image.crop((0, 0, 5, 3)), orientation, quality=95, subsampling=0)
    return cases


def main():
    rng = np.random.default_rng(2024)
    y, x, c = np.mgrid[0:19, 0:23, 0:3]
    a = np.clip(128 + 90 * np.sin(y / 3 + c) * np.cos(x / 4) + rng.normal(0, 12, y.shape), 0, 255).astype(np.uint8)
    b = np.clip(a + rng.normal(0, 9, a.shape), 0, 255).astype(np.uint8)
    small = np.round(rng.random((5, 7, 3)), 4)
    golden = {"a": a.ravel().tolist(), "b": b.ravel().tolist(), "shape": a.shape,
              "small": small.ravel().tolist(), "small_shape": small.shape, "resize": [], "metrics": []}
    for scale in (2, 3, 4, 1 / 2, 1 / 3, 1 / 4, 0.7):
        out_h, out_w = math.ceil(5 * scale), math.ceil(7 * scale)
        y = imresize(small, out_h, out_w, scale, scale)
        golden["resize"].append({"scale": scale, "shape": y.shape, "values": [round(v, 12) for v in y.ravel().tolist()]})
    for out_h, out_w in ((5, 7), (3, 14), (1, 1)):
        y = imresize(small, out_h, out_w, out_h / 5, out_w / 7)
        golden["resize"].append({"scale": 0, "shape": y.shape, "values": [round(v, 12) for v in y.ravel().tolist()]})
    for channels in (1, 3):
        for border in (0, 4):
            for use_luma in (False, True):
                p, q = a[..., :channels], b[..., :channels]
                golden["metrics"].append({"channels": channels, "border": border, "luma": use_luma,
                                          "psnr": psnr(p, q, border, use_luma), "ssim": ssim(p, q, border, use_luma)})
    golden["luma"] = [{"rgb": rgb, "y": float(luma(np.array([rgb], dtype=np.float64))[0, 0])}
                      for rgb in ([0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [12, 200, 77])]
    golden["jpeg"] = jpegs()
    path = pathlib.Path(__file__).parents[1] / "golden" / "image.json"
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
