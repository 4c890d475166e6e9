"""Chapter VI: the order of design section 8, UTF-8, and words that the corpus has."""
import math
import random
import unittest
from collections import Counter
from unittest import mock

from twins import ROOT
import postgpt
from postgpt import PostGPT, Rng, Speller, Spelling, Words

BOOK = (ROOT / "postgpt.txt").read_bytes()
SHAPE = dict(layers=1, embd=16, content=1, rrpram=1, context=12, mlp=1)
TOKENS = [b"%c" % (65 + i) for i in range(26)]
ANY = Speller(None, False)


class Fixed:
    """A source of one uniform number."""

    def __init__(self, u):
        self.u, self.drawn = u, 0

    def uniform(self):
        self.drawn += 1
        return self.u


def direct(logits, recent, temperature, top_k, repetition, u):
    """The token that a uniform number u draws: probabilities divided by (1 + r) for each time a token is in the recent
    ones, to the power of 1 / temperature, the k largest kept, and walked from the most probable down. -> id"""
    p = [math.exp(x) / (1.0 + repetition) ** recent.count(id) for id, x in enumerate(logits)]
    order = sorted(range(len(p)), key=lambda id: (-p[id], id))
    if temperature == 0.0:
        return order[0]
    kept = order[:top_k or len(order)]
    p = [p[id] ** (1.0 / temperature) for id in kept]
    walked = 0.0
    for id, x in zip(kept, p):
        walked += x / math.fsum(p)
        if u < walked:
            break
    return id


class TheDraw(unittest.TestCase):
    def test_it_is_the_formula(self):
        rng = random.Random(1)
        for _ in range(600):
            logits = [rng.gauss(0, 2) for _ in range(26)]
            recent = [rng.randrange(26) for _ in range(rng.randrange(13))]
            how = (rng.choice((0.0, 0.2, 0.75, 1.0, 3.0)), rng.choice((0, 1, 2, 5, 15, 26)),
                   rng.choice((0.0, 0.5, 4.0)))
            u = rng.random()
            found, want = postgpt.sample(logits, TOKENS, recent, *how, ANY, Fixed(u)), direct(logits, recent, *how, u)
            self.assertEqual(found, want, how)

    def test_it_walks_from_the_most_probable_down(self):
        logits = [math.log(p) for p in (0.2, 0.1, 0.4, 0.3)]
        draw = lambda u: postgpt.sample(logits, TOKENS, [], 1.0, 0, 0.0, ANY, Fixed(u))
        self.assertEqual([draw(u) for u in (0.0, 0.39, 0.41, 0.69, 0.71, 0.89, 0.91, 0.9999999)],
                         [2, 2, 3, 3, 0, 0, 1, 1])

    def test_equal_ones_go_by_the_smaller_id(self):
        draw = lambda u, k: postgpt.sample([1.0] * 4, TOKENS, [], 1.0, k, 0.0, ANY, Fixed(u))
        self.assertEqual([draw(u, 0) for u in (0.1, 0.3, 0.6, 0.9)], [0, 1, 2, 3])
        self.assertEqual([draw(u, 2) for u in (0.1, 0.3, 0.6, 0.9)], [0, 0, 1, 1])

    def test_greedy_takes_the_most_probable_and_draws_nothing(self):
        u = Fixed(0.99)
        self.assertEqual(postgpt.sample([0.0, 2.0, 1.0], TOKENS, [], 0.0, 0, 0.0, ANY, u), 1)
        self.assertEqual(u.drawn, 0)

    def test_repetition_divides_a_probability_for_each_time_it_occurred(self):
        for times in range(5):
            logits, p = [math.log(0.6), math.log(0.4)], 0.6 / 1.5 ** times
            first = 0 if p > 0.4 else 1
            chance = max(p, 0.4) / (p + 0.4)
            for u, want in (chance - 1e-9, first), (chance + 1e-9, 1 - first):
                self.assertEqual(postgpt.sample(logits, TOKENS, [0] * times, 1.0, 0, 0.5, ANY, Fixed(u)), want)
        self.assertEqual(postgpt.sample(logits, TOKENS, [0, 0], 0.0, 0, 0.5, ANY, Fixed(0.5)), 1)

    def test_where_spelling_allows_none_the_most_probable_comes(self):
        spelling = Spelling(Words({b"WORD": 1}, postgpt.Tokenizer(b"".join(TOKENS))))
        for letter in b"WO":
            spelling.write(TOKENS.index(bytes([letter])))
        speller = Speller(spelling, False)
        for temperature in (0.0, 1.0):
            self.assertEqual(postgpt.sample([0.0, 3.0, 1.0], TOKENS, [], temperature, 0, 0.0, speller, Fixed(0.5)), 1)
        id = postgpt.sample([0.0] * 26, TOKENS, [], 1.0, 0, 0.0, speller, Fixed(0.5))
        self.assertEqual(TOKENS[id], b"R", "but where it allows one, that")

    def test_frequencies_are_the_probabilities(self):
        logits, rng = [math.log(p) for p in (0.5, 0.3, 0.15, 0.05)], Rng(7)
        drawn = Counter(postgpt.sample(logits, TOKENS, [], 1.0, 0, 0.0, ANY, rng) for _ in range(8000))
        for id, p in enumerate((0.5, 0.3, 0.15, 0.05)):
            self.assertAlmostEqual(drawn[id] / 8000, p, delta=0.02)

    def test_the_caller_keeps_its_logits(self):
        logits = [0.0, 1.0, 2.0]
        postgpt.sample(logits, TOKENS, [2, 2], 0.5, 2, 1.0, ANY, Rng(1))
        self.assertEqual(logits, [0.0, 1.0, 2.0])


class Generation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = PostGPT(BOOK[:9000], merges=150, shape=SHAPE)

    def text(self, prompt=b"The", tokens=40, model=None, **how):
        return b"".join((model or self.model).generate(prompt, tokens, **how))

    def test_a_seed_reproduces_and_seeds_differ(self):
        for mode in postgpt.MODES:
            said = [self.text(mode=mode, seed=seed, temperature=1.5) for seed in (1, 2, 3, 1, 2 ** 64 - 1)]
            self.assertEqual(said[0], said[3])
            self.assertEqual(len(set(said)), 4)

    def test_generating_leaves_no_trace_in_the_model(self):
        first = self.text(seed=5)
        self.text(b"zyzzyva quux", seed=6)
        self.assertEqual(self.text(seed=5), first)

    def test_more_tokens_begin_with_the_same_text(self):
        self.assertTrue(self.text(tokens=60).startswith(self.text(tokens=20)))

    def test_greedy_needs_no_seed(self):
        self.assertEqual(*(self.text(temperature=0.0, seed=seed) for seed in (1, 2)))
        self.assertEqual(self.text(temperature=0.0), self.text(top_k=1, seed=9))

    def test_greedy_says_what_logprobs_calls_the_most_probable(self):
        """In documents, where spelling has no say, and of the transformer alone: where the chain takes part, speaking
        is not predicting."""
        rng, letters = random.Random(2), b"abcdefgh"
        corpus = bytes(letters[i % 8] if rng.random() < 0.7 else rng.choice(letters) for i in range(3000))
        model = PostGPT(corpus, merges=0, alphabet="corpus", shape=SHAPE, lines=True)
        ids = model.tokenizer.encode(b"\nabc")
        said = model.tokenizer.encode(self.text(b"abc", 20, model, mode="transformer", temperature=0.0, verbatim=0))
        for id in said:
            best = max(range(model.tokenizer.vocab), key=lambda id: model.logprobs(ids + [id], "transformer")[-1])
            self.assertEqual(id, best)
            ids.append(id)
        self.assertGreater(len(said), 15)
        self.assertNotIn(model.tokenizer.encode(b"\n")[0], said)

    def test_the_penalty_looks_back_on_the_last_12_tokens_of_prompt_and_text(self):
        ids, seen = self.model.tokenizer.encode(b"The chain and the"), []
        with mock.patch.object(postgpt, "sample", side_effect=lambda logits, tokens, recent,
                               *rest: seen.append(recent) or 100 + len(seen)):
            list(self.model.generate(b"The chain and the", 20))
        for n, recent in enumerate(seen):
            self.assertEqual(sorted(recent), sorted((ids + [101 + i for i in range(n)])[-12:]))

    def test_an_empty_prompt_starts_as_after_a_blank_line(self):
        self.assertEqual(self.text(b""), self.text(b"\n\n"))

    def test_any_prompt_works(self):
        for prompt in (b"\xff\xfe", b"\0", b"x" * 5000, BOOK[:3000], "語🙂".encode(), b" ", b"\r\n"):
            self.assertTrue(self.text(prompt, 3))

    def test_text_comes_token_by_token(self):
        # ASCII: nothing is held back
        self.assertEqual(len(list(self.model.generate(b"The ", 30, exact=True))), 30)
        self.assertTrue(next(self.model.generate(b"The ", 10 ** 6)))


class Utf8(unittest.TestCase):
    CORPORA = ["Машина читает книгу и считает слова: за каким какое идёт. Счёт уже знает язык. " * 4,
               "语言模型数词语，数字会说话。モデルは言葉を数える。🙂🚀 → naïve café 👩‍👩‍👧 𝒙 ∈ 𝓥\n" * 3,
               "".join(chr(c) for c in [*range(0x80, 0x120), *range(0x7F0, 0x810), *range(0xFFF0, 0xFFFE),
                                        *range(0x10FF00, 0x10FF30)])]

    def test_valid_in_valid_out_at_every_end(self):
        for corpus in self.CORPORA:
            for merges in (0, 60):
                model = PostGPT(corpus.encode(), merges=merges, shape=SHAPE, memory=20)
                self.assertTrue(model.utf8)
                for seed in range(12):
                    for mode in ("meta", "transformer"):
                        so_far = b""
                        for data in model.generate(corpus[seed:seed + 4].encode(), 9, mode, seed,
                                                   2.0 if seed % 2 else 0.75, 0 if seed % 3 else 15):
                            so_far += data
                            so_far.decode()               # raises where it is cut within a character
                        self.assertTrue(so_far)

    def test_lines_too(self):
        model = PostGPT("имя\nимена\nжена\n語\n🙂🙂\n".encode() * 3, merges=4, lines=True, shape=SHAPE)
        for seed in range(30):
            b"".join(model.generate("и".encode(), 15, "full", seed, 3.0, 0)).decode()

    def test_a_corpus_that_is_not_utf_8_says_any_bytes(self):
        model = PostGPT(bytes(range(128, 256)) * 6, merges=0, shape=SHAPE)
        self.assertFalse(model.utf8)
        said = b"".join(model.generate(b"\x80", 30, "meta", 1, 3.0, 0, exact=True))
        self.assertEqual(len(said), 30)
        self.assertRaises(UnicodeDecodeError, said.decode)

    def test_the_states_accept_what_python_accepts(self):
        """Every lead byte with every second byte, and some whole characters with a byte changed."""
        rng = random.Random(3)

        def whole(data):
            try:
                data.decode()
                return True
            except UnicodeDecodeError:
                return False
        samples = [bytes([a, b]) + rest for a in range(256) for b in range(256) for rest in (b"", b"\x80", b"\xbf\x80")]
        for _ in range(3000):
            data = bytearray("".join(chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000))))
                                     for _ in range(2)).encode())
            data[rng.randrange(len(data))] = rng.randrange(256)
            samples.append(bytes(data))
        for data in samples:
            self.assertEqual(postgpt.utf8_run(0, data) == 0, whole(data), data)

    def test_a_text_that_may_go_on_is_not_broken(self):
        for char in "é語🙂\U0010ffff\u0800\ud7ff\ue000":
            data = char.encode()
            for n in range(len(data)):
                state = postgpt.utf8_run(0, data[:n])
                self.assertNotEqual(state, postgpt.BROKEN)
                self.assertEqual(state == 0, n == 0)


class WhatIsSpelled(unittest.TestCase):
    def bare(self, data):
        """The pieces of a text that are words, numbers or marks, without their space."""
        return [piece.lstrip(b" ") for piece in postgpt.PIECE.findall(data) if piece.strip()]

    def test_only_words_of_the_corpus_are_written(self):
        model = PostGPT(BOOK[:9000], merges=150, shape=SHAPE)
        lexicon = set(self.bare(BOOK[:9000]))
        for seed in range(6):
            for mode in ("meta", "transformer"):
                said = self.bare(b"The" + b"".join(model.generate(b"The", 60, mode, seed, 2.0, 0)))
                self.assertGreater(len(said), 5)
                self.assertEqual([word for word in said[:-1] if word not in lexicon], [])
                self.assertTrue(any(word.startswith(said[-1]) for word in lexicon), "the last may be under way")

    def test_a_word_of_the_prompt_that_is_cut_short_is_finished(self):
        model = PostGPT(b"transformer transistor transport. " * 20, merges=0, shape=SHAPE)
        for seed in range(10):
            said = self.bare(b"transf" + b"".join(model.generate(b"transf", 8, "meta", seed, 3.0, 0)))
            self.assertEqual(said[0], b"transformer")

    def test_where_no_word_may_go_on_the_text_stays_valid(self):
        """Every word is whole, and the alphabet has nothing that could stand between two."""
        model = PostGPT("语言模型数词语数字会说话".encode(), alphabet="corpus", shape=SHAPE)
        for seed in range(5):
            b"".join(model.generate(b"", 40, "full", seed)).decode()

    def test_an_unknown_word_of_the_prompt_is_left_as_it_is(self):
        model = PostGPT(b"transformer transistor transport. " * 20, merges=0, shape=SHAPE)
        for seed in range(8):
            said = b"".join(model.generate(b"qqq", 8, "meta", seed))
            self.assertTrue(said and postgpt.KIND[said[0]] != postgpt.LETTER, "an unknown word is whole: %r" % said)

    def test_documents_may_hold_new_words(self):
        model = PostGPT(b"anna\nemma\nanne\nema\n" * 5, merges=0, alphabet="corpus", lines=True, shape=SHAPE)
        said = set(b"".join(model.generate(b"", 400, "meta", 1, 2.0, 0)).split())
        self.assertTrue(said - {b"anna", b"emma", b"anne", b"ema"})


if __name__ == "__main__":
    unittest.main()
