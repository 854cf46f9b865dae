"""Golden numbers for MS-SSIM and NIQE, in float64 NumPy: python3 tests/reference/metric_vectors.py

Written from the papers (Wang, Simoncelli and Bovik 2003; Mittal, Soundararajan and Bovik 2013) and from how BasicSR
treats borders, blocks and missing values, with explicit windows and NumPy's own pinv and cov where the program has
its own. The pictures are docs/demo.png and a copy that lost detail. Writes tests/golden/metrics.json and
tests/golden/niqe_model.npz, statistics of the first picture in the form of BasicSR's parameter file.
"""
import json
import math
import pathlib

import numpy as np
import PIL.Image

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def gaussian(size, sigma):
    g = np.exp(-(np.arange(size) - size // 2) ** 2 / (2 * sigma ** 2))
    return np.outer(g, g) / np.outer(g, g).sum()


def windows(x, size):
    return np.lib.stride_tricks.sliding_window_view(x, (size, size))


def luma(rgb):
    return 16 + (65.481 * rgb[..., 0] + 128.553 * rgb[..., 1] + 24.966 * rgb[..., 2]) / 255


def ssim_parts(a, b):
    g = gaussian(11, 1.5)
    mean = lambda x: np.einsum("hwij,ij->hw", windows(x, 11), g)
    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    structure = (2 * vab + c2) / (va + vb + c2)
    return ((2 * ma * mb + c1) / (ma * ma + mb * mb + c1) * structure).mean(), structure.mean()


def halved(x):
    x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2)), mode="symmetric")
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


def ms_ssim(a, b):
    product = 1.0
    for i, power in enumerate(POWERS):
        whole, structure = ssim_parts(a, b)
        product *= max(0.0, whole if i == 4 else structure) ** power
        a, b = halved(a), halved(b)
    return product


SHAPES = np.arange(0.2, 10.0005, 0.001)
RATIOS = np.array([math.gamma(2 / a) ** 2 / (math.gamma(1 / a) * math.gamma(3 / a)) for a in SHAPES])


def fit(x):
    x = x.ravel().astype(np.float64)
    if not (x < 0).any() or not (x > 0).any():
        return (math.nan,) * 3
    left, right = math.sqrt((x[x < 0] ** 2).mean()), math.sqrt((x[x > 0] ** 2).mean())
    g = left / right
    ratio = np.abs(x).mean() ** 2 / (x ** 2).mean() * (g ** 3 + 1) * (g + 1) / (g ** 2 + 1) ** 2
    a = SHAPES[np.argmin((RATIOS - ratio) ** 2)]
    spread = math.sqrt(math.gamma(1 / a) / math.gamma(3 / a))
    return a, left * spread, right * spread


def block_features(block):
    a, left, right = fit(block)
    out = [a, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a, left, right = fit(block * np.roll(block, shift, (0, 1)))
        out += [a, (right - left) * math.gamma(2 / a) / math.gamma(1 / a), left, right] if a == a else [math.nan] * 4
    return out


def half_matrix(n):
    """MATLAB's imresize by a half: a bicubic kernel twice as wide, mirrored borders."""
    def cubic(x):
        x = abs(x)
        return 1.5 * x ** 3 - 2.5 * x ** 2 + 1 if x <= 1 else -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2 if x <= 2 else 0
    matrix = np.zeros((n // 2, n))
    for o in range(n // 2):
        for i in range(2 * o - 4, 2 * o + 6):
            j = i % (2 * n)
            matrix[o, j if j < n else 2 * n - 1 - j] += cubic((2 * o + 0.5 - i) / 2)
    return matrix / matrix.sum(1, keepdims=True)


def niqe_features(y):
    down, across = y.shape[0] // 96, y.shape[1] // 96
    y = np.round(y)[:down * 96, :across * 96]
    parts = []
    for side in (96, 48):
        # BasicSR's arrays are f32; where a picture is flat their rounding decides.
        y = y.astype(np.float32)
        smooth = lambda x: np.einsum("hwij,ij->hw", windows(np.pad(x.astype(np.float64), 3, mode="edge"), 7),
                                     gaussian(7, 7 / 6)).astype(np.float32)
        mean = smooth(y)
        z = (y - mean) / (np.sqrt(np.abs(smooth(y * y) - mean * mean)) + 1)
        parts.append([block_features(z[r * side:(r + 1) * side, c * side:(c + 1) * side])
                      for c in range(across) for r in range(down)])
        y = half_matrix(y.shape[0]) @ y.astype(np.float64) @ half_matrix(y.shape[1]).T
    return np.concatenate(parts, 1)


def niqe(features, mean, covariance):
    d = mean - np.nanmean(features, 0)
    own = np.cov(features[~np.isnan(features).any(1)], rowvar=False)
    return math.sqrt(d @ np.linalg.pinv((covariance + own) / 2) @ d)


def worse(a):
    """Less detail: each pixel three quarters its left neighbour's mean with the next two, and 16 lighter."""
    x = np.pad(a.astype(np.int64), ((0, 0), (1, 1), (0, 0)), mode="edge")
    return np.minimum((x[:, :-2] + x[:, 1:-1] + x[:, 2:]) // 4 + 40, 255).astype(np.uint8)


if __name__ == "__main__":
    a = np.asarray(PIL.Image.open(ROOT / "docs/demo.png").convert("RGB"))
    b = worse(a)
    cases = []
    for border in (0, 3):
        p, q = (x[border:x.shape[0] - border, border:x.shape[1] - border].astype(np.float64) for x in (a, b))
        cases.append(dict(border=border, rgb=np.mean([ms_ssim(p[..., c], q[..., c]) for c in range(3)]),
                          luma=ms_ssim(luma(p), luma(q))))
    fa = niqe_features(luma(a.astype(np.float64)))
    flat = b.copy()
    flat[:200, :100] = 90  # whole blocks without a single negative coefficient
    # Twelve blocks cannot fill 36 dimensions: the diagonal makes the inverse well defined.
    covariance = np.cov(fa, rowvar=False) + 0.01 * np.eye(36)
    pristine = dict(mu_pris_param=fa.mean(0)[None], cov_pris_param=np.asfortranarray(covariance))
    np.savez_compressed(ROOT / "tests/golden/niqe_model.npz", **pristine)
    scores = {}
    for name, picture, border in (("same", a, 0), ("worse", b, 0), ("border", b, 5), ("flat", flat, 0)):
        y = luma(picture.astype(np.float64))
        y = y[border:y.shape[0] - border, border:y.shape[1] - border]
        scores[name] = niqe(niqe_features(y), pristine["mu_pris_param"][0], pristine["cov_pris_param"])
    out = dict(source="tests/reference/metric_vectors.py", ms_ssim=cases, niqe=scores,
               niqe_features=niqe_features(luma(b.astype(np.float64))).tolist())
    (ROOT / "tests/golden/metrics.json").write_text(json.dumps(out) + "\n")
    print(cases, scores)
