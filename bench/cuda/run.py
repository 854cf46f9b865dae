#!/usr/bin/env python3
"""dgp beside PyTorch on this machine's NVIDIA GPU: builds, tests, measures and prints the tables, within ten minutes.

README.md beside this says what is measured and how to read it.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dgp import Dgp
from rows import result, table

ROOT = Path(__file__).resolve().parents[2]
PRESETS = ["tiny", "small", "base", "large"]
PRECISIONS = ["f32", "tf32", "bf16", "f16"]
COMPILE_SECONDS = 60  # that torch.compile takes at most for one row
ROW_SECONDS = 6  # that a row takes without it: both programs, their start and the pictures that are compared
TOLERANCE = {"f32": 1e-3, "tf32": 2e-2, "bf16": 0.2, "f16": 5e-2}  # of values of the order of one
SMOKE = ["--skip-build", "--skip-tests", "--models", "tiny", "--sizes", "6x5", "--conv", "1x5x6x3x4x3", "--train", "tiny",
         "--batch", "1", "--patch", "4", "--runs", "1"]


def size(text):
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text}: expects WIDTHxHEIGHT, 480x270 for instance")
    return text


def shape(text):
    parts = text.split("x")
    if len(parts) != 6 or not all(part.isdigit() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text}: expects NxHxWxCINxCOUTxK, 1x1080x1920x64x64x3 for instance")
    return text


def positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expects a whole number of at least 1")
    return int(text)


def parse_arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["small", "base", "large"], choices=PRESETS, help="of inference")
    parser.add_argument("--sizes", nargs="+", default=["480x270", "960x540", "1920x1080"], type=size,
                        help="LR width x height")
    parser.add_argument("--conv", default="1x1080x1920x64x64x3", type=shape, help="the convolution, NxHxWxCINxCOUTxK")
    parser.add_argument("--train", default="base", choices=PRESETS, help="of the training step")
    parser.add_argument("--batch", default=16, type=positive, help="patches a step")
    parser.add_argument("--patch", default=64, type=positive, help="LR height and width of a patch")
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS, help="rows of each")
    parser.add_argument("--runs", default=20, type=positive, help="the median of so many")
    parser.add_argument("--minutes", default=10, type=positive,
                        help="of all together: torch.compile is left out of rows for which they do not suffice")
    parser.add_argument("--dgp", help="the program; without it that of --build")
    parser.add_argument("--build", default=str(ROOT / "build-cuda"), help="build folder")
    parser.add_argument("--skip-build", action="store_true", help="take what is built")
    parser.add_argument("--skip-tests", action="store_true", help="do not run the tests on the GPU first")
    parser.add_argument("--json", help="also write the rows to this file")
    parser.add_argument("--smoke", action="store_true",
                        help="tiny sizes, nothing built or tested: does the script work? Its times mean nothing")
    arguments = parser.parse_args([*SMOKE, *words] if "--smoke" in words else words)
    arguments.dgp = arguments.dgp or str(Path(arguments.build) / "dgp")
    if arguments.skip_build and not os.access(arguments.dgp, os.X_OK):
        parser.error(f"{arguments.dgp}: no program there; leave out --skip-build, or give --dgp")
    return arguments


class Budget:
    """What remains of the minutes, for so many rows."""

    def __init__(self, minutes, rows, clock=time.monotonic):
        self.clock, self.end, self.rows = clock, clock() + 60 * minutes, rows

    def ways(self):
        """How PyTorch runs the next row: compiled as well while that leaves time for the rows behind it."""
        self.rows -= 1
        enough = self.end - self.clock() > 2 * COMPILE_SECONDS + ROW_SECONDS * self.rows
        return ["eager", "CUDA graph", *(["torch.compile"] if enough else [])]


def step(what, command):
    print(f"{what} ...", file=sys.stderr, flush=True)
    if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode:
        raise SystemExit(f"{what} failed: {' '.join(command)}; its message is above")


def prepare(arguments):
    if not arguments.skip_build:
        step("Building for this GPU", ["make", "CUDA=1", f"BUILD={arguments.build}",
                                       "CMAKE_FLAGS=-DDGP_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=native"])
    if not arguments.skip_tests:
        for program in ("test_ops", "test_gpu"):
            step(f"Testing, {program}", [str(Path(arguments.build) / "tests" / program)])


def load_pytorch():
    """The module, or why there is none."""
    try:
        import pytorch
        import torch
    except ImportError as error:
        return None, f"no PyTorch ({error.name})"
    if not torch.cuda.is_available():
        return None, "PyTorch without a GPU"
    return pytorch, ""


def row(what, input, precision, gflop, dgp, peer):
    return {"what": what, "input": input, "precision": precision, "gflop": gflop, "dgp": dgp, "pytorch": peer}


def conv_rows(arguments, dgp, pytorch, why, budget):
    for name in arguments.precisions:
        own, gflop = dgp.conv(arguments.conv, 0.01 if arguments.smoke else 1, name)
        peer = pytorch.conv(arguments.conv, name, arguments.runs, budget.ways()) if pytorch else result(note=why)
        yield row("convolution", arguments.conv, name, gflop, own, peer)


def model_rows(arguments, dgp, pytorch, why, budget):
    with tempfile.TemporaryDirectory(prefix="dgp-cuda-") as folder:
        for preset in arguments.models:
            model = pytorch.Model(preset, Path(folder)) if pytorch else None
            for lr_size in arguments.sizes:
                yield from one_model(arguments, dgp, model, preset, lr_size, Path(folder), why, budget)


def one_model(arguments, dgp, model, preset, lr_size, folder, why, budget):
    if model is None:
        for name in arguments.precisions:
            own, gflop = dgp.model(preset, lr_size, arguments.runs, name)
            yield row(f"DGPNet {preset} x4", lr_size, name, gflop, own, result(note=why))
        return
    import numpy
    import pytorch
    width, height = (int(part) for part in lr_size.split("x"))
    lr = pytorch.pixels(1, 3, height, width)
    numpy.save(folder / "lr.npy", lr.numpy().transpose(0, 2, 3, 1).copy())
    files = ["--input", folder / "lr.npy", "--output", folder / "hr.npy"]
    dgp.model(model.path, lr_size, arguments.runs, "f32", *files)
    reference = numpy.load(folder / "hr.npy").transpose(0, 3, 1, 2)
    for name in arguments.precisions:
        own, gflop = dgp.model(model.path, lr_size, arguments.runs, name, *files)
        found = float(abs(numpy.load(folder / "hr.npy").transpose(0, 3, 1, 2) - reference).max())
        if not found <= TOLERANCE[name]:
            own = result(note=f"differs from its f32 by {found:.1e}")
        peer, hr = model.run(lr, name, arguments.runs, budget.ways())
        difference = float(abs(hr.numpy() - reference).max())
        if not difference <= TOLERANCE[name]:  # values before speeds
            peer = result(note=f"differs from dgp by {difference:.1e}")
        yield row(f"DGPNet {preset} x4", lr_size, name, gflop, own, peer)


def step_rows(arguments, dgp, pytorch, why, budget):
    for name in arguments.precisions:
        own, gflop = dgp.step(arguments.train, arguments.batch, arguments.patch, arguments.runs, name)
        peer = (pytorch.step(arguments.train, arguments.batch, arguments.patch, name, arguments.runs, budget.ways())
                if pytorch else result(note=why))
        yield row(f"a step of {arguments.train}", f"{arguments.batch} of {arguments.patch}x{arguments.patch}", name, gflop,
                  own, peer)


def row_count(arguments):
    return len(arguments.precisions) * (2 + len(arguments.models) * len(arguments.sizes))


def main(words):
    arguments = parse_arguments(words)
    budget = Budget(arguments.minutes, row_count(arguments))
    prepare(arguments)
    dgp = Dgp(arguments.dgp)
    pytorch, why = load_pytorch()
    rows = []
    for part in (conv_rows, step_rows, model_rows):
        for one in part(arguments, dgp, pytorch, why, budget):
            print(f"{one['what']}, {one['input']}, {one['precision']}", file=sys.stderr, flush=True)
            rows.append(one)
    print(table(rows, dgp.machine, dgp.peak_gflops, dgp.bandwidth_gbs))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"machine": dgp.machine, "rows": rows}, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
