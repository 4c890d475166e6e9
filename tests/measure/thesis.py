"""What counting achieves: the README's tables, measured again and printed as GitHub Markdown, then every claim with its
figure.

    python3 tests/measure thesis [TEXT ...]     or     make thesis TEXTS="path/tinyshakespeare.txt path/names.txt"

The book is always measured. tinyshakespeare (also its first 150,000 bytes) and names are known by their content and
have claims of their own; any other text has its rows. The figures are what the C twin prints; the commands are named
beside them.
"""
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Tuple

import postgpt
import twins

PROGRAM = (str(twins.ROOT / "postgpt"),)
KNOWN = {(1115394, 0xdf613551): "tiny", (228145, 0xfedecb58): "names"}          # a file's size and CRC-32
NAMES = ("--lines", "--merges", "0", "--alphabet", "corpus")
LN2 = math.log(2.0)

# What training reached, bits a byte
SHAPE = 2.35                # this shape from random weights on the first 150,000 bytes: --init random --train 3000
LAPTOP = 1.88 / LN2         # nanoGPT's README: the configuration for a laptop's processor, 1.88 nats a character
GPU = 1.4697 / LN2          # nanoGPT's README: the configuration for a GPU, 10.65 million parameters
# nats a character: the mean loss of microgpt.py's steps 801 to 1000, as published; it has seen 1,000 names
MICROGPT = 2.31
# the same 4,192 parameters, held out: after one pass over the 28,829 names; after 15,000 steps of 32
ONE_PASS, LONG = 2.173, 2.104
TRAINED = {
    "small": "%.2f: this shape, trained from random weights, at its best moment" % SHAPE,
    "tiny": "%.2f: nanoGPT, 10.65 million parameters, trained on a GPU; %.2f: nanoGPT for a laptop's processor"
    % (GPU, LAPTOP),
    "names": "%.2f: microgpt after its 1000 steps, 1,000 names (%.2f nats a character); its 4,192 parameters after "
    "one pass over the same names %.2f, after 15,000 steps of 32 %.2f"
    % (MICROGPT / LN2, MICROGPT, ONE_PASS / LN2, LONG / LN2),
}

# What adaptive compressors pay for the same held-out bytes, having seen the rest: PPMd's best order, zpaq's mixing of
# contexts. Last known, where they are not installed.
PEERS = {"book": (1.619, 1.541), "small": (2.217, 2.124), "tiny": (2.026, 1.863), "names": (2.900, 2.761)}
ZPAQ = "x4,0w2c0,1010,255i1c256ci1,1,1,1,1,1,2ac0,2,0,255i1c0,3,0,0,255i1c0,4,0,0,0,255i1mm16ts19t0"

# What is claimed
# % of the way from uniform to bigram, by the transformer alone
WAY = {"book": 94.0, "small": 96.0, "tiny": 92.0, "names": 100.0}
# % that the transformer alone loses where its heads are silenced
HEADS = {"book": 0.7, "small": 1.0, "tiny": 1.0}
FULL_HEADS = 0.15                                         # % that full loses then
OVER_PPMD = 0.97                                          # full over PPMd, at most
OVER_ZPAQ = {"book": 1.0, "small": 1.02, "tiny": 1.02}    # full over zpaq, at most
EARNED = 0.1                                              # % that each term earns, on two of the three running texts
GAIN = {"book": 3.0, "small": 2.0, "tiny": 3.5}           # % by which full is better than Kneser-Ney of order 5
# full as nanoGPT measures: blocks of WINDOW characters, nothing carried over; cut between words, for full has tokens,
# and no character of a block is given (nanoGPT is given the first)
BLOCKS = 2.09
TINY_BITS, CHOICE_BITS = 2.12, 2.07                       # full on tinyshakespeare; with the named choice
HARM = 0.05                                               # % by which leaving a term out may lower the loss
TERMS = (("H", "full -H"), ("F", "full -F"), ("A", "full -A"), ("T", "full -T"), ("all heads", "full -heads"),
         ("the transformer", "full -transformer"))
T_ALONE = ("--order", "5", "--lambda", "1", "--kappa", "0", "--alpha", "0", "--beta", "0", "--gamma", "0")

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
    # the command that cuts its files, where it has files of its own
    cut: str = ""
    note: str = ""                                        # what its rows say beside the name


class Row(NamedTuple):
    """A text and its figures, with the default order and with order 5."""
    text: Text
    base: dict
    five: dict
    # Kneser-Ney of order 5 with T and nothing else, as its row full
    alone: dict
    peers: tuple                                          # PPMd, zpaq, a word; or None


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
        return [Text("small", "first 150,000 bytes of tinyshakespeare, last 10 %", args, cut),
                Text(kind, "tinyshakespeare, last 10 %", whole)]
    return [Text(kind, "%s, last 10 %%" % os.path.basename(path), whole)]


def files_of(text):
    """What a text is built on, and what is held out, as bytes."""
    data = read(text.args[1]) if "--corpus" in text.args else twins.BOOK.read_bytes()
    return (data, read(text.args[-1])) if "--eval" in text.args else split(data, 0.1)


def zpaq_size(data):
    """Bytes that zpaq makes of them."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "text"), "wb") as file:
            file.write(data)
        subprocess.run(["zpaq", "a", "text.zpaq", "text", "-m" + ZPAQ, "-t1"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return os.path.getsize(os.path.join(folder, "text.zpaq"))


def peers_of(text):
    """Bits a byte of PPMd and zpaq, and a word where they are not measured; None for a text that nobody measured."""
    built, held = files_of(text)
    price = lambda size: 8.0 * (size(built + held) - size(built)) / len(held)
    try:
        import pyppmd
        ppmd = min(price(lambda data: len(pyppmd.compress(data, max_order=order, mem_size=512 << 20)))
                   for order in (4, 5, 6, 8))
        return ppmd, price(zpaq_size), ""
    except (ImportError, OSError, subprocess.SubprocessError):
        return (*PEERS[text.kind],
                " (last known: pyppmd and zpaq are not both installed)") if text.kind in PEERS else None


def between_pieces(data):
    """A text in blocks of WINDOW bytes or a few less, cut where chapter I cuts it, too."""
    cut = [b""]
    for piece in postgpt.PIECE.findall(data):
        if len(cut[-1]) + len(piece) > WINDOW:
            cut.append(b"")
        cut[-1] += piece
    return [block for block in cut if block]


def anywhere(data):
    """A text in blocks of WINDOW bytes."""
    return [data[at:at + WINDOW] for at in range(0, len(data), WINDOW)]


def blocks(path, into):
    """Bits a byte of full as nanoGPT measures: the held-out text in blocks, nothing carried over."""
    built, held = split(read(path), 0.1)
    corpus, cut = write("blocks-built.txt", built), into(held)
    runs = [("--corpus", corpus, "--eval", write("block-%d.txt" % k, block)) for k, block in enumerate(cut)]
    found = measure(runs)
    return sum(found[run]["full"].bits * len(block) for run, block in zip(runs, cut)) / len(held)


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
    for text, base, five, alone, peers in rows:
        bits = {label: "%.3f" % figure.bits for label, figure in base.items()}
        cells.append([text.name + text.note, bits["uniform"], bits["bigram"], bits["chain"],
                      "%.3f" % five["chain"].bits, "%.3f" % alone["full"].bits,
                      *("%.3f%s" % (bits, peers[2]) if peers else "" for bits in (peers or ("", ""))[:2]),
                      "%s (%.0f %% of the way to the bigram)" % (bits["transformer"], way(base)), bits["meta"],
                      "**%s** (%+.1f %% against KN 5)" % (bits["full"], change(base["full"], five["chain"])),
                      TRAINED.get(text.kind, "")])
    table(["text", "uniform", "KN bigram", "KN 3 (chain)", "KN 5", "KN 5 and T", "PPMd", "zpaq", "transformer alone",
           "meta", "**full**", "trained, for comparison"], cells)


def terms_table(rows):
    """What every term is worth."""
    cells = [[row.text.name + row.text.note, *("%+.2f %%" % change(row.base[label], row.base["full"]) for _,
                                               label in TERMS),
              "%+.2f %%" % change(row.base["transformer -heads"], row.base["transformer"])] for row in rows]
    table(["leaving out ... raises the loss by", *(name for name, _ in TERMS), "all heads, the transformer alone"],
          cells)


def print_commands(rows):
    """What the two tables were printed from."""
    print(
        "Held-out bits a byte. Each row is what its command prints; KN 5 is the row `chain` of the same command with "
        "`--order 5`, KN 5 and T "
        "the row `full` with `%s`. PPMd and zpaq go on learning while they read, as the field's memory does.\n"
        % " ".join(T_ALONE)
    )
    for text, *_ in rows:
        print("- %s: `%s%s`" % (text.name, text.cut and text.cut + "; ", command(text.args)))
    print()


def window_tokens(args, path):
    """How many tokens of a held-out text are WINDOW bytes."""
    _, held = split(read(path), 0.1)
    ids = run((*args, "--encode", write("held.txt", held)))[0].split()
    return round(WINDOW * len(ids) / len(held))


def choose(path):
    """The best order and merges on the building side: its last 5 % held out. -> its options, the sentence that says how
    it was found"""
    building, _ = split(read(path), 0.1)
    piece = ("--corpus", write("building.txt", building), "--holdout", "0.05")
    runs = {choice: (*piece, "--order", "%d" % choice[0], "--merges", "%d" % choice[1]) for choice in CHOICES}
    found = measure(runs.values())
    bits = {choice: found[args]["full"].bits for choice, args in runs.items()}
    best = min(CHOICES, key=bits.get)
    how = (
        "The named choice, order %d with %d merges, is the best on the building side, where `head -c %d %s > "
        "building.txt; %s --order .. --merges ..` prints: %s."
        % (
            *best,
            len(building),
            shlex.quote(path),
            command(piece),
            ", ".join("%d/%d %.4f" % (*choice, bits[choice]) for choice in sorted(CHOICES, key=bits.get)),
        )
    )
    return runs[best][len(piece):], how


def tiny_extras(row):
    """tinyshakespeare seen otherwise. -> rows of the third table, the named choice's bits, how it was found"""
    args, path = row.text.args, row.text.args[1]
    carried_nothing = {into: blocks(path, into) for into in (between_pieces, anywhere)}
    memory, (options, how) = window_tokens(args, path), choose(path)
    cut, five, chosen = (*args, "--memory", "%d" % memory), (*args, "--order", "5"), (*args, *options)
    found = {five: row.five, **measure([cut, chosen])}
    cells = [["tinyshakespeare, %s" % what, "%.3f bits a byte" % found[args]["full"].bits,
              "%.2f bits: nanoGPT on a GPU" % GPU, "`%s`" % command(args)]
             for what, args in (("the field's memory cut to %d bytes, %d tokens" % (WINDOW, memory), cut),
                                ("order 5", five), ("the named choice", chosen))]
    for into, where in (between_pieces, "between words, %d characters or a few less" % WINDOW), (anywhere, "anywhere"):
        cells.append(["tinyshakespeare as nanoGPT measures: blocks of %d characters, nothing carried over, cut %s"
                      % (WINDOW, where), "%.3f bits a byte" % carried_nothing[into],
                      "%.2f bits: nanoGPT on a GPU" % GPU, "`--eval` of each block, by its length"])
    return cells, found[chosen]["full"].bits, carried_nothing[between_pieces], how


def new_names(args):
    """Some names stand in the file twice: the run on those held out that are not also built on, and the command that
    finds them."""
    built = set(read(args[1]).splitlines())
    new = b"".join(line + b"\n" for line in read(args[-1]).splitlines() if line not in built)
    return (*args[:-1], write("names-new.txt", new)), "grep -vxFf names-built.txt names-held.txt > names-new.txt; "


def names_extras(row):
    """names in nats a character: without merges a token is one."""
    five = ("--order", "5")
    args, (new, cut) = row.text.args, new_names(row.text.args)
    found = {args: row.base, (*args, *five): row.five, **measure([new, (*new, *five)])}
    return [[what, "%.4f nats a character" % found[run_args]["full"].nats,
             "%.2f nats: microgpt after its 1000 steps" % MICROGPT, "`%s%s`" % (before, command(run_args))]
            for what, run_args, before in (("names, order 3", args, ""), ("names, order 5", (*args, *five), ""),
                                           ("names that are not built on too, order 3", new, cut),
                                           ("the same, order 5", (*new, *five), cut))]


def claim_transformer(known):
    """(1) The transformer alone is a language model, and its heads are part of it."""
    for kind, least in WAY.items():
        if kind in known:
            covered = way(known[kind].base)
            yield covered >= least, ("(1) %s: the transformer alone covers %.1f %% of the way from uniform to the "
                                     "bigram (at least %g %%)" % (known[kind].text.name, covered, least))
    for kind, least in HEADS.items():
        if kind in known:
            base = known[kind].base
            lost, full = change(base["transformer -heads"], base["transformer"]), change(base["full -heads"],
                    base["full"])
            yield lost >= least, "(1) %s: without its heads the transformer alone loses %.2f %% (at least %g %%)" % (
                known[kind].text.name, lost, least)
            yield full >= FULL_HEADS, "(1) %s: without the heads full loses %.2f %% (at least %g %%)" % (
                known[kind].text.name, full, FULL_HEADS)


def claim_order(rows):
    """(2) Each mode is better than what it is made of."""
    wrong = [text.name for text, base, *_ in rows if not base["full"].bits < base["meta"].bits <= base["chain"].bits]
    yield not wrong, "(2) full < meta <= chain on %d of %d texts%s" % (len(rows) - len(wrong), len(rows),
            "".join("; not on " + name for name in wrong))


def claim_terms(known):
    """(2) Each term earns its place on two of the three running texts."""
    for name, label in TERMS:
        raised = [change(known[kind].base[label], known[kind].base["full"]) for kind in HEADS]
        n = sum(by >= EARNED for by in raised)
        yield n >= 2, ("(2) leaving out %s raises the loss by %g %% or more on %d of the 3 running texts "
                       "(at least 2): %s" % (name, EARNED, n, ", ".join("%+.2f %%" % by for by in raised)))


def claim_gain(known, choice_bits, block_bits):
    """(3) Full is better than the best counting known."""
    for kind, least in GAIN.items():
        if kind in known:
            gain = -change(known[kind].base["full"], known[kind].five["chain"])
            yield gain >= least, "(3) %s: full is %.1f %% better than Kneser-Ney of order 5 (at least %g %%)" % (
                known[kind].text.name, gain, least)
    for kind, most in OVER_ZPAQ.items():
        if kind in known and known[kind].peers:
            bits, (ppmd, zpaq, word) = known[kind].base["full"].bits, known[kind].peers
            yield bits <= OVER_PPMD * ppmd, "(3) %s: full takes %.3f of what PPMd does (at most %g)%s" % (
                known[kind].text.name, bits / ppmd, OVER_PPMD, word)
            yield bits <= most * zpaq, "(3) %s: full takes %.3f of what zpaq does (at most %g)%s" % (
                known[kind].text.name, bits / zpaq, most, word)
    if "tiny" in known:
        yield block_bits <= BLOCKS, ("(3) tinyshakespeare in blocks cut between words: full takes %.3f bits a byte "
                                     "(at most %.2f)" % (block_bits, BLOCKS))
        bits = known["tiny"].base["full"].bits
        yield bits <= TINY_BITS, "(3) tinyshakespeare: full takes %.3f bits a byte (at most %.2f)" % (bits, TINY_BITS)
        yield choice_bits <= CHOICE_BITS, ("(3) tinyshakespeare: with the named choice full takes %.3f bits a byte "
                                           "(at most %.2f)" % (choice_bits, CHOICE_BITS))


def claim_names(known):
    """(4) names: counted beats trained on as many, and what counting did before."""
    if "names" in known:
        for order, found in (("3", known["names"].base), ("5", known["names"].five)):
            yield found[
                "full"].nats < MICROGPT, "(4) names, order %s: full takes %.4f nats a character (under %.2f)" % (
                order, found["full"].nats, MICROGPT)
        five = known["names"].five
        under = -change(five["full"], five["chain"])
        yield under >= 0.5, "(4) names, order 5: full is %.2f %% under Kneser-Ney of order 5 (at least 0.5 %%)" % under


def print_claims(rows, choice_bits, block_bits):
    """A line for each claim that the texts allow to judge."""
    known = {row.text.kind: row for row in rows if row.text.kind}
    rows, everything = known.values(), set(known) == set(WAY)
    for holds, what in (*claim_transformer(known), *claim_order(rows), *(claim_terms(known) if everything else ()),
                        *claim_gain(known, choice_bits, block_bits),
                        *claim_names(known)):
        print("- %s: %s" % ("holds" if holds else "does not hold", what))
    if not everything:
        print("\nFor the other claims: make thesis TEXTS=\"path/tinyshakespeare.txt path/names.txt\"")


def main(paths):
    """Measures and prints everything."""
    texts = [Text("book", "the book, last 10 %", ("--holdout", "0.1"))]
    for path in paths:
        texts += texts_of(path)
    found = measure(args + more for args in (text.args for text in texts) for more in ((), ("--order", "5"), T_ALONE))
    rows = [Row(text, found[text.args], found[(*text.args, "--order", "5")], found[(*text.args, *T_ALONE)],
                peers_of(text)) for text in texts]
    main_table(rows)
    terms_table(rows)
    print_commands(rows)
    extras, choice_bits, block_bits, how = [], None, None, ""
    for row in rows:
        if row.text.kind == "tiny":
            cells, choice_bits, block_bits, how = tiny_extras(row)
            extras += cells
        elif row.text.kind == "names":
            extras += names_extras(row)
    if extras:
        table(["the full model otherwise", "held out", "trained, for comparison", "command"], extras)
    if how:
        print(how + "\n")
    print_claims(rows, choice_bits, block_bits)


if __name__ == "__main__":
    main(sys.argv[1:])
