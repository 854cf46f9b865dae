"""Writes tests/golden/optimizer.json: steps of PyTorch's Adam and AdamW, and its learning rate schedules.

Run `python3 tests/reference/optimizer_vectors.py` (PyTorch 1.13 or newer) from anywhere. Values are float64.
"""
import json
import math
import os

import torch

STEPS, SIZE = 8, 5


def start(i):
    return math.sin(1.0 + i)


def gradient(step, i):
    return math.cos(3.0 * step + i) * 10.0 ** (-(i % 3))


def run(optimizer, **options):
    w = torch.nn.Parameter(torch.tensor([start(i) for i in range(SIZE)], dtype=torch.float64))
    opt = optimizer([w], lr=0.01, betas=(0.9, 0.99), eps=1e-8, **options)
    out = []
    for step in range(STEPS):
        w.grad = torch.tensor([gradient(step, i) for i in range(SIZE)], dtype=torch.float64)
        opt.step()
        out.append(w.detach().tolist())
    return out


def rates(make, steps):
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-4)
    schedule = make(opt)
    out = []
    for _ in range(steps):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step()
    return out


scheduler = torch.optim.lr_scheduler
golden = dict(
    adam=run(torch.optim.Adam),
    adam_decay=run(torch.optim.Adam, weight_decay=0.1),
    adamw=run(torch.optim.AdamW, weight_decay=0.1),
    cosine=rates(lambda o: scheduler.CosineAnnealingLR(o, 20, eta_min=1e-6), 20),
    multistep=rates(lambda o: scheduler.MultiStepLR(o, [5, 12], gamma=0.5), 20),
)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "optimizer.json")
with open(path, "w") as f:
    json.dump(golden, f, indent=1)
    f.write("\n")
