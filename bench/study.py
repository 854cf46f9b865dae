#!/usr/bin/env python3
"""What each ingredient of DGPNet is worth: trains the network with and without it, under one budget and several
seeds, and writes a table with means and spreads (docs/study.md).

    python3 bench/study.py --dgp build/dgp --config configs/study.yml --out runs/study
        [--seeds 1 2 3] [--only full vanilla ...] [--set data.train.0.lr=DIR ...]

Each run is a `dgp train` in a folder of its own, OUT/<variant>-<seed>. A run that was finished is not repeated, one that
was stopped goes on; so the whole may be stopped at any time and started again. OUT/study.md and OUT/study.json are
written anew after each run.
"""
import argparse
import json
import math
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys

VANILLA = ["model.%s=false" % part for part in ("csg", "csa", "hg", "vg", "idg", "balance")]
VARIANTS = {  # name: (what the table calls it, what it changes)
    "full": ("DGPNet", []),
    "full-2": ("DGPNet, rate x 2", []),
    "full-4": ("DGPNet, rate x 4", []),
    "vanilla": ("vanilla convolutions", VANILLA),
    "vanilla-2": ("vanilla convolutions, rate x 2", VANILLA),
    "vanilla-4": ("vanilla convolutions, rate x 4", VANILLA),
    "vanilla-8": ("vanilla convolutions, rate x 8", VANILLA),
    "csg": ("without CSG", ["model.csg=false"]),
    "csa": ("without CSA", ["model.csa=false"]),
    "hg": ("without HG", ["model.hg=false"]),
    "vg": ("without VG", ["model.vg=false"]),
    "vc": ("without VC", ["model.vc=false"]),
    "idg": ("without IDG", ["model.idg=false"]),
    "balance": ("fixed balance, alpha = 1", ["model.balance=false"]),
    "statistical": ("structural branch only", ["model.statistical=false"]),
    "structural": ("statistical branch only", ["model.structural=false"]),
    "interaction": ("no interaction", ["model.interaction=false"]),
    "attention": ("no attention, gates = 1", ["model.attention=false"]),
}
# Times the configuration's: six kernels move their sum further than one (docs/training.md).
RATES = {"full-2": 2, "full-4": 4, "vanilla-2": 2, "vanilla-4": 4, "vanilla-8": 8}
MEASURES = {"psnr_rgb": 3, "ssim_y": 4}  # and how many decimals the table has of each
T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}  # Student's t


class StudyError(Exception):
    """Says what is wrong and what to do about it."""


def run_dgp(arguments):
    finished = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        raise StudyError("%s\nended with status %d: %s" %
                         (shlex.join(arguments), finished.returncode, finished.stderr.strip()))
    return finished.stdout


def train_command(options, variant, seed, folder):
    """The `dgp train` of a run, without --resume."""
    overrides = ["data.pack=" + os.path.join(options.out, "pack")]  # decoded once for all runs
    overrides += options.set + VARIANTS[variant][1] + ["seed=%d" % seed, "out=" + folder]
    if variant in RATES:
        overrides.append("optimizer.lr=%g" % (options.rate * RATES[variant]))
    command = [options.dgp, "train", options.config, "--quiet"]
    for override in overrides:
        command += ["--set", override]
    return command


def last_validation(folder):
    """(iteration, mean over the pictures, the input's) of the run's last validation."""
    found = None
    with open(os.path.join(folder, "metrics.jsonl")) as lines:
        for line in lines:
            entry = json.loads(line)
            if "validation" in entry:
                found = entry["iteration"], entry["validation"]["mean"], entry["validation"]["baseline"]
    if found is None:
        raise StudyError("%s: no validation was logged; the study needs validate.data" % folder)
    return found


def run(options, variant, seed):
    """Trains, unless that was done, and returns what the table needs of one run."""
    folder = os.path.join(options.out, "%s-%d" % (variant, seed))
    result = os.path.join(folder, "result.json")
    command = train_command(options, variant, seed, folder)
    with open(options.config) as config:
        settings = {"command": shlex.join(command), "config": config.read()}
    if os.path.exists(result):
        with open(result) as file:
            done = json.load(file)
        if done["settings"] != settings:
            raise StudyError("%s was made with other settings; remove it, or give another --out" % folder)
        return done
    resume = os.path.isdir(os.path.join(folder, "checkpoints"))
    run_dgp(command + (["--resume"] if resume else []))
    model, fused = os.path.join(folder, "last.safetensors"), os.path.join(folder, "fused.safetensors")
    run_dgp([options.dgp, "fuse", model, "-o", fused])
    training, running = (json.loads(run_dgp([options.dgp, "info", file, "--json"])) for file in (model, fused))
    iteration, mean, baseline = last_validation(folder)
    done = {"variant": variant, "seed": seed, "settings": settings, "iteration": iteration,
            "mean": mean, "input": baseline, "parameters": training["parameters"],
            "parameters_fused": running["parameters"],
            "multiply_adds_per_pixel": running["multiply_adds_480x270"] / (480 * 270)}
    with open(result + ".part", "w") as file:
        json.dump(done, file, indent=1)
    os.replace(result + ".part", result)
    return done


def spread(values):
    """(mean, standard deviation), the latter None of a single value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def half_width(values):
    """Half of the 95% confidence interval of the mean, by Student's t; None of a single value."""
    if len(values) < 2:
        return None
    quantile = T_95.get(len(values) - 1, 1.96)
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


def summarise(runs):
    """A row for each variant: means and spreads, and the difference from the full network seed by seed."""
    full = {r["seed"]: r["mean"] for r in runs if r["variant"] == "full"}
    rows = []
    for variant, (name, _) in VARIANTS.items():
        mine = [r for r in runs if r["variant"] == variant]
        if not mine:
            continue
        row = {"variant": variant, "name": name, "seeds": [r["seed"] for r in mine],
               "commands": [r["settings"]["command"] for r in mine]}
        row.update({key: mine[0][key] for key in ("parameters", "parameters_fused", "multiply_adds_per_pixel")})
        for measure in MEASURES:
            mean, deviation = spread([r["mean"][measure] for r in mine])
            row[measure] = {"mean": mean, "deviation": deviation}
            paired = [r["mean"][measure] - full[r["seed"]][measure] for r in mine if r["seed"] in full]
            if paired and variant != "full":
                row[measure].update(difference=statistics.mean(paired), half_width=half_width(paired))
        rows.append(row)
    return rows


def with_spread(value, deviation, digits, sign=""):
    text = f"{value:{sign}.{digits}f}"
    return text if deviation is None else text + f" ± {deviation:.{digits}f}"


def markdown(runs):
    """The table, and the commands behind it."""
    rows = summarise(runs)
    seeds = max(len(row["seeds"]) for row in rows)
    lines = ["| network | PSNR RGB, dB | difference | SSIM Y | difference | parameters, training; fused | "
             "multiply-adds a pixel |", "|---|---|---|---|---|---|---|"]
    given = runs[0]["input"]
    lines.append("| the input itself | %.3f | | %.4f | | | |" % (given["psnr_rgb"], given["ssim_y"]))
    for row in rows:
        cells = [row["name"] + ("" if len(row["seeds"]) == seeds else " (%d seeds)" % len(row["seeds"]))]
        for measure, digits in MEASURES.items():
            m = row[measure]
            cells.append(with_spread(m["mean"], m["deviation"], digits))
            cells.append(with_spread(m["difference"], m["half_width"], digits, "+") if "difference" in m else "")
        cells.append(f"{row['parameters']:,}; {row['parameters_fused']:,}")
        cells.append(f"{row['multiply_adds_per_pixel']:,.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Mean ± standard deviation over %d seeds; the difference from DGPNet is taken seed by seed, ± half of its "
              "95%% confidence interval. After %d iterations; multiply-adds of the folded network, 480×270 pixels." %
              (seeds, runs[0]["iteration"]), "", "```sh"]
    lines += [command for row in rows for command in row["commands"][:1]]
    return "\n".join(lines + ["```", ""])


def write(options, runs):
    for name, text in (("study.md", markdown(runs)),
                       ("study.json", json.dumps({"rows": summarise(runs), "runs": runs}, indent=1) + "\n")):
        path = os.path.join(options.out, name)
        with open(path + ".part", "w") as file:
            file.write(text)
        os.replace(path + ".part", path)


def rate_of(options):
    """optimizer.lr of the study, which some variants multiply."""
    given = [text.split("=", 1)[1] for text in options.set if text.startswith("optimizer.lr=")]
    if given:
        return float(given[-1])
    with open(options.config) as config:
        found = re.search(r"^optimizer:\s*{[^}]*\blr:\s*([-+.0-9e]+)", config.read(), re.MULTILINE)
    if found:
        return float(found[1])
    raise StudyError("%s: expects optimizer: {type: ..., lr: ...} on one line; or give --set optimizer.lr=RATE" %
                     options.config)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dgp", default="build/dgp")
    parser.add_argument("--config", default="configs/study.yml")
    parser.add_argument("--out", default="runs/study")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--set", action="append", default=[], help="key=value for every run, as of dgp train")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the training ends with the study
    try:
        options.rate = rate_of(options)
        os.makedirs(options.out, exist_ok=True)
        runs = []
        for seed in options.seeds:  # seed by seed: a study cut short compares all variants
            for variant in options.only:
                print("%s, seed %d" % (variant, seed), end="", flush=True)
                runs.append(run(options, variant, seed))
                print(": %.3f dB, %.4f" % tuple(runs[-1]["mean"][m] for m in MEASURES), flush=True)
                write(options, runs)
        print(os.path.join(options.out, "study.md"))
    except (StudyError, OSError) as problem:
        sys.exit("\nstudy: %s" % problem)
    except KeyboardInterrupt:
        sys.exit("\nstudy: stopped; started again, it goes on from here")


if __name__ == "__main__":
    main()
