#!/usr/bin/env python3
"""dgp against PyTorch, torch.compile, ONNX Runtime and OpenVINO: the same weights, pixels and threads.

Values first: a peer, or dgp, whose result differs from PyTorch's float32 by more than the tolerance gets no
time. Then rounds in which every program runs once, in turn, so that whatever else the machine does meets all
of them alike; medians and quartiles over the rounds. Prints Markdown, writes JSON. See README.md beside this.
"""
import argparse
import gc
import json
import os
import platform
import sys
import tempfile
import time
import warnings
from importlib import metadata
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-3
OPTIONAL = ["pytorch-folded", "torch.compile", "onnxruntime", "openvino"]
PAUSE = 0.05  # seconds between turns: thread pools spin for a while after a run


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["small", "base", "large"],
                        choices=["tiny", "small", "base", "large"], help="presets, with random weights")
    parser.add_argument("--sizes", nargs="+", default=["480x270", "960x540"], help="LR width x height")
    parser.add_argument("--peers", nargs="+", default=OPTIONAL, choices=OPTIONAL,
                        help="beside PyTorch and dgp")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of every program")
    parser.add_argument("--seed", type=int, default=1, help="of weights and pixels")
    parser.add_argument("--dgp", default=str(ROOT / "build" / "dgp"), help="the program")
    parser.add_argument("--venv", default=str(ROOT / "build" / "peers-venv"),
                        help="virtual environment, made when missing; PEERS_PYTHON names a Python instead")
    parser.add_argument("--json", help="also write the results to this file")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.threads < 1:
        parser.error("--rounds and --threads: expect at least 1")
    for size in arguments.sizes:
        if len(size.split("x")) != 2 or not all(part.isdigit() and int(part) for part in size.split("x")):
            parser.error(f"--sizes {size}: expects WIDTHxHEIGHT, 480x270 for instance")
    if not os.access(arguments.dgp, os.X_OK):
        parser.error(f"{arguments.dgp}: no program there; build it with `make program`, or give --dgp")
    return arguments


def start(kinds, make):
    """Peers that work, with their first output, and one row each; a failure is noted in its row."""
    running, rows = [], []
    reference = None
    for kind in kinds:
        row = {"name": kind.name, "difference": None, "ms": None, "note": ""}
        rows.append(row)
        try:
            peer = make(kind)
            result = peer.output()
        except Exception as error:  # whatever a peer raises: the others still run
            if reference is None or kind.name == "dgp":
                raise
            row["note"] = f"{type(error).__name__}: {(str(error).strip() or ' ').splitlines()[0]}"[:120]
            continue
        reference = result if reference is None else reference
        if result.shape != reference.shape:
            row["note"] = f"gives {result.shape}, not {reference.shape}"
            peer.close()
            continue
        row["difference"] = float(abs(result - reference).max())
        if not row["difference"] <= TOLERANCE:
            row["note"] = f"differs from PyTorch by {row['difference']:.1e}"
            peer.close()
            continue
        running.append((peer, row))
    return running, rows


def measure(running, rounds):
    import numpy
    times = {row["name"]: [] for _, row in running}
    for index in range(rounds + 1):  # the first round warms up
        for peer, row in running:
            time.sleep(PAUSE)
            elapsed = peer.time()
            if index:
                times[row["name"]].append(elapsed)
    for peer, row in running:
        lower, median, upper = numpy.percentile(times[row["name"]], (25, 50, 75))
        row.update(ms=float(median), lower_ms=float(lower), upper_ms=float(upper), runs=times[row["name"]])
        peer.close()


def compare(model, size, arguments):
    import numpy
    from network import random_model, write_safetensors
    from peers import PEERS, Dgp
    width, height = (int(part) for part in size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "model.safetensors"
        write_safetensors(path, *random_model(model, arguments.seed))
        shape = (1, 3, height, width)
        pixels = numpy.random.default_rng(arguments.seed).random(shape, dtype=numpy.float32)

        def make(kind):
            program = [arguments.dgp] if kind is Dgp else []
            return kind(*program, path, pixels, arguments.threads, folder)

        kinds = [kind for kind in PEERS if kind.name in ("pytorch", *arguments.peers)]
        running, rows = start([*kinds, Dgp], make)
        measure(running, arguments.rounds)
        running.clear()
        gc.collect()
    return {"model": model, "size": size, "rows": rows}


def ratio(result):
    """The fastest peer's time over dgp's, and its name; None where there is no time."""
    timed = [row for row in result["rows"] if row["ms"]]
    dgp = [row for row in timed if row["name"] == "dgp"]
    others = [row for row in timed if row["name"] != "dgp"]
    if not dgp or not others:
        return None, ""
    fastest = min(others, key=lambda row: row["ms"])
    return fastest["ms"] / dgp[0]["ms"], fastest["name"]


def print_result(result):
    for row in result["rows"]:
        cells = [result["model"], result["size"], row["name"]]
        if row["ms"]:
            cells += [f"{row['ms']:.1f}", f"{row['lower_ms']:.1f} to {row['upper_ms']:.1f}"]
        else:
            cells += ["", row["note"]]
        cells.append("" if row["difference"] is None else f"{row['difference']:.1e}")
        factor, name = ratio(result) if row["name"] == "dgp" else (None, "")
        cells.append(f"{factor:.2f} ({name})" if factor else "")
        print("| " + " | ".join(cells) + " |", flush=True)


def versions():
    found = {"python": platform.python_version()}
    for package in environment.PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def main():
    arguments = parse_arguments()
    environment.enter(arguments.venv)
    warnings.filterwarnings("ignore")
    print(", ".join(f"{name} {version}" for name, version in versions().items()) +
          f"; {arguments.threads} threads, {arguments.rounds} rounds\n")
    print("| model | LR size | program | median ms | quartiles | max difference | fastest peer / dgp |")
    print("|---|---|---|---|---|---|---|", flush=True)
    results = []
    for size in arguments.sizes:
        for model in arguments.models:
            results.append(compare(model, size, arguments))
            print_result(results[-1])
    if arguments.json:
        everything = {"versions": versions(), "threads": arguments.threads, "rounds": arguments.rounds,
                      "results": [dict(r, fastest_peer_over_dgp=ratio(r)[0], fastest_peer=ratio(r)[1])
                                  for r in results]}
        Path(arguments.json).write_text(json.dumps(everything, indent=2) + "\n")
    wrong = [r for r in results if r["rows"][-1]["ms"] is None]  # dgp stands last
    return "dgp's values differ from PyTorch's: see the table" if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
