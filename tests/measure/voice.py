"""make voice: how the text reads that is generated with the default options, in figures that nobody here chose the
scale of.

    python3 tests/measure voice [TEXT ...] [--prompts 200]      without TEXT: the book and, where it is installed, a
    manual

The manual is Debian's package developers-reference: the first 175,000 bytes of its paragraphs. The prompts are the
first three words of sentences spread evenly over the text, a seed each, 100 tokens. A row each for the text itself,
its sentences drawn at random, markovify (two words of state, where it is installed) and the modes full and meta:

parses       share of the sentences of 5 to 30 words that Link Grammar, a parser of English, can parse whole
null words   share of their words that it must leave out
short        share of sentences under five words
verbatim N   share of the N-word windows that stand in the text
distinct 4   share of the 4-word windows that are the only ones of their kind

Needs Debian's link-grammar and python3-link-grammar for the first two columns; without, they are left empty.
"""
import collections
import html.parser
import os
import random
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import twins

ENDS = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z])")
MANUAL = "/usr/share/developers-reference/developers-reference.html"

PARSER = r"""
import sys
import linkgrammar
options = linkgrammar.ParseOptions(linkage_limit=1, verbosity=0, max_null_count=100, min_null_count=0, max_parse_time=5)
dictionary = linkgrammar.Dictionary("en")
for line in sys.stdin:
    try:
        found = linkgrammar.Sentence(line.strip(), dictionary, options).parse()
        print("nulls", linkgrammar.Clinkgrammar.sentence_null_count(found.sent._obj), flush=True)
    except Exception:
        print("nulls", "-", flush=True)
"""


class Paragraphs(html.parser.HTMLParser):
    """The paragraphs of a page."""

    def __init__(self):
        super().__init__()
        self.found, self.under_way = [], None

    def handle_starttag(self, tag, attributes):
        if tag == "p":
            self.under_way = []

    def handle_endtag(self, tag):
        if tag == "p" and self.under_way is not None:
            self.found.append(" ".join("".join(self.under_way).split()))
            self.under_way = None

    def handle_data(self, data):
        if self.under_way is not None:
            self.under_way.append(data)


def manual():
    """The paragraphs of developers-reference, 175,000 bytes; None where it is not installed."""
    if not os.path.exists(MANUAL):
        return None
    page = Paragraphs()
    page.feed(Path(MANUAL).read_text(encoding="utf-8"))
    text = ("\n\n".join(filter(None, page.found)) + "\n").encode()[:175000]
    return text[:text.rfind(b"\n") + 1]


def sentences(samples):
    """The whole sentences of the samples."""
    for sample in samples:
        for paragraph in re.split(r"\n\s*\n", sample):
            for sentence in ENDS.split(" ".join(paragraph.split())):
                if sentence and sentence[-1] in ".!?":
                    yield sentence


def windows(words, n):
    return list(zip(*(words[i:] for i in range(n))))


def nulls(lines):
    """How many words the parser leaves out of each sentence; [] where there is no parser."""
    for python in (sys.executable, "/usr/bin/python3"):
        if not subprocess.run([python, "-c", "import linkgrammar"], stderr=subprocess.DEVNULL).returncode:
            done = subprocess.run([python, "-c", PARSER], input="\n".join(lines).encode(), stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
            found = re.findall(r"(?m)^nulls (\d+|-)$", done.stdout.decode())
            return [(int(n), len(line.split())) for n, line in zip(found, lines) if n != "-"]
    return []


def figures(text, samples, limit=400):
    """A row of the table."""
    every = list(sentences(samples))
    whole = [s for s in every if 5 <= len(s.split()) <= 30]
    random.Random(1).shuffle(whole)
    parsed = nulls(whole[:limit])
    row = ["%.1f %%" % (100 * sum(not n for n, _ in parsed) / len(parsed)) if parsed else "",
           "%.1f %%" % (100 * sum(n for n, _ in parsed) / sum(m for _, m in parsed)) if parsed else "",
           "%.1f" % (sum(len(s.split()) for s in every) / max(1, len(every))),
           "%.1f %%" % (100 * sum(len(s.split()) < 5 for s in every) / max(1, len(every)))]
    for n in (3, 8, 12):
        stock = set(windows(text.split(), n))
        seen = [w in stock for s in samples for w in windows(s.split()[:-1], n)]
        row.append("%.1f %%" % (100 * sum(seen) / max(1, len(seen))))
    fours = collections.Counter(w for s in samples for w in windows(s.lower().split(), 4))
    return row + ["%.1f %%" % (100 * sum(n == 1 for n in fours.values()) / max(1, sum(fours.values())))]


def prompts(text, n):
    """The first three words of n sentences, spread evenly."""
    found = [s for s in sentences([text]) if len(s.split()) > 5]
    return [" ".join(found[i * len(found) // n].split()[:3]) for i in range(n)]


def spoken(path, asked, mode):
    """The continuation of each prompt, by the C twin."""
    def continuation(i):
        return twins.run([twins.binary()], ["-q", "-c", path, "-m", mode, "-s", str(42 + i), "--",
                                            asked[i]])[1].decode(errors="replace")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(continuation, range(len(asked))))


def as_long(samples, sentence):
    """As many samples of about as many words, sentence by sentence."""
    found = []
    for sample in samples:
        said = []
        while len(" ".join(said).split()) < len(sample.split()):
            said.append(sentence())
        found.append(" ".join(said))
    return found


def markov(text, samples):
    """As many samples of about as many words by markovify; None where it is not installed."""
    try:
        import markovify
    except ImportError:
        return None
    random.seed(1)
    chain = markovify.Text(text, state_size=2)
    return as_long(samples, lambda: chain.make_sentence(tries=100) or "")


def drawn(text, samples):
    """As many samples of about as many words, whole sentences of the text drawn at random: who says nothing new
    repeats himself so often."""
    stock, rng = list(sentences([text])), random.Random(1)
    return as_long(samples, lambda: rng.choice(stock))


def report(name, path, n):
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    asked = prompts(text, n)
    full, meta = (spoken(path, asked, mode) for mode in ("full", "meta"))
    rows = [("the text itself", [text]), ("its sentences, drawn", drawn(text, full)),
            ("markovify, state 2", markov(text, full)), ("full", full), ("meta", meta)]
    print("%-20s  %8s  %10s  %8s  %7s  %10s  %10s  %11s  %10s"
          % (name, "parses", "null words", "sentence", "short", "verbatim 3", "verbatim 8", "verbatim 12",
                                                                "distinct 4"))
    for label, samples in rows:
        if samples:
            print("%-20s  %8s  %10s  %8s  %7s  %10s  %10s  %11s  %10s" % (label, *figures(text, samples)), flush=True)


def main():
    args, n = sys.argv[1:], 200
    if "--prompts" in args:
        at = args.index("--prompts")
        n = int(args[at + 1])
        del args[at:at + 2]
    with tempfile.TemporaryDirectory() as folder:
        if not args:
            args, found = [str(twins.BOOK)], manual()
            if found:
                args.append(os.path.join(folder, "manual.txt"))
                Path(args[-1]).write_bytes(found)
            else:
                print("the manual is missing: apt-get install developers-reference")
        for path in args:
            report(Path(path).stem, path, n)


if __name__ == "__main__":
    main()
