"""Writes tests/golden/inspect.json: what each operator of a DGConv contributes, from the PyTorch reference.

Run `python3 tests/reference/inspect_vectors.py` after dgpnet_vectors.py (PyTorch 1.13 or newer): it reads the
training-form network dgpnet_x2_c2_b2_k3_u1 and its input, takes the input of chosen DGConvs with hooks, and writes
per operator the balance factor, the root mean square of alpha_o (W_o * x) and one value of it, in float64.
"""
import json
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F

from dgpnet_reference import DGPNet

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
NETWORK = "dgpnet_x2_c2_b2_k3_u1"
LAYERS = ("head", "body.0.structural", "body.1.stat_to_stat", "body.1.struct_to_struct", "tail")


def tensors(name):
    with open(os.path.join(GOLDEN, name + ".safetensors"), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    kinds = {"F32": np.float32, "F64": np.float64, "I64": np.int64}
    metadata = header.pop("__metadata__")
    read = {k: torch.from_numpy(np.frombuffer(data[slice(*v["data_offsets"])], kinds[v["dtype"]]).reshape(v["shape"])
                                .copy()) for k, v in header.items()}
    return read, metadata


if __name__ == "__main__":
    state, metadata = tensors(NETWORK)
    assert metadata["fused"] == "false"
    net = DGPNet(**json.loads(metadata["config"])).double()
    net.load_state_dict(state)
    image = tensors(NETWORK + "_io")[0]["x"][:1].double()
    modules = dict(net.named_modules())
    inputs = {}
    for layer in LAYERS:
        modules[layer].register_forward_hook(lambda m, i, o, layer=layer: inputs.__setitem__(layer, i[0]))
    out = {}
    with torch.no_grad():
        net(image)
        for layer in LAYERS:
            conv = modules[layer]
            kernels = conv.kernels()
            for name, alpha, w in zip(conv.operators, conv.balance_factors(kernels), kernels):
                y = alpha * F.conv2d(inputs[layer], w, padding=conv.k // 2)
                out.setdefault(layer, {})[name] = dict(alpha=alpha.item(), rms=(y ** 2).mean().sqrt().item(),
                                                       at_2_3_last=y[0, -1, 2, 3].item())
    with open(os.path.join(GOLDEN, "inspect.json"), "w") as file:
        json.dump(dict(source="tests/reference/inspect_vectors.py", network=NETWORK, layers=out), file, indent=1)
        file.write("\n")
