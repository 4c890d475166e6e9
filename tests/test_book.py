"""The book: its own figures are the program's, and it is laid out as a corpus should be."""
import collections
import os
import re
import unittest

from twins import ROOT
import postgpt

with open(os.path.join(ROOT, "postgpt.txt"), "rb") as file:
    RAW = file.read()
TEXT = RAW.decode("latin-1")
SENTENCES = [s.strip() for s in re.split(r"(?<=[.!?])\s+|\n\n+", TEXT) if len(s.split()) > 3]
DEFAULT = {option.name: option.default for option in postgpt.OPTIONS}
SHAPE = postgpt.Shape()
NET = postgpt.Transformer(SHAPE, 256 + DEFAULT["merges"])
LAYER = sum(len(row) for matrix in NET.layers[0].matrices() for row in matrix)

# What the book says, as a regular expression with one group, and the program's figure for it.
FIGURES = [
    (r"([\d,]+) (?:parameters|weights) in all", NET.n_params()),
    (r"(?:performs|mere|and|default of) (\d+) merges", DEFAULT["merges"]),
    (r"(?:the|all|each of|over|among|Among|to each of the|for each of|of its) (\d{4}) (?:BPE )?(?:tokens|candidates)", NET.vocab),
    (r"(\d+) coordinates (?:for|and as|each|into)", SHAPE.embd),
    (r"(\d+) (?:positions|places) (?:at most|and 48)", SHAPE.context),
    (r"(?:window|context) of (\d+) (?:tokens|positions)", SHAPE.context),
    (r"makes ([\d,]+) parameters", NET.vocab * SHAPE.embd),
    (r"One layer makes ([\d,]+)", LAYER),
    (r"and two make ([\d,]+)", SHAPE.layers * LAYER),
    (r"([\d,]+) tokens,? (?:though|for trauma|with neither|sixty-four)", DEFAULT["memory"]),
    (r"default of PostGPT, (0\.\d+)", DEFAULT["temperature"]),
    (r"top (\d+) of 1280 logits", DEFAULT["top-k"]),
]


class BookFigures(unittest.TestCase):
    """Neither the book nor the program can change a figure without the other."""

    def test_every_figure_the_book_gives_is_the_programs(self):
        for pattern, figure in FIGURES:
            said = re.findall(pattern, TEXT)
            with self.subTest(pattern):
                self.assertTrue(said, "the book no longer says this")
                self.assertEqual({float(number.replace(",", "")) for number in said}, {float(figure)})

    def test_the_parameter_count_is_never_given_otherwise(self):
        self.assertEqual(set(re.findall(r"\b188,\d{3}\b", TEXT)), {"{:,}".format(NET.n_params())})


class BookLayout(unittest.TestCase):
    """What a corpus needs: plain text, no repetition, paragraphs."""

    def test_it_is_plain_ascii_of_the_size_of_a_book(self):
        self.assertTrue(RAW.isascii())
        self.assertTrue(150_000 <= len(RAW) <= 175_000, len(RAW))

    def test_paragraphs_stand_on_one_line_apart_by_one_blank_line(self):
        self.assertNotRegex(TEXT, r"[\t\r]|[ ]\n|\n\n\n")
        self.assertTrue(TEXT.endswith("\n") and not TEXT.endswith("\n\n"))
        for part in TEXT.rstrip("\n").split("\n\n"):
            words = len(part.split())
            self.assertTrue("\n" not in part and (words <= 8 or 60 <= words <= 200), part[:60])

    def test_no_sentence_stands_twice(self):
        twice = [s for s, n in collections.Counter(map(str.lower, SENTENCES)).items() if n > 1]
        self.assertEqual(twice, [])

    def test_hardly_eight_words_in_a_row_stand_elsewhere_too(self):
        words = re.findall(r"[a-z]+(?:'[a-z]+)?", TEXT.lower())
        windows = collections.Counter(zip(*(words[i:] for i in range(8))))
        again = sum(n - 1 for n in windows.values())
        self.assertLess(again, 0.004 * sum(windows.values()))

    def test_the_vocabulary_is_broad(self):
        words = re.findall(r"[a-z]+(?:'[a-z]+)?", TEXT.lower())
        self.assertGreaterEqual(len(set(words)), 0.14 * len(words))


if __name__ == "__main__":
    unittest.main()
