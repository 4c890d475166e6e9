"""What the tests share: where things are, how a twin is built and run, texts to feed it, and how two runs are
compared."""
import atexit
import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional, Tuple

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
BOOK = ROOT / "postgpt.txt"
PYTHON = (sys.executable, str(ROOT / "postgpt.py"))
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off")
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))                         # so that `import postgpt` finds it


# Building and running

@functools.lru_cache(None)
def scratch():
    """A folder that lives as long as this process."""
    folder = tempfile.mkdtemp(prefix="postgpt-")
    atexit.register(shutil.rmtree, folder, True)
    return Path(folder)


@functools.lru_cache(None)
def build(source="postgpt.c", compiler=None, flags=FLAGS):
    """The path of a binary built from a C file (relative to the repository) with a compiler ($CC or the first that is
    there) and flags, built once a process. Raises SkipTest where there is no such compiler, AssertionError where it
    refuses."""
    compiler = compiler or os.environ.get("CC") or next((name for name in ("cc", "gcc", "clang", "tcc")
                                                         if shutil.which(name)), "cc")
    if not shutil.which(compiler):
        raise unittest.SkipTest("there is no compiler %s" % compiler)
    binary = scratch() / ("%s-%d" % (Path(source).stem, build.cache_info().misses))
    done = subprocess.run([compiler, *flags, "-o", str(binary), str(ROOT / source), "-lm"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert not done.returncode, "%s %s %s:\n%s" % (compiler, " ".join(flags), source,
                                                   done.stdout.decode(errors="replace"))
    return str(binary)


def binary():
    """The C twin: what `make` built, unless it is missing or older than its source."""
    made, source = ROOT / "postgpt", ROOT / "postgpt.c"
    return str(made) if made.exists() and made.stat().st_mtime >= source.stat().st_mtime else build()


def run(command, args=(), stdin=b"", cwd=None, env=None, timeout=120):
    """Runs a program. -> exit code, standard output, standard error; env adds to what this process has."""
    done = subprocess.run([*command, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
                          env={**os.environ, **(env or {})}, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


def end(process):
    """Ends a process with pipes, whether it has ended or not."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


# Cases: the same command line for both twins, each in a folder of its own

class Case(NamedTuple):
    """A command line (strings or bytes) in a folder with files (a name ending in / is a folder). With `damage` it runs
    twice, and the merges file of corpus.txt goes through damage in between; with `then` another command line follows it
    in the same folder."""
    args: Tuple = ()
    files: Dict[str, bytes] = {}
    stdin: bytes = b""
    env: Dict[str, str] = {}
    damage: Optional[Callable[[bytes], bytes]] = None
    then: Tuple = ()


class Outcome(NamedTuple):
    """What a run left behind: files holds the folder after it."""
    code: int
    stdout: bytes
    stderr: bytes
    files: Dict[str, bytes]


def play(case, command):
    """Runs a case. -> an Outcome a run"""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="case-", dir=str(scratch())) as folder:
        folder = Path(folder)
        for name, data in case.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if name.endswith("/") else path.write_bytes(data)
        for _ in range(2 if case.damage or case.then else 1):
            if outcomes and case.damage and (folder / "corpus.merges").is_file():
                (folder / "corpus.merges").write_bytes(case.damage((folder / "corpus.merges").read_bytes()))
            result = run(command, case.then if outcomes and case.then else case.args, case.stdin, str(folder), case.env)
            files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
                     if path.is_file()}
            outcomes.append(Outcome(*result, files))
    return outcomes


def first_difference(a, b):
    """Where two byte strings part, in words."""
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    x, y = (text[max(at - 30, 0):] for text in (a, b))
    return "from byte %d on:\n  C      %r\n  Python %r" % (at, *(text if len(text) < 300
                                                                 else text[:100] + b" ... " + text[-190:]
                                                                 for text in (x, y)))


def difference(case, c, python=PYTHON):
    """"" where both twins (commands) do the same with a case, else what differs."""
    found = []
    for turn, (x, y) in enumerate(zip(play(case, c), play(case, python)), 1):
        if x.code != y.code:
            found.append("run %d: exit code: C %d, Python %d" % (turn, x.code, y.code))
        for name in ("stdout", "stderr"):
            if getattr(x, name) != getattr(y, name):
                found.append("run %d: %s %s" % (turn, name, first_difference(getattr(x, name), getattr(y, name))))
        for name in sorted({*x.files, *y.files}):
            if x.files.get(name) != y.files.get(name):
                found.append("run %d: file %s %s" % (turn, name,
                                                     first_difference(x.files.get(name, b"<missing>"),
                                                                      y.files.get(name, b"<missing>"))))
    if not found:
        return ""
    files = ", ".join("%s (%d bytes)" % (name, len(data)) for name, data in case.files.items())
    args = " ".join(repr(arg if len(arg) < 200 else arg[:150])
                    for arg in [*case.args, *(("; then",) if case.then else ()), *case.then])
    return "postgpt %s\nin a folder with %s%s\n%s" % (args, files or "nothing",
                                                    ", standard input %r" % case.stdin[:60] if case.stdin else "",
                                                      "\n".join(found))


# Texts

def book(size):
    """The book's beginning."""
    return BOOK.read_bytes()[:size]


RUSSIAN = """Машина читает книгу и считает слова: за каким какое идёт. Счёт уже знает язык, хотя никто его не учил.
Слово ищет слово, вес ищет вес, и то, что было сочтено, начинает говорить. Машина читает книгу снова.
""".encode() * 4
HEBREW = """המכונה קוראת ספר וסופרת מילים: איזו מילה באה אחרי איזו. הספירה כבר יודעת את השפה.
מילה מחפשת מילה, והמכונה קוראת את הספר שוב ושוב, עד שהמספרים מתחילים לדבר.
""".encode() * 5
MIXED = """语言模型数词语，数字会说话。モデルは言葉を数える。🙂🚀 ghosts → flesh ✓ naïve café 👩‍👩‍👧
数一数，再说一说。言葉は数である。𝒙 ∈ 𝓥, ½ of Ω 🙂🙂 done
""".encode() * 6
NAMES = (
    "\n".join(
        "anna emma olivia ava isabella sophia mia amelia harper evelyn luna camila gianna elena aria maya nora lily "
        "eliana violet hannah anika emmanuelle ariane nadia leonor mira olive annabel sofie ella".split()
    ).encode()
    + b"\n"
)


@functools.lru_cache(None)
def corpora():
    """Corpora by name: what texts are like, and what nobody would call a text."""
    rng = random.Random(7)
    words = "the a model counts what token came before and after weights are numbers".split()
    return {
        "book": book(8000), "book_20k": book(20000), "one_byte_repeated": b"a" * 3000,
            "all_256_bytes": bytes(range(256)),
        "all_256_bytes_eight_times": bytes(range(256)) * 8,
            "random_bytes": bytes(rng.randrange(256) for _ in range(3000)),
        "random_bits": bytes(rng.choice(b"01") for _ in range(2000)), "cyrillic": RUSSIAN, "hebrew": HEBREW,
            "cjk_and_emoji": MIXED,
        "source_code": (ROOT / "postgpt.c").read_bytes()[:6000],
        "one_endless_line": " ".join(rng.choice(words) for _ in range(800)).encode(),
            "no_space_no_end": book(4000).replace(b" ", b"").replace(b"\n", b""),
        "three_bytes": b"abc", "two_bytes": b"ab", "two_equal_bytes": b"zz", "names": NAMES,
            "white_space": b" \t \n\n  \r\n   \v\f \n" * 60, "blanks": b" " * 500,
        "digits": b"".join(b"%d" % (i * i) for i in range(500)), "nuls": b"\0" * 700,
            "nuls_in_text": book(1500).replace(b"e", b"\0"),
        "no_newline_at_the_end": book(2500).rstrip() + b" and", "crlf": book(3000).replace(b"\n", b"\r\n"),
            "blank_lines": b"\n\na\n\n\nb\n" * 50,
        "broken_utf8": RUSSIAN[1:1500], "utf8_cut_at_the_end": MIXED[:601], "marks": b"!?.,;:()[]{}<>-+*/=" * 40,
    }


def bracketed(rng, sentences):
    """Sentences of few words, some of them in brackets: the same words stand within none and within one."""
    words, text = [a + b for a in "deDE" for b in ("ab", "o", "ig", "ust")], ""
    for _ in range(sentences):
        said = [rng.choice(words) for _ in range(rng.randint(3, 9))]
        if rng.random() < 0.6:
            first = rng.randrange(len(said))
            last = rng.randrange(first, len(said))
            said[first] = "(" + said[first]
            said[last] += ")"
        text += " ".join(said) + ". "
    return text.encode()


def random_corpus(rng, most=6144):
    """2 to `most` bytes of any kind."""
    size = max(2, int(2 * (most / 2.0) ** rng.random()))
    kind = rng.randrange(8)
    if kind < 3:
        text = corpora()[rng.choice(sorted(corpora()))]
        start = rng.randrange(max(len(text) - size, 0) + 1)
        text = text[start:start + size]
    elif kind == 3:
        letters = bytes(rng.randrange(256) for _ in range(rng.choice((1, 2, 3, 8, 40, 256))))
        text = bytes(rng.choice(letters) for _ in range(size))
    elif kind == 4:
        words = [bytes(rng.choice(b"abcdeABC019.,-\xd0\xb0\xc3\xa9") for _ in range(rng.randrange(1, 7)))
                 for _ in range(rng.randrange(1, 60))]
        text = b"".join(rng.choice(words) + rng.choice((b" ", b" ", b" ", b"\n", b"", b"  ", b"\t"))
                        for _ in range(size // 4 + 1))[:size]
    elif kind == 5:
        text = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 12))) * (size // 2 + 1)
        text = text[:size]
    elif kind == 6:
        text = bracketed(rng, size // 25 + 1)
    else:
        text = bytearray(book(20000)[rng.randrange(10000):][:size])
        for _ in range(rng.randrange(1, 30)):
            text[rng.randrange(len(text))] = rng.randrange(256)
    return bytes(text) if len(text) > 1 else b"ab"


def random_prompt(rng, corpus):
    """A prompt, bytes without NULs: it is to be an argument."""
    at, kind = rng.randrange(len(corpus)), rng.randrange(6)
    prompt = (b"", corpus[at:at + rng.randrange(40)], corpus[at:at + 600], random_corpus(rng, 200),
              b"The quick brown " + corpus[:5],
              corpus[at:at + 3] + rng.choice((b"\n", b" ", b"\xf0\x9f", b"\r\n", b"'\"$`\\")))[kind]
    return prompt.replace(b"\0", b"")


def random_shape(rng):
    """A --shape, now and then one that cannot be."""
    content, rrpram = rng.choice(((2, 2), (1, 0), (0, 1), (1, 1), (3, 1), (0, 3), (4, 0), (0, 0)))
    embd = max((content + rrpram) * rng.choice((1, 2, 3, 5, 8, 12)), 2) + (rng.random() < 0.03)
    parts = ["layers=%d" % rng.choice((1, 1, 2, 3)), "embd=%d" % embd, "content=%d" % content, "rrpram=%d" % rrpram,
             "context=%d" % rng.choice((2, 3, 5, 8, 16, 64, 70)), "mlp=%d" % rng.choice((1, 2, 4))]
    rng.shuffle(parts)
    return ",".join(parts)


def damage_of(rng):
    """A way to damage a merges file."""
    where, what, kind = rng.random(), rng.choice(b"0189 \n\r-x\0"), rng.randrange(5)

    def damage(data):
        at = int(where * len(data))
        return (data, data[:at], data[:at] + bytes([what]) + data[at + 1:], data[:at] + bytes([what]) + data[at:],
                data + bytes([what]))[kind]
    return damage


def random_case(seed):
    """A case drawn from a seed, the same for the same seed."""
    rng = random.Random(seed)
    corpus = random_corpus(rng)
    files, args, stdin = {"corpus.txt": corpus}, ["-c", "corpus.txt"], b""
    number = lambda high: rng.choice(("0", "%d" % high, "%.3f" % (rng.random() * high), ".5", "1.", "1e-3",
                                      "%.2e" % (rng.random() * high), "%r" % rng.random()))
    options = [
        (0.8, lambda: ["-m", rng.choice(("both", "meta", "full", "transformer"))]),
        (0.2, lambda: ["--top-p", rng.choice(("0", "1", "%r" % rng.random()))]),
               (0.2, lambda: ["--samples", str(rng.randrange(1, 4))]), (0.2, lambda: ["--exact"]),
        (0.2, lambda: ["--discount", rng.choice(("0", "1", "%r" % rng.random()))]),
               (0.2, lambda: ["--verbatim", str(rng.choice((0, 1, 2, 5, 1000)))]),
        (0.3, lambda: ["-t", number(10)]), (0.3, lambda: ["--top-k", str(rng.choice((0, 1, 2, 5, 40, 256)))]),
        (0.3, lambda: ["-r%s" % number(10)]), (0.4, lambda: ["--seed=%d" % rng.choice((0, 1, 2 ** 64 - 1,
            rng.randrange(2 ** 64)))]),
        (0.9, lambda: ["--merges", str(rng.choice((0, 1, 2, 10, 60, 200, 500)))]),
               (0.3, lambda: ["--alphabet", "corpus"]),
        (0.5, lambda: ["--order", str(rng.randrange(1, 9))]), (0.25, lambda: ["--lines"]),
               (0.7, lambda: ["--shape", random_shape(rng)]),
        (0.1, lambda: ["--init", "random"]), (0.4, lambda: ["--memory", str(rng.choice((1, 2, 3, 10, 50, 1000)))]),
        (0.3, lambda: ["--%s" % rng.choice(("lambda", "kappa", "alpha", "beta", "gamma", "trauma")),
                       number(rng.choice((1, 4, 100)))]),
        (0.1, lambda: ["--info"]), (0.2, lambda: ["--no-cache"]), (0.2, lambda: ["-q"]),
               (0.02, lambda: [rng.choice(("-x", "--top-k", "-n0", "--lines=1"))]),
        (0.3, lambda: ["-p", number(1)]), (0.3, lambda: ["--discount", number(1)]),
               (0.4, lambda: ["--verbatim=%d" % rng.choice((0, 1, 2, 3, 5, 12, 1000))]),
        (0.15, lambda: ["--samples", str(rng.choice((1, 2, 3)))]), (0.3, lambda: ["--exact"]),
        (0.12, lambda: ["--holdout", "%.4f" % min(max(rng.random() * 200.0 / len(corpus), 0.001), 0.999)]),
        (0.12, lambda: ["--eval", "held.txt"]), (0.1, lambda: ["--encode", "held.txt"]),
        (0.2, lambda: ["--why"]), (0.12, lambda: ["--page", "page.html"]), (0.04, lambda: ["--tree"]),
               (0.06, lambda: ["-i"]),
    ]
    if rng.random() < 0.3:                                # a case of training
        options += [(1.0, lambda: ["--shape", random_shape(rng), "--merges", str(rng.choice((0, 3, 30)))]),
                    (1.0, lambda: ["--train", str(rng.randrange(1, 5))]),
                    (0.5, lambda: ["--batch", str(rng.choice((1, 2, 5)))]),
                    (0.5, lambda: ["--lr", rng.choice(("0", "1", ".01", "%r" % rng.random()))]),
                    (0.8, lambda: ["--save", "x"])]
    if rng.random() < 0.15:                               # all coefficients at an end
        options += [(1.0, lambda name=name: ["--" + name, rng.choice(("0", "100"))])
                    for name in ("lambda", "kappa", "alpha", "beta", "gamma", "trauma")]
    for chance, option in options:
        if rng.random() < chance:
            args += option()
    args += ["-n", str(rng.choice((1, 5, 20, 40)))]
    if "held.txt" in args:
        at = rng.randrange(len(corpus))
        files["held.txt"] = rng.choice((corpus[at:at + 150], random_corpus(rng, 200), b"\n", b""))
    prompt = random_prompt(rng, corpus)
    if "-i" in args:
        stdin = b"\n".join(rng.choice((b"", random_prompt(rng, corpus))) for _ in range(4))
    if rng.random() < 0.15:
        args, stdin = args + ["-"], random_prompt(rng, corpus) + rng.choice((b"", b"\0\xff"))
    elif rng.random() < 0.95:
        args += ["--", prompt]
    then = ()
    # what was saved is loaded, mostly by a command line that it fits
    if "--save" in args and rng.random() < 0.8:
        at, without = args.index("--save"), rng.choice((0, 0, 0, 1))
        then = (*args[:at], "--load", "x", *args[at + 2 - without:])
        for option in ("--train", "--batch", "--lr") if rng.random() < 0.7 else ():
            if option in then:
                then = (*then[:then.index(option)], *then[then.index(option) + 2:])
    return Case(tuple(args), files, stdin, damage=damage_of(rng) if not then and rng.random() < 0.15 else None,
                then=then)
