#!/usr/bin/env python3
"""What `dgp upscale` of one small picture takes beside the network: start, weights, decoding, encoding, disk.

    python3 bench/startup.py --dgp build/dgp [--models tiny real-x4] [--runs 15]

For each model the whole process and one run of the network alone (dgp bench model --interactive, weights
loaded, memory warm) take turns; printed are the medians and their difference, in milliseconds.
"""
import argparse
import json
import os
import random
import statistics
import struct
import subprocess
import tempfile
import time

PRESETS = ("tiny", "small", "base", "large")
HERE = os.path.dirname(os.path.abspath(__file__))


def png_size(path):
    with open(path, "rb") as file:
        return struct.unpack(">II", file.read(24)[16:24])


def save_preset(dgp, preset, path):
    """An untrained network enlarges smoothly, which PNG packs quickly: its last layer is made random."""
    subprocess.run([dgp, "bench", "model", preset, "--size", "16x16", "--runs", "1", "--save", path],
                   check=True, stdout=subprocess.DEVNULL)
    with open(path, "rb") as file:
        data = bytearray(file.read())
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    first, last = json.loads(data[8:begin])["upsample.weight"]["data_offsets"]
    generator = random.Random(1)
    values = [generator.gauss(0, 0.02) for _ in range((last - first) // 4)]
    data[begin + first:begin + last] = struct.pack("<%df" % len(values), *values)
    with open(path, "wb") as file:
        file.write(data)


class Network:
    """One model in a process of its own that runs once for every line."""

    def __init__(self, dgp, model, size):
        self.process = subprocess.Popen(
            [dgp, "bench", "model", model, "--size", "%dx%d" % size, "--interactive"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()  # "ready"

    def milliseconds(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def whole_process(dgp, model_file, picture, output):
    start = time.perf_counter()
    subprocess.run([dgp, "upscale", "-q", picture, "-o", output, "-m", model_file], check=True)
    return 1e3 * (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dgp", default="build/dgp")
    parser.add_argument("--models", nargs="+", default=["tiny", "real-x4"],
                        help="presets, which run untrained, and bundled models")
    parser.add_argument("--picture", default=os.path.join(HERE, "..", "docs", "demo.png"))
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    size = png_size(options.picture)
    print("%d x %d pixels, medians of %d runs, ms" % (*size, options.runs))
    print("%-10s %9s %9s %9s" % ("model", "process", "network", "beside"))
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            file = model
            if model in PRESETS:
                file = os.path.join(folder, model + ".safetensors")
                save_preset(options.dgp, model, file)
            output = os.path.join(folder, "out.png")
            network = Network(options.dgp, model, size)
            whole_process(options.dgp, file, options.picture, output)
            pairs = []
            for _ in range(options.runs):
                process = whole_process(options.dgp, file, options.picture, output)
                pairs.append((process, network.milliseconds()))
            network.end()
            process, alone = (statistics.median(column) for column in zip(*pairs))
            beside = statistics.median(a - b for a, b in pairs)
            print("%-10s %9.1f %9.1f %9.1f" % (model, process, alone, beside))


if __name__ == "__main__":
    main()
