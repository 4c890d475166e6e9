"""Chapter II: what is counted, against counting it again the slow way."""
import importlib.util
import math
import random
import re
import subprocess
import sys
import tempfile
import unittest
from collections import Counter, defaultdict
from pathlib import Path

import twins
from twins import ROOT
import postgpt
from postgpt import Chain, Metaweights, Text, count_pairs

BOOK = (ROOT / "postgpt.txt").read_bytes()
YARDSTICK = ROOT.parent / "shared" / "tools" / "kn.py"


class KneserNey:
    """Interpolated modified Kneser-Ney (Chen and Goodman 1998), straight from its definition. In `documents` (lists of
    ids) the first token is only context when there are several; what starts a document has no longer context to be
    counted in."""

    def __init__(self, documents, order, vocab, lines):
        self.order, self.vocab = order, vocab
        seen = [Counter() for _ in range(order + 1)]      # seen[n]: n-grams, n tokens long, ending in a predicted token
        starting = [Counter() for _ in range(order + 1)]  # those that stand at a document's very start
        for ids in documents:
            for end in range(int(lines), len(ids)):
                for n in range(1, min(order, end + 1) + 1):
                    seen[n][tuple(ids[end + 1 - n:end + 1])] += 1
                    if n == end + 1 and lines:
                        starting[n][tuple(ids[:n])] += 1
        self.levels = []
        for n in range(1, order + 1):
            counts = seen[n]
            if n < order:                                 # continuation counts: in how many different contexts
                counts = Counter(gram[1:] for gram in seen[n + 1]) + starting[n]
            by_context = defaultdict(dict)
            for gram, count in counts.items():
                by_context[gram[:-1]][gram[-1]] = count
            self.levels.append((by_context, self.cuts(Counter(counts.values()))))

    @staticmethod
    def cuts(n):
        """D1, D2, D3+ from counts of counts: equation 26; half, one and one and a half where there are too few to
        tell."""
        if not all(n[k] for k in (1, 2, 3)):
            return {1: 0.5, 2: 1.0, 3: 1.5}
        y = n[1] / (n[1] + 2 * n[2])
        return {k: min(max(k - (k + 1) * y * n[k + 1] / n[k], 0.01), k) for k in (1, 2, 3)}

    def prob(self, context, token):
        p = 1.0 / self.vocab
        for length in range(min(self.order, len(context) + 1)):
            by_context, cut = self.levels[length]
            counts = by_context.get(tuple(context[len(context) - length:]))
            if counts is None:
                break
            all = sum(counts.values())
            freed = math.fsum(cut[min(c, 3)] for c in counts.values()) / all
            c = counts.get(token, 0)
            p = (c - cut[min(c, 3)] if c else 0.0) / all + freed * p
        return p


def book_ids(size, merges):
    tokenizer = postgpt.Tokenizer.learn(BOOK[:size], merges)
    return tokenizer, tokenizer.encode(BOOK[:size])


def small_texts():
    """ids, vocab: a few texts of all sorts."""
    rng = random.Random(1)
    tokenizer, ids = book_ids(3000, 60)
    return [(ids, tokenizer.vocab), ([rng.randrange(4) for _ in range(400)], 5), ([0] * 50, 2), ([0, 1], 2), ([3], 4),
            ([0, 1, 2, 3] * 30, 4)]


class TheChain(unittest.TestCase):
    def contexts(self, ids, vocab, rng):
        """Contexts of all lengths, from the text, cut short, and never seen."""
        for _ in range(12):
            at = rng.randrange(len(ids) + 1)
            yield ids[max(at - rng.randrange(12), 0):at]
        yield []
        yield [rng.randrange(vocab) for _ in range(9)]

    def test_probabilities_sum_to_1_for_every_order(self):
        for ids, vocab in small_texts():
            for order in range(1, 9):
                chain, rng = Chain(Text(ids), vocab, order), random.Random(order)
                for context in self.contexts(ids, vocab, rng):
                    p = chain.probs(context)
                    self.assertEqual(len(p), vocab)
                    self.assertAlmostEqual(math.fsum(p), 1.0, delta=1e-12)
                    self.assertGreater(min(p), 0.0)

    def test_it_is_modified_kneser_ney(self):
        for ids, vocab in small_texts():
            for order in range(1, 9):
                chain, rng = Chain(Text(ids), vocab, order), random.Random(order)
                direct = KneserNey([ids], order, vocab, False)
                for context in self.contexts(ids, vocab, rng):
                    for token in {rng.randrange(vocab), *(ids[i] for i in (0, -1)), *rng.sample(range(vocab), 2)}:
                        p = direct.prob(context, token)
                        self.assertAlmostEqual(chain.token_prob(context, token) / p, 1.0, delta=1e-11)

    def test_one_token_and_all_tokens_are_computed_alike_to_the_last_bit(self):
        ids, vocab = small_texts()[0]
        chain = Chain(Text(ids), vocab, 4)
        for context in self.contexts(ids, vocab, random.Random(2)):
            self.assertEqual(chain.probs(context), [chain.token_prob(context, token) for token in range(vocab)])

    def test_documents_are_counted_apart_and_sum_to_1(self):
        rng = random.Random(3)
        documents = [[0, *(rng.randrange(1, 5) for _ in range(rng.randrange(8))), 0] for _ in range(60)]
        starts = [0]
        for ids in documents:
            starts.append(starts[-1] + len(ids))
        text = Text([id for ids in documents for id in ids], starts)
        self.assertEqual(text.documents(), documents)
        for order in range(1, 9):
            chain, direct = Chain(text, 6, order), KneserNey(documents, order, 6, True)
            for _ in range(25):
                ids = rng.choice(documents)
                context = ids[:rng.randrange(1, len(ids) + 1)]
                p = chain.probs(context)
                self.assertAlmostEqual(math.fsum(p), 1.0, delta=1e-12)
                for token in range(6):
                    self.assertAlmostEqual(p[token] / direct.prob(context, token), 1.0, delta=1e-11)

    def test_no_count_is_taken_across_documents(self):
        text = Text([9, 1, 9, 9, 2, 9], [0, 3, 6])
        chain = Chain(text, 10, 8)
        self.assertLess(chain.token_prob([9, 1, 9], 9), chain.token_prob([9, 1], 9))         # (9, 9) only stands across
        # never seen: falls back to what was
        self.assertEqual(chain.probs([9, 1, 9, 9]), chain.probs([9]))

    @unittest.skipUnless(YARDSTICK.exists(), "the yardstick ../shared/tools/kn.py is not there")
    def test_the_yardstick_says_the_same(self):
        spec = importlib.util.spec_from_file_location("kn", YARDSTICK)
        kn = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(kn)
        tokenizer, ids = book_ids(15000, 200)
        held, orders = tokenizer.encode(BOOK[15000:17000]), []
        for order in range(1, 9):
            yardstick = kn.KneserNey(ids, order, tokenizer.vocab)
            if min(d for _, cuts in yardstick.tables for d in cuts) < 0.01:
                # a discount of 0 leaves nothing to the unseen: ours is at least 0.01
                continue
            orders.append(order)
            chain = Chain(Text(ids), tokenizer.vocab, order)
            for i, id in enumerate(held):
                self.assertAlmostEqual(chain.token_prob(held[:i], id) / yardstick.prob(held[max(i - order + 1, 0):i],
                        id), 1.0, delta=1e-10)
        self.assertTrue({1, 2, 3, 4} <= set(orders), orders)


class PrintedFigures(unittest.TestCase):
    """The chain's rows of --eval against the direct version, in both twins."""

    def check(self, command):
        for data, held, order in ((BOOK[:6000], BOOK[6000:6500], 3), (BOOK[:6000], BOOK[6000:6300], 5),
                                  (b"abc abd", b"ab c", 4)):
            self.check_figures(command, data, held, order)

    def check_figures(self, command, data, held, order):
        tokenizer = postgpt.Tokenizer.learn(data, 80)
        ids, tokens = tokenizer.encode(data), tokenizer.encode(held)
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("corpus.txt", data), ("held.txt", held)):
                Path(folder, name).write_bytes(text)
            printed = subprocess.run([*command, "-c", "corpus.txt", "--no-cache", "--merges", "80", "--order",
                                      str(order), "--eval", "held.txt"],
                                     cwd=folder, stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
        rows = {row.split()[0]: row for row in printed}
        want = {"uniform": math.log(tokenizer.vocab) * len(tokens)}
        for label, n in (("unigram", 1), ("bigram", 2), ("chain", order)):
            direct = KneserNey([ids], n, tokenizer.vocab, False)
            want[label] = -math.fsum(math.log(direct.prob(tokens[:i], id)) for i, id in enumerate(tokens))
        for label, nats in want.items():
            figures = rows[label].split()
            self.assertAlmostEqual(float(figures[1]), nats / math.log(2) / len(held), delta=6e-5, msg=rows[label])
            self.assertAlmostEqual(float(figures[3]), nats / len(tokens), delta=6e-5, msg=rows[label])

    def test_python(self):
        self.check([sys.executable, str(ROOT / "postgpt.py")])

    def test_c(self):
        self.check([twins.binary()])


class Pairs(unittest.TestCase):
    def texts(self):
        rng = random.Random(4)
        for n, vocab in ((1, 2), (2, 2), (30, 3), (200, 7)):
            ids = [rng.randrange(vocab) for _ in range(n)]
            yield Text(ids), vocab
            cut = sorted({0, n, *(rng.randrange(n) for _ in range(n // 6))})
            yield Text(ids, cut), vocab

    def brute(self, text, weight, window):
        counts = defaultdict(float)
        for ids in text.documents():
            for i in range(len(ids)):
                for j in range(i + 1, min(i + window, len(ids) - 1) + 1):
                    counts[ids[i], ids[j]] += weight[j - i]
        return {pair: n for pair, n in counts.items() if n}

    def test_counts_rows_columns_and_sum_are_those_of_counting_one_by_one(self):
        for text, vocab in self.texts():
            for weight, least in (([0, 1], 1), ([0, 0, 0, 1], 1), ([0, 12, 6, 4, 3], 1), ([0, 0, 6, 4, 3], 5)):
                window = len(weight) - 1
                table, want = count_pairs(text, vocab, weight, window, least), self.brute(text, weight, window)
                self.assertEqual({(a, x): n for a, row in enumerate(table.rows) for x, n in row},
                                 {pair: n for pair, n in want.items() if n >= least})
                self.assertTrue(all(row == sorted(row) for row in table.rows))
                self.assertEqual(table.row_sum, [sum(n for (a, _), n in want.items() if a == t) for t in range(vocab)])
                self.assertEqual(table.column_sum, [sum(n for (_, x), n in want.items() if x == t)
                                                    for t in range(vocab)])
                self.assertEqual(table.sum, sum(want.values()))

    def test_pmi_is_the_logarithm_of_how_much_likelier_a_pair_is_than_chance(self):
        for text, vocab in self.texts():
            table = count_pairs(text, vocab, [0, 12, 6, 4, 3], 4, 1)
            flat = [n ** 0.75 for n in table.column_sum]
            want = {}
            for a, row in enumerate(table.rows):
                for x, n in row:
                    joint, first, second = n / table.sum, table.row_sum[a] / table.sum, flat[x] / math.fsum(flat)
                    if joint > first * second:
                        want[a, x] = math.log(joint / (first * second))
            found = {(a, x): value for a, row in enumerate(postgpt.pmi(table).rows) for x, value in row}
            self.assertEqual(found.keys(), want.keys())
            for pair in want:
                self.assertAlmostEqual(found[pair], want[pair], delta=1e-12)


class TheWords(unittest.TestCase):
    """What is known of spelling, against looking through all the words."""

    @classmethod
    def setUpClass(cls):
        cls.data = BOOK[:5000] + b"\n 7 77 --- -- x\xd0\xb6 \t end"
        cls.tokenizer = postgpt.Tokenizer.learn(cls.data, 120)
        cls.counts = postgpt.words_of(cls.data)
        cls.words = postgpt.Words(cls.counts, cls.tokenizer)
        cls.beginnings = sorted({word[:n] for word in cls.counts for n in range(1, len(word) + 1)}
                                | {b"zq", b"9", b"--!", b"\xff"})

    def test_words_are_the_runs_of_letters_digits_or_marks(self):
        want = Counter(re.findall(rb"[A-Za-z\x80-\xff]+|[0-9]+|[^A-Za-z0-9\x80-\xff\s]+", self.data))
        self.assertEqual(self.counts, want)

    def test_a_word_is_unknown_begun_or_whole(self):
        for word in self.beginnings:
            begun = any(other.startswith(word) for other in self.counts)
            self.assertEqual(self.words.find(word), postgpt.WHOLE_WORD if word in self.counts else postgpt.BEGUN
                             if begun else postgpt.UNKNOWN)

    def test_endings_are_the_tokens_that_keep_a_word_known(self):
        for word in self.beginnings[::12]:
            want = [id for id, text in enumerate(self.tokenizer.text)
                    if postgpt.KIND[text[0]] < postgpt.SPACE
                    and any(other.startswith(word + text) for other in self.counts)]
            self.assertEqual(sorted(self.words.endings(word)), want, word)

    def test_trust_is_the_share_of_words_met_more_than_once(self):
        self.assertAlmostEqual(self.words.trust, sum(n for n in self.counts.values()
                                                     if n > 1) / sum(self.counts.values()), delta=1e-12)
        for data, trust in ((b"a b c", 0.0), (b"a a a b", 0.75), (b" \n\t ", 0.0), (b"it it", 1.0)):
            words = postgpt.Words(postgpt.words_of(data), postgpt.Tokenizer(b"a"))
            self.assertAlmostEqual(words.trust, trust, delta=1e-12)

    def test_a_text_is_spelled_word_by_word(self):
        """After every token: the word under way is what the text ends with, and each token costs what it does to that
        word."""
        spelling, text = postgpt.Spelling(self.words), b""
        for id in self.tokenizer.encode(self.data[-400:] + b" transf"):
            spelling.write(id)
            text += self.tokenizer.text[id]
            word = re.search(rb"([A-Za-z\x80-\xff]+|[0-9]+|[^A-Za-z0-9\x80-\xff\s]+|)\Z", text).group()
            self.assertEqual(spelling.word, word)
            for other, cost in zip(self.tokenizer.text, spelling.spelled(heard=False)):
                known = any(whole.startswith(word) for whole in self.counts)
                goes_on = bool(word) and postgpt.KIND[other[0]] == postgpt.KIND[word[0]]
                if not word or not known:
                    want = 0.0
                elif goes_on:
                    want = 0.0 if any(whole.startswith(word + other) for whole in self.counts) else postgpt.BREAK
                else:
                    want = 0.0 if word in self.counts else postgpt.STUB
                self.assertAlmostEqual(cost, -want * self.words.trust, delta=1e-12, msg=(word, other))

    def test_what_encoding_would_have_joined_is_parted(self):
        """Of all pairs of tokens, for texts of few letters and of many: where the text of the two is encoded as the
        two, they may stand side by side."""
        rng = random.Random(5)
        few = bytes(rng.choice(b"aaab") for _ in range(3000))
        for data, merges in ((self.data, 120), (few, 60), ("вода и водка, вот вода. ".encode() * 20, 80),
                             (b"--==-- 1001 1010 " * 30 + few, 90)):
            tokenizer = postgpt.Tokenizer.learn(data, merges, sorted(set(data)))
            words = postgpt.Words({}, tokenizer)
            for token, text in enumerate(tokenizer.text):
                if postgpt.KIND[text[-1]] < postgpt.SPACE:
                    want = {other for other, more in enumerate(tokenizer.text)
                            if tokenizer.encode(text + more) != [token, other]}
                    self.assertEqual(words.parted(token), want, text)

    def test_what_is_heard_cannot_be_what_encoding_would_have_joined(self):
        spelling, ids = postgpt.Spelling(self.words), self.tokenizer.encode(self.data)
        for token, following in zip(ids, ids[1:]):
            spelling.write(token)
            never = [x for x, cost in enumerate(spelling.spelled()) if cost == -postgpt.NEVER]
            self.assertEqual(sorted(never), sorted(self.words.parted(token)) if spelling.word else [])
            self.assertNotIn(following, never)
            self.assertNotIn(-postgpt.NEVER, spelling.spelled(heard=False))


class HowLongLinesLast(unittest.TestCase):
    """The table of lives, against counting token by token."""

    def slow(self, documents, texts, first):
        """{(what, cell): [tokens that came, that ended it]}, and over all cells."""
        met = {}
        for ids in documents:
            line = sentence = 1
            for i, token in enumerate(ids):
                breaks = b"\n" in texts[token]
                closes = not breaks and texts[token].rstrip(b")]}\"'").endswith((b".", b"!", b"?"))
                if i >= first:
                    for what, age, end in (("line", line, breaks), ("sentence", sentence, closes)):
                        for cell in (int(8 * math.sqrt(min(age, 1023))), "all"):
                            counts = met.setdefault((what, cell), [0, 0])
                            counts[0] += 1
                            counts[1] += end
                line = 1 if breaks else line + len(texts[token])
                sentence = 1 if breaks or closes else sentence + len(texts[token])
        return met

    def test_due_is_the_share_of_ends_at_an_age(self):
        rng = random.Random(3)
        letters = bytes(rng.choice(b"abc .\n") for _ in range(3000))
        for data, lines in ((BOOK[:20000], False), (letters, True), (b"no end " * 400, False), (b"ab", False)):
            tokenizer = postgpt.Tokenizer.learn(data, 60)
            text = postgpt.Text(*postgpt.encode_text(tokenizer, data, lines))
            lives, met = postgpt.Lives(text, tokenizer.text), self.slow(text.documents(), tokenizer.text, int(lines))
            for what, name in ((postgpt.LINE, "line"), (postgpt.STOP, "sentence")):
                n, k = met[name, "all"]
                for age in (*range(1, 200), 500, 1000, postgpt.OLD):
                    came, ended = met.get((name, int(8 * math.sqrt(age))), (0, 0))
                    want = math.log((ended + 70.0 * k / n) / (came + 70.0) / (k / n)) if k else 0.0
                    self.assertAlmostEqual(lives.due[what][age], want, delta=1e-12)

    def test_what_has_lasted_is_as_old_as_its_bytes(self):
        tokenizer = postgpt.Tokenizer(range(256))
        lives = postgpt.Lives(postgpt.Text([97, 46, 10]), tokenizer.text)
        spelling, ages = postgpt.Spelling(postgpt.Words({}, tokenizer, lives=lives)), []
        for byte in b"a b. c\nd":
            spelling.write(byte)
            ages.append(spelling.lasted)
        self.assertEqual(ages, [(2, 2), (3, 3), (4, 4), (5, 1), (6, 2), (7, 3), (1, 1), (2, 2)])
        for _ in range(2000):
            spelling.write(98)
        self.assertEqual(spelling.lasted, (postgpt.OLD, postgpt.OLD))


class WhatIsCounted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tokenizer, cls.ids = book_ids(4000, 80)
        cls.meta = Metaweights(cls.ids, cls.tokenizer.vocab)

    def test_the_trace_weighs_company_by_1_over_distance_from_2_on(self):
        reach, unit, want = postgpt.ROOM_FOR_TRACE, postgpt.WHOLE, defaultdict(float)
        for i, a in enumerate(self.ids):
            for d in range(2, reach + 1):
                if i + d < len(self.ids):
                    want[a, self.ids[i + d]] += 1.0 / d
        company = postgpt.count_pairs(self.meta.text, self.meta.vocab,
                                      [0, 0] + [unit // d for d in range(2, reach + 1)], reach, unit / 3.0 + 1.0)
        found = {(a, x): n / unit for a, row in enumerate(company.rows) for x, n in row}
        self.assertTrue(found.keys() < want.keys() and len(found) > len(want) / 5)           # what is rare is not kept
        for pair in found:
            self.assertAlmostEqual(found[pair], want[pair], delta=1e-9)
        self.assertAlmostEqual(company.sum / unit, math.fsum(want.values()), delta=1e-6)
        self.assertTrue(all(unit % d == 0 for d in range(2, reach + 1)), "every weight is a whole number")
        self.assertEqual(self.meta.trace.rows, postgpt.pmi(company).rows)

    def check_promises(self, meta, documents):
        window, n = postgpt.ROOM_FOR_PROMISE, sum(map(len, documents))
        often, met = Counter(id for ids in documents for id in ids), Counter()
        for ids in documents:
            for i, a in enumerate(ids):
                for x in set(ids[i + 1:i + 1 + window]):
                    met[a, x] += 1
        want = {}
        for (a, x), k in met.items():
            chance = 1.0 - (1.0 - often[x] / n) ** 12
            lift = math.log((k + chance) / ((often[a] + 1) * chance))
            if k >= 2 and lift > 0.0:
                want[a, x] = lift
        found = {(a, x): value for a, row in enumerate(meta.promise.rows) for x, value in row}
        self.assertEqual(found.keys(), want.keys())
        self.assertGreater(len(found), 10)
        for pair in want:
            self.assertAlmostEqual(found[pair], want[pair], delta=1e-9)

    def test_a_promise_is_how_much_likelier_a_token_comes_within_12(self):
        self.assertEqual(postgpt.ROOM_FOR_PROMISE, 12)
        self.check_promises(self.meta, [self.ids])

    def test_no_promise_reaches_into_another_document(self):
        documents = [self.ids[i:i + 9] for i in range(0, 900, 9)]
        self.check_promises(Metaweights(self.ids[:900], self.tokenizer.vocab, 3, list(range(0, 901, 9))), documents)

    def test_shares_are_what_each_token_is_of_the_text_and_never_0(self):
        self.assertAlmostEqual(math.fsum(self.meta.share), 1.0, delta=1e-9)
        often = Counter(self.ids)
        for id, share in enumerate(self.meta.share):
            self.assertAlmostEqual(share, (often[id] + 0.5) / (len(self.ids) + 0.5 * self.meta.vocab), delta=1e-12)


if __name__ == "__main__":
    unittest.main()
