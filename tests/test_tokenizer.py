"""Chapter I: byte pairs against a version that recounts everything, pieces by the rule's own words."""
import random
import unittest
from collections import Counter

from twins import ROOT
import postgpt
from postgpt import Tokenizer


def kind(byte):
    """letter, digit, space, white or mark: design, section 3."""
    if chr(byte) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" or byte >= 0x80:
        return "letter"
    return "digit" if chr(byte) in "0123456789" else "space" if byte == 32 else "white" if chr(
        byte) in "\t\n\v\f\r" else "mark"


def pieces(data):
    """Runs of one kind first; then each run of letters, digits or marks takes the one space before it; what is left of
    white space stands in maximal runs."""
    runs = []
    for byte in data:
        group = kind(byte) if kind(byte) in ("letter", "digit", "mark") else "blank"
        if runs and runs[-1][0] == group:
            runs[-1][1].append(byte)
        else:
            runs.append((group, bytearray([byte])))
    found = []
    for i, (group, run) in enumerate(runs):
        if group == "blank":
            if i + 1 < len(runs) and run[-1] == 32:
                runs[i + 1][1][:0] = b" "
                del run[-1]
        if run:
            found.append(bytes(run))
    return found


def joined(ids, pair, id):
    """ids with every occurrence of pair, from the left, replaced by id."""
    out, i = [], 0
    while i < len(ids):
        two = tuple(ids[i:i + 2]) == pair
        out.append(id if two else ids[i])
        i += 2 if two else 1
    return out


def learn(data, merges, alphabet):
    """Byte pair encoding that counts everything anew for each merge. -> pairs, the corpus' ids"""
    number = {byte: id for id, byte in enumerate(alphabet)}
    text, pairs = [[number[byte] for byte in piece] for piece in pieces(data)], []
    while len(pairs) < merges:
        counts = Counter(pair for ids in text for pair in zip(ids, ids[1:]))
        # overlapping occurrences count as they stand, so that aaa has the pair (a, a) twice
        pair = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if pair is None or counts[pair] < 2:
            break
        text = [joined(ids, pair, len(alphabet) + len(pairs)) for ids in text]
        pairs.append(pair)
    return pairs, [id for ids in text for id in ids]


def texts(rng):
    """Small random texts: few letters make many ties and overlaps, all bytes make none."""
    for letters in (b"a", b"ab", b"ab ", b"aab\n ", b"abc01., \n", bytes(range(256))):
        for size in (1, 2, 7, 40, 300):
            for _ in range(4):
                yield bytes(rng.choice(letters) for _ in range(size))


class BytePairs(unittest.TestCase):
    def test_pairs_and_encodings_are_those_of_recounting_everything(self):
        for data in texts(random.Random(1)):
            for alphabet in (range(256), sorted(set(data))):
                pairs, ids = learn(data, 30, alphabet)
                tokenizer = Tokenizer.learn(data, 30, alphabet)
                self.assertEqual(tokenizer.pairs, pairs, data)
                self.assertEqual(tokenizer.encode(data), ids, data)

    def test_the_same_holds_for_the_book(self):
        data = (ROOT / "postgpt.txt").read_bytes()[:3000]
        pairs, ids = learn(data, 60, range(256))
        tokenizer = Tokenizer.learn(data, 60)
        self.assertEqual((tokenizer.pairs, tokenizer.encode(data)), (pairs, ids))

    def test_text_that_was_not_learned_from_is_merged_in_the_order_of_learning(self):
        rng, data = random.Random(2), (ROOT / "postgpt.txt").read_bytes()
        tokenizer = Tokenizer.learn(data[:5000], 200)
        for text in [data[60000:62000], *(bytes(rng.choice(b"theran ") for _ in range(60)) for _ in range(50))]:
            want = []
            for piece in pieces(text):
                ids = list(piece)
                for id, pair in enumerate(tokenizer.pairs, 256):
                    ids = joined(ids, pair, id)
                want += ids
            self.assertEqual(tokenizer.encode(text), want)

    def test_decoding_gives_back_what_was_encoded(self):
        rng = random.Random(3)
        tokenizer = Tokenizer.learn((ROOT / "postgpt.txt").read_bytes()[:6000], 300)
        for size in (0, 1, 2, 50, 3000):
            for letters in (bytes(range(256)), b"the \n", "naïve 語 🙂 ".encode()):
                data = bytes(rng.choice(letters) for _ in range(size))
                self.assertEqual(tokenizer.decode(tokenizer.encode(data)), data)

    def test_ties_go_to_the_smaller_left_then_the_smaller_right_id(self):
        self.assertEqual(Tokenizer.learn(b"cb\ncb\nab\nab\naa\naa", 1).pairs, [(97, 97)])
        self.assertEqual(Tokenizer.learn(b"cb\ncb\nac\nac\nab\nab", 3).pairs, [(97, 98), (97, 99), (99, 98)])

    def test_a_larger_count_comes_first(self):
        self.assertEqual(Tokenizer.learn(b"ab\nab\nyz\nyz\nyz", 2).pairs, [(121, 122), (97, 98)])

    def test_learning_stops_where_no_pair_occurs_twice(self):
        self.assertEqual(Tokenizer.learn(b"abcd", 100).pairs, [])
        self.assertEqual(Tokenizer.learn(b"abab", 100).pairs, [(97, 98)])           # abab is then one pair, once

    def test_a_token_is_its_pair_joined(self):
        tokenizer = Tokenizer.learn((ROOT / "postgpt.txt").read_bytes()[:4000], 150)
        self.assertEqual(tokenizer.vocab, 256 + 150)
        for id, (left, right) in enumerate(tokenizer.pairs, 256):
            self.assertLess(max(left, right), id)
            self.assertEqual(tokenizer.decode([id]), tokenizer.decode([left, right]))

    def test_no_token_crosses_a_piece(self):
        tokenizer = Tokenizer.learn((ROOT / "postgpt.txt").read_bytes()[:8000], 400)
        self.assertTrue(all(len(pieces(token)) == 1 for token in tokenizer.text))

    def test_no_merges_is_a_byte_model(self):
        tokenizer = Tokenizer.learn(b"banana banana", 0)
        self.assertEqual((tokenizer.vocab, tokenizer.encode(b"bad\xff")), (256, [98, 97, 100, 255]))

    def test_a_piece_of_200_kilobytes_is_learned_and_encoded(self):
        rng = random.Random(4)
        data = bytes(rng.choice(b"abcd") for _ in range(200000))
        tokenizer = Tokenizer.learn(data, 50)
        self.assertEqual(len(tokenizer.pairs), 50)
        self.assertEqual(tokenizer.decode(tokenizer.encode(data)), data)
        one = Tokenizer.learn(b"a" * 200000, 100)
        self.assertEqual(one.pairs[:2], [(97, 97), (256, 256)])
        self.assertEqual(one.decode(one.encode(b"a" * 199999)), b"a" * 199999)


class AlphabetOfTheCorpus(unittest.TestCase):
    def test_bytes_are_numbered_in_their_order(self):
        tokenizer = Tokenizer.learn(b"cab", 0, postgpt.alphabet_of(b"cab", "corpus", False))
        self.assertEqual((tokenizer.encode(b"abc"), tokenizer.vocab), ([0, 1, 2], 3))

    def test_documents_need_a_newline(self):
        self.assertEqual(list(postgpt.alphabet_of(b"cab", "corpus", True)), [10, 97, 98, 99])

    def test_all_bytes_have_a_number_otherwise(self):
        self.assertEqual(list(postgpt.alphabet_of(b"cab", "bytes", False)), list(range(256)))

    def test_another_byte_is_an_error_that_names_it(self):
        tokenizer = Tokenizer.learn(b"cab", 0, b"abc")
        for text in (b"cad", b"d", b"a\x64"):
            with self.assertRaisesRegex(postgpt.Failure, "0x64"):
                tokenizer.encode(text)


class Pieces(unittest.TestCase):
    CASES = {
        b"": [],
        b"low lower": [b"low", b" lower"],
        b" low": [b" low"],
        b"low ": [b"low", b" "],
        b"a  b": [b"a", b" ", b" b"],                     # one space goes with what follows
        b"a   b": [b"a", b"  ", b" b"],
        b"a\nb": [b"a", b"\n", b"b"],                     # a newline goes with nothing
        b"a \nb": [b"a", b" \n", b"b"],
        b"a\n b": [b"a", b"\n", b" b"],
        b"a \t\r\n\v\f  ": [b"a", b" \t\r\n\v\f  "],
        b"x86 64-bit": [b"x", b"86", b" 64", b"-", b"bit"],
        b"don't!?": [b"don", b"'", b"t", b"!?"],
        b" (a) .": [b" (", b"a", b")", b" ."],
        b"na\xc3\xafve \xff": [b"na\xc3\xafve", b" \xff"],
        b"a\0\0b": [b"a", b"\0\0", b"b"],
        b"\x1c\x7f_@[`{/:": [b"\x1c\x7f_@[`{/:"],
        b"  ": [b"  "],
        b" ": [b" "],
        b"AZaz09": [b"AZaz", b"09"],
    }

    def test_cases_of_the_rule(self):
        for data, want in self.CASES.items():
            self.assertEqual(postgpt.PIECE.findall(data), want)

    def test_random_bytes_are_cut_as_the_rule_says(self):
        rng = random.Random(5)
        for letters in (b"a1. \n", b"a  \t", bytes(range(256)), bytes(range(33))):
            for _ in range(150):
                data = bytes(rng.choice(letters) for _ in range(rng.randrange(60)))
                self.assertEqual(postgpt.PIECE.findall(data), pieces(data))

    def test_kinds_of_all_bytes(self):
        names = {postgpt.LETTER: "letter", postgpt.DIGIT: "digit", postgpt.MARK: "mark", postgpt.SPACE: "space",
                 postgpt.WHITE: "white"}
        self.assertEqual([names[k] for k in postgpt.KIND], [kind(byte) for byte in range(256)])


if __name__ == "__main__":
    unittest.main()
