"""Runs the tests: `python3 tests` all of them, two modules at a time; `python3 tests test_parity ..` those named, in
this process.

The last line is `N passed, N failed`, with `, N skipped` where any were. Exit 0 where none failed and at least one
passed.
"""
import os
import re
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
# these start first, so that no long one is left for the end
SLOW = ["test_parity", "test_training", "test_trust", "test_glass", "test_readme", "test_cli", "test_voice",
        "test_seeding", "test_sampling"]
LAST = re.compile(r"(?m)^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\n\Z")


class Tally(unittest.TestResult):
    """Counts each test once, however many of its subtests fail."""

    def __init__(self):
        super().__init__()
        self.passed, self.bad = 0, {}

    def addSuccess(self, test):
        self.passed += 1

    def addExpectedFailure(self, test, error):
        self.passed += 1

    def addUnexpectedSuccess(self, test):
        self.bad[test.id()] = "FAIL %s\nit is marked as an expected failure, but holds\n" % test.id()

    def addFailure(self, test, error):
        self.bad[test.id()] = "FAIL %s\n%s" % (test.id(), self._exc_info_to_string(error, test))

    addError = addFailure

    def addSubTest(self, test, subtest, error):
        if error:
            self.bad[test.id()] = "%sFAIL %s\n%s" % (self.bad.get(test.id(), ""), subtest.id(),
                                                     self._exc_info_to_string(error, test))


def last_line(passed, failed, skipped):
    """What everything ends with."""
    return "%d passed, %d failed%s\n" % (passed, failed, ", %d skipped" % skipped if skipped else "")


def run_here(modules):
    """Runs modules in this process, and prints what failed, what was skipped, and the last line."""
    tally = Tally()
    unittest.defaultTestLoader.loadTestsFromNames(modules).run(tally)
    for text in tally.bad.values():
        print(text)
    for test, why in tally.skipped:
        print("SKIP %s: %s" % (test.id(), why))
    sys.stdout.write(last_line(tally.passed, len(tally.bad), len(tally.skipped)))
    return not tally.bad and tally.passed > 0


def run_apart(module):
    """Runs a module in a process of its own. Returns its counts and what it printed; a process that ended otherwise
    failed once."""
    # the make that a test calls is its own
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run([sys.executable, str(HERE), module], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=env)
    text = done.stdout.decode(errors="backslashreplace")
    last = LAST.search(text)
    if not last:
        return (0, 1, 0), "FAIL %s ended with exit code %d:\n%s" % (module, done.returncode, text)
    return tuple(int(n or 0) for n in last.groups()), text[:last.start()]


def main(modules):
    """Runs all modules or those named. Returns whether all went well."""
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    if modules:
        return run_here(modules)
    names = [path.stem for path in sorted(HERE.glob("test_*.py"))]
    names.sort(key=lambda name: SLOW.index(name) if name in SLOW else len(SLOW))
    totals = [0, 0, 0]
    with ThreadPoolExecutor(2) as pool:
        for counts, text in pool.map(run_apart, names):
            totals = [a + b for a, b in zip(totals, counts)]
            sys.stdout.write(text)
            sys.stdout.flush()
    sys.stdout.write(last_line(*totals))
    return totals[0] > 0 and not totals[1]


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
