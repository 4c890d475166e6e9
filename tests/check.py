"""The longer checks (`make check`): no warning from any compiler, the same bytes from every build and every Python, no report from the
sanitizers, and no damaged merges file that is believed. What is not installed is named and skipped."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import SkipTest

import twins

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror", "-O2", "-c", "-o", os.devnull)
SANITIZE = ("-std=c11", "-g", "-O1", "-ffp-contract=off", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
BUILDS = [("gcc", ("-std=c11", "-O0", "-ffp-contract=off")), ("gcc", ("-std=c11", "-O2", "-ffp-contract=off")),
          ("gcc", ("-std=c11", "-O3", "-march=native", "-ffp-contract=off")), ("clang", ("-std=c11", "-O3", "-ffp-contract=off")),
          ("tcc", ()), ("gcc", SANITIZE)]
ENV = {"ASAN_OPTIONS": "detect_leaks=0"}

SMALL = ["-c", "book.txt", "--merges", "300"]
COMMANDS = [
    ["--help"], ["--version"], ["--tokens", "0"], ["--shape", "embd=7"], ["-c", "missing.txt", "x"],
    [*SMALL, "The transformer"], [*SMALL, "-n", "300", "-m", "full", "-s", "7", "A token"], [*SMALL, "-m", "transformer", "-n", "90", "-t", "2", "-k", "0", "x"],
    [*SMALL, "-n", "5"], [*SMALL, "--info"], [*SMALL, "--encode", "cyrillic.txt"], [*SMALL, "--holdout", "0.2"],
    [*SMALL, "--eval", "cyrillic.txt", "--order", "5", "--memory", "30"], [*SMALL, "-t", "0", "-r", "0", "-m", "full", "-n", "150", "of the"],
    [*SMALL, "--shape", "layers=3,embd=24,content=1,rrpram=3,context=9,mlp=2", "-n", "60", "The"], [*SMALL, "--init", "random", "-m", "full", "The"],
    ["-c", "cyrillic.txt", "--alphabet", "corpus", "-n", "80", ""], ["-c", "bytes.bin", "-n", "80", "-k", "0", "-t", "3", "\u00e9"],
    ["-c", "same.txt", "-n", "40", "aaa"], ["-c", "three.txt", "-n", "20", ""],
    ["-c", "names.txt", "--lines", "--merges", "0", "--alphabet", "corpus", "-n", "60", ""],
    ["-c", "names.txt", "--lines", "--merges", "0", "--alphabet", "corpus", "--eval", "names.txt", "--order", "5"],
    ["-c", "names.txt", "--lines", "--merges", "20", "--shape", "layers=1,embd=6,content=2,rrpram=0,context=7,mlp=1", "-n", "60", "a"],
]

passed = failed = skipped = 0


def check(name, ok, detail=""):
    """Counts and prints one check."""
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print("%s %s %s" % ("ok    " if ok else "FAILED", name, "" if ok else detail), flush=True)


def skip(name):
    """Names what cannot be checked here."""
    global skipped
    skipped += 1
    print("skipped %s: not installed" % name, flush=True)


def fill(folder):
    """The corpora the commands use."""
    book = twins.BOOK.read_bytes()
    (folder / "book.txt").write_bytes(book[:9000])
    (folder / "cyrillic.txt").write_bytes("\u0421\u0447\u0451\u0442 \u2014 \u0434\u0435\u043b\u043e \u043f\u0440\u043e\u0441\u0442\u043e\u0435: \u0441\u0447\u0438\u0442\u0430\u0439, \u0447\u0442\u043e \u0437\u0430 \u0447\u0435\u043c \u0438\u0434\u0451\u0442.\n".encode() * 12)
    (folder / "bytes.bin").write_bytes(bytes(range(256)) * 6 + bytes(range(0, 256, 3)) * 4)
    (folder / "same.txt").write_bytes(b"a" * 5000)
    (folder / "three.txt").write_bytes(b"abc")
    (folder / "names.txt").write_bytes(b"emma\nolivia\nava\nisabella\nsophia\nmia\namelia\nella\nlila\n" * 3)


def answers(command, folder):
    """What a twin says to every command line."""
    return [twins.run(command, [*args, "--no-cache"], cwd=folder, env=ENV) for args in COMMANDS]


def same_bytes(folder):
    """Every build and every Python against the one that is running."""
    wanted = answers(twins.PYTHON, folder)
    pythons = [("pypy3", ("pypy3", twins.PYTHON[1]))]
    for compiler, flags in BUILDS:
        try:
            pythons.append(("%s %s" % (compiler, " ".join(flags)), (twins.build(compiler=compiler, flags=flags),)))
        except SkipTest:
            skip(compiler)
    for name, command in pythons:
        if not shutil.which(command[0]):
            skip(name)
            continue
        for args, want, got in zip(COMMANDS, wanted, answers(command, folder)):
            check("%s: %s" % (name, " ".join(args)), got == want, "\n  wanted %r\n  got    %r" % (want, got))


def warnings():
    """No compiler has anything to say."""
    for compiler in ("gcc", "clang"):
        if not shutil.which(compiler):
            skip(compiler)
            continue
        done = subprocess.run([compiler, *WARNINGS, str(twins.ROOT / "postgpt.c")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check("%s compiles without a warning" % compiler, not done.returncode, done.stdout.decode(errors="replace"))


def damaged_merges(folder):
    """A merges file cut at any length or changed in any byte of its header or first pairs changes nothing that is printed."""
    try:
        binary = twins.build(compiler="gcc", flags=SANITIZE)
    except SkipTest:
        return skip("gcc")
    args = ["-q", "-c", "small.txt", "--merges", "12", "--encode", "three.txt"]
    (folder / "small.txt").write_bytes(twins.BOOK.read_bytes()[:1500])
    want = twins.run((binary,), args, cwd=folder, env=ENV)
    merges = folder / "small.merges"
    whole = merges.read_bytes()
    broken = [whole[:n] for n in range(len(whole))] + [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1:] for i in range(len(whole))] + [whole + b"1 2\n", whole.replace(b"\n", b"\r\n")]
    wrong = []
    for data in broken:
        merges.write_bytes(data)
        if twins.run((binary,), args, cwd=folder, env=ENV) != want or merges.read_bytes() != whole:
            wrong.append(data)
    check("%d damaged merges files are all learned anew" % len(broken), not wrong, repr(wrong[:1]))


def main():
    """All checks; the last line counts them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder)
        warnings()
        same_bytes(folder)
        damaged_merges(folder)
    print("%d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
