"""Writes tests/golden/{dgconv,aiiblock,dgpnet,adam}*.safetensors from the PyTorch reference, in float64.

Run `python3 tests/reference/dgpnet_vectors.py` (PyTorch 1.13 or newer) from anywhere. Every random number
comes from a fixed seed, so a second run with the same PyTorch writes the same bytes.
"""
import os
from collections import OrderedDict

import torch

import dgpnet_reference as ref
from dgpnet_reference import AIIBlock, DGConv, DGPNet, OPERATORS, STATISTICAL, STRUCTURAL

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")


def write(name, tensors):
    path = os.path.join(GOLDEN, name + ".safetensors")
    ref.save_safetensors(path, tensors, dict(source="tests/reference/dgpnet_vectors.py"))


def single(net):
    """Weights that float32 holds exactly, computed with in float64."""
    return net.float().double()


def parameters(net):
    state = net.state_dict().items()
    return OrderedDict((k, v.float() if v.is_floating_point() else v.clone()) for k, v in state)


def keep(name, tensor):
    """Results stay float64, but for the many weights of the first balance layer, to keep the files small."""
    tensor = tensor.detach().clone()
    return tensor.float() if name.endswith("balance.0.weight") else tensor


def gradients(net):
    return OrderedDict(("grad." + k, keep(k, p.grad)) for k, p in net.named_parameters())


def dgconv():
    """Kernels, balance factors, fused weight, result and gradients of single layers."""
    for form, operators, k in (("all", OPERATORS, 3), ("all", OPERATORS, 5), ("statistical", STATISTICAL, 3),
                               ("structural", STRUCTURAL, 3)):
        torch.manual_seed(k)
        conv = single(ref.randomise(DGConv(2, 3, k, operators), k))
        x = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
        y = conv.forward_parallel(x)
        dy = torch.randn_like(y)
        y.backward(dy)
        kernels = conv.kernels().detach()
        out = parameters(conv)
        out.update(kernels=kernels, alpha=conv.balance_factors(kernels).detach(),
                   fused_weight=conv.fused_weight().detach(), x=x, y=y, dy=dy, dx=x.grad)
        out.update(gradients(conv))
        write("dgconv_%s_k%d" % (form, k), out)


def aiiblock():
    """A block's result and gradients (k = 3: every one); two images, so that each has gates of its own."""
    for k, channels in ((3, 3), (5, 1)):
        torch.manual_seed(10 + k)
        block = single(ref.randomise(AIIBlock(channels, k), k))
        x = torch.randn(2, channels, 6, 5, dtype=torch.float64, requires_grad=True)
        y = block(x)
        dy = torch.randn_like(y)
        y.backward(dy)
        out = parameters(block)
        out.update(x=x, y=y, dy=dy, dx=x.grad)
        if k == 3:
            out.update(gradients(block))
        write("aiiblock_k%d" % k, out)


# scale, channels, blocks, kernel, unshuffle, images, height, width, form of the file
FORWARD = (
    (1, 2, 1, 3, 1, 1, 1, 1, "fused"),
    (1, 2, 1, 3, 4, 2, 9, 7, "training"),
    (1, 8, 1, 3, 4, 1, 18, 23, "fused"),
    (2, 2, 2, 3, 1, 1, 11, 8, "training"),
    (2, 5, 1, 3, 2, 1, 5, 13, "fused"),
    (2, 5, 1, 5, 2, 1, 7, 7, "fused"),
    (3, 2, 1, 5, 1, 1, 3, 10, "fused"),
    (3, 9, 1, 3, 1, 1, 6, 1, "fused"),
    (4, 4, 1, 3, 1, 3, 3, 6, "training"),
    (4, 8, 2, 3, 1, 1, 12, 9, "fused"),
)


def forward():
    """Whole networks in the files that PyTorch users exchange, with an input and its result."""
    for case in FORWARD:
        scale, channels, blocks, kernel, unshuffle, images, height, width, form = case
        torch.manual_seed(sum(case[:-1]))
        net = single(ref.randomise(DGPNet(scale, channels, blocks, kernel, unshuffle), channels))
        x = torch.rand(images, 3, height, width).double()
        y = net(x).detach()
        name = "dgpnet_x%d_c%d_b%d_k%d_u%d" % case[:5]
        ref.save_model(os.path.join(GOLDEN, name + ".safetensors"), net, form == "fused")
        write(name + "_io", dict(x=x.float(), y=y))


def training():
    """Gradients of every parameter, then ten Adam steps on the same pair."""
    torch.manual_seed(7)
    net = single(ref.randomise(DGPNet(2, 2, 1), 7))
    x = torch.rand(2, 3, 6, 5, dtype=torch.float64)
    target = torch.rand(2, 3, 12, 10, dtype=torch.float64)
    out = parameters(net)
    out.update(x=x, target=target)
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for step in range(10):
        adam.zero_grad()
        loss = (net(x) - target).abs().mean()
        loss.backward()
        if step == 0:
            out.update(gradients(net))
        losses.append(loss.detach())
        adam.step()
    out["losses"] = torch.stack(losses)
    out.update(("final." + k, keep(k, p)) for k, p in net.named_parameters())
    write("dgpnet_adam", out)


if __name__ == "__main__":
    os.makedirs(GOLDEN, exist_ok=True)
    dgconv()
    aiiblock()
    forward()
    training()
