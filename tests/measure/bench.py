"""Speed and memory, as ratios of runs in one go; machines differ, ratios less so. `make bench` prints the table.

    python3 tests/measure bench [TEXT ...]      more corpora to learn from, beside the book
                           [--names FILE]  microgpt's names.txt, where it is not in ../shared/data

Peers are timed where they are installed (`pip install tokenizers torch`); without them their rows say so. Exit 1 where
PyTorch's gradients are not ours.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

import twins
from measure import bench_training
from measure.bench_training import row
from test_training import NAMES

ROOT, BOOK = str(twins.ROOT), str(twins.BOOK)
C = [os.path.join(ROOT, "postgpt"), "-q"]
PYTHON = [sys.executable, os.path.join(ROOT, "postgpt.py"), "-q"]
PROMPT = "The transformer architecture"


def seconds(command, runs=5):
    """The median of the wall times of a command that must succeed."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return sorted(times)[runs // 2]


def megabytes(command):
    """The peak memory of a command, in a child of its own."""
    script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=-3, check=True); "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    return int(subprocess.run([sys.executable, "-c", script, *command], stdout=subprocess.PIPE,
                              check=True).stdout) / 1024


def peer_learning(path):
    """The time the tokenizers package takes to learn the same vocabulary size, or None where it is missing."""
    try:
        from tokenizers import ByteLevelBPETokenizer
    except ImportError:
        return None
    times = []
    for _ in range(5):
        start = time.perf_counter()
        ByteLevelBPETokenizer().train([path], vocab_size=1280, min_frequency=2, show_progress=False)
        times.append(time.perf_counter() - start)
    return sorted(times)[2]


def whole_commands(folder):
    """Start to end, both modes, 100 tokens each."""
    c = seconds(C + ["--no-cache", PROMPT], 15)
    python = seconds(PYTHON + ["--no-cache", PROMPT])
    row("C: the whole command, no merges file", "%.1f ms" % (1e3 * c))
    row("Python: the whole command, no merges file", "%.2f s" % python, "%.0f times the C twin's time" % (python / c))
    book = os.path.join(folder, "book.txt")
    with open(BOOK, "rb") as source, open(book, "wb") as copy:
        copy.write(source.read())
    subprocess.run(C + ["-c", book, "-n", "1", PROMPT], stdout=subprocess.DEVNULL, check=True)
    row("Python: the same with the merges file", "%.2f s" % seconds(PYTHON + ["-c", book, PROMPT]))
    row("Python: --help", "%.3f s" % seconds(PYTHON + ["--help"]))
    row("Python: import postgpt", "%.3f s" % seconds([sys.executable, "-c",
                                                      "import sys; sys.path.insert(0, %r); import postgpt" % ROOT]))


def learning(path):
    """1024 merges: the C twin's whole process, Python's call, the peer's call."""
    script = (
        "import sys, time; sys.path.insert(0, %r); import postgpt; data = open(sys.argv[1], 'rb').read(); start = "
        "time.perf_counter(); "
        "postgpt.Tokenizer.learn(data, 1024); print(time.perf_counter() - start)" % ROOT
    )
    name, size = os.path.basename(path), os.path.getsize(path)
    c = seconds(C + ["--no-cache", "-c", path, "--encode", os.devnull], 15)
    python = sorted(float(subprocess.run([sys.executable, "-c", script, path], stdout=subprocess.PIPE,
                                         check=True).stdout) for _ in range(5))[2]
    peer = peer_learning(path)
    row("C: learn 1024 merges, %s, %d bytes" % (name, size), "%.1f ms" % (1e3 * c),
        "tokenizers takes %.1f times as long" % (peer / c) if peer else "tokenizers is not installed")
    row("Python: the same", "%.1f ms" % (1e3 * python),
        "%.1f times as long as tokenizers" % (python / peer) if peer else "")


def encoding(folder):
    """Ordinary text through the C twin, without the time to learn."""
    big = os.path.join(folder, "big.txt")
    with open(BOOK, "rb") as file, open(big, "wb") as out:
        text = file.read()
        out.write(text * (40_000_000 // len(text)))
    start = seconds(C + ["-c", BOOK, "--no-cache", "--encode", os.devnull])
    took = seconds(C + ["-c", BOOK, "--no-cache", "--encode", big], 3) - start
    row("C: encode %d MB" % (os.path.getsize(big) // 1_000_000), "%.0f MB/s" % (os.path.getsize(big) / took / 1e6))


def generating():
    """Tokens a second in full mode, and whether a late token costs more than an early one."""
    for name, command, few, many in (("C", C, 10_000, 20_000), ("Python", PYTHON, 200, 600)):
        none, some, more = [seconds(command + ["--no-cache", "-m", "full", "-n", str(n), PROMPT], 3)
                            for n in (1, few, many)]
        row("%s: generate, full mode" % name, "%.0f tok/s" % (few / (some - none)),
            "tokens %d to %d cost %.2f times as much each"
            % (few, many, (more - some) / (many - few) / ((some - none) / few)))


def growing(folder):
    """A corpus near 1 MB against its first 150 KB."""
    with open(BOOK, "rb") as file:
        text = file.read()
    shuffled = b"\n\n".join(sorted(text.split(b"\n\n"), key=lambda part: part[::-1]))
    small, large = os.path.join(folder, "small.txt"), os.path.join(folder, "large.txt")
    with open(small, "wb") as a, open(large, "wb") as b:
        a.write(text[:150_000])
        b.write((text + shuffled + text.upper() + shuffled.lower() + text[::-1] + shuffled[::-1])[:1_000_000])
    command = ["--no-cache", "-m", "full", "-n", "1", PROMPT, "-c"]
    row("C: peak memory on the book", "%.1f MB" % megabytes(C + ["--no-cache", PROMPT]))
    row("C: 1 MB against 150 KB, time",
        "%.1f times" % (seconds(C + command + [large]) / seconds(C + command + [small])))
    row("C: 1 MB against 150 KB, memory", "%.1f times"
        % (megabytes(C + command + [large]) / megabytes(C + command + [small])))


def main():
    """All rows. Returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    parser.add_argument("--names", metavar="FILE", default=str(NAMES))
    found = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole_commands(folder)
        for path in [BOOK, *found.texts]:
            learning(path)
        encoding(folder)
        generating()
        growing(folder)
    return 0 if bench_training.main(found.names) else 1


if __name__ == "__main__":
    sys.exit(main())
