#!/usr/bin/env python3
"""dgp against PyTorch, torch.compile, ONNX Runtime, OpenVINO and ncnn: same weights, pixels and threads, float32.

Values first: who differs from PyTorch by more than a tolerance gets no time. Then rounds in which every program
runs once, in turn, so that whatever else the machine does meets all of them alike. Prints Markdown, writes JSON.
README.md beside this says how to read it.
"""
import argparse
import gc
import json
import os
import platform
import re
import sys
import tempfile
import warnings
from importlib import metadata
from pathlib import Path

import contest
import environment
import table

ROOT = Path(__file__).resolve().parents[2]
PARTS = ["inference", "training", "process"]
DGPNETS = ["tiny", "small", "base", "large"]
PEERS = ["pytorch-folded", "torch.compile", "onnxruntime", "openvino", "ncnn", "pytorch-parallel"]
PIXEL_TOLERANCE = 1e-3  # of values of the order of one
LOSS_TOLERANCE = 1e-4  # relative, of each of the first steps
EDSR_BYTES = 100e3  # an LR pixel, all peers together: their maps behind the pixel shuffles are 64 channels of x4
SMOKE = ["--models", "tiny", "--sizes", "24x16", "--train-models", "tiny", "--batch", "2", "--patch", "16",
         "--process-sizes", "24x16", "--peers", "pytorch-folded", "onnxruntime", "openvino", "ncnn", "--rounds", "1"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="what to compare")
    parser.add_argument("--models", nargs="+", default=["small", "base", "large", "edsr"], choices=[*DGPNETS, "edsr"],
                        help="of inference; random weights")
    parser.add_argument("--sizes", nargs="+", default=["480x270", "960x540"], help="LR width x height")
    parser.add_argument("--train-models", nargs="+", default=["base"], choices=DGPNETS, help="of training")
    parser.add_argument("--batch", type=int, default=8, help="patches a step")
    parser.add_argument("--patch", type=int, default=64, help="LR height and width of a patch")
    parser.add_argument("--process-sizes", nargs="+", default=["480x270", "8x8"],
                        help="of the pictures that whole processes enlarge, with DGPNet small")
    parser.add_argument("--peers", nargs="+", default=PEERS, choices=PEERS, help="beside PyTorch and dgp")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of every program")
    parser.add_argument("--seed", type=int, default=1, help="of weights and pixels")
    parser.add_argument("--dgp", default=str(ROOT / "build" / "dgp"), help="the program")
    parser.add_argument("--venv", default=str(ROOT / "build" / "peers-venv"),
                        help="virtual environment, made when missing; PEERS_PYTHON names a Python instead")
    parser.add_argument("--json", help="also write the results to this file")
    parser.add_argument("--smoke", action="store_true",
                        help="tiny sizes, one round: do all scripts work? Its times mean nothing")
    arguments = parser.parse_args([*SMOKE, *sys.argv[1:]] if "--smoke" in sys.argv[1:] else None)
    for name in ("rounds", "threads", "batch", "patch"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: expects at least 1")
    for size in (*arguments.sizes, *arguments.process_sizes):
        if len(size.split("x")) != 2 or not all(part.isdigit() and int(part) for part in size.split("x")):
            parser.error(f"--sizes {size}: expects WIDTHxHEIGHT, 480x270 for instance")
    if not os.access(arguments.dgp, os.X_OK):
        parser.error(f"{arguments.dgp}: no program there; build it with `make program`, or give --dgp")
    arguments.dgp = str(Path(arguments.dgp).resolve())
    return arguments


def random_pixels(arguments, *shape):
    import numpy
    return numpy.random.default_rng(arguments.seed).random(shape, dtype=numpy.float32)


def largest_difference(a, b):
    if a.shape != b.shape:
        raise ValueError(f"gives {a.shape}, not {b.shape}")
    return abs(a - b).max()


def largest_relative(a, b):
    return max(abs(x - y) / abs(y) for x, y in zip(a, b, strict=True))


def inference_task(model, size, folder, arguments):
    from dgpnet import random_model
    from edsr import random_edsr
    from inference import Task
    from weights import write_safetensors
    width, height = (int(part) for part in size.split("x"))
    edsr = model == "edsr"
    path = folder / "model.safetensors"
    write_safetensors(path, *(random_edsr(arguments.seed) if edsr else random_model(model, arguments.seed)))
    return Task(path, "edsr" if edsr else "dgpnet", random_pixels(arguments, 1, 3, height, width), arguments.threads,
                folder, arguments.dgp)


def play(kind, what, size, makers, distance, tolerance, arguments):
    """makers: of players, by name; the first is the reference."""
    rows = contest.play(list(makers.values()), list(makers), distance, tolerance, arguments.rounds)
    gc.collect()
    return {"kind": kind, "what": what, "input": size, "rows": rows}


def makers_of(kinds, task, arguments):
    chosen = [kind for kind in kinds if kind.name in ("pytorch", "dgp", *arguments.peers)]
    return {kind.name: lambda kind=kind: kind(task) for kind in chosen}


def compare_inference(model, size, folder, arguments):
    import inference
    task = inference_task(model, size, folder, arguments)
    fitting = [kind for kind in inference.PEERS if kind.only in (None, task.architecture)]
    makers = makers_of((inference.PyTorch, *fitting, inference.Dgp), task, arguments)
    kind = "stack" if model == "edsr" else "dgpnet"
    return play(kind, model, size, makers, largest_difference, PIXEL_TOLERANCE, arguments)


def compare_training(model, folder, arguments):
    import training
    from trainable import random_weights
    from weights import write_safetensors
    write_safetensors(folder / "model.safetensors", *random_weights(model, arguments.seed))
    n, p = arguments.batch, arguments.patch
    task = training.Task(model, folder / "model.safetensors", random_pixels(arguments, n, 3, p, p),
                         random_pixels(arguments, n, 3, 4 * p, 4 * p), arguments.threads, folder, arguments.dgp)
    makers = makers_of((training.PyTorch, *training.PEERS, training.Dgp), task, arguments)
    return play("step", f"{model}, a step", f"{n} of {p}x{p}", makers, largest_relative, LOSS_TOLERANCE, arguments)


def compare_processes(size, folder, arguments):
    import numpy
    import processes
    from PIL import Image
    task = inference_task("small", size, folder, arguments)
    picture = (task.pixels[0].transpose(1, 2, 0) * 255).round().astype(numpy.uint8)
    Image.fromarray(picture).save(folder / "lr.png")
    makers = {name: make for name, make in processes.processes(task, folder / "lr.png").items()
              if name in ("pytorch", "dgp", *arguments.peers)}
    return play("process", "small, a process", size, makers, largest_difference, processes.TOLERANCE, arguments)


def fits(model, size):
    """Whether memory is enough; says so where it is not. DGPNets of these sizes always fit."""
    width, height = (int(part) for part in size.split("x"))
    try:
        memory = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        memory = None
    needed = EDSR_BYTES * width * height
    if model != "edsr" or memory is None or 1024 * int(memory[1]) > needed:
        return True
    print(f"edsr {size} is left out: the peers together need some {needed / 1e9:.0f} GB, {int(memory[1]) / 1e6:.0f} GB are "
          "available", file=sys.stderr)
    return False


def contests(arguments):
    """Functions of a folder that is theirs, each of which gives one contest's result."""
    if "inference" in arguments.parts:
        for size in arguments.sizes:
            for model in (model for model in arguments.models if fits(model, size)):
                yield lambda folder: compare_inference(model, size, folder, arguments)
    if "training" in arguments.parts:
        for model in arguments.train_models:
            yield lambda folder: compare_training(model, folder, arguments)
    if "process" in arguments.parts:
        for size in arguments.process_sizes:
            yield lambda folder: compare_processes(size, folder, arguments)


def versions():
    found = {"python": platform.python_version()}
    for package in environment.PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def processor():
    """Its name as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main():
    arguments = parse_arguments()
    environment.enter(arguments.venv)
    warnings.filterwarnings("ignore")
    print(f"{processor()}, {arguments.threads} threads, {arguments.rounds} rounds; " +
          ", ".join(f"{name} {version}" for name, version in versions().items()))
    print("float32 throughout: oneDNN's default, OpenVINO's INFERENCE_PRECISION_HINT f32, ncnn without fp16 and bf16\n")
    print(table.HEADER, table.RULE, sep="\n", flush=True)
    results = []
    for compare in contests(arguments):
        with tempfile.TemporaryDirectory() as folder:
            results.append(compare(Path(folder)))
        print(*table.lines(results[-1]), sep="\n", flush=True)
    if arguments.json:
        everything = {"processor": processor(), "versions": versions(), "threads": arguments.threads,
                      "rounds": arguments.rounds, "contests": [table.as_json(result) for result in results]}
        Path(arguments.json).write_text(json.dumps(everything, indent=2) + "\n")
    wrong = [result["what"] for result in results if not result["rows"][-1]["ms"]]  # dgp stands last
    return f"dgp's values differ from PyTorch's: {', '.join(wrong)}" if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
