"""Writes tests/golden/optimizer.json: steps of optimisers, and learning rate schedules. Values are float64.

Adam, AdamW, SGD and the schedules are PyTorch's; schedule-free AdamW is its authors' package `schedulefree`
(written with 1.4); Adan follows the update of the paper's Algorithm 1 as its authors' code has it. BasicSR's
restarts are written out from the definition of its CosineAnnealingRestartLR.

Run `python3 tests/reference/optimizer_vectors.py` (PyTorch, schedulefree) from anywhere.
"""
import json
import math
import os

import schedulefree
import torch

STEPS, SIZE = 8, 5


def start(i):
    return math.sin(1.0 + i)


def gradient(step, i):
    return math.cos(3.0 * step + i) * 10.0 ** (-(i % 3))


def gradients(step):
    return torch.tensor([gradient(step, i) for i in range(SIZE)], dtype=torch.float64)


def starts():
    return torch.tensor([start(i) for i in range(SIZE)], dtype=torch.float64)


def run(optimizer, **options):
    w = torch.nn.Parameter(starts())
    opt = optimizer([w], lr=0.01, **options)
    out = []
    for step in range(STEPS):
        w.grad = gradients(step)
        opt.step()
        out.append(w.detach().tolist())
    return out


def run_schedule_free(rates, **options):
    """Both points: where gradients are taken (y), and what is evaluated (x)."""
    w = torch.nn.Parameter(starts())
    opt = schedulefree.AdamWScheduleFree([w], lr=0.01, foreach=False, **options)
    out = []
    for step in range(STEPS):
        opt.train()
        w.grad = gradients(step)
        opt.param_groups[0]["lr"] = rates[step]
        opt.step()
        y = w.detach().tolist()
        opt.eval()
        out.append(dict(y=y, x=w.detach().tolist()))
    return out


def run_adan(betas, weight_decay, lr=0.01, eps=1e-8):
    w, (b1, b2, b3) = starts(), betas
    m, v, n = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w)
    before = None
    out = []
    for step in range(1, STEPS + 1):
        g = gradients(step - 1)
        d = torch.zeros_like(g) if before is None else g - before
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * d
        n = b3 * n + (1 - b3) * (g + b2 * d) ** 2
        denominator = n.sqrt() / math.sqrt(1 - b3 ** step) + eps
        w = w - lr / (1 - b1 ** step) * m / denominator
        w = w - lr * b2 / (1 - b2 ** step) * v / denominator
        w = w / (1 + lr * weight_decay)
        before = g
        out.append(w.tolist())
    return out


def cosine_restarts(lr, periods, weights, eta_min, steps):
    ends = [sum(periods[:i + 1]) for i in range(len(periods))]
    out = []
    for i in range(steps):
        k = next(j for j, end in enumerate(ends) if i <= end)
        begin = ends[k - 1] if k else 0
        out.append(eta_min + weights[k] * 0.5 * (lr - eta_min) * (1 + math.cos(math.pi * (i - begin) / periods[k])))
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
    adam=run(torch.optim.Adam, betas=(0.9, 0.99)),
    adam_decay=run(torch.optim.Adam, betas=(0.9, 0.99), weight_decay=0.1),
    adamw=run(torch.optim.AdamW, betas=(0.9, 0.99), weight_decay=0.1),
    sgd=run(torch.optim.SGD, momentum=0.9, weight_decay=0.1),
    sgd_plain=run(torch.optim.SGD),
    sgd_nesterov=run(torch.optim.SGD, momentum=0.9, nesterov=True),
    adan=run_adan((0.98, 0.92, 0.99), 0.1),
    schedulefree=run_schedule_free([0.01 * min(1, (i + 1) / 3) for i in range(STEPS)], weight_decay=0.1),
    cosine=rates(lambda o: scheduler.CosineAnnealingLR(o, 20, eta_min=1e-6), 20),
    cosine_restart=cosine_restarts(2e-4, [6, 8, 6], [1, 0.5, 2], 1e-6, 20),
    onecycle=rates(lambda o: scheduler.OneCycleLR(o, 2e-4, total_steps=20, pct_start=0.25, div_factor=10,
                                                  final_div_factor=100, cycle_momentum=False), 20),
    multistep=rates(lambda o: scheduler.MultiStepLR(o, [5, 12], gamma=0.5), 20),
)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "optimizer.json")
with open(path, "w") as f:
    json.dump(golden, f, indent=1)
    f.write("\n")
