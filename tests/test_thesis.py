"""The scripts that measure what is claimed: they read the program's output rightly, cut texts honestly and draw what
they measured."""
import collections
import contextlib
import io
import math
import re
import unittest
from unittest import mock
from xml.etree import ElementTree

import twins
from measure import curve, thesis, tune
import postgpt

DATA = twins.ROOT.parent / "shared" / "data"

OUTPUT = """uniform               3.0000 bits/byte    7.0000 nats/token
unigram               2.5000 bits/byte    6.0000 nats/token
bigram                1.5000 bits/byte    5.0000 nats/token
chain                 1.4500 bits/byte    4.5000 nats/token
transformer           2.0000 bits/byte    5.5000 nats/token
transformer -heads    2.0400 bits/byte    5.6100 nats/token
meta                  1.4200 bits/byte    4.2000 nats/token
full                  1.4000 bits/byte    4.0000 nats/token
full -H               1.4100 bits/byte    4.0400 nats/token
full -F               1.4100 bits/byte    4.0100 nats/token
full -A               1.4000 bits/byte    4.0000 nats/token
full -T               1.4000 bits/byte    3.9996 nats/token
full -heads           1.4070 bits/byte    4.0200 nats/token
full -transformer     1.3900 bits/byte    3.9000 nats/token
"""
FIGURES = thesis.parse(OUTPUT)
BOOK = thesis.Row(thesis.Text("book", "a book", ("--holdout", "0.1")), FIGURES,
                  {**FIGURES, "chain": thesis.Figure(1.44, 4.2)}, FIGURES, (1.5, 1.45, ""))


def lines_of(data):
    """How often each line occurs."""
    return collections.Counter(data.splitlines())


def printed(call, *args):
    """What a call prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        call(*args)
    return out.getvalue()


class Figures(unittest.TestCase):
    """Parsing and percentages, on output made by hand."""

    def test_every_row_is_read(self):
        self.assertEqual(list(FIGURES), [label for label, _ in postgpt.ROWS])
        self.assertEqual(FIGURES["full -transformer"], (1.39, 3.9))

    def test_the_way_and_the_changes(self):
        self.assertAlmostEqual(thesis.way(FIGURES), 75.0)
        self.assertAlmostEqual(thesis.change(FIGURES["full -H"], FIGURES["full"]), 1.0)

    def test_the_tables(self):
        self.assertEqual(
            printed(thesis.main_table, [BOOK]).splitlines()[2],
            "| a book | 3.000 | 1.500 | 1.450 | 1.440 | 1.400 | 1.500 | 1.450 | 2.000 (75 % of the way to the bigram) "
            "| 1.420 | **1.400** (-4.8 % against KN 5) |  |",
        )
        self.assertEqual(printed(thesis.terms_table, [BOOK]).splitlines()[2],
                         "| a book | +1.00 % | +0.25 % | +0.00 % | -0.01 % | +0.50 % | -2.50 % | +2.00 % |")

    def test_claims_hold_or_do_not(self):
        self.assertEqual([holds for holds, _ in thesis.claim_transformer({"book": BOOK})], [False, True, True])
        self.assertEqual([holds for holds, _ in thesis.claim_transformer({"small": BOOK})], [False, True, True])
        self.assertEqual([holds for holds, _ in thesis.claim_order([BOOK])], [True])
        self.assertEqual([holds for holds, _ in thesis.claim_terms(dict.fromkeys(thesis.HEADS, BOOK))],
                         [True, True, False, False, True, False])
        self.assertEqual([holds for holds, _ in thesis.claim_gain({"book": BOOK, "tiny": BOOK}, 2.08, 2.1)],
                         [True] * 6 + [False, True, False])
        self.assertEqual([holds for holds, _ in thesis.claim_names({"names": BOOK})], [False, False, True])

    def test_meta_may_equal_the_chain_but_full_not_meta(self):
        for label, wanted in (("chain", True), ("full", False)):
            base = {**FIGURES, label: FIGURES["meta"]}
            with self.subTest(label):
                self.assertEqual([holds for holds, _ in thesis.claim_order([BOOK._replace(base=base)])], [wanted])

    def test_what_is_not_measured_is_not_claimed(self):
        out = printed(thesis.print_claims, [BOOK], None, None)
        self.assertEqual(len(re.findall("(?m)^- (?:holds|does not hold): ", out)), 7)
        self.assertNotIn("names, order", out)
        self.assertIn("make thesis TEXTS=", out)


class Cuts(unittest.TestCase):
    """What is held out is never built on, nor tuned on."""

    def test_every_tenth_line(self):
        built, held = thesis.every_tenth(b"".join(b"n%d\n" % i for i in range(25)).rstrip())
        self.assertEqual(held, b"n0\nn10\nn20\n")
        self.assertEqual(built.count(b"\n"), 22)
        self.assertTrue(built.endswith(b"n24\n"))

    def test_a_split_is_the_programs(self):
        rest, held = thesis.split(b"x" * 1009, 0.1)
        self.assertEqual((len(rest), len(held)), (909, 100))

    def test_tuning_sees_only_the_building_side(self):
        data = bytes(i * i % 251 for i in range(2000))
        path = thesis.write("any.txt", data)
        piece, = tune.pieces_of(path)
        self.assertEqual(thesis.read(piece.args[1]), data[:1800])

    @unittest.skipUnless(DATA.is_dir(), "needs ../shared/data")
    def test_the_known_texts_are_known_and_kept_apart(self):
        tiny, names = (thesis.read(str(DATA / name)) for name in ("tinyshakespeare.txt", "names.txt"))
        self.assertEqual([text.kind for text in thesis.texts_of(str(DATA / "tinyshakespeare.txt"))], ["small", "tiny"])
        small, whole = tune.pieces_of(str(DATA / "tinyshakespeare.txt"))
        self.assertEqual(thesis.read(small.args[1]), thesis.split(tiny[:150000], 0.1)[0])
        self.assertEqual(thesis.read(whole.args[1]), thesis.split(tiny, 0.1)[0])
        built, reported = map(lines_of, thesis.every_tenth(names))
        self.assertEqual(built + reported, lines_of(names))                      # some names stand there twice
        piece, longer = tune.pieces_of(str(DATA / "names.txt"))
        self.assertEqual(longer.args, (*piece.args, "--order", "5"))
        tuned, asked = (lines_of(thesis.read(path)) for path in (piece.args[1], piece.args[-1]))
        self.assertFalse(tuned + asked - built)
        self.assertGreater(sum(asked.values()), 700)


class Runs(unittest.TestCase):
    """The C twin on a small corpus."""

    @classmethod
    def setUpClass(cls):
        patch = mock.patch.object(thesis, "PROGRAM", (twins.binary(),))
        patch.start()
        cls.addClassCleanup(patch.stop)
        cls.path = thesis.write("small corpus.txt", twins.BOOK.read_bytes()[:12000])

    def test_a_row_is_what_the_program_prints(self):
        text, = thesis.texts_of(self.path)
        found = thesis.measure([text.args, (*text.args, "--order", "5")])
        row = printed(thesis.main_table, [thesis.Row(text, *found.values(), {"full": thesis.Figure(9.5, 9.5)},
                                                     None)]).splitlines()[2]
        said = [twins.run(thesis.PROGRAM, ["-c", self.path, "--holdout", "0.1", "--order", order])[1].decode()
                for order in ("3", "5")]
        bits = [dict(re.findall(r"(?m)^(\S+) +(\S+) bits/byte", output)) for output in said]
        wanted = ["%.3f" % float(figure) for figure in (*(bits[0][label] for label in ("uniform", "bigram", "chain")),
                                                        bits[1]["chain"], 9.5,
                                                        *(bits[0][label] for label in ("transformer", "meta", "full")))]
        self.assertEqual(re.findall(r"\d\.\d{3}", row), wanted)

    def test_blocks_carry_nothing_over(self):
        """What two blocks of one text cost is what each costs alone, by its bytes."""
        data = twins.BOOK.read_bytes()[:4000]
        rest, held = thesis.split(data, 0.1)
        corpus = thesis.write("rest.txt", rest)
        for into in thesis.anywhere, thesis.between_pieces:
            with mock.patch.object(thesis, "WINDOW", 200):
                found, parts = thesis.blocks(thesis.write("blocks.txt", data), into), into(held)
            each = [thesis.parse(thesis.run(("--corpus", corpus, "--eval", thesis.write("part.txt", part)))[0])["full"]
                    for part in parts]
            self.assertAlmostEqual(found, sum(figure.bits * len(part) for figure, part in zip(each, parts)) / len(held),
                                   delta=1e-9)

    def test_blocks_are_cut_between_words(self):
        with mock.patch.object(thesis, "WINDOW", 9):
            self.assertEqual(thesis.between_pieces(b"To be, or not to be"), [b"To be, or", b" not to", b" be"])
            self.assertEqual(thesis.anywhere(b"To be, or not to be"), [b"To be, or", b" not to b", b"e"])

    def test_a_constant_is_tuned_in_a_copy_of_the_source(self):
        out, values = io.StringIO(), {**postgpt.COEFFICIENTS, "ECHO": 0.85}
        with mock.patch.multiple(tune, STEP=100.0, CFLAGS=("-std=c11", "-O1", "-ffp-contract=off")), \
                contextlib.redirect_stdout(out):
            best = tune.walk(tune.pieces_of(self.path), values, "ECHO")
        tried = {float(value): float(mean) for value, mean in
                 re.findall(r"(?m)^ECHO +(\S+) .* (-?\d\.\d{5})(?: default)?$", out.getvalue())}
        self.assertEqual(len(set(tried.values())), len(tried), tried)            # it changes something
        self.assertIn(0.9985, tried)
        self.assertEqual(best, min([0.85, *tried], key=lambda value: (tried[value], value != 0.85)))
        for name in tune.CONSTANTS:
            self.assertEqual(tune.default_of(name), getattr(postgpt, name))

    def test_tuning_walks_to_the_best_value_and_stays_there(self):
        pieces, out = tune.pieces_of(self.path), io.StringIO()
        with mock.patch.multiple(tune, STEP=50.0, bits_of=lambda pieces, values, row: [
                2.0 + (values["kappa"] - 5.0) ** 2 + (row == "full -transformer")]), contextlib.redirect_stdout(out):
            found = tune.descend(pieces, ["kappa"], {**postgpt.COEFFICIENTS, "kappa": 0.1})
        self.assertEqual(found, {**postgpt.COEFFICIENTS, "kappa": 5.0})
        self.assertEqual(re.findall(r"(?m)^kappa: (.*)$|^(round \d)", out.getvalue()),
                         [("", "round 1"), ("0.1 -> 5", ""), ("", "round 2"), ("stays", "")])

    def test_each_value_is_judged_on_its_own_row(self):
        asked = []
        with mock.patch.object(tune, "bits_of", lambda pieces, values, row: asked.append(row) or [1.0]), \
                contextlib.redirect_stdout(io.StringIO()):
            for name in ("UNAIDED", "kappa", "CHORUS"):
                tune.walk([], {"UNAIDED": 0.8, "kappa": 0.4, "CHORUS": 0.3}, name)
        self.assertEqual(asked, ["full -transformer"] * 3 + ["full"] * 3 + ["transformer"] * 3)

    def test_a_command_can_be_typed(self):
        self.assertEqual(thesis.command(("--corpus", self.path)), "./postgpt --corpus 'small corpus.txt'")

    def test_the_window_in_tokens(self):
        tokens = thesis.window_tokens(("--corpus", self.path, "--holdout", "0.1", "--merges", "0"), self.path)
        self.assertEqual(tokens, 256)

    def test_names_that_are_built_on_too_can_be_left_out(self):
        built, held = thesis.write("built", b"ann\nbob\n"), thesis.write("held", b"bob\ncid\n")
        args, _ = thesis.new_names(("--corpus", built, "--eval", held))
        self.assertEqual(thesis.read(args[-1]), b"cid\n")

    def test_a_run_that_fails_says_why(self):
        with self.assertRaisesRegex(SystemExit, "cannot read"):
            thesis.run(("--corpus", str(twins.scratch() / "missing"), "--holdout", "0.1"))

    def test_the_curve_shows_what_training_prints(self):
        source = ("--corpus", self.path, "--merges", "50")
        random, ghost = [curve.course_of(source, init, 20) for init, _, _ in curve.INITS]
        self.assertEqual([steps for steps, _ in ghost.points()], [0, 10, 15, 20])
        error = twins.run(thesis.PROGRAM, [*source, "--init", "ghost", "--train", "20", "--holdout", "0.1"])[2].decode()
        self.assertIn("held-out after 0 steps: loss %.17g" % ghost.start(), error)
        self.assertIn("held-out after 20 steps: loss %.17g best %.17g" % (ghost.runs[20].last, ghost.runs[20].best),
                      error)
        svg = ElementTree.fromstring(curve.picture("a <text> & more", 20, random, ghost, None))
        self.assertEqual(len([shape for shape in svg if shape.tag.endswith("circle")]), 2 * 4 + 1)
        self.assertIn("a <text> & more", "".join(svg.itertext()))


class Curve(unittest.TestCase):
    """Drawing and searching, without a run."""

    def test_budgets_end_with_the_longest(self):
        self.assertEqual(curve.budgets(10), [10])
        self.assertEqual(curve.budgets(120), [10, 15, 20, 30, 50, 70, 100, 120])

    def test_random_weights_overtake_where_they_do(self):
        def train(source, init, steps):
            return curve.Run((), 8.0, 8.0 - math.log(1 + steps), 0.0, {})
        random = curve.Course({}, {steps: train((), "random", steps) for steps in curve.budgets(1000)})
        with mock.patch.object(curve, "train", train):
            steps, run = curve.overtake((), random, 8.0 - math.log(1 + 380))
            self.assertTrue(380 <= steps <= 400, steps)
            self.assertEqual(run.last, 8.0 - math.log(1 + steps))
            self.assertIsNone(curve.overtake((), random, 0.0))

    def test_the_frame_holds_what_is_drawn(self):
        frame = curve.Frame(3000, 4.0, 7.0)
        self.assertEqual((frame.x(0), frame.x(3000), frame.y(4.0), frame.y(7.0)),
                         (curve.LEFT, curve.RIGHT, curve.BOTTOM, curve.TOP))
        self.assertTrue(2 <= len(curve.ticks(4.0, 7.0)) <= 9)

    def test_labels_stand_apart_and_near_their_lines(self):
        self.assertEqual(curve.apart([10.0, 50.0], 18.0), [10.0, 50.0])
        self.assertEqual(curve.apart([10.0, 12.0, 100.0], 18.0), [2.0, 20.0, 100.0])
        for gap in (10.0, 18.0, 40.0):
            places = curve.apart([1.0, 2.0, 30.0, 31.0, 80.0], gap)
            self.assertGreaterEqual(min(b - a for a, b in zip(places, places[1:])) + 1e-9, gap)


if __name__ == "__main__":
    unittest.main()
