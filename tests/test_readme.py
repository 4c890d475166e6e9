"""The README: every command it shows runs and prints what the README says."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from twins import ROOT

with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
    README = file.read()


def commands():
    """(command, what it prints) of every console block, in order."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.S):
        for line in block.splitlines(True):
            if line.startswith("$ "):
                found.append([line[2:].strip(), ""])
            else:
                found[-1][1] += line
    return found


class Readme(unittest.TestCase):
    """A newcomer's copy: the files, nothing built, nothing learned."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        for name in ("postgpt.py", "postgpt.c", "postgpt.txt", "Makefile"):
            shutil.copy(os.path.join(ROOT, name), cls.folder)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @unittest.skipUnless(shutil.which("cc") and shutil.which("make"), "needs cc and make")
    def test_every_console_command_prints_what_is_shown(self):
        # make within make is not silent
        env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        shown = [(command, output) for command, output in commands() if command != "make test"]
        self.assertGreater(len(shown), 5)
        for command, output in shown:
            with self.subTest(command):
                done = subprocess.run(command, shell=True, cwd=self.folder, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stdout.decode(), output)

    def test_the_library_example_runs(self):
        example, = re.findall(r"```python\n(.*?)```", README, re.S)
        done = subprocess.run([sys.executable, "-c", example], cwd=self.folder, stdout=subprocess.PIPE)
        self.assertEqual(done.returncode, 0)
        self.assertGreater(len(done.stdout.splitlines()), 10)

    def test_it_names_the_test_command(self):
        self.assertIn(["make test", ""], commands())

    def test_every_option_it_names_exists(self):
        help_text = subprocess.run([sys.executable, "postgpt.py", "--help"], cwd=self.folder,
                                   stdout=subprocess.PIPE).stdout.decode()
        for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README)) - {"--cases"}:
            self.assertIn(option, help_text)


if __name__ == "__main__":
    unittest.main()
