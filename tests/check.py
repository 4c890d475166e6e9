"""The longer checks (`make check`): no warning from any compiler, the same bytes from every build and every Python, no
report from the sanitizers, no damaged merges file or checkpoint that is believed, the same steps on the book, and the
same bytes on other processors. What is not installed is named and skipped."""
import base64
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from unittest import SkipTest

import twins
from postgpt import Failure, PostGPT

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror", "-O2", "-c", "-o",
            os.devnull)
SANITIZE = ("-std=c11", "-g", "-O1", "-ffp-contract=off", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# Debian keeps the kernel's headers there, for both sizes
M32 = ("-m32", "-msse2", "-mfpmath=sse", "-idirafter", "/usr/include/x86_64-linux-gnu")
BUILDS = [("gcc", ("-std=c11", "-O0", "-ffp-contract=off")), ("gcc", ("-std=c11", "-O2", "-ffp-contract=off")),
          ("gcc", ("-std=c11", "-O3", "-march=native", "-ffp-contract=off")),
          ("clang", ("-std=c11", "-O3", "-ffp-contract=off")),
          ("tcc", ()), ("gcc", SANITIZE), ("clang", (*M32, *SANITIZE))]
# what a compiler without its C library says it misses
NO_LIBRARY = ("stdlib.h", "errno.h", "stubs-32.h", "-lc", "-lgcc", "crtbegin")
ENV = {"ASAN_OPTIONS": "detect_leaks=0"}

SMALL = ["-c", "book.txt", "--merges", "300"]
COMMANDS = [
    ["--help"], ["--version"], ["--tokens", "0"], ["--shape", "embd=7"], ["-c", "missing.txt", "x"],
    [*SMALL, "The transformer"], [*SMALL, "-n", "300", "-m", "full", "-s", "7", "A token"],
            [*SMALL, "-m", "transformer", "-n", "90", "-t", "2", "-k", "0", "x"],
    [*SMALL, "-n", "5"], [*SMALL, "--info"], [*SMALL, "--encode", "cyrillic.txt"], [*SMALL, "--holdout", "0.2"],
    [*SMALL, "--eval", "cyrillic.txt", "--order", "5", "--memory", "30"],
            [*SMALL, "-t", "0", "-r", "0", "-m", "full", "-n", "150", "of the"],
    [*SMALL, "--shape", "layers=3,embd=24,content=1,rrpram=3,context=9,mlp=2", "-n", "60", "The"],
            [*SMALL, "--init", "random", "-m", "full", "The"],
    ["-c", "cyrillic.txt", "--alphabet", "corpus", "-n", "80", ""],
            ["-c", "bytes.bin", "-n", "80", "-k", "0", "-t", "3", "\u00e9"],
    ["-c", "same.txt", "-n", "40", "aaa"], ["-c", "newlines.txt", "--lines", "-n", "5", "--eval", "newlines.txt", ""],
            ["-c", "three.txt", "-n", "20", ""],
    ["-c", "names.txt", "--lines", "--merges", "0", "--alphabet", "corpus", "-n", "60", ""],
    ["-c", "names.txt", "--lines", "--merges", "0", "--alphabet", "corpus", "--eval", "names.txt", "--order", "5"],
    ["-c", "names.txt", "--lines", "--merges", "20", "--shape", "layers=1,embd=6,content=2,rrpram=0,context=7,mlp=1",
     "-n", "60", "a"],
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


def built(compiler, flags, name=None):
    """The C twin's binary, or None where the compiler or its C library is missing, which is said."""
    try:
        return twins.build(compiler=compiler, flags=flags)
    except SkipTest:
        skip(name or compiler)
    except AssertionError as error:
        if not any(part in str(error) for part in NO_LIBRARY):
            raise
        skip("%s: the C library for %s" % (name or compiler, flags[0]))


def sizes(folder):
    """Where a size_t has 32 bits, no product of a shape's measures wraps: such a transformer is out of memory."""
    binary = built("clang", (*M32, *SANITIZE))
    for shape in ("layers=31,embd=1024,content=0,rrpram=32,context=3584,mlp=9",
                  "layers=32,embd=1024,content=0,rrpram=64,context=4096,mlp=16",
                  "layers=32,embd=1024,content=32,rrpram=32,context=4096,mlp=16",
                  "layers=16,embd=1024,content=0,rrpram=64,context=4096,mlp=1") if binary else ():
        for more in (["--init", "random", "-m", "full", "-n", "1", "The"], ["--train", "1", "--save", "big"]):
            found = twins.run((binary,), [*SMALL, "--no-cache", "-q", "--shape", shape, *more], cwd=folder, env=ENV)
            check("32 bits: %s %s is out of memory" % (shape, more[0]), found[::2] == (1, b"postgpt: out of memory\n"),
                  found)


def contractions():
    """A build that multiplies and adds in one step, or in another order, notices it at its start."""
    fma = b" fma " in Path("/proc/cpuinfo").read_bytes() if os.path.exists("/proc/cpuinfo") else False
    for compiler in ("gcc", "clang"):
        for flags in [("-O2", "-mfma", "-ffp-contract=fast"),
                      ("-O3", "-march=native", "-ffp-contract=fast")] * fma + [("-O3", "-funsafe-math-optimizations")]:
            binary = built(compiler, ("-std=c11", *flags))
            found = twins.run((binary,), ["--version"]) if binary else (1, b"",
                    b"postgpt: this build computes otherwise")
            check("%s %s refuses to run" % (compiler, " ".join(flags)),
                  found[0] == 1 and found[2].startswith(b"postgpt: this build computes otherwise"), found)


def cost(args, folder, stdin=None):
    """-> seconds of processor, kilobytes at most"""
    process = subprocess.Popen([twins.binary(), "--no-cache", "-q", *args], cwd=str(folder), stdin=stdin,
                               stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    return used.ru_utime + used.ru_stime if not status else float("inf"), used.ru_maxrss


def corners(folder):
    """Where the input doubles, time and memory at most grow two and a half times, also where the text is one word, or
    one word again and again."""
    rng = random.Random(1)
    cases = {
        "DNA evaluated": (50000, lambda n: bytes(rng.choice(b"ACGT") for _ in range(n)), ["--eval", "doubled.txt"]),
        "DNA evaluated by a model of itself": (50000, lambda n: bytes(rng.choice(b"ACGT") for _ in range(n)),
                                               ["-c", "doubled.txt", "--eval", "doubled.txt"]),
        "DNA spoken": (2000000, lambda n: bytes(rng.choice(b"ACGT") for _ in range(n)),
                       ["-c", "doubled.txt", "-n", "50", "ACG"]),
        "a word repeated, evaluated": (50000, lambda n: b"word " * (n // 5),
                                       ["--eval", "doubled.txt", "--memory", "1000000"]),
        "a prompt of a word repeated": (2000000, lambda n: b"word " * (n // 5),
                                        ["-n", "20", "--memory", "1000000", "-"]),
        "a long prompt remembered": (1000000, lambda n: base64.encodebytes(bytes(rng.getrandbits(8)
                                                                                 for _ in range(n * 3 // 4))),
                                     ["-c", "doubled.txt", "--memory", "1000000", "-m", "meta", "-n", "10", "-"]),
        "eight words repeated, spoken": (1000000,
                                         lambda n: b"alpha beta gamma delta epsilon zeta eta theta " * (n // 46),
                                         ["-c", "doubled.txt", "--merges", "0", "-m", "meta", "-n", "20", "alpha"]),
        "a byte repeated": (2000000, lambda n: b"a" * n, ["-c", "doubled.txt", "-n", "50", "a"]),
        "merges that chain": (1000000,
                              lambda n: (b"".join([b"%x" % rng.getrandbits(32) for _ in range(n // 16)]) + b" ") * 2,
                              ["-c", "doubled.txt", "--merges", "65280", "-m", "meta", "-n", "5", "a"]),
    }
    for name, (n, text, args) in cases.items():
        found = []
        for size in (n, 2 * n):
            (folder / "doubled.txt").write_bytes(text(size))
            runs = []
            while len(runs) < 3 and min(runs, default=(0, 0))[0] < 1.0:        # of short runs the best of three
                with open(str(folder / "doubled.txt"), "rb") as file:
                    runs.append(cost(["-c", "book.txt", *args], folder, file))
            found.append(min(runs))
        (time, memory), (time2, memory2) = found
        check("%s, %d and %d bytes: %.2f and %.2f s, %d and %d MB"
              % (name, n, 2 * n, time, time2, memory >> 10, memory2 >> 10),
              time2 <= 2.5 * max(time, 0.2) and memory2 <= 2.5 * memory)


def fill(folder):
    """The corpora the commands use."""
    book = twins.BOOK.read_bytes()
    (folder / "book.txt").write_bytes(book[:9000])
    (folder / "cyrillic.txt").write_bytes(
        "\u0421\u0447\u0451\u0442 \u2014 \u0434\u0435\u043b\u043e \u043f\u0440\u043e\u0441\u0442\u043e\u0435: "
        "\u0441\u0447\u0438\u0442\u0430\u0439, \u0447\u0442\u043e \u0437\u0430 \u0447\u0435\u043c "
        "\u0438\u0434\u0451\u0442.\n".encode()
        * 12
    )
    (folder / "bytes.bin").write_bytes(bytes(range(256)) * 6 + bytes(range(0, 256, 3)) * 4)
    (folder / "same.txt").write_bytes(b"a" * 5000)
    (folder / "three.txt").write_bytes(b"abc")
    (folder / "newlines.txt").write_bytes(b"\n\n\n")
    (folder / "names.txt").write_bytes(b"emma\nolivia\nava\nisabella\nsophia\nmia\namelia\nella\nlila\n" * 3)


def answers(command, folder):
    """What a twin says to every command line."""
    return [twins.run(command, [*args, "--no-cache"], cwd=folder, env=ENV) for args in COMMANDS]


def same_bytes(folder):
    """Every build and every Python against the one that is running."""
    wanted = answers(twins.PYTHON, folder)
    pythons = [("pypy3", ("pypy3", twins.PYTHON[1]))]
    for compiler, flags in BUILDS:
        binary = built(compiler, flags)
        if binary:
            pythons.append(("%s %s" % (compiler, " ".join(flags)), (binary,)))
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
        done = subprocess.run([compiler, *WARNINGS, str(twins.ROOT / "postgpt.c")], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        check("%s compiles without a warning" % compiler, not done.returncode, done.stdout.decode(errors="replace"))


def damaged_merges(folder):
    """A merges file cut at any length or changed in any byte of its header or first pairs changes nothing that is
    printed."""
    try:
        binary = twins.build(compiler="gcc", flags=SANITIZE)
    except SkipTest:
        return skip("gcc")
    args = ["-q", "-c", "small.txt", "--merges", "12", "--encode", "three.txt"]
    (folder / "small.txt").write_bytes(twins.BOOK.read_bytes()[:1500])
    want = twins.run((binary,), args, cwd=folder, env=ENV)
    merges = folder / "small.merges"
    whole = merges.read_bytes()
    broken = [whole[:n] for n in range(len(whole))] + [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1:]
                                                       for i in range(len(whole))] + [whole + b"1 2\n",
            whole.replace(b"\n", b"\r\n")]
    wrong = []
    for data in broken:
        merges.write_bytes(data)
        ours = data[:15] == whole[:15][:len(data)]         # what begins otherwise is another program's
        if twins.run((binary,), args, cwd=folder, env=ENV) != want or merges.read_bytes() != (whole if ours else data):
            wrong.append(data)
    check("%d damaged merges files are all learned anew, and written anew where they are ours" % len(broken), not wrong,
          repr(wrong[:1]))


TINY = dict(layers=1, embd=4, content=1, rrpram=1, context=4, mlp=1)
TINY_ARGS = ["--no-cache", "-q", "--merges", "2", "--alphabet", "corpus", "--shape",
             ",".join("%s=%d" % part for part in TINY.items())]
TINY_CORPUS = b"a cab, a bad cab, a bead\n" * 3


def with_header(whole, change):
    """A checkpoint whose header went through change (bytes to bytes), padded as it should be."""
    length, = struct.unpack("<Q", whole[:8])
    header = change(whole[8:8 + length].rstrip(b" "))
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + whole[8 + length:]


def summed(data):
    """A checkpoint whose weights were changed, with their checksum."""
    weights = data[8 + struct.unpack("<Q", data[:8])[0]:]
    return re.sub(rb'(weights_crc32":")[0-9a-f]{8}', rb"\g<1>%08x" % zlib.crc32(weights), data)


def damaged_checkpoints(whole):
    """A checkpoint cut at every length, with every byte of its header changed to several values (those that matter
    most: to all), with header lengths, offsets, types and weights that lie. -> the bytes of each"""
    length, = struct.unpack("<Q", whole[:8])
    header, weights = whole[8:8 + length], whole[8 + length:]
    yield whole
    for n in range(len(whole)):
        yield whole[:n]
    for n in (1, 7, 8, 9, 64):
        yield whole + b"\0" * n
        yield whole + whole[:n]
    for at in range(8 + length):
        everything = at < 8 or at % 97 == 0
        for byte in range(256) if everything else {0, 1, 9, 10, 0x20, 0x22, 0x2c, 0x5c, 0x5d, 0x7f, 0x80, 0xff,
                                                   whole[at] ^ 1, whole[at] ^ 4, whole[at] ^ 0x20}:
            if byte != whole[at]:
                yield whole[:at] + bytes([byte]) + whole[at + 1:]
    for n in (0, 1, 7, 8, length - 8, length - 1, length + 1, length + 8, len(whole) - 9, len(whole) - 8,
              len(whole) - 7, len(whole), 2 ** 31 - 1, 2 ** 31,
              2 ** 32 - 1, 2 ** 32, 2 ** 32 + length, 2 ** 53, 2 ** 63 - 1, 2 ** 63, 2 ** 63 + length, 2 ** 64 - 8,
              2 ** 64 - 1):
        yield struct.pack("<Q", n) + whole[8:]
        yield struct.pack("<Q", n)
    for at in range(8 + length):                          # a byte more and a byte less
        yield whole[:at] + whole[at:at + 1] + whole[at:]
        yield whole[:at] + whole[at + 1:]
    offsets = re.findall(rb"\[\d+,\d+\]\}", header)
    for i, a in enumerate(offsets):
        for b in (offsets[(i + 1) % len(offsets)], b"[0,0]}", b"[-8,0]}", b"[0,18446744073709551616]}", b"[1e3,2e3]}",
                  b"[]}", b"[[0,8]]}", b"[%s]}" % (b"9" * 99), b"[%s]}" % (b"9" * 200)):
            yield with_header(whole, lambda text: text.replace(a, b))
    names = re.findall(rb'"([^"]+\.weight)"', header)
    for a, b in zip(names, names[1:]):
        yield with_header(whole, lambda text: text.replace(a, b))                                # named twice
        yield with_header(whole, lambda text: text.replace(a, b"?").replace(b, a).replace(b"?", b))
    for dtype in (b"F32", b"F16", b"BF16", b"I64", b"", b"f64", b"F64 ", b"F" * 99, b"F" * 101, b"F" * 300, b"\\u0046",
                  b"\xff", b"\n"):
        yield with_header(whole, lambda text: text.replace(b"F64", dtype, 1))
    for old, new in ((b"layers=1", b"layers=2"), (b"embd=4", b"embd=8"), (b'"merges":"', b'"merges":"1'),
                     (b'"alphabet":"corpus', b'"alphabet":"bytes'),
                     (b"checkpoint 2", b"checkpoint 1"), (b'crc32":"', b'crc32":"f'),
                     (b'"corpus_crc32"', b'"corpus_crc33"'), (b"__metadata__", b"__metadata_"), (b"{", b"{{")):
        yield with_header(whole, lambda text: text.replace(old, new))
    parsed = json.loads(header.decode())
    for text in (json.dumps(parsed), json.dumps(parsed, separators=(",", ":"), sort_keys=True),
                 json.dumps(parsed, indent=1), "{}", "[]", "null", "", " ", "[" * 5000,
                 json.dumps({**parsed, "__metadata__": {}})):
        yield with_header(whole, lambda _: text.encode())
    yield summed(whole[:8] + header + weights[8:] + weights[:8])      # as good a file as any
    for n in range(0, 64, 7):                             # a bit
        for at in (0, len(weights) // 16 * 8, len(weights) - 8):
            yield whole[:8] + header + weights[:at] + struct.pack("<Q",
                                                                  struct.unpack_from("<Q", weights,
                    at)[0] ^ 1 << n) + weights[at + 8:]
    for bits in (0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF,
                 0x8000000000000000, 1, 0x7FEFFFFFFFFFFFFF, 0x8010000000000000):
        for at in range(0, len(weights), 8 * 37):
            yield summed(whole[:8] + header + weights[:at] + struct.pack("<Q", bits) + weights[at + 8:])
        yield summed(whole[:8] + header + weights[:-8] + struct.pack("<Q", bits))


def verdict(model, data):
    """What the Python twin makes of a checkpoint: a line like those of checkpoints.c."""
    before = model.net
    try:
        model.load(data)
    except Failure as failure:
        return str(failure) + ("" if model.net is before else " (but it changed the weights)")
    return "weights %08x" % zlib.crc32(
        b"".join([struct.pack("<%dd" % len(row), *row) for matrix in model.net.matrices() for row in matrix])
    )


def checkpoints(folder):
    """Both twins say the same of every damaged checkpoint, refuse it or load the same weights, and never stumble."""
    (folder / "tiny.txt").write_bytes(TINY_CORPUS)
    model = PostGPT(TINY_CORPUS, merges=2, alphabet="corpus", shape=TINY)
    whole = model.save()
    files = list(damaged_checkpoints(whole))
    said = [verdict(model, data) for data in files]
    body = len(whole) - 8 - struct.unpack("<Q", whole[:8])[0]
    loaded = [data for data, line in zip(files, said) if line.startswith("weights")]
    check("of %d checkpoints Python loads %d: those with a whole header and the weights' checksum"
          % (len(files), len(loaded)),
          all(data == summed(whole[:-body] + data[-body:]) for data in loaded) and len(loaded) > 9)
    stream = b"".join([b"%d\n%s" % (len(data), data) for data in files])
    for flags in (twins.FLAGS, SANITIZE):
        try:
            driver = twins.build("tests/checkpoints.c", compiler="gcc", flags=flags)
        except SkipTest:
            return skip("gcc")
        code, out, err = twins.run((driver,), ["-c", "tiny.txt", *TINY_ARGS], stream, folder, ENV)
        lines = out.decode(errors="replace").split("\n")[:-1]
        wrong = [(a, b) for a, b in zip(said, lines) if a != b]
        check("C (gcc %s) says the same of all of them" % " ".join(flags),
              (code, err, len(lines), wrong) == (0, b"", len(files), []),
              "%d %r %d %r" % (code, err[-2000:], len(lines), wrong[:3]))
    commands = [twins.PYTHON, (twins.build(compiler="gcc", flags=SANITIZE),), (twins.binary(),)]
    shown = [whole, loaded[-1], b"", whole[:1], whole[:7], whole[:8], whole[:100], whole[:-1], whole + b"\0"]
    shown += [struct.pack("<Q", n) + whole[8:] for n in (0, 1, 7, 2 ** 40, 2 ** 63, 2 ** 64 - 1)]
    shown += [summed(whole[:-8] + struct.pack("<d", x)) for x in (float("nan"), float("inf"), 1.1e30, -1e30, 5e-324)]
    shown += [with_header(whole, lambda text: text.replace(b"F64", b"F32")),
              with_header(whole, lambda text: text.replace(b"embd=4", b"embd=8"))]
    for data in shown:
        (folder / "x").write_bytes(data)
        load_alike(commands, folder, "%d bytes, %s" % (len(data), verdict(model, data)), "x")
    (folder / "x").write_bytes(whole)
    (folder / "other.txt").write_bytes(TINY_CORPUS[1:] + b"a")
    for args in (["--shape", "embd=8"], ["--shape", "layers=2"], ["--shape", "content=2,rrpram=0"], ["--merges", "1"],
                 ["--alphabet", "bytes"], ["-c", "other.txt"]):
        load_alike(commands, folder, "other " + " ".join(args), "x", *args, refused=True)
    (folder / "folder").mkdir(exist_ok=True)
    for name in ("folder", "missing", "x/y", "tiny.txt", os.devnull):
        load_alike(commands, folder, name, name, refused=True)


def load_alike(commands, folder, name, file, *args, refused=False):
    """Every twin loads a checkpoint and speaks, or refuses it with one line."""
    answers = [twins.run(command, ["-c", "tiny.txt", *TINY_ARGS, *args, "--load", file, "-m", "transformer", "-n", "9",
                                   "a"], cwd=folder, env=ENV) for command in commands]
    code, out, err = answers[0]
    fine = code == 1 and not out and re.match(rb"\Apostgpt: [^\n]+\n\Z",
                                              err) if refused or code else (not err and len(out) > 9)
    check("--load: %s" % name, fine and answers.count(answers[0]) == len(answers),
          "\n  %s" % "\n  ".join(map(repr, answers)))


def steps_on_the_book(folder):
    """Thirty steps of the default shape on the book: every line, every byte."""
    args = ["--no-cache", "--train", "30", "--save", "book.safetensors", "-m", "full", "-n", "20", "The"]
    found = []
    for command in ((twins.binary(),), twins.PYTHON):
        found.append((*twins.run(command, args, cwd=folder, timeout=1200), (folder / "book.safetensors").read_bytes()))
    check("30 steps on the book at the default shape are the same",
          found[0] == found[1] and found[0][0] == 0 and found[0][2].count(b"\nstep ") == 29,
          "\n  %r\n  %r" % tuple((code, out, err[-300:]) for code, out, err, _ in found))


# Other processors: big-endian, 32 bits, other libraries of mathematics. name -> qemu's name, gcc's prefix
PROCESSORS = {"s390x": ("s390x", "s390x-linux-gnu"), "aarch64": ("aarch64", "aarch64-linux-gnu"),
              "powerpc64": ("ppc64", "powerpc64-linux-gnu"),
              "mips": ("mips", "mips-linux-gnu"), "armhf": ("arm", "arm-linux-gnueabihf"),
              "riscv64": ("riscv64", "riscv64-linux-gnu")}
NO_FMA = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2_Usable,-AVX2"}


def every_case():
    """All cases of which `make test` takes every sixteenth one."""
    done = subprocess.run([sys.executable, str(twins.TESTS), "test_parity"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={**os.environ, "EVERY_CASE": "1"})
    check("the twins agree on every case of test_parity", not done.returncode, done.stdout.decode(errors="replace"))


def other_processors(folder):
    """The C twin on emulated processors: the same ids, files, counts and text.

    glibc computes exp and log with fused multiply-adds where the processor has them and without where not: one result
    in about a thousand differs in its last bit, also between two x86-64. After training the weights are therefore those
    of one of these two families, byte for byte; everything that is printed here is the same in both.
    """
    native = (twins.binary(),)
    commands = [[*SMALL, "--encode", "cyrillic.txt"], [*SMALL, "--info"],
                [*SMALL, "-n", "90", "-m", "full", "The transformer"], [*SMALL, "-n", "60", "-m", "transformer", "x"],
                [*SMALL, "--eval", "cyrillic.txt"], ["-c", "bytes.bin", "-n", "40", "-k", "0", "-t", "3", "\u00e9"],
                ["-c", "missing.txt"],
                ["-c", "names.txt", "--lines", "--merges", "0", "--alphabet", "corpus", "-n", "60", ""]]
    train = ["-c", "book.txt", "--merges", "100", "--train", "3", "-q", "--save"]
    want = [twins.run(native, [*args, "--no-cache"], cwd=folder) for args in commands]
    twins.run(native, [*train, "here"], cwd=folder)
    twins.run(native, [*train, "here-no-fma"], cwd=folder, env=NO_FMA)
    merges = (folder / "book.merges").read_bytes()
    trained = [(folder / name).read_bytes() for name in ("here", "here-no-fma")]
    speak = ["-c", "book.txt", "--merges", "100", "-m", "transformer", "-n", "30", "The", "--load"]
    for name, (qemu, prefix) in PROCESSORS.items():
        qemu = "qemu-" + qemu
        if not shutil.which(qemu):
            skip(name + ": " + qemu)
            continue
        binary = built(prefix + "-gcc", ("-std=c11", "-O2", "-static", "-ffp-contract=off"), name)
        if not binary:
            continue
        there = (shutil.which(qemu), binary)
        for args, answer in zip(commands, want):
            got = twins.run(there, [*args, "--no-cache"], cwd=folder, timeout=600)
            check("%s: %s" % (name, " ".join(args)), got == answer, "\n  wanted %r\n  got    %r" % (answer, got))
        (folder / "book.merges").unlink()
        done = twins.run(there, [*train, "there"], cwd=folder, timeout=600)
        check("%s: writes the same merges file" % name, (folder / "book.merges").read_bytes() == merges)
        check("%s: trains to the same checkpoint" % name, done[0] == 0 and (folder / "there").read_bytes() in trained,
              done)
        said = twins.run(there, [*speak, "there"], cwd=folder, timeout=600)
        check("%s: what was saved there speaks here as there" % name,
              said[0] == 0 and said == twins.run(native, [*speak, "there"], cwd=folder), said)
        twins.run(there, [*speak, "here", "--save", "again"], cwd=folder, timeout=600)
        check("%s: what was saved here is loaded and saved there unchanged" % name,
              (folder / "again").read_bytes() == trained[0])
        for data in (trained[0][:-1], trained[0][:-8] + struct.pack("<d", 0.5), trained[0][7::-1] + trained[0][8:]):
            (folder / "cut").write_bytes(data)
            got = [twins.run(command, [*speak, "cut"], cwd=folder, timeout=600) for command in (native, there)]
            check("%s: refuses what is refused here" % name, got[0] == got[1] and got[0][0] == 1, got)


def main():
    """All checks; the last line counts them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder)
        warnings()
        same_bytes(folder)
        sizes(folder)
        contractions()
        corners(folder)
        damaged_merges(folder)
        checkpoints(folder)
        every_case()
        other_processors(folder)
        steps_on_the_book(folder)
    print("%d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
