"""dgp's side: the program is run and its JSON read."""
import json
import subprocess

from rows import result

PRECISIONS = {"f32": "full", "tf32": "tf32", "bf16": "bf16", "f16": "f16"}  # and dgp's names of them


class Dgp:
    def __init__(self, program):
        self.program = program
        self.machine, self.peak_gflops, self.bandwidth_gbs = "", 0.0, 0.0

    def run(self, *arguments):
        command = [self.program, "bench", *map(str, arguments), "--device", "cuda", "--json"]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if run.returncode:
            raise SystemExit(f"`{' '.join(command)}` ended with status {run.returncode}; its message is above")
        found = json.loads(run.stdout)
        self.machine = found["machine"]
        self.peak_gflops = max(self.peak_gflops, found.get("peak_gflops", 0))
        self.bandwidth_gbs = max(self.bandwidth_gbs, found.get("bandwidth_gbs", 0))
        return found

    def conv(self, shape, seconds, precision="f32"):
        """Result and GFLOP of a forward convolution."""
        row = self.run("conv", "--shape", shape, "--seconds", seconds, "--precision", PRECISIONS[precision])["rows"][0]
        return result(row["ms"]), row["gflops"] * row["ms"] / 1e3

    def model(self, name, size, runs, precision="f32", *more):
        """`name` is a preset or a weights file; more: --input and --output, to compare values."""
        row = self.run("model", name, "--size", size, "--runs", runs, "--precision", PRECISIONS[precision], *more)["rows"][0]
        return result(row["ms"], row["peak_bytes"]), 2e-9 * row["multiply_adds"]

    def step(self, name, batch, patch, runs, precision="f32"):
        found = self.run("step", name, "--batch", batch, "--patch", patch, "--runs", runs, "--precision", PRECISIONS[precision])
        return result(found["median_ms"], found["peak_bytes"]), found["gflop"]
