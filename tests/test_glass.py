"""The glass: what shows why every token was said, and what people who play with it want besides."""
import doctest
import gc
import gzip
import html
import json
import os
import pickle
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

import twins
from postgpt import strongest_promises
from twins import Case, PYTHON, book

SMALL = ("--no-cache", "--merges", "60", "--shape", "layers=1,embd=16,content=1,rrpram=1,context=16,mlp=1")


class Both(unittest.TestCase):
    """What both twins must do alike."""

    def agree(self, *args, files=None, stdin=b""):
        """The twins' common outcome."""
        case = Case(("-c", "corpus.txt", *args), {"corpus.txt": book(20000), **(files or {})}, stdin)
        found = twins.difference(case, (twins.binary(),))
        if found:
            self.fail(found)
        return twins.play(case, (twins.binary(),))[0]


class Tree(Both):
    def test_nearest_words_two_levels_deep(self):
        lines = self.agree("--tree", "the Attention", files={"corpus.txt": book(10 ** 6)}).stdout.decode().splitlines()
        self.assertEqual(lines[0], "attention")           # `the` carries no meaning
        branches = [re.fullmatch("(?:\u251c|\u2514)\u2500\u2500 (\\S+)  (0\\.\\d\\d)", line) for line in lines[1:]
                    if line[0] in "\u251c\u2514"]
        twigs = [re.fullmatch("(?:\u2502|) {3,4}(?:\u251c|\u2514)\u2500\u2500 (\\S+)  (0\\.\\d\\d)", line)
                 for line in lines[1:] if line[0] in "\u2502 "]
        self.assertEqual((len(branches), len(twigs), len(lines)), (5, 15, 21))
        self.assertIn("content", [match.group(1) for match in branches])
        self.assertEqual([match.group(2) for match in branches],
                         sorted((match.group(2) for match in branches), reverse=True))
        words = [match.group(1) for match in branches + twigs]
        self.assertEqual(len(set(words)), 20)             # no word twice
        self.assertLessEqual({word.encode() for word in words},
                             {word.lower() for word in re.findall(rb"[A-Za-z\x80-\xff]+", book(10 ** 6))})

    def test_similarities_are_those_of_a_direct_count(self):
        from math import log, sqrt
        import postgpt
        text = "a b c d b c e b c a d c e a b d e c b a d b e".split()
        company = postgpt.Company(" ".join(text).encode())
        names = sorted(set(text))
        n = [[sum(postgpt.WHOLE // d for i, x in enumerate(text) for d in range(1, 17) if i + d < len(text) and (x,
                text[i + d]) == (a, b)) for b in names] for a in names]
        row, flat = [sum(r) for r in n], [sum(c) ** 0.75 for c in zip(*n)]
        pmi = [[max(0.0, log(n[a][b] * sum(flat) / (row[a] * flat[b]))) if n[a][b] else 0.0 for b in range(5)]
               for a in range(5)]
        kept = [pmi[a] + [pmi[b][a] for b in range(5)] for a in range(5)]
        for a in range(5):
            for similar, b in company.nearest(a, 9, {a}):
                want = sum(x * y for x, y in zip(kept[a],
                                                 kept[b])) / sqrt(sum(x * x for x in kept[a]) * sum(x * x
                        for x in kept[b]))
                self.assertAlmostEqual(similar, want)

    def test_words_unknown_common_or_none(self):
        self.assertEqual(self.agree("--tree", "zebra, zebra").stdout, b"zebra  (not in the corpus)\n")
        self.assertTrue(self.agree("--tree", "the").stdout.startswith(b"the\n"))
        self.assertEqual(self.agree("--tree", "12 ... 7").stdout, b"")
        self.assertEqual(self.agree("--tree").code, 2)
        self.agree("--tree", "\u0441\u043b\u043e\u0432\u043e", files={"corpus.txt": twins.RUSSIAN})
        self.agree("--tree", "a", files={"corpus.txt": b"\0\1\2"})
        self.agree("--tree", "a b", files={"corpus.txt": b"a b"})


class Interactive(Both):
    def test_each_line_is_answered_as_alone(self):
        alone = [self.agree(*SMALL, "-q", "-n", "9", "-m", "full", line).stdout for line in ("The model", "A token")]
        for lines in (b"The model\nA token\n", b"The model\r\nA token"):
            self.assertEqual(self.agree(*SMALL, "-q", "-n", "9", "-m", "full", "-i", stdin=lines).stdout,
                             b"".join(alone))
        self.assertEqual(self.agree(*SMALL, "-q", "-n", "9", "-m", "full", "-i", "The model",
                                    stdin=b"A token\n").stdout, b"".join(alone))

    def test_an_empty_line_goes_on_where_the_text_stopped(self):
        for mode in ("full", "both"):
            first = self.agree(*SMALL, "-n", "9", "-m", mode, "-i", stdin=b"The model\n").stdout
            more = self.agree(*SMALL, "-n", "9", "-m", mode, "-i", stdin=b"The model\n\n\n").stdout
            self.assertTrue(more.startswith(first))
        text = first.split(b"--- full ---\n")[1][:-1]
        again = self.agree(*SMALL, "-n", "9", "-m", "full", "-s", "43", text).stdout
        self.assertEqual(more[len(first):].split(b"--- full ---\n")[1].split(b"--- meta ---\n")[0], again[len(text):])

    def test_a_line_with_a_byte_that_the_alphabet_lacks_is_named_and_the_next_one_answered(self):
        found = self.agree(*SMALL, "-q", "-n", "9", "-m", "full", "-i", "--alphabet", "corpus",
                           stdin=b"The model\n\xff\nA token\n\n", files={"corpus.txt": book(3000)})
        self.assertEqual(
            found.stderr,
            b"postgpt: the prompt has the byte 0xff, which the corpus' alphabet lacks (--alphabet bytes knows all)\n",
        )
        self.assertEqual((found.code, found.stdout.count(b"\n")), (0, 3))

    def test_no_line_no_answer(self):
        self.assertEqual(self.agree(*SMALL, "-i").stdout, b"")
        self.assertGreater(len(self.agree(*SMALL, "-i", "-n", "3", stdin=b"\n").stdout), 3)     # an empty prompt


class Terminal(unittest.TestCase):
    """On a terminal, each twin by itself."""

    def drive(self, command, args, script=()):
        """Runs a twin on a terminal; script: (what to wait for, what to type then). -> exit code, all that it wrote"""
        pid, terminal = pty.fork()
        if not pid:
            os.execv(command[0], [*command, *args])
        out, seen = b"", 0
        try:
            for wait, keys in [*script, (None, b"")]:
                end = time.monotonic() + 60
                while wait is None or wait not in out[seen:]:
                    self.assertTrue(select.select([terminal], [], [], max(end - time.monotonic(), 0))[0], out)
                    try:
                        data = os.read(terminal, 65536)
                    except OSError:                       # so ends a terminal
                        data = b""
                    if not data:
                        break
                    out += data
                seen = len(out)
                if keys:
                    os.write(terminal, keys)
        finally:
            os.close(terminal)
            status = os.waitpid(pid, 0)[1]
        return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), out

    def both(self):
        for command in ((twins.binary(),), PYTHON):
            with self.subTest(command=command[-1]):
                yield command

    def test_an_interrupt_ends_the_answer_and_not_the_program(self):
        for command in self.both():
            code, out = self.drive(command, ("-m", "meta", "-n", "1000000", "-i"),
                                   [(b"> ", b"\x03"), (b"Ctrl-D", b"The model\n"), (b"The model ", b"\x03"),
                                    (b"\n\r\x1b[K> ", b"A token\n"), (b"\nA token", b"\x03"), (b"> ", b"\x04")])
            self.assertEqual((code, out.count(b"> ")), (0, 4), out)

    def test_an_interrupt_at_the_prompt_shows_the_same_in_both(self):
        said = [self.drive(command, ("-m", "meta", "-i"), [(b"> ", b"\x03"), (b"this\r\n\r\x1b[K> ", b"\x04")])
                for command in self.both()]
        self.assertEqual(*[(code, out.partition(b"^C")[1:]) for code, out in said])

    def test_what_an_interrupted_answer_said_stands_in_ledger_and_page(self):
        path = str(twins.scratch() / "interrupted.html")
        for command in self.both():
            code, out = self.drive(command, ("-m", "meta", "-n", "1000000", "-i", "--why", "--page", path),
                                   [(b"> ", b"The model\n"), (b"The model ", b"\x03"), (b"\n\r\x1b[K> ", b"\x04")])
            with open(path, encoding="utf-8") as file:
                text, = json.loads(re.search(r"<script>show\((.*)\)</script>", file.read()).group(1))["texts"]
            rows = re.findall(rb"(?m)^\".*(?:new|:\d+ \+\d+)\r$", out)
            self.assertEqual((code, len(text["tokens"]) - text["from"]), (0, len(rows)))
            self.assertGreater(len(rows), 0)

    def test_nothing_controls_a_terminal_but_its_own_line(self):
        path = twins.scratch() / "controls.txt"
        path.write_bytes(b"\x1b[31m red \x07\xc2\x9b31m \x00 and \x7f so on\n" * 50)
        for command in self.both():
            code, out = self.drive(command, ("--no-cache", "-q", "-c", str(path), "-m", "meta", "-n", "60", "--exact",
                                             "\x1b[31m"))
            self.assertEqual((code, re.findall(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]", out)), (0, []))
            self.assertIn(b"red ?", out)

    def test_what_takes_long_says_so_on_one_line_that_is_cleared(self):
        path = twins.scratch() / "long.txt"
        path.write_bytes(book(90000))
        for command in self.both():
            small = ("--no-cache", "-c", str(path), "--holdout", "0.002") if command == PYTHON else ("--holdout", "0.4")
            code, out = self.drive(command, (*small, "--memory", "4000", "--order", "6"))
            self.assertEqual(code, 0)
            self.assertIn(b"evaluating", out)
            rows = dict(re.findall(rb"(?m)^(chain|full) .* ([\d.]+) nats/token", out))
            said = re.findall(rb"evaluating: (\d+) of (\d+) tokens; nats/token: chain ([\d.]+), full ([\d.]+)", out)[-1]
            self.assertGreater(int(said[0]), 0.5 * int(said[1]))
            for name, nats in zip((b"chain", b"full"), said[2:]):
                self.assertAlmostEqual(float(nats), float(rows[name]), delta=0.5)
            before, figures = out.rsplit(b"\r\x1b[K", 1)
            self.assertTrue(figures.startswith(b"uniform "))
            self.assertNotIn(b"\n", before)
            if command == PYTHON:
                self.assertIn(b"seeding", before)

    def test_progress_clears_no_line_that_has_begun(self):
        for command in self.both():
            code, out = self.drive(command, ("--no-cache", "-c", str(twins.BOOK), "-m", "full", "-n", "2", "The chain"))
            self.assertEqual(code, 0)
            self.assertTrue(out.rsplit(b"\r\x1b[K", 1)[-1].startswith(b"The chain"), out)
            if command == PYTHON:
                self.assertIn(b"seeding", out)

    def test_training_stays_on_its_line_and_says_what_was_saved(self):
        path = str(twins.scratch() / "glass.safetensors")
        small = ("--no-cache", "-c", "corpus.txt", "--train", "5", "--batch", "1", "--shape",
                 "layers=1,embd=16,content=1,rrpram=1,context=16,mlp=1", "--merges", "60")
        (twins.scratch() / "corpus.txt").write_bytes(book(5000))
        before = os.getcwd()
        os.chdir(str(twins.scratch()))
        self.addCleanup(os.chdir, before)
        said = []
        for command in self.both():
            code, out = self.drive(command, (*small, "--save", path))
            self.assertEqual((code, out.count(b"\n")), (0, 1), out)
            said.append(out.rsplit(b"\r\x1b[K", 1)[1])
            self.assertRegex(said[-1], rb"\Apostgpt: trained 5 of 5 steps, the best loss \d\.\d{4}: saved in %s\r\n\Z"
                             % path.encode())
            self.assertRegex(out, rb"\rstep 5 of 5: loss|\r\x1b\[Kstep 5 of 5: loss \d\.\d{4}, best \d\.\d{4}, ")
            self.assertIn(b"not saved", self.drive(command, small)[1])
        self.assertEqual(said[0], said[1])


class KinderWords(Both):
    def test_a_corpus_that_is_no_text_works_and_is_named(self):
        for magic, what in ((gzip.compress(book(3000)), b"compressed (gzip)"),
                            (b"PK\3\4" + bytes(range(256)), b"compressed (zip)"),
                            (b"%PDF-1.4" + book(900), b"like a PDF"),
                            (b"\x7fELF" + bytes(range(256)), b"like a program (ELF)")):
            outcome = self.agree(*SMALL, "-n", "3", "a", files={"corpus.txt": magic})
            self.assertEqual(
                (outcome.code, outcome.stderr),
                (
                    0,
                    b"postgpt: the corpus corpus.txt looks %s, not like text: its bytes are counted as they are\n"
                    % what,
                ),
            )
            self.assertEqual(self.agree(*SMALL, "-q", "-n", "3", "a", files={"corpus.txt": magic}).stderr, b"")

    def test_a_prompt_that_is_the_name_of_a_file(self):
        outcome = self.agree(*SMALL, "-n", "3", "-m", "meta", "corpus.txt")
        self.assertTrue(outcome.stdout.startswith(b"corpus.txt"))
        self.assertRegex(
            outcome.stderr,
            rb"\Apostgpt: the prompt 'corpus.txt' is also the name of a file [^\n]*--corpus[^\n]* - [^\n]*\n\Z",
        )
        for prompt in ("corpus", "corpus.txt and", ".", ""):
            self.assertEqual(self.agree(*SMALL, "-n", "3", "-m", "meta", prompt).stderr, b"")

    def test_of_no_merges_nothing_is_said(self):
        self.assertEqual(self.agree("--merges", "0", "-n", "3", "-m", "meta", "a").stderr, b"")

    def test_what_cannot_be_evaluated_is_noticed_before_an_hour_of_training(self):
        outcome = self.agree(*SMALL, "--train", "1000000", "--eval", "nowhere.txt")
        self.assertEqual(outcome.code, 1)
        self.assertIn(b"nowhere.txt", outcome.stderr)
        outcome = self.agree(*SMALL, "--alphabet", "corpus", "--train", "1000000", "--eval", "odd.txt",
                             files={"odd.txt": b"\xff"})
        self.assertIn(b"odd.txt has the byte 0xff", outcome.stderr)

    def test_help_fits_eighty_columns_and_ends_with_four_examples(self):
        lines = HELP.splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertEqual(lines[-5], "Examples:")
        for line in lines[-4:]:
            self.assertRegex(line, r"\A  postgpt .*")


class Why(Both):
    CASES = [("book_20k", ()), ("book_20k", ("-t", "0", "-r", "10")), ("book_20k", ("-m", "transformer", "-k", "0")),
             ("cyrillic", ()), ("cjk_and_emoji", ()), ("broken_utf8", ()),
             ("two_bytes", ()), ("names", ("--lines",)), ("white_space", ()), ("nuls_in_text", ("--kappa", "100")),
             ("random_bytes", ("--memory", "5"))]

    def test_both_twins_write_the_same_ledger_and_the_same_page(self):
        for name, args in self.CASES:
            with self.subTest(corpus=name, args=args):
                outcome = self.agree(*SMALL, "-q", "-n", "12", "--why", "--page", "page.html", *args, "a",
                                     files={"corpus.txt": twins.corpora()[name]})
                self.assertEqual((outcome.code, outcome.stderr, sorted(outcome.files)),
                                 (0, b"", ["corpus.txt", "page.html"]))

    def test_without_it_the_same_is_said(self):
        alone = self.agree(*SMALL, "-q", "-n", "12", "--exact", "-m", "full", "A token").stdout
        said, ledger = self.agree(*SMALL, "-q", "-n", "12", "--exact", "-m", "full", "--why",
                                  "A token").stdout.split(b"\n\ntoken ", 1)
        self.assertEqual(said + b"\n", alone)
        lines = (b"token " + ledger).decode().splitlines()
        # columns stand under each other
        self.assertEqual(len({len(line[:line.rindex("  ")]) for line in lines[:-1]}), 1)
        self.assertLessEqual(max(map(len, lines)), 100)
        self.assertEqual(len(lines), 14)
        figures, decided = lines[-1].split("; decided: ")
        self.assertRegex(figures, r"\Averbatim \+4 \d+ %, \+6 \d+ %, \+8 \d+ %; mean p 0\.\d{3}\Z")
        terms = re.findall(r"(\w+) ([1-9]\d*)", decided)
        self.assertEqual((", ".join("%s %s" % term for term in terms), sum(int(n) for _, n in terms)), (decided, 12))
        names = ["chain", "net", "H", "F", "A", "T", "rules", "draw"]
        self.assertEqual([name for name, _ in terms], [name for name in names if name in dict(terms)])

    def test_under_each_answer_of_a_conversation(self):
        self.assertEqual(self.agree(*SMALL, "-n", "3", "--why", "-i",
                                    stdin=b"The model\n\n").stdout.count(b"\n\ntoken "), 4)

    def test_beside_what_says_nothing_it_is_a_misuse(self):
        for name in ("encode", "tree"):
            for other in ("why", "page"):
                outcome = self.agree("--%s" % name, *["x"] * (name == "encode"), "--%s" % other,
                                     *["x"] * (other == "page"), *["a"] * (name == "tree"))
                self.assertEqual((outcome.code, outcome.stderr),
                                 (2, b"postgpt: --%s and --%s do not go together\n" % (name.encode(), other.encode())))

    def test_a_page_that_cannot_be_written_is_noticed_first(self):
        self.assertIn(b"cannot write nowhere/page.html", self.agree(*SMALL, "--page", "nowhere/page.html", "a").stderr)


class Ledger(unittest.TestCase):
    """The rows, against what they stand for."""

    @classmethod
    def setUpClass(cls):
        import postgpt
        cls.corpus = book(20000)
        cls.model = postgpt.PostGPT(cls.corpus, merges=300,
                                    shape=dict(layers=1, embd=16, content=1, rrpram=1, context=16, mlp=1))

    def test_a_row_adds_up_to_the_difference_of_the_logits(self):
        from math import log
        for mode in ("meta", "full", "transformer"):
            for row in self.model.explain(b"The model", 30, mode, temperature=0.8, repetition=2.0):
                if row.second_p > 0.0:
                    self.assertAlmostEqual(sum(row.gave), 0.8 * log(row.p / row.second_p), places=9)
                self.assertNotEqual(row.id, row.second)

    def test_probability_and_rank_are_those_of_the_field(self):
        from math import exp
        import postgpt
        rows, ids = list(self.model.explain(b"The model", 20, "meta", temperature=1.0)), self.model.heard(b"The model")
        voice = self.model.voice()
        field, before = self.model.field("BHF", postgpt.words_of(b"The"), voice), len(ids)
        for i, id in enumerate(ids + [row.id for row in rows]):
            if i >= before:
                field.terms()
                logits = field.logits("BHF")[:]
                for x, nats in voice.rules(field, True, field.spelling).items():
                    logits[x] += nats
                self.assertAlmostEqual(rows[i - before].p,
                                       exp(logits[id] - max(logits)) / sum(exp(x - max(logits)) for x in logits),
                                       places=12)
                self.assertEqual(rows[i - before].rank,
                                 sorted(range(len(logits)), key=lambda x: (-logits[x], x)).index(id) + 1)
            field.push(id, field.expected(id))
        self.assertGreater(len(rows), 15)

    def test_it_stands_where_the_longest_run_of_words_stands(self):
        lines, text, new = self.corpus.decode().split("\n"), b"The model", 0
        for row in self.model.explain(text, 60, "full", seed=3, temperature=3.0, top_k=200):
            text += row.text
            longest = 0
            for begin in re.finditer(rb"(?<!\S)\S", text):
                run = text[begin.start():]
                if re.search(rb"(?<!\S)" + re.escape(run), self.corpus):
                    longest = len(run.split())
                    break
            if longest < 2:
                new += 1
                self.assertIsNone(row.place)
                continue
            line, column, n = row.place
            self.assertEqual(n, longest)
            self.assertTrue("\n".join([lines[line - 1][column - 1:], *lines[line:]]).startswith(run.decode()))
            self.assertTrue(b"".join([text[:-len(run)], run]) == text)
        self.assertGreater(new, 0)

    def test_promises_are_what_prophecy_says(self):
        field = self.model.field("BZHFAT")
        for id in self.model.heard(self.corpus[3000:3200]):
            field.push(id, 1.0)
        field.spelling = None
        field.terms()
        for x, who, back, nats in strongest_promises(field):
            self.assertAlmostEqual(nats, field.co["beta"] * field.f[x])
            self.assertEqual(field.ids[-back], who)
        self.assertEqual([x for x, *_ in strongest_promises(field)],
                         sorted(range(len(field.f)), key=lambda x: (-field.f[x], x))[:6])


class Library(unittest.TestCase):
    """What a Python program may rely on."""

    SHAPE = dict(layers=1, embd=16, content=1, rrpram=1, context=16, mlp=1)

    @classmethod
    def setUpClass(cls):
        import postgpt
        cls.postgpt, cls.model = postgpt, postgpt.PostGPT(book(5000).decode(), merges=60, shape=cls.SHAPE)

    def test_text_may_be_given_as_str(self):
        bytes_model = self.postgpt.PostGPT(book(5000), merges=60, shape=self.SHAPE)
        self.assertEqual(list(self.model.generate("The model", 9)), list(bytes_model.generate(b"The model", 9)))
        self.assertEqual(self.model.evaluate("na\u00efve"), bytes_model.evaluate("na\u00efve".encode()))
        learn = self.postgpt.Tokenizer.learn
        self.assertEqual(learn("low lower lowest", 3).pairs, learn(b"low lower lowest", 3).pairs)
        self.assertEqual(self.model.tokenizer.encode("caf\u00e9"), self.model.tokenizer.encode("caf\u00e9".encode()))

    def test_what_is_wrong_is_refused_at_once_and_says_what_is_right(self):
        model, make = self.model, lambda **options: self.postgpt.PostGPT("a b c", **options)
        for kind, says, call in (
                (ValueError, "meta, full, transformer", lambda: model.generate("a", mode="both")),
                (ValueError, "1 to 1000000", lambda: model.generate("a", 0)),
                (TypeError, "from 0 to 10", lambda: model.generate("a", temperature="warm")),
                (ValueError, "from 0 to 10", lambda: model.explain("a", temperature=-1)),
                (TypeError, "seed, temperature", lambda: model.generate("a", temprature=1)),
                (TypeError, "bytes or str", lambda: model.generate(7)),
                (TypeError, "bytes or str", lambda: self.postgpt.PostGPT(["a"])),
                (TypeError, "whole number", lambda: model.generate("a", top_k=1.5)),
                (ValueError, "meta, full", lambda: model.logprobs([1], "x")),
                (ValueError, "no token", lambda: model.logprobs([-1])),
                (ValueError, "no token", lambda: model.logprobs([1 << 20])),
                (TypeError, "seed is a whole number", lambda: model.generate("a", seed=None)),
                (TypeError, "from 0 to 1,", lambda: model.generate("a", top_p=None)),
                (ValueError, "from 1 to 1000000", lambda: model.train(0)),
                (TypeError, "from 1 to 1000000", lambda: model.train("1")),
                (ValueError, "from 0 to 1", lambda: model.train(1, rate=float("nan"))),
                (ValueError, "from 1 to 1024", lambda: model.train(1, batch=0)),
                (TypeError, "is a function", lambda: model.train(1, report=5)),
                (ValueError, "from 1 to 8", lambda: make(order=9)),
                (ValueError, "bytes or corpus", lambda: make(alphabet="latin")),
                (TypeError, "kappa", lambda: make(kapa=1)),
                (ValueError, "from 0 to 100", lambda: make(kappa=-1)),
                (ValueError, "ghost or random", lambda: make(init="g")),
                (ValueError, "65280", lambda: make(merges=1 << 20)),
                (ValueError, "divided", lambda: make(shape={"embd": 7})),
                (ValueError, "from 1 to 32", lambda: make(shape={"layers": 0})),
                (TypeError, "heads", lambda: make(shape={"heads": 2}))):
            with self.assertRaisesRegex(kind, says):
                call()
        self.assertFalse(model.trained)
        self.assertEqual(model.logprobs(iter([1, 2])), model.logprobs([1, 2]))

    def test_rows_are_objects(self):
        rows = list(self.model.explain("The model", 9))
        self.assertEqual(b"".join([row.text for row in rows]), b"".join(self.model.generate("The model", 9)))
        self.assertEqual(rows[0]._fields[:5], ("id", "text", "p", "rank", "gave"))

    def test_a_model_can_be_pickled(self):
        again = pickle.loads(pickle.dumps(self.model))
        self.assertEqual(list(again.generate("The model", 9)), list(self.model.generate("The model", 9)))
        self.assertIn("pickled", self.postgpt.PostGPT.__doc__)

    def test_the_collector_is_as_it_was(self):
        for awake in (True, False):
            (gc.enable if awake else gc.disable)()
            self.addCleanup(gc.enable)
            self.postgpt.PostGPT("a b c a b c", shape=self.SHAPE)
            self.assertEqual(gc.isenabled(), awake)

    def test_it_is_seeded_when_it_is_built_unless_that_is_to_wait(self):
        self.assertIsNotNone(self.model.network)
        self.assertIsNone(self.postgpt.PostGPT("a b c a b c", shape=self.SHAPE, seeded=False).network)

    def test_the_example_in_the_docstring(self):
        self.assertEqual(doctest.testmod(self.postgpt).failed, 0)


@unittest.skipUnless(shutil.which("chromium"), "there is no chromium")
class Browser(unittest.TestCase):
    """The page in a real browser."""

    FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--enable-logging=stderr", "--dump-dom")

    def look(self, path):
        """The page after its scripts, and what it shows by id. No script may have failed."""
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(["chromium", *self.FLAGS, "--user-data-dir=" + folder, "file://" + path],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertNotRegex(done.stderr.decode(errors="replace"), "CONSOLE|Uncaught")
        page = done.stdout.decode()
        return page, {id: html.unescape(re.sub("<[^>]*>", "", text)).replace("\u2212", "-").lstrip("+") for id,
                      text in re.findall(r"<(?:b|span) id=\"(\w+)\">(.*?)</(?:b|span)>", page)}

    def test_it_opens_and_shows_the_numbers_of_the_ledger(self):
        path = str(twins.scratch() / "page.html")
        command = (twins.binary(), "-q", "--no-cache", "-c", str(twins.BOOK), "-n", "12", "--why", "--page", path,
                   "The transformer")
        out = twins.run(command)[1].decode()
        meta, full = [[re.match(r'(".*?") +(\S+) +(\d+) ((?: *-?\d+\.\d+){7})  (".*?") +(\S+)  (.+)', line).groups()
                       for line in part.splitlines()[1:]]
                      for part in re.findall(r"(?s)\n\n(token .*?)\nverbatim", out)]
        press = ("<script>for(const key of ['End','ArrowLeft','ArrowUp'])document.dispatchEvent(new "
                 "KeyboardEvent('keydown',{key}))</script>")
        click = "<script>document.querySelectorAll('#text span')[4].click()</script>"
        switch = "<script>document.querySelectorAll('nav button')[1].click()</script>"
        with open(path, encoding="utf-8") as file:
            page = file.read()
        for place, more, row in (("", "", meta[0]), ("#2.5", "", full[4]), ("", click, meta[4]),
                                 ("#1.2", switch, full[0]), ("#2.1", press, full[-3])):
            with self.subTest(place=place, more=more):
                copy = str(twins.scratch() / "copy.html")
                with open(copy, "w", encoding="utf-8") as file:
                    file.write(page + more)
                dom, shown = self.look(copy + place)
                self.assertEqual(html.unescape(re.search("<h2>(.*?)</h2>", dom).group(1)), row[0])
                self.assertEqual((shown["p"], shown["rank"], shown["second"], shown["v"], shown["place"]),
                                 (*row[1:3], *row[4:]))
                self.assertEqual([shown["g%d" % k] for k in range(7)], row[3].split())
                self.assertEqual(len(re.findall("aria-selected=\"true\"", dom)), 1)
                self.assertIn(dom.count("class=\"bar\""), range(2, 11))         # ten, or all that might have been said
                self.assertEqual(dom.count("class=\"strip\""), 8 if row in full else 0)

    def test_what_the_corpus_says_cannot_break_it(self):
        path, corpus = str(twins.scratch() / "odd.html"), str(twins.scratch() / "odd.txt")
        with open(corpus, "wb") as file:
            file.write(b"</script><b>bold & 'quoted' \"twice\" \\ back</b><!-- \xff\xfe \0 \xe2\x80\xa8 \n" * 30)
        twins.run((twins.binary(), *SMALL, "-q", "-c", corpus, "-n", "20", "--page", path, "</script><b>"))
        self.assertIn("<h2>", self.look(path)[0])

    def test_it_asks_for_nothing(self):
        import postgpt
        self.assertNotRegex(postgpt.PAGE, "https?:|//[a-z]|@import|url[(]|fetch|XMLHttp|<link|<img| src=")
        self.assertLessEqual(len(postgpt.PAGE.splitlines()), 120)


HELP = twins.run(PYTHON, ("--help",))[1].decode()

if __name__ == "__main__":
    unittest.main()
