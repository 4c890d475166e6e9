"""What counting achieves: the README's tables, measured again and printed as GitHub Markdown, then every claim with its figure.

    python3 tests/thesis.py [TEXT ...]     or     make thesis TEXTS="path/tinyshakespeare.txt path/names.txt"

The book is always measured. tinyshakespeare (also its first 150,000 bytes) and names are known by their content and have claims of
their own; any other text has its rows. The figures are what the C twin prints; the commands are named beside them.
"""
import math
import os
import re
import shlex
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Tuple

import twins

PROGRAM = (str(twins.ROOT / "postgpt"),)
KNOWN = {(1115394, 0xdf613551): "tiny", (228145, 0xfedecb58): "names"}          # a file's size and CRC-32
NAMES = ("--lines", "--merges", "0", "--alphabet", "corpus")
LN2 = math.log(2.0)

# What training reached, bits a byte
SHAPE = 2.385               # measured for the design: this shape from random weights on the first 150,000 bytes, at its best moment
LAPTOP = 1.88 / LN2         # nanoGPT's README: the configuration for a laptop's processor, 1.88 nats a character
GPU = 1.4697 / LN2          # nanoGPT's README: the configuration for a GPU, 10.65 million parameters
MICROGPT = 2.29             # nats a character: microgpt after its 1000 steps
TRAINED = {"small": "%.3f: this shape, trained from random weights, at its best moment" % SHAPE,
           "tiny": "%.2f: nanoGPT, 10.65 million parameters, trained on a GPU; %.2f: nanoGPT for a laptop's processor" % (GPU, LAPTOP),
           "names": "%.2f: microgpt after its 1000 steps (%.2f nats a character)" % (MICROGPT / LN2, MICROGPT)}

# What is claimed
WAY = {"book": 75.0, "small": 85.0, "tiny": 85.0}         # % of the way from uniform to bigram, by the transformer alone
GAIN = {"book": 3.0, "small": 2.0, "tiny": 3.5}           # % by which full is better than Kneser-Ney of order 5
TINY_BITS, CHOICE_BITS = 2.12, 2.07                       # full on tinyshakespeare; with the named choice
HARM = 0.05                                               # % by which leaving a term out may lower the loss
TERMS = (("H", "full -H"), ("F", "full -F"), ("A", "full -A"), ("T", "full -T"), ("the transformer", "full -transformer"))

WINDOW = 256                                              # bytes that nanoGPT's models see
CHOICES = [(order, merges) for order in (4, 5, 6) for merges in (128, 256, 512, 1024)]


class Figure(NamedTuple):
    """One row of --holdout or --eval."""
    bits: float                                           # a byte
    nats: float                                           # a token


class Text(NamedTuple):
    """A text that is reported on."""
    kind: str                                             # book, small, tiny, names; "" for any other
    name: str
    args: Tuple[str, ...]                                 # that measure it
    cut: str = ""                                         # the command that cuts its files, where it has files of its own
    note: str = ""                                        # what its rows say beside the name


class Row(NamedTuple):
    """A text and its figures, with the default order and with order 5."""
    text: Text
    base: dict
    five: dict


def parse(output):
    """{label: Figure} of what --holdout prints."""
    return {label: Figure(float(bits), float(nats))
            for label, bits, nats in re.findall(r"(?m)^(\S.*?) {2,}([\d.]+) bits/byte +([\d.]+) nats/token$", output)}


def command(args):
    """A run as one would type it; files that were cut for it go by their last name."""
    return "./postgpt " + " ".join(shlex.quote(arg.replace(str(twins.scratch()) + os.sep, "")) for arg in args)


def run(args):
    """What the C twin prints: standard output, standard error. A run that fails ends this program with its reason."""
    try:
        code, output, error = twins.run(PROGRAM, args, timeout=None)
    except FileNotFoundError:
        sys.exit("there is no ./postgpt yet: make")
    if code:
        sys.exit("%s\n%s" % (command(args), error.decode(errors="replace").strip()))
    return output.decode(), error.decode()


def measure(runs):
    """{args: figures} of every run, two at a time."""
    runs = list(dict.fromkeys(runs))
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(runs, pool.map(lambda args: parse(run(args)[0]), runs)))


def write(name, data):
    """A file that lives as long as this process. -> its path"""
    path = twins.scratch() / name
    path.write_bytes(data)
    return str(path)


def read(path):
    """All bytes of a file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        sys.exit("cannot read %s: %s" % (path, error.strerror))


def split(data, share):
    """A text as --holdout cuts it: what is built on, and the last `share` of it."""
    at = len(data) - int(len(data) * share)
    return data[:at], data[at:]


def every_tenth(data):
    """Lines 1, 11, 21 .. held out, the others built on. -> both, as whole lines"""
    lines = data.splitlines(True)
    lines[-1] = lines[-1].rstrip(b"\n") + b"\n"
    return b"".join(line for i, line in enumerate(lines) if i % 10), b"".join(lines[::10])


def kind_of(data):
    """tiny or names, by content; "" for any other text."""
    return KNOWN.get((len(data), zlib.crc32(data)), "")


def texts_of(path):
    """The texts that a file stands for."""
    data, whole = read(path), ("--corpus", path, "--holdout", "0.1")
    kind, quoted = kind_of(data), shlex.quote(path)
    if kind == "names":
        rest, held = every_tenth(data)
        args = ("--corpus", write("names-built.txt", rest), *NAMES, "--eval", write("names-held.txt", held))
        cut = "awk 'NR %% 10 != 1' %s > names-built.txt; awk 'NR %% 10 == 1' %s > names-held.txt" % (quoted, quoted)
        return [Text(kind, "names, every tenth", args, cut, "; `%s`" % " ".join(NAMES))]
    if kind == "tiny":
        args = ("--corpus", write("first-150000.txt", data[:150000]), "--holdout", "0.1")
        cut = "head -c 150000 %s > first-150000.txt" % quoted
        return [Text("small", "first 150,000 bytes of tinyshakespeare, last 10 %", args, cut), Text(kind, "tinyshakespeare, last 10 %", whole)]
    return [Text(kind, "%s, last 10 %%" % os.path.basename(path), whole)]


def way(figures):
    """How far the transformer alone goes from uniform to the bigram, in %."""
    nats = [figures[label].nats for label in ("uniform", "transformer", "bigram")]
    return 100.0 * (nats[0] - nats[1]) / (nats[0] - nats[2])


def change(figure, other):
    """By how many % a loss is above another of the same text and merges."""
    return 100.0 * (figure.nats / other.nats - 1.0)


def table(head, rows):
    """A table of GitHub Markdown."""
    for row in [head, ["---"] * len(head), *rows]:
        print("| %s |" % " | ".join(row))
    print()


def main_table(rows):
    """What every part achieves."""
    cells = []
    for text, base, five in rows:
        bits = {label: "%.3f" % figure.bits for label, figure in base.items()}
        cells.append([text.name + text.note, bits["uniform"], bits["bigram"], bits["chain"], "%.3f" % five["chain"].bits,
                      "%s (%.0f %% of the way to the bigram)" % (bits["transformer"], way(base)), bits["meta"],
                      "**%s** (%+.1f %% against KN 5)" % (bits["full"], change(base["full"], five["chain"])), TRAINED.get(text.kind, "")])
    table(["text", "uniform", "KN bigram", "KN 3 (chain)", "KN 5", "transformer alone", "meta", "**full**", "trained, for comparison"], cells)


def terms_table(rows):
    """What every term is worth."""
    cells = [[text.name + text.note, *("%+.2f %%" % change(base[label], base["full"]) for _, label in TERMS)] for text, base, _ in rows]
    table(["leaving out ... raises the loss by", *(name for name, _ in TERMS)], cells)


def print_commands(rows):
    """What the two tables were printed from."""
    print("Held-out bits a byte. Each row is what its command prints; KN 5 is the row `chain` of the same command with `--order 5`.\n")
    for text, _, _ in rows:
        print("- %s: `%s%s`" % (text.name, text.cut and text.cut + "; ", command(text.args)))
    print()


def window_tokens(args, path):
    """How many tokens of a held-out text are WINDOW bytes."""
    _, held = split(read(path), 0.1)
    ids = run((*args, "--encode", write("held.txt", held)))[0].split()
    return round(WINDOW * len(ids) / len(held))


def choose(path):
    """The best order and merges on the building side: its last 5 % held out. -> its options, the sentence that says how it was found"""
    building, _ = split(read(path), 0.1)
    piece = ("--corpus", write("building.txt", building), "--holdout", "0.05")
    runs = {choice: (*piece, "--order", "%d" % choice[0], "--merges", "%d" % choice[1]) for choice in CHOICES}
    found = measure(runs.values())
    bits = {choice: found[args]["full"].bits for choice, args in runs.items()}
    best = min(CHOICES, key=bits.get)
    how = "The named choice, order %d with %d merges, is the best on the building side, where `head -c %d %s > building.txt; %s --order .. --merges ..` prints: %s." % (
        *best, len(building), shlex.quote(path), command(piece), ", ".join("%d/%d %.4f" % (*choice, bits[choice]) for choice in sorted(CHOICES, key=bits.get)))
    return runs[best][len(piece):], how


def tiny_extras(row):
    """tinyshakespeare seen otherwise. -> rows of the third table, the named choice's bits, how it was found"""
    args, path = row.text.args, row.text.args[1]
    memory, (options, how) = window_tokens(args, path), choose(path)
    cut, five, chosen = (*args, "--memory", "%d" % memory), (*args, "--order", "5"), (*args, *options)
    found = {five: row.five, **measure([cut, chosen])}
    cells = [["tinyshakespeare, %s" % what, "%.3f bits a byte" % found[args]["full"].bits, "%.2f bits: nanoGPT on a GPU" % GPU, "`%s`" % command(args)]
             for what, args in (("the field's memory cut to %d bytes, %d tokens" % (WINDOW, memory), cut), ("order 5", five), ("the named choice", chosen))]
    return cells, found[chosen]["full"].bits, how


def new_names(args):
    """Some names stand in the file twice: the run on those held out that are not also built on, and the command that finds them."""
    built = set(read(args[1]).splitlines())
    new = b"".join(line + b"\n" for line in read(args[-1]).splitlines() if line not in built)
    return (*args[:-1], write("names-new.txt", new)), "grep -vxFf names-built.txt names-held.txt > names-new.txt; "


def names_extras(row):
    """names in nats a character: without merges a token is one."""
    five = ("--order", "5")
    args, (new, cut) = row.text.args, new_names(row.text.args)
    found = {args: row.base, (*args, *five): row.five, **measure([new, (*new, *five)])}
    return [[what, "%.4f nats a character" % found[run_args]["full"].nats, "%.2f nats: microgpt after its 1000 steps" % MICROGPT, "`%s%s`" % (before, command(run_args))]
            for what, run_args, before in (("names, order 3", args, ""), ("names, order 5", (*args, *five), ""),
                                           ("names that are not built on too, order 3", new, cut), ("the same, order 5", (*new, *five), cut))]


def claim_transformer(known):
    """(1) The transformer alone is a language model. -> (whether it holds, what) each"""
    for kind, least in WAY.items():
        if kind in known:
            covered = way(known[kind].base)
            yield covered >= least, "(1) %s: the transformer alone covers %.1f %% of the way from uniform to the bigram (at least %g %%)" % (known[kind].text.name, covered, least)


def claim_order(rows):
    """(2) Each mode is better than what it is made of."""
    wrong = [text.name for text, base, _ in rows if not base["full"].bits < base["meta"].bits <= base["chain"].bits]
    yield not wrong, "(2) full < meta <= chain on %d of %d texts%s" % (len(rows) - len(wrong), len(rows), "".join("; not on " + name for name in wrong))


def claim_terms(rows):
    """(2) Each term earns its place: on three of the four texts at least, and on none it harms."""
    for name, label in TERMS:
        raised = [change(base[label], base["full"]) for _, base, _ in rows]
        n = sum(by > 0.0 for by in raised)
        yield n >= 3 and min(raised) >= -HARM, "(2) leaving out %s raises the loss on %d of %d texts (at least 3), least by %+.2f %% (not under -%g %%)" % (
            name, n, len(rows), min(raised), HARM)


def claim_gain(known, choice_bits):
    """(3) Full is better than the best counting known."""
    for kind, least in GAIN.items():
        if kind in known:
            gain = -change(known[kind].base["full"], known[kind].five["chain"])
            yield gain >= least, "(3) %s: full is %.1f %% better than Kneser-Ney of order 5 (at least %g %%)" % (known[kind].text.name, gain, least)
    if "tiny" in known:
        bits = known["tiny"].base["full"].bits
        yield bits <= TINY_BITS, "(3) tinyshakespeare: full takes %.3f bits a byte (at most %.2f)" % (bits, TINY_BITS)
        yield choice_bits <= CHOICE_BITS, "(3) tinyshakespeare: with the named choice full takes %.3f bits a byte (at most %.2f)" % (choice_bits, CHOICE_BITS)


def claim_names(known):
    """(4) names: counted beats trained."""
    if "names" in known:
        for order, found in (("3", known["names"].base), ("5", known["names"].five)):
            yield found["full"].nats < MICROGPT, "(4) names, order %s: full takes %.4f nats a character (under %.2f)" % (order, found["full"].nats, MICROGPT)


def print_claims(rows, choice_bits):
    """A line for each claim that the texts allow to judge."""
    known = {row.text.kind: row for row in rows if row.text.kind}
    rows, everything = known.values(), set(known) == {*WAY, "names"}
    for holds, what in (*claim_transformer(known), *claim_order(rows), *(claim_terms(rows) if everything else ()), *claim_gain(known, choice_bits),
                        *claim_names(known)):
        print("- %s: %s" % ("holds" if holds else "does not hold", what))
    if not everything:
        print("\nFor the other claims: make thesis TEXTS=\"path/tinyshakespeare.txt path/names.txt\"")


def main(paths):
    """Measures and prints everything."""
    texts = [Text("book", "the book, last 10 %", ("--holdout", "0.1"))]
    for path in paths:
        texts += texts_of(path)
    found = measure(args + more for args in (text.args for text in texts) for more in ((), ("--order", "5")))
    rows = [Row(text, found[text.args], found[(*text.args, "--order", "5")]) for text in texts]
    main_table(rows)
    terms_table(rows)
    print_commands(rows)
    extras, choice_bits, how = [], None, ""
    for row in rows:
        if row.text.kind == "tiny":
            cells, choice_bits, how = tiny_extras(row)
            extras += cells
        elif row.text.kind == "names":
            extras += names_extras(row)
    if extras:
        table(["the full model otherwise", "held out", "trained, for comparison", "command"], extras)
    if how:
        print(how + "\n")
    print_claims(rows, choice_bits)


if __name__ == "__main__":
    main(sys.argv[1:])
