"""Whole processes, from launch to the written picture: what a user waits for who enlarges one."""
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

import environment

HERE = Path(__file__).resolve().parent
TOLERANCE = 1  # of 255: values may fall on the other side of a rounding


class Process:
    counts, note = True, ""

    def __init__(self, name, command, target):
        self.name, self.command, self.target = name, command, target

    def result(self):
        self.time()
        return np.asarray(Image.open(self.target), dtype=np.int16)

    def time(self):
        start = time.perf_counter()
        run = subprocess.run(self.command, stderr=subprocess.PIPE, text=True, env=environment.plain())
        elapsed = 1000 * (time.perf_counter() - start)
        if run.returncode:
            raise RuntimeError((run.stderr.strip() or f"status {run.returncode}").splitlines()[-1])
        return elapsed

    def close(self):
        pass


def processes(task, picture):
    """Makers of the contest's players, by name; `task` is one of inference.py's, of a DGPNet."""
    def peer(name, model):
        target = str(task.folder / f"{name}.png")
        script = [sys.executable, str(HERE / "upscale_with.py"), name, model, str(picture), target, str(task.threads)]
        return Process(name, script, target)

    def dgp():
        target = str(task.folder / "dgp.png")
        command = [task.dgp, "upscale", str(picture), "-o", target, "-m", str(task.model), "--threads",
                   str(task.threads), "--quiet"]
        return Process("dgp", command, target)

    return {"pytorch": lambda: peer("pytorch", str(task.model)), "onnxruntime": lambda: peer("onnxruntime", task.onnx()),
            "openvino": lambda: peer("openvino", task.onnx()), "dgp": dgp}
