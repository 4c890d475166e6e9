"""Runs libFuzzer on the C twin under the sanitizers: merges files, checkpoints, corpora with prompts, command lines.

    python3 tests/fuzz.py [SECONDS a target, default 60] [TARGET ..]

What each target found interesting is kept in a folder of the system's temporary files, so that the next run goes on
from there. Prints executions and coverage (edges); exit 1 where a target failed, its input is then named.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import twins
from postgpt import HELP, OPTIONS, PostGPT, Tokenizer

FLAGS = ("-std=c11", "-g", "-O1", "-ffp-contract=off", "-fsanitize=fuzzer,address,undefined",
         "-fno-sanitize-recover=all")
TINY_BOOK = b"a cab, a bad cab, a bead\n" * 2


def seeds(target):
    """What a target begins with."""
    texts = [text[:200] for text in twins.corpora().values()]
    if target == "merges":
        for text in texts:
            if b"\xfe" not in text:
                yield b"\1" + text + b"\xfe" + b"".join([b"%d %d\n" % pair for pair in Tokenizer.learn(text, 40).pairs])
        yield (b"\0ab\xfepostgpt-merges 1 corpus 2 crc32 9e83486d alphabet bytes 256 merges 40 learned 0 crc32 "
               b"00000000\n")
    if target == "checkpoint":
        whole = PostGPT(TINY_BOOK, merges=2, alphabet="corpus",
                        shape=dict(layers=1, embd=4, content=1, rrpram=1, context=4, mlp=1)).save()
        yield from (b"\1" + whole, b"\0" + whole, b"\0" + whole[:100])
    if target == "corpus":
        for i, text in enumerate(texts):
            yield bytes([i, 20, i, 9, i * 3, i, 2 + i, 9]) + text.replace(b"\xfe",
                    b"") + b"\xfe" + text[:20].replace(b"\xfe", b"") + b"\xfe" + text[-50:]
    if target == "line":
        for option in OPTIONS:
            yield b"--%s\xfe%s" % (option.name.encode(),
                                   b"layers=1,embd=4" if option.takes == "shape"
                                   else option.range().split(" ")[0].encode())
        yield from (b"-n\xfe5\xfe-t.5\xfethe prompt", b"--shape=embd=7", b"--\xfe-x", HELP.encode()[:200])


def run(target, seconds):
    """Runs a target. -> whether nothing was found"""
    binary = twins.build("tests/fuzz.c", compiler="clang", flags=(*FLAGS, "-DTARGET=" + target))
    folder = Path(tempfile.gettempdir()) / ("postgpt-fuzz-" + target)
    folder.mkdir(exist_ok=True)
    for i, data in enumerate(seeds(target)):
        (folder / ("seed%d" % i)).write_bytes(data)
    done = subprocess.run([binary, str(folder), "-max_total_time=%d" % seconds,
                           "-max_len=%d" % (4096 if target == "checkpoint" else 500), "-timeout=60",
                           "-print_final_stats=1",
                           "-artifact_prefix=%s-" % folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    text = done.stdout.decode(errors="replace")
    ran, edges = re.findall(r"number_of_executed_units: (\d+)", text), re.findall(r"cov: (\d+)", text)
    print("%-12s %s executions, %s edges%s" % (target, ran[-1] if ran else "no", edges[-1] if edges else "no",
                                               "" if not done.returncode else ": FAILED\n" + text[-3000:]), flush=True)
    return not done.returncode


def main(args):
    """-> the exit code"""
    if not shutil.which("clang"):
        print("there is no clang")
        return 0
    seconds = int(args.pop(0)) if args and args[0].isdigit() else 60
    return 0 if all([run(target, seconds) for target in args or ("merges", "checkpoint", "corpus", "line")]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
