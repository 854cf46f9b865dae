"""Who takes part in training: one step is forward, L1 loss, backward and Adam, on the same batch each time.

What is compared before speeds are the losses of the first steps: programs that start from the same weights and agree
in all of them agree in forward, gradients and optimiser.
"""
import json
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import environment
from trainable import TrainableDGPNet
from weights import read_safetensors

COMPARED_STEPS = 5
STEPS_A_TURN = 3  # of which the median is reported
RATE, BETAS = 3e-4, (0.9, 0.99)


@dataclass
class Task:
    preset: str
    model: Path  # safetensors, the training form
    lr: np.ndarray  # [N,3,P,P]
    hr: np.ndarray  # [N,3,4P,4P]
    threads: int
    folder: Path
    dgp: str


class PyTorch:
    """Eager, channels last, Adam in its fused form."""
    name, form = "pytorch", "fused"
    counts, note = True, ""

    def __init__(self, task):
        torch.set_num_threads(task.threads)
        self.net = TrainableDGPNet(task.preset, self.form)
        self.net.load_state_dict(read_safetensors(task.model)[0])
        self.net = self.net.to(memory_format=torch.channels_last)
        self.lr, self.hr = (torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
                            for pixels in (task.lr, task.hr))
        self.adam = torch.optim.Adam(self.net.parameters(), lr=RATE, betas=BETAS, eps=1e-8, fused=True)
        self.loss = self.l1

    def l1(self):
        return F.l1_loss(self.net(self.lr), self.hr)

    def step(self):
        self.adam.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        self.adam.step()
        return loss.item()

    def result(self):
        return [self.step() for _ in range(COMPARED_STEPS)]

    def time(self):
        times = []
        for _ in range(STEPS_A_TURN):
            start = time.perf_counter()
            self.step()
            times.append(1000 * (time.perf_counter() - start))
        return statistics.median(times)

    def close(self):
        pass


class Compiled(PyTorch):
    """Forward, loss and backward compiled."""
    name = "torch.compile"

    def __init__(self, task):
        super().__init__(task)
        import torch._inductor.config
        torch._dynamo.reset()
        torch._inductor.config.freezing = False
        self.loss = torch.compile(self.l1, dynamic=False)


class Parallel(PyTorch):
    """As the paper draws it: six convolutions where dgp and the rows above have one."""
    name, form = "pytorch-parallel", "parallel"
    counts, note = False, "a convolution an operator"


class Dgp:
    """dgp bench step, a process each turn."""
    name = "dgp"
    counts, note = True, ""

    def __init__(self, task):
        for name, pixels in (("lr", task.lr), ("hr", task.hr)):
            np.save(task.folder / f"{name}.npy", np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)))
        batch, _, patch, _ = task.lr.shape
        self.command = [task.dgp, "bench", "step", str(task.model), "--json", "--batch", str(batch), "--patch", str(patch),
                        "--input", str(task.folder / "lr.npy"), "--target", str(task.folder / "hr.npy"),
                        "--rate", str(RATE), "--threads", str(task.threads)]

    def run(self, warmup, runs):
        command = [*self.command, "--warmup", str(warmup), "--runs", str(runs)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment.plain())
        if run.returncode:
            raise SystemExit(f"dgp bench step ended with status {run.returncode}; its message is above")
        return json.loads(run.stdout)

    def result(self):
        return self.run(0, COMPARED_STEPS)["losses"]

    def time(self):
        return self.run(2, STEPS_A_TURN)["median_ms"]

    def close(self):
        pass


PEERS = (Compiled, Parallel)  # beside PyTorch, the reference, and dgp
