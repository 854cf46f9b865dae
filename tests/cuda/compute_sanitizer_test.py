"""compute_sanitizer.sh with programs that stand for NVIDIA's: what it runs, and what it says when one is missing."""
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "compute_sanitizer.sh"
TOOLS = ["memcheck", "racecheck", "initcheck", "synccheck"]


class ComputeSanitizer(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = Path(self.folder.name)
        self.log = self.path / "log"
        self.program("test_ops", "exit 0")

    def program(self, name, body):
        file = self.path / name
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)

    def all_there(self, sanitizer="exit 0"):
        self.program("nvidia-smi", "echo GPU 0: a card")
        self.program("compute-sanitizer", f'echo "$@" >> {self.log}\n{sanitizer}')

    def run_script(self, *programs):
        environment = dict(os.environ, PATH=f"{self.path}:/usr/bin:/bin")
        return subprocess.run([SCRIPT, *programs], env=environment, capture_output=True, text=True)

    def check_missing(self, text, *programs):
        run = self.run_script(*programs)
        self.assertEqual(run.returncode, 2)
        self.assertIn(text, run.stderr)

    def test_every_tool_meets_every_program(self):
        self.all_there()
        self.program("test_gpu", "exit 0")
        run = self.run_script(self.path / "test_ops", self.path / "test_gpu")
        self.assertEqual(run.returncode, 0, run.stderr)
        calls = self.log.read_text().splitlines()
        self.assertEqual([call.split()[1] for call in calls], TOOLS * 2)
        self.assertTrue(all("--error-exitcode 1" in call for call in calls))
        self.assertTrue(calls[7].endswith("test_gpu"))

    def test_an_error_fails_after_the_other_tools_have_run(self):
        self.all_there('case "$2" in racecheck) exit 1;; esac')
        run = self.run_script(self.path / "test_ops")
        self.assertEqual(run.returncode, 1)
        self.assertIn("racecheck: ", run.stderr)
        self.assertNotIn("memcheck", run.stderr)
        self.assertEqual(len(self.log.read_text().splitlines()), 4)

    def test_what_is_missing_is_named(self):
        self.check_missing("no test program")
        self.check_missing("make CUDA=1", self.path / "not_built")
        self.all_there()
        self.program("nvidia-smi", "exit 9")
        self.check_missing("finds no GPU", self.path / "test_ops")
        (self.path / "nvidia-smi").unlink()
        self.check_missing("no NVIDIA driver", self.path / "test_ops")


if __name__ == "__main__":
    unittest.main()
