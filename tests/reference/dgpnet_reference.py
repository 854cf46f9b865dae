"""Numerical reference for DGConv, AIIBlock and DGPNet, in plain PyTorch (1.13 or newer).

It defines what models/ must compute. Slow on purpose: each operator is written the way the equation
reads, not the way one would run it. dgpnet_vectors.py writes the test vectors from it.

Run `python3 dgpnet_reference.py` to check the identities of the model in float64.
"""
import json
import math
import struct
from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F

OPERATORS = ("csg", "csa", "hg", "vg", "vc", "idg")
STATISTICAL = ("csa", "vc")
STRUCTURAL = ("csg", "hg", "vg", "idg")
LEAKY_SLOPE = 0.1


# --- the six kernel-space operators: raw kernel [O, I, k, k] -> kernel that convolves the input ---

def kernel_csg(w):
    """sum_i w_i (x_i - M), M the window's mean."""
    return w - w.mean(dim=(2, 3), keepdim=True)


def kernel_csa(w):
    """sum_i w_i (x_i + M)."""
    return w + w.mean(dim=(2, 3), keepdim=True)


def kernel_hg(w):
    """sum_i w_i (x_i - x_mirror(i)), mirrored left-right; the middle column vanishes."""
    return w - w.flip(3)


def kernel_vg(w):
    """sum_i w_i (x_i - x_mirror(i)), mirrored top-bottom; the middle row vanishes."""
    return w - w.flip(2)


def kernel_vc(w):
    return w


def kernel_idg(w, location):
    """sum_i w_i (x_i - x_L), L = location[o, i] in [0, k*k), row-major."""
    out, inp, k, _ = w.shape
    centre = F.one_hot(location, k * k).to(w.dtype).view(out, inp, k, k)
    return w - centre * w.sum(dim=(2, 3), keepdim=True)


class DGConv(nn.Module):
    """Adaptive directional gradient convolution: stride 1, zero padding k//2."""

    def __init__(self, cin, cout, k=3, operators=OPERATORS, hidden=16):
        super().__init__()
        self.operators, self.k = tuple(operators), k
        n = len(operators)
        self.weight = nn.ParameterDict()
        bound = math.sqrt(3.0) * math.sqrt(2.0 / (1 + LEAKY_SLOPE ** 2)) / math.sqrt(cin * k * k * n)
        for name in operators:
            self.weight[name] = nn.Parameter(torch.empty(cout, cin, k, k).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(cout))
        if "idg" in operators:
            self.register_buffer("idg_location", torch.randint(0, k * k, (cout, cin)))
        self.balance = nn.Sequential(nn.Linear(n * k * k, hidden), nn.ReLU(), nn.Linear(hidden, n))
        nn.init.zeros_(self.balance[2].weight)
        nn.init.zeros_(self.balance[2].bias)

    def kernels(self):
        """The operator kernels, [n, O, I, k, k]."""
        table = dict(csg=kernel_csg, csa=kernel_csa, hg=kernel_hg, vg=kernel_vg, vc=kernel_vc)
        return torch.stack([kernel_idg(self.weight[o], self.idg_location) if o == "idg"
                            else table[o](self.weight[o]) for o in self.operators])

    def balance_factors(self, kernels):
        """alpha [n]: a function of the kernels alone, so that fusion is exact."""
        rms = torch.sqrt((kernels ** 2).mean(dim=(1, 2)) + 1e-12).flatten()
        return 2 * torch.sigmoid(self.balance(rms / (rms.mean() + 1e-8)))

    def fused_weight(self):
        kernels = self.kernels()
        alpha = self.balance_factors(kernels)
        return (alpha.view(-1, 1, 1, 1, 1) * kernels).sum(0)

    def forward(self, x):
        return F.conv2d(x, self.fused_weight(), self.bias, padding=self.k // 2)

    def forward_parallel(self, x):
        """The figure drawn literally: n convolutions, weighted and added. Equal to forward()."""
        kernels = self.kernels()
        alpha = self.balance_factors(kernels)
        y = sum(a * F.conv2d(x, w, padding=self.k // 2) for a, w in zip(alpha, kernels))
        return y + self.bias.view(1, -1, 1, 1)


class Attention(nn.Module):
    """Channel attention over 2C concatenated channels, then a 1x1 projection to C."""

    def __init__(self, channels, reduction=8):
        super().__init__()
        hidden = max(4, 2 * channels // reduction)
        self.squeeze = nn.Linear(2 * channels, hidden)
        self.excite = nn.Linear(hidden, 2 * channels)
        self.project = nn.Conv2d(2 * channels, channels, 1)

    def gate(self, mean):
        return torch.sigmoid(self.excite(F.relu(self.squeeze(mean))))

    def forward(self, z):
        a = self.gate(z.mean(dim=(2, 3)))
        return self.project(z * a[:, :, None, None])


class AIIBlock(nn.Module):
    """Adaptive information interaction block."""

    def __init__(self, c, k=3):
        super().__init__()
        self.statistical = DGConv(c, c, k, STATISTICAL)
        self.structural = DGConv(c, c, k, STRUCTURAL)
        self.stat_to_stat = DGConv(c, c, k)
        self.stat_to_struct = DGConv(c, c, k)
        self.struct_to_stat = DGConv(c, c, k)
        self.struct_to_struct = DGConv(c, c, k)
        self.attend_stat = Attention(c)
        self.attend_struct = Attention(c)

    def forward(self, x):
        s = F.leaky_relu(self.statistical(x), LEAKY_SLOPE)
        t = F.leaky_relu(self.structural(x), LEAKY_SLOPE)
        upper = torch.cat([self.stat_to_stat(s), self.struct_to_stat(t)], 1)
        lower = torch.cat([self.stat_to_struct(s), self.struct_to_struct(t)], 1)
        return x + self.attend_stat(upper) + self.attend_struct(lower)

    def forward_folded(self, x):
        """The same block as two convolutions: C -> 2C, then 2C -> C with weights folded per image.

        The mean of a zero-padded convolution is linear in the windowed sums of its input, so the
        gates are known before the second stage is computed; gate and projection then fold into it.
        """
        k, p = self.statistical.k, self.statistical.k // 2
        first = torch.cat([self.statistical.fused_weight(), self.structural.fused_weight()])
        bias = torch.cat([self.statistical.bias, self.structural.bias])
        h = F.leaky_relu(F.conv2d(x, first, bias, padding=p), LEAKY_SLOPE)
        n, c2, height, width = h.shape
        c = c2 // 2
        sums = F.pad(h, (p, p, p, p)).unfold(2, height, 1).unfold(3, width, 1).sum(dim=(4, 5))
        mean = sums / (height * width)                                    # [n, 2c, k, k]

        zero = torch.zeros_like(self.stat_to_stat.fused_weight())
        def second(from_s, from_t):                                       # [2c, 2c, k, k]
            return torch.cat([torch.cat([from_s.fused_weight(), zero], 1),
                              torch.cat([zero, from_t.fused_weight()], 1)])
        out = x
        weight = torch.zeros(n, c, c2, k, k, dtype=x.dtype)
        offset = torch.zeros(n, c, dtype=x.dtype)
        for attend, from_s, from_t in ((self.attend_stat, self.stat_to_stat, self.struct_to_stat),
                                       (self.attend_struct, self.stat_to_struct, self.struct_to_struct)):
            w = second(from_s, from_t)
            b = torch.cat([from_s.bias, from_t.bias])
            gate = attend.gate(torch.einsum("oikl,nikl->no", w, mean) + b)   # [n, 2c]
            u = attend.project.weight[:, :, 0, 0]                            # [c, 2c]
            weight = weight + torch.einsum("co,no,oikl->ncikl", u, gate, w)
            offset = offset + torch.einsum("co,no,o->nc", u, gate, b) + attend.project.bias
        y = torch.cat([F.conv2d(h[j:j + 1], weight[j], offset[j], padding=p) for j in range(n)])
        return out + y


class DGPNet(nn.Module):
    """LR image [N, 3, H, W] in [0, 1] -> HR image [N, 3, sH, sW].

    unshuffle = u folds u x u pixels into channels first: for pairs whose LR already has HR's size
    (RealSR v1/v2, City100: scale 1, unshuffle 4) the body then runs on 1/u^2 of the pixels.
    """

    def __init__(self, scale=4, channels=32, blocks=4, kernel=3, unshuffle=1):
        super().__init__()
        self.config = OrderedDict(scale=scale, channels=channels, blocks=blocks, kernel=kernel,
                                  unshuffle=unshuffle)
        self.scale, self.factor = scale, unshuffle
        self.head = DGConv(3 * unshuffle ** 2, channels, kernel)
        self.body = nn.Sequential(*[AIIBlock(channels, kernel) for _ in range(blocks)])
        self.upsample = nn.Conv2d(channels, 3 * (scale * unshuffle) ** 2, 3, padding=1)
        self.tail = DGConv(3, 3, kernel)
        with torch.no_grad():                     # untrained, the network is bilinear upsampling
            self.upsample.weight.zero_()
            self.upsample.bias.zero_()
            for w in self.tail.weight.values():
                w.zero_()
            nn.init.dirac_(self.tail.weight["vc"])

    def forward(self, lr, folded=False):
        height, width = lr.shape[2:]
        u, s = self.factor, self.scale
        right, below = -width % u, -height % u
        padded = F.pad(lr, (0, right, 0, below), mode="reflect") if right or below else lr
        f = self.head(F.pixel_unshuffle(padded, u))
        for block in self.body:
            f = block.forward_folded(f) if folded else block(f)
        hr = F.pixel_shuffle(self.upsample(f), s * u)[:, :, :s * height, :s * width]
        base = lr if s == 1 else F.interpolate(lr, scale_factor=s, mode="bilinear", align_corners=False)
        return self.tail(hr + base)


def fuse(state, config):
    """Training state dict -> deploy state dict: every DGConv becomes {weight, bias}."""
    net = DGPNet(**config).double()
    net.load_state_dict(state)
    fused = OrderedDict()
    inside = [n for n, m in net.named_modules() if isinstance(m, DGConv)]
    for name, module in net.named_modules():
        if isinstance(module, DGConv):
            fused[name + ".weight"] = module.fused_weight().detach()
            fused[name + ".bias"] = module.bias.detach()
    for key, value in state.items():
        if not any(key.startswith(p + ".") for p in inside):
            fused[key] = value
    return fused


# --- safetensors, the on-disk form (PyTorch layout: OIHW kernels, [out, in] linears) ---

DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}


def save_safetensors(path, tensors, metadata=None):
    header, blobs, at = OrderedDict(), [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name, t in tensors.items():
        raw = t.detach().contiguous().numpy().tobytes()
        header[name] = dict(dtype=DTYPES[t.dtype], shape=list(t.shape), data_offsets=[at, at + len(raw)])
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def save_model(path, net, fused=False):
    config = dict(net.config)
    state = fuse(OrderedDict((k, v.double() if v.is_floating_point() else v)
                             for k, v in net.state_dict().items()), config) if fused else net.state_dict()
    state = OrderedDict((k, v.float() if v.is_floating_point() else v) for k, v in state.items())
    save_safetensors(path, state, dict(format="pt", architecture="dgpnet", fused=str(fused).lower(),
                                       config=json.dumps(config)))


def randomise(net, seed):
    """Make every path matter: nothing left zero or at the identity."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if p.dim() == 1 or "balance" in name or name.startswith(("upsample", "tail")):
                p.copy_(torch.randn(p.shape, generator=g) * 0.2)
    return net


def check():
    torch.manual_seed(1)
    x = torch.randn(2, 8, 13, 11, dtype=torch.float64)
    for k in (3, 5):
        conv = randomise(DGConv(8, 8, k), 2).double()
        print("DGConv k=%d parallel vs fused      max |d| = %.2e" % (k, (conv.forward_parallel(x) - conv(x)).abs().max()))
    for o in ("csg", "hg", "vg", "idg"):
        w = conv.kernels()[conv.operators.index(o)]
        print("sum of taps of %-3s                max |d| = %.2e" % (o, w.sum(dim=(2, 3)).abs().max()))
    xs = torch.randn(1, 1, 3, 3, dtype=torch.float64)
    w = torch.randn(1, 1, 3, 3, dtype=torch.float64)
    m = xs.mean()
    loc = torch.tensor([[5]])
    literal = dict(csg=(w * (xs - m)).sum(), csa=(w * (xs + m)).sum(),
                   hg=sum(w[0, 0, r, a] * (xs[0, 0, r, a] - xs[0, 0, r, 2 - a]) for r in range(3) for a in (0, 2)),
                   vg=sum(w[0, 0, a, c] * (xs[0, 0, a, c] - xs[0, 0, 2 - a, c]) for c in range(3) for a in (0, 2)),
                   idg=(w * (xs - xs[0, 0, 1, 2])).sum())
    kern = dict(csg=kernel_csg(w), csa=kernel_csa(w), hg=kernel_hg(w), vg=kernel_vg(w), idg=kernel_idg(w, loc))
    for o in literal:
        print("%-3s literal sum vs kernel form      |d| = %.2e" % (o, (literal[o] - (kern[o] * xs).sum()).abs()))
    for k in (3, 5):
        block = randomise(AIIBlock(8, k), 3).double()
        print("AIIBlock k=%d folded to two convs   max |d| = %.2e" % (k, (block(x) - block.forward_folded(x)).abs().max()))
    for scale, unshuffle in ((1, 1), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1)):
        net = randomise(DGPNet(scale, 8, 2, 3, unshuffle), 4).double()
        x = torch.rand(1, 3, 9, 7, dtype=torch.float64)
        y = net(x)
        assert y.shape == (1, 3, 9 * scale, 7 * scale)
        print("DGPNet x%d unshuffle %d folded         max |d| = %.2e" % (scale, unshuffle, (y - net(x, folded=True)).abs().max()))
        plain = DGPNet(scale, 8, 2, 3, unshuffle).double()(x)
        base = x if scale == 1 else F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
        print("DGPNet x%d untrained = bilinear         max |d| = %.2e" % (scale, (plain - base).abs().max()))
    n_train = sum(p.numel() for p in DGPNet(4, 64, 12).parameters())
    net = DGPNet(4, 64, 12)
    n_fused = sum(v.numel() for v in fuse(OrderedDict((k, v.double() if v.is_floating_point() else v) for k, v in net.state_dict().items()), dict(net.config)).values())
    print("DGPNet x4 C=64 N=12: %d training parameters, %d fused" % (n_train, n_fused))


if __name__ == "__main__":
    check()
