"""The parts that need no peers: python3 -m unittest discover -s bench/peers -p '*_test.py'"""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import contest
import environment
import table

HERE = Path(__file__).resolve().parent


def entry(name, *times, counts=True, note=""):
    return dict(table.row(name, counts, note), ms=list(times))


def stack(*rows):
    return {"kind": "stack", "what": "edsr", "input": "8x8", "rows": list(rows)}


class Table(unittest.TestCase):
    def test_quartiles_are_numpys(self):
        self.assertEqual(table.quartiles([4, 1, 3, 2]), (1.75, 2.5, 3.25))  # numpy.percentile(.., (25, 50, 75))
        self.assertEqual(table.quartiles([7]), (7, 7, 7))

    def test_the_fastest_counted_peer_by_its_median(self):
        result = stack(entry("slow", 90, 91, 92), entry("spread", 10, 60, 70), entry("fast", 50, 55, 56),
                       entry("bf16", 1, 1, 1, counts=False), entry("failed", note="no module"),
                       entry("dgp", 19, 20, 500))
        self.assertEqual(table.fastest_peer(result), ("fast", 55 / 20))

    def test_no_ratio_without_dgp_or_without_peers(self):
        for rows in ([entry("dgp", 1)], [entry("fast", 1)], [entry("fast", 1), entry("dgp")],
                     [entry("fast", 1, counts=False), entry("dgp", 1)]):
            self.assertEqual(table.fastest_peer(stack(*rows)), (None, None))

    def test_marks(self):
        self.assertIn("aim reached", table.mark("stack", 2.5))
        self.assertIn("least reached", table.mark("stack", 2.2))
        self.assertIn("below", table.mark("stack", 2.19))
        self.assertEqual(table.mark("process", 9), "")

    def test_lines_name_the_opponent_and_the_reason_of_who_has_no_time(self):
        lines = table.lines(stack(entry("fast", 30, 30), entry("failed", note="no module"), entry("dgp", 10, 10)))
        self.assertIn("| 3.00 |", lines[0])
        self.assertIn("no module", lines[1])
        self.assertIn("**3.00** (fast)", lines[2])
        self.assertEqual({line.count("|") for line in lines}, {table.HEADER.count("|")})

    def test_json_holds_what_the_table_says(self):
        result = table.as_json(stack(entry("fast", 30, 32), entry("dgp", 10)))
        self.assertEqual((result["fastest_peer"], result["fastest_peer_over_dgp"]), ("fast", 3.1))
        self.assertEqual([row["median_ms"] for row in result["rows"]], [31, 10])


class Player:
    """Gives `value`, and the times of `times` one after another."""

    def __init__(self, name, value, times=(), log=None, counts=True):
        self.name, self.value, self.times, self.log, self.counts = name, value, list(times), log, counts
        self.note, self.closed = "", False

    def result(self):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    def time(self):
        self.log.append(self.name)
        return self.times.pop(0)

    def close(self):
        self.closed = True


class Contest(unittest.TestCase):
    def setUp(self):
        self.log = []
        patched = mock.patch.object(contest, "PAUSE", 0)
        patched.start()
        self.addCleanup(patched.stop)

    def play(self, *players, rounds=2):
        return contest.play([lambda player=player: player for player in players],
                            [player.name for player in players], lambda a, b: abs(a - b), 0.5, rounds)

    def test_turns_are_interleaved_and_the_first_round_is_not_counted(self):
        rows = self.play(Player("reference", 1.0, [9, 1, 2], self.log), Player("dgp", 1.25, [9, 3, 4], self.log))
        self.assertEqual(self.log, ["reference", "dgp"] * 3)
        self.assertEqual([row["ms"] for row in rows], [[1, 2], [3, 4]])
        self.assertEqual([row["difference"] for row in rows], [0, 0.25])

    def test_who_differs_or_fails_gets_no_time(self):
        wrong = Player("wrong", 2.0)
        rows = self.play(Player("reference", 1.0, [1, 1, 1], self.log), wrong, Player("fails", OSError("no\nluck")),
                         Player("nan", float("nan")), Player("dgp", 1.0, [1, 1, 1], self.log))
        self.assertEqual([row["name"] for row in rows if not row["ms"]], ["wrong", "fails", "nan"])
        self.assertEqual(rows[2]["note"], "OSError: no")
        self.assertIn("differs", rows[1]["note"])
        self.assertTrue(wrong.closed)

    def test_without_a_reference_there_is_nothing_to_compare(self):
        with self.assertRaises(OSError):
            self.play(Player("reference", OSError("broken")), Player("dgp", 1.0))


class Environment(unittest.TestCase):
    def test_missing_packages_of_peers_python_are_named(self):
        self.assertEqual(environment.missing(sys.executable, ["sys", "no_such_package_1"]), ["no_such_package_1"])

    def test_a_python_that_does_not_run_is_an_error(self):
        with self.assertRaisesRegex(SystemExit, "PEERS_PYTHON.*no-such-python"):
            with mock.patch.dict(os.environ, {"PEERS_PYTHON": "/no-such-python"}):
                environment.python_with_peers("unused", [])

    def test_without_network_the_message_says_what_to_do(self):
        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.object(subprocess, "run", side_effect=subprocess.CalledProcessError(1, "pip")), \
                self.assertRaisesRegex(SystemExit, "PEERS_PYTHON"):
            environment.install(Path(folder) / "venv")

    def test_programs_on_their_own_get_the_users_environment(self):
        with mock.patch.dict(os.environ, {**environment.MALLOC, "KEPT": "1"}):
            self.assertEqual(environment.plain()["KEPT"], "1")
            self.assertFalse(set(environment.plain()) & set(environment.MALLOC))

    def test_options_that_make_no_sense_are_refused(self):
        for arguments in (["--sizes", "480"], ["--rounds", "0"], ["--dgp", "/no/such/program"]):
            run = subprocess.run([sys.executable, str(HERE / "run.py"), *arguments], capture_output=True, text=True)
            self.assertEqual(run.returncode, 2, run.stderr)
            self.assertIn(arguments[0] if arguments[0] != "--dgp" else "make program", run.stderr)


if __name__ == "__main__":
    unittest.main()
