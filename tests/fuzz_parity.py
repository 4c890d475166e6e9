"""Draws corpora, prompts and options at random, and compares what the twins do: exit code, both outputs, the merges
file.

    python3 tests/fuzz_parity.py --cases 500 --seed 1

Case i has the seed SEED + i, so that `--cases 1 --seed <that>` is that case alone. Exit 1 where any differed.
"""
import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import twins


def main():
    """Runs the cases. -> the exit code"""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="of the first case (default 1)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the Python twin")
    parser.add_argument("--binary", help="the C twin (default: what make built)")
    options = parser.parse_args()
    python, c = (options.python, twins.PYTHON[1]), (options.binary or twins.binary(),)

    def check(seed):
        try:
            return seed, twins.difference(twins.random_case(seed), c, python)
        except subprocess.TimeoutExpired as late:
            return seed, str(late)

    differences = 0
    with ThreadPoolExecutor(2) as pool:
        for seed, found in pool.map(check, range(options.seed, options.seed + options.cases)):
            if found:
                differences += 1
                print("case %d: %s\nagain: python3 tests/fuzz_parity.py --cases 1 --seed %d\n" % (seed, found, seed),
                      flush=True)
    print("%d cases, %d differences" % (options.cases, differences))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
