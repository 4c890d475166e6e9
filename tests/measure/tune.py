"""How the default coefficients and the constants of seeding, spelling and trauma are chosen: on pieces cut from the
building sides only.

    python3 tests/measure tune [--trained] [TEXT ...]         the book always; tinyshakespeare and names by path

What it may see: of each text that thesis.py reports on, the bytes that thesis.py builds on, and no other; a part of
them is held out here and judged. No byte that is reported on is judged. (The first 135,000 bytes of tinyshakespeare, a
piece here, are built on in both of its rows; the 15,000 after them, which the row of 150,000 bytes reports on, lie in
what the piece of the whole text builds on, where nothing is judged.)

One value after the other goes down or up by its step as long as a step gains at least LEAST: that much less is the
mean, over the pieces, of the logarithm of what the row `full` takes a byte; for a constant of seeding the row
`transformer`, and for UNAIDED `full -transformer`. It ends after a round in which nothing has moved, which from the
defaults should be the first. A constant is changed in a copy of postgpt.c. --trained does the same for lambda and kappa
where the transformer was trained.

Not tried, since they are paid for in time: HUSH, REACH, LESSONS, SOLVE, WIDEST; the more, the better or the same.
"""
import argparse
import functools
import math
import re
import subprocess
from typing import NamedTuple, Tuple

import twins
from measure import thesis
import postgpt

STEP = 1.33                                               # a step up is times this, down divided by it
FINE = {"lambda": 1.05, "UNAIDED": 1.05}                # they stand before the loudest term
SEEDING = ("SHRINK", "CHORUS", "WHISPER", "RELEVANCE", "SHARPNESS")
CONSTANTS = (*SEEDING, "UNAIDED", "ECHO", "DRIFT", "PRIOR", "CALM", "DEPTH", "STUB", "BREAK", "FEW", "DUE")
ROW = {**dict.fromkeys(SEEDING, "transformer"), "UNAIDED": "full -transformer"}       # what a value is judged on
FADING = ("ECHO", "DRIFT", "CALM")                        # shares of 1: what is varied is what they are short of it
WHOLE = ("DEPTH",)                                        # numbers of tokens: a step is 1
LEAST = 1e-4                                              # of the mean log: a hundredth of a percent
CFLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno")
TRAIN = ("--train", "300")                                # what a transformer that was trained has behind it here
SAMPLE = 4                                                # every so manieth of the names held out for tuning is asked


class Piece(NamedTuple):
    """What a coefficient is judged on."""
    name: str
    args: Tuple[str, ...]


def held_out_piece(name, data, share):
    """The building side of a text, its own last part held out."""
    return Piece(name, ("--corpus", thesis.write("tune-%s" % name, data), "--holdout", "%g" % share))


def pieces_of(path):
    """The pieces that a file gives, without what thesis.py reports on."""
    data, name = thesis.read(path), path.rpartition("/")[2]
    kind = thesis.kind_of(data)
    if kind == "names":
        rest, held = thesis.every_tenth(thesis.every_tenth(data)[0])
        sample = b"".join(held.splitlines(True)[::SAMPLE])
        piece = Piece(name, ("--corpus", thesis.write("tune-built", rest), *thesis.NAMES, "--no-cache", "--eval",
                             thesis.write("tune-held", sample)))
        return [piece, Piece("order 5", (*piece.args, "--order", "5"))]          # they are reported on with both orders
    building, _ = thesis.split(data, 0.1)
    if kind == "tiny":
        return [held_out_piece("first-135000", data[:135000], 0.1), held_out_piece(name, building, 0.05)]
    return [held_out_piece(name, building, 0.1)]


def default_of(name):
    """A constant's value in postgpt.c, a coefficient's in postgpt.py."""
    if name in postgpt.COEFFICIENTS:
        return postgpt.COEFFICIENTS[name]
    number = re.search(r"(?m)^#define %s +(\S+)" % name, (twins.ROOT / "postgpt.c").read_text()).group(1)
    return int(number) if name in WHOLE else float(number)


def stepped(name, value, up):
    """The next value of a coefficient or a constant."""
    if name in WHOLE:
        return value + (1 if up else -1)
    factor = FINE.get(name, STEP) if up else 1.0 / FINE.get(name, STEP)
    return float("%.4g" % (1.0 - (1.0 - value) / factor if name in FADING else value * factor))


@functools.lru_cache(None)
def built_with(constants):
    """The C twin with other values of constants, (name, value) each. -> its path"""
    source = (twins.ROOT / "postgpt.c").read_text()
    for name, value in constants:
        source = re.sub(r"(?m)^(#define %s +)\S+" % name, r"\g<1>%r" % value, source)
    path = thesis.write("tuned.c", source.encode())
    program = str(twins.scratch() / ("tuned-%d" % built_with.cache_info().misses))
    subprocess.run(["cc", *CFLAGS, "-o", program, path, "-lm", "-pthread"], check=True)
    return program


@functools.lru_cache(None)
def figures_of(program, runs):
    """{args: figures} of a program's runs, each asked for once: every walk begins where the one before it ended."""
    usual, thesis.PROGRAM = thesis.PROGRAM, (program,)
    try:
        return thesis.measure(runs)
    finally:
        thesis.PROGRAM = usual


def bits_of(pieces, values, row):
    """What a row takes a byte, on each piece, with values of coefficients and constants by name.  -> [piece]"""
    options = [part for name in postgpt.COEFFICIENTS for part in ("--" + name, "%g" % values[name])]
    constants = tuple((name, values[name]) for name in values if name not in postgpt.COEFFICIENTS)
    runs = tuple((*piece.args, *options) for piece in pieces)
    found = figures_of(built_with(constants), runs)
    return [found[args][row].bits for args in runs]


def mean_log(bits):
    """The mean of the logarithms: a hundredth less on any piece counts alike."""
    return sum(map(math.log, bits)) / len(bits)


def walk(pieces, values, name):
    """Prints what each value of a coefficient or a constant does that it walks to. -> the value it ends at"""
    def cost(value):
        """The mean log, printed."""
        bits = bits_of(pieces, {**values, name: value}, ROW.get(name, "full"))
        mean = mean_log(bits)
        print("%-10s %8.4g %s %10.5f%s" % (name, value, "".join("%15.4f" % piece for piece in bits), mean,
                                           " default" * (value == default_of(name))), flush=True)
        return mean

    at = start = values[name]
    best = cost(start)
    for up in False, True:
        while True:
            there = stepped(name, at, up)
            found = cost(there)
            if not found <= best - LEAST:
                break
            at, best = there, found
        if at != start:
            break
    print("%s: %s\n" % (name, "stays" if at == start else "%g -> %g" % (start, at)), flush=True)
    return at


def descend(pieces, names, values):
    """Walks one value after the other until a whole round has moved none. -> the values"""
    turn, moved = 0, True
    while moved:
        turn, moved = turn + 1, False
        print("round %-12d %s   mean log" % (turn, "".join("%15s" % piece.name[:14] for piece in pieces)))
        for name in names:
            found = walk(pieces, values, name)
            moved = moved or found != values[name]
            values = {**values, name: found}
    return values


def main():
    """Coordinate descent."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("texts", metavar="TEXT", nargs="*")
    options.add_argument("--trained", action="store_true")
    chosen = options.parse_args()
    pieces = [piece for path in [str(twins.BOOK), *chosen.texts] for piece in pieces_of(path)]
    names = [*CONSTANTS, *postgpt.COEFFICIENTS]
    values = {name: default_of(name) for name in names}
    if chosen.trained:
        pieces = [piece._replace(args=(*piece.args, *TRAIN)) for piece in pieces]
        names, values = list(postgpt.TRAINED), {**values, **postgpt.TRAINED}
    found = descend(pieces, names, values)
    for name in names:
        if found[name] != values[name]:
            print("%s: %g instead of %g" % (name, found[name], values[name]))
    print("the end: no step gains a hundredth of a percent")


if __name__ == "__main__":
    main()
