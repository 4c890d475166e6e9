"""How the default coefficients and the constants of seeding, spelling and trauma are chosen: on pieces cut from the
building sides only.

    python3 tests/measure tune [--rounds N] [--constants] [--trained] [TEXT ...]      the book always; tinyshakespeare
    and names by path

What it may see: of each text that thesis.py reports on, the bytes that thesis.py builds on, and no other; a part of
them is held out here and judged. No byte that is reported on is judged. (The first 135,000 bytes of tinyshakespeare, a
piece here, are built on in both of its rows; the 15,000 after them, which the row of 150,000 bytes reports on, lie in
what the piece of the whole text builds on, where nothing is judged.)

One value after the other takes those of a grid around its present one and keeps the best: the lowest mean, over the
pieces, of the logarithm of what the row `full` takes a byte. A second round starts where the first one ended. A
constant is changed in a copy of postgpt.c; --constants tries them all. --trained does the same for lambda and kappa
where the transformer was trained.
"""
import argparse
import math
import re
import subprocess
from typing import NamedTuple, Tuple

import twins
from measure import thesis
import postgpt

FACTORS = (0.5, 0.75, 1.0, 1.33, 2.0)
SMALL = (0.9, 0.95, 0.975, 1.025, 1.05, 1.1)              # lambda stands before the loudest term: small steps matter
CONSTANTS = ("UNAIDED", "ECHO", "DRIFT", "PRIOR", "CALM", "STUB", "BREAK", "FEW", "DUE", "SHRINK", "CHORUS",
             "WHISPER", "RELEVANCE", "SHARPNESS")
FADING = ("ECHO", "DRIFT")                                # shares of 1: what is varied is what they are short of it
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
        return [Piece(name, ("--corpus", thesis.write("tune-built", rest), *thesis.NAMES, "--no-cache", "--eval",
                             thesis.write("tune-held", sample)))]
    building, _ = thesis.split(data, 0.1)
    if kind == "tiny":
        return [held_out_piece("first-135000", data[:135000], 0.1), held_out_piece(name, building, 0.05)]
    return [held_out_piece(name, building, 0.1)]


def grid(name, value, default):
    """The values to try for a coefficient or a constant, ascending, the default among them."""
    factors = FACTORS + (SMALL if name == "lambda" else ())
    values = [1.0 - (1.0 - value) * factor if name in FADING else value * factor for factor in factors]
    return sorted({default, *(float("%.4g" % value) for value in values)})


def arguments(piece, coefficients):
    """A run's command line."""
    return (*piece.args, *(part for name, value in coefficients.items() for part in ("--" + name, "%g" % value)))


def bits_of(pieces, settings):
    """What `full` takes a byte, on each piece, with each of the settings (coefficients by name).  ->
    [setting][piece]"""
    runs = [[arguments(piece, coefficients) for piece in pieces] for coefficients in settings]
    found = thesis.measure(args for row in runs for args in row)
    return [[found[args]["full"].bits for args in row] for row in runs]


def mean_log(bits):
    """The mean of the logarithms: a hundredth less on any piece counts alike."""
    return sum(map(math.log, bits)) / len(bits)


def try_grid(pieces, coefficients, name):
    """Prints what each value of a coefficient does. -> the best value; among equals the nearest to the default"""
    default = postgpt.COEFFICIENTS[name]
    values = grid(name, coefficients[name], default)
    found = dict(zip(values, bits_of(pieces, [{**coefficients, name: value} for value in values])))
    best = min(values, key=lambda value: (mean_log(found[value]), abs(value - default)))
    for value in values:
        marks = " default" * (value == default) + " best" * (value == best)
        print("%-8s %8.4g %s %10.5f%s" % (name, value, "".join("%15.4f" % bits for bits in found[value]),
                                          mean_log(found[value]), marks), flush=True)
    print()
    return best


def default_of(name):
    """A constant's value in postgpt.c."""
    return float(re.search(r"(?m)^#define %s +(\S+)" % name, (twins.ROOT / "postgpt.c").read_text()).group(1))


def built_with(name, value):
    """The C twin with another value of a constant. -> its path"""
    source = re.sub(r"(?m)^(#define %s +)\S+" % name, r"\g<1>%r" % value, (twins.ROOT / "postgpt.c").read_text())
    path, program = thesis.write("tuned.c", source.encode()), str(twins.scratch() / ("tuned-%s-%r" % (name, value)))
    subprocess.run(["cc", *CFLAGS, "-o", program, path, "-lm", "-pthread"], check=True)
    return program


def try_constant(pieces, coefficients, name):
    """Prints what each value of a constant does. -> the best value; among equals the nearest to the default"""
    default, program, found = default_of(name), thesis.PROGRAM, {}
    for value in grid(name, default, default):
        thesis.PROGRAM = (built_with(name, value),)
        try:
            found[value], = bits_of(pieces, [coefficients])
        finally:
            thesis.PROGRAM = program
        print("%-10s %8.4g %s %10.5f%s" % (name, value, "".join("%15.4f" % bits for bits in found[value]),
                                           mean_log(found[value]), " default" * (value == default)), flush=True)
    best = min(found, key=lambda value: (mean_log(found[value]), abs(value - default)))
    print("best: %s %g\n" % (name, best))
    return best


def main():
    """Coordinate descent."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("texts", metavar="TEXT", nargs="*")
    options.add_argument("--rounds", type=int, default=1, metavar="N")
    options.add_argument("--constants", action="store_true")
    options.add_argument("--trained", action="store_true")
    chosen = options.parse_args()
    if chosen.rounds < 1:
        options.error("--rounds takes a whole number from 1 on")
    pieces = [piece for path in [str(twins.BOOK), *chosen.texts] for piece in pieces_of(path)]
    coefficients = dict(postgpt.COEFFICIENTS)
    if chosen.trained:
        pieces, coefficients = [piece._replace(args=(*piece.args, *TRAIN)) for piece in pieces], {**coefficients,
                **postgpt.TRAINED}
        for name in postgpt.TRAINED:
            coefficients[name] = try_grid(pieces, coefficients, name)
        return
    if chosen.constants:
        for name in CONSTANTS:
            try_constant(pieces, coefficients, name)
        return
    for turn in range(chosen.rounds):
        print("round %-11d %s   mean log" % (turn + 1, "".join("%15s" % piece.name[:14] for piece in pieces)))
        for name in coefficients:
            coefficients[name] = try_grid(pieces, coefficients, name)
    before, after = map(mean_log, bits_of(pieces, [postgpt.COEFFICIENTS, coefficients]))
    print("best: %s   mean log %.5f, with the defaults %.5f"
          % (" ".join("--%s %g" % item for item in coefficients.items()), after, before))


if __name__ == "__main__":
    main()
