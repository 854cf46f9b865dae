"""What needs no GPU: arguments, tables, the reading of dgp's answers, the minutes.

python3 -m unittest discover -s bench/cuda -p '*_test.py'; DGP_EMULATED names a program for the whole script.
"""
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import rows
import run
from dgp import Dgp

HERE = Path(__file__).resolve().parent


def entry(dgp, peer, gflop=1.0):
    return {"what": "w", "input": "i", "precision": "f32", "gflop": gflop, "dgp": dgp, "pytorch": peer}


class Rows(unittest.TestCase):
    def test_the_best_way_is_the_fastest_that_has_a_time(self):
        ways = [rows.result(3.0, 10, "eager"), rows.result(note="CUDA graph: RuntimeError"), rows.result(2.0, 20, "compiled")]
        self.assertEqual(rows.best(ways)["note"], "compiled")
        self.assertEqual(rows.best(ways[1:2]), rows.result(note="CUDA graph: RuntimeError"))
        self.assertEqual(rows.best([])["note"], "not run")

    def test_memory_of_a_graph_is_that_of_its_eager_run(self):
        ways = [rows.result(3.0, 10, "eager"), rows.result(2.0, None, "CUDA graph"), rows.result(4.0, 20, "compiled")]
        self.assertEqual(rows.with_memory(rows.best(ways), ways), rows.result(2.0, 10, "CUDA graph"))
        self.assertEqual(rows.with_memory(ways[2], ways)["bytes"], 20)
        self.assertIsNone(rows.with_memory(rows.best(ways[1:2]), ways[1:2])["bytes"])

    def test_ratio_and_share_of_the_peak(self):
        line = rows.line(entry(rows.result(2.0, 2**20), rows.result(3.0, 3 * 2**20, "eager")), 1000.0)
        self.assertEqual(line, "| w | i | f32 | 2.000 | 3.000 | eager | **1.50** | 0.50 | 1 | 3 |")

    def test_what_has_no_time_says_why_and_has_no_ratio(self):
        line = rows.line(entry(rows.result(note="no kernels yet"), rows.result(3.0, None, "eager")), 1000.0)
        self.assertEqual(line, "| w | i | f32 | no kernels yet | 3.000 | eager |  |  |  |  |")
        line = rows.line(entry(rows.result(2.0), rows.result(note="no PyTorch"), None), 1000.0)
        self.assertEqual(line, "| w | i | f32 | 2.000 |  | no PyTorch |  |  |  |  |")

    def test_a_table_has_as_many_cells_everywhere_and_marks_the_emulator(self):
        one = entry(rows.result(2.0, 5), rows.result(3.0, 6, "eager"))
        text = rows.table([one, one], "emulated GPU", 10, 20)
        self.assertIn("mean nothing", text)
        self.assertNotIn("mean nothing", rows.table([one], "NVIDIA H100", 10, 20))
        self.assertEqual({line.count("|") for line in text.splitlines()[2:]}, {rows.HEADER.count("|")})


class Arguments(unittest.TestCase):
    def wrong(self, text, *words):
        with contextlib.redirect_stderr(io.StringIO()) as told, self.assertRaises(SystemExit):
            run.parse_arguments(list(words))
        self.assertIn(text, told.getvalue())

    def test_defaults_are_the_whole_comparison(self):
        arguments = run.parse_arguments([])
        self.assertEqual(arguments.sizes, ["480x270", "960x540", "1920x1080"])
        self.assertEqual((arguments.batch, arguments.patch, arguments.minutes), (16, 64, 10))
        self.assertTrue(arguments.dgp.endswith("build-cuda/dgp"))

    def test_smoke_is_tiny_and_what_follows_it_counts(self):
        arguments = run.parse_arguments(["--smoke", "--dgp", sys.executable, "--runs", "2"])
        self.assertEqual((arguments.models, arguments.runs, arguments.skip_build), (["tiny"], 2, True))

    def test_mistakes_are_named(self):
        self.wrong("expects WIDTHxHEIGHT", "--sizes", "480")
        self.wrong("NxHxWxCINxCOUTxK", "--conv", "1x2x3")
        self.wrong("at least 1", "--runs", "0")
        self.wrong("no program there", "--skip-build", "--dgp", "/nowhere/dgp")

    def test_compiling_stops_when_the_minutes_run_out(self):
        now = [0.0]
        budget = run.Budget(10, 3, lambda: now[0])
        self.assertIn("torch.compile", budget.ways())
        now[0] = 600 - 2 * run.COMPILE_SECONDS - run.ROW_SECONDS  # of the last row
        self.assertEqual(budget.ways(), ["eager", "CUDA graph"])
        now[0] -= 1
        self.assertIn("torch.compile", budget.ways())

    def test_every_row_is_counted(self):
        arguments = run.parse_arguments(["--models", "tiny", "base", "--sizes", "8x8", "--precisions", "f32", "f16"])
        self.assertEqual(run.row_count(arguments), 2 * (2 + 2))


class Program(unittest.TestCase):
    def answering(self, answer, status=0):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file = Path(folder.name) / "dgp"
        file.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\nexit {status}\n")
        file.chmod(0o755)
        return Dgp(str(file))

    def test_answers_are_read(self):
        dgp = self.answering({"machine": "card", "peak_gflops": 50.0, "rows": [{"ms": 2.0, "gflops": 500.0}]})
        self.assertEqual(dgp.conv("1x1x1x1x1x1", 1), (rows.result(2.0), 1.0))
        self.assertEqual((dgp.machine, dgp.peak_gflops), ("card", 50.0))

    def test_a_failure_names_the_command(self):
        with self.assertRaisesRegex(SystemExit, "bench conv --shape .* ended with status 4"):
            self.answering({}, 4).conv("1x1x1x1x1x1", 1)

    @unittest.skipUnless(os.environ.get("DGP_EMULATED"), "DGP_EMULATED names no program")
    def test_the_script_as_a_whole(self):
        environment = dict(os.environ, DGP_EMULATOR_QUICK="1")
        whole = subprocess.run([sys.executable, "-B", HERE / "run.py", "--smoke", "--dgp", os.environ["DGP_EMULATED"]],
                               env=environment, capture_output=True, text=True)
        self.assertEqual(whole.returncode, 0, whole.stderr)
        lines = [line for line in whole.stdout.splitlines() if line.startswith("| ")]
        self.assertEqual(len(lines), 1 + 3 * 4)  # the header; three things in four precisions
        self.assertIn("emulated GPU", whole.stdout)


if __name__ == "__main__":
    unittest.main()
