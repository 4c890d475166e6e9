"""What is measured, not tested: `python3 tests/measure NAME [ARGUMENTS]`.

bench      speed and memory, beside named peers (make bench)
thesis     held-out figures: the README's tables (make thesis)
curve      draws the loss over training (make curve)
voice      how the generated text reads (make voice)
tune       chooses the coefficients
"""
import runpy
import sys
from pathlib import Path

NAMES = [line.split()[0] for line in __doc__.splitlines()[2:]]

if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in NAMES:
        sys.exit(__doc__.strip())
    tests = Path(__file__).resolve().parent.parent
    sys.path[:1] = [str(tests), str(tests.parent)]
    name = sys.argv.pop(1)
    sys.argv[0] = "measure " + name
    runpy.run_module("measure." + name, run_name="__main__")
