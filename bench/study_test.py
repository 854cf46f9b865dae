"""What bench/study.py makes of runs: tables, what is trained again and what is not, messages. No training: a program
that writes what `dgp` would stands in for it."""
import contextlib
import io
import json
import os
import stat
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import study  # noqa: E402

FAKE = '''#!/usr/bin/env python3
import json, os, sys
words = sys.argv[1:]
with open(os.path.join(os.path.dirname(sys.argv[0]), "calls"), "a") as calls:
    calls.write(" ".join(words) + "\\n")
if words[0] == "train":
    given = dict(word.split("=", 1) for word in words if "=" in word)
    folder, seed = given["out"], int(given["seed"])
    os.makedirs(os.path.join(folder, "checkpoints"), exist_ok=True)
    if "model.hg=false" in words and "--resume" not in words and seed == 9:
        sys.stderr.write("out of luck")
        sys.exit(5)
    value = 30 + seed - ("model.hg=false" in words) * (0.1 + 0.01 * seed)
    quality = {"psnr_rgb": value, "ssim_y": value / 40}
    with open(os.path.join(folder, "metrics.jsonl"), "w") as file:
        for factor in (0.5, 1):
            mean = {key: factor * x for key, x in quality.items()}
            file.write(json.dumps({"iteration": 70 * factor, "validation":
                                   {"mean": mean, "baseline": {"psnr_rgb": 29, "ssim_y": 0.7}}}) + "\\n")
elif words[0] == "info":
    print(json.dumps({"parameters": 1234 if "last" in words[1] else 234, "multiply_adds_480x270": 480 * 270 * 17}))
'''


class StudyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.at = lambda name: os.path.join(folder.name, name)
        with open(self.at("dgp"), "w") as file:
            file.write(FAKE)
        os.chmod(self.at("dgp"), stat.S_IRWXU)
        with open(self.at("my.yml"), "w") as file:
            file.write("name: mine\noptimizer: {type: adamw, lr: 2e-4, betas: [0.9, 0.99]}\n")

    def study(self, *arguments, seeds=(1, 2, 3)):
        given = ["study.py", "--dgp", self.at("dgp"), "--config", self.at("my.yml"), "--out", self.at("out"),
                 "--seeds", *map(str, seeds), *arguments]
        with mock.patch.object(sys, "argv", given), contextlib.redirect_stdout(io.StringIO()):
            study.main()

    def calls(self):
        with open(self.at("calls")) as file:
            return [line for line in file.read().splitlines() if line.startswith("train")]

    def test_means_spreads_and_differences(self):
        self.study("--only", "full", "hg")
        with open(self.at("out/study.json")) as file:
            full, hg = json.load(file)["rows"]
        self.assertAlmostEqual(full["psnr_rgb"]["mean"], 32)
        self.assertAlmostEqual(full["psnr_rgb"]["deviation"], 1)  # of 31, 32, 33
        self.assertNotIn("difference", full["psnr_rgb"])
        # Differences -0.11, -0.12, -0.13: the interval is 4.303 * 0.01 / sqrt(3).
        self.assertAlmostEqual(hg["psnr_rgb"]["difference"], -0.12)
        self.assertAlmostEqual(hg["psnr_rgb"]["half_width"], 0.0248434, places=6)
        with open(self.at("out/study.md")) as file:
            table = file.read()
        self.assertIn("| the input itself | 29.000 | | 0.7000 | | | |", table)
        self.assertIn("| without HG | 31.880 ± 0.990 | -0.120 ± 0.025 | 0.7970 ± 0.0247 | -0.0030 ± 0.0006 | "
                      "1,234; 234 | 17 |", table)
        self.assertIn("over 3 seeds", table)
        self.assertIn("After 70 iterations", table)
        self.assertIn("--set model.hg=false", table)

    def test_one_seed_has_no_spread(self):
        self.study("--only", "full", "hg", seeds=[2])
        with open(self.at("out/study.md")) as file:
            self.assertIn("| without HG | 31.880 | -0.120 |", file.read())

    def test_what_was_finished_is_not_trained_again(self):
        self.study("--only", "full", seeds=[1])
        self.study("--only", "full", "hg", seeds=[1])
        self.assertEqual([("model.hg=false" in call, "--resume" in call) for call in self.calls()],
                         [(False, False), (True, False)])

    def test_what_was_stopped_goes_on(self):
        with self.assertRaises(SystemExit) as stopped:
            self.study("--only", "full", "hg", seeds=[9])
        for part in ("model.hg=false", "status 5", "out of luck"):
            self.assertIn(part, str(stopped.exception))
        self.study("--only", "full", "hg", seeds=[9])
        self.assertEqual(["--resume" in call for call in self.calls()], [False, False, True])

    def test_other_settings_need_another_folder(self):
        self.study("--only", "full", seeds=[1])
        for arguments in (["--set", "iterations=9"], []):
            if not arguments:
                with open(self.at("my.yml"), "a") as file:
                    file.write("clip: 1\n")
            with self.assertRaises(SystemExit) as refused:
                self.study("--only", "full", *arguments, seeds=[1])
            self.assertIn("other settings", str(refused.exception))

    def test_rates(self):
        self.study("--only", "vanilla", "vanilla-4", seeds=[1])
        self.study("--only", "vanilla-2", "--set", "optimizer.lr=1e-3", seeds=[1])
        plain, four, two = self.calls()
        self.assertNotIn("optimizer.lr", plain)
        self.assertIn("optimizer.lr=0.0008", four)
        self.assertIn("optimizer.lr=0.002", two)
        with open(self.at("my.yml"), "w") as file:
            file.write("name: mine\n")
        with self.assertRaises(SystemExit) as refused:
            self.study("--only", "vanilla-2", seeds=[2])
        self.assertIn("--set optimizer.lr=RATE", str(refused.exception))

    def test_every_part_has_a_variant(self):
        changes = {word for _, changed in study.VARIANTS.values() for word in changed}
        for part in "csg csa hg vg vc idg balance statistical structural interaction attention".split():
            self.assertIn("model.%s=false" % part, changes)


if __name__ == "__main__":
    unittest.main()
