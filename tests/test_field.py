"""Chapters V and VIII: every term of the Dario field against its formula, written out over the whole text."""
import math
import random
import unittest

from twins import ROOT
import postgpt
from postgpt import CALM, DEPTH, DRIFT, ECHO, HUSH, PRIOR, ROOM_FOR_PROMISE, ROOM_FOR_TRACE, Field, PostGPT, Window

BOOK = (ROOT / "postgpt.txt").read_bytes()
SHAPE = dict(layers=1, embd=24, content=1, rrpram=1, context=16, mlp=1)


class Slow:
    """The terms after a text, each from its definition; `expected` is how much each of its tokens was expected."""

    def __init__(self, model, ids, expected, memory=10 ** 9):
        self.meta, self.co, self.ids, self.expected = model.meta, model.coefficients, ids, expected
        self.oldest = max(len(ids) - memory, 0)
        self.window = Window(model.net)
        for id in ids:
            self.window.push(id)

    def back(self, reach):
        """The remembered tokens but the newest: (how far back, token), up to a reach."""
        return [(len(self.ids) - i, self.ids[i]) for i in range(self.oldest, len(self.ids) - 1)
                if len(self.ids) - i <= reach]

    def met(self):
        """How many of the newest tokens the chain has met in this order, with something after them."""
        corpus, n = self.meta.text.ids, len(self.ids)
        return max(k for k in range(min(self.meta.chain.order - 1, n) + 1)
                   if not k or any(corpus[i:i + k] == self.ids[n - k:] for i in range(len(corpus) - k)))

    def log_p(self, x):
        return math.log(self.meta.chain.token_prob(self.ids, x))

    def z(self):
        return self.window.logits() if self.ids else [self.log_p(x) for x in range(self.meta.vocab)]

    def h(self, x):
        """PMI of (token, then x), less with each step back, beyond what the chain has met."""
        met = self.met()
        return math.fsum(ECHO ** (back - 2) * dict(self.meta.trace.rows[a]).get(x, 0.0) for back,
                         a in self.back(ROOM_FOR_TRACE) if back > met)

    def f(self, x):
        """What a token promised and what did not come since, by the root of its age."""
        return math.fsum(math.sqrt(back) / ROOM_FOR_PROMISE * dict(self.meta.promise.rows[a]).get(x, 0.0)
                         for back, a in self.back(ROOM_FOR_PROMISE - 1) if x not in self.ids[len(self.ids) - back + 1:])

    def a(self, x):
        """How often x came, each time worth less with every token since, against how often the corpus would have said
        it."""
        n = len(self.ids)
        came = math.fsum(DRIFT ** (n - 1 - i) for i in range(self.oldest, n) if self.ids[i] == x)
        return math.log(1.0 + came / (PRIOR * self.meta.share[x]))

    def level(self):
        """How surprising what came was, lately."""
        n = len(self.expected)
        return math.fsum((1.0 - CALM) * CALM ** (n - 1 - i) * -math.log(p) for i, p in enumerate(self.expected))

    def t(self):
        """{x: how strongly earlier moments like this one recall it}"""
        ids, n, recall, free, level = self.ids, len(self.ids), {}, 1.0, self.level()
        if level < HUSH:
            return {}
        odds = self.co["trauma"] * level
        # what followed the newest so many tokens whenever they stood so before
        for length in range(1, DEPTH + 1):
            newest = ids[n - length:]
            met = [ids[i + length] for i in range(self.oldest, n - length) if ids[i:i + length] == newest]
            if not met:
                break
            every = len(met) + len(set(met))
            recall = {x: recall.get(x, 0.0) * (every - len(met)) / every + met.count(x) / every
                      for x in {*recall, *met}}
            free *= (every - len(met)) / every
        return {x: math.log(1.0 + odds * share / free / math.exp(self.log_p(x))) for x, share in recall.items()}


class FieldCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = PostGPT(BOOK[:9000], merges=120, shape=SHAPE)
        cls.model.net
        cls.vocab = cls.model.tokenizer.vocab
        cls.held = cls.model.tokenizer.encode(BOOK[9000:11000])
        rng = random.Random(1)
        phrase = cls.held[:9]
        cls.texts = [cls.held[:1], cls.held[:2], cls.held[:60], cls.held[300:420],
                     phrase * 4 + cls.held[30:40] + phrase[:6], [5] * 30,
                     [rng.randrange(cls.vocab) for _ in range(50)]]

    def field(self, ids, memory=10 ** 5, expected=None):
        """A field that has heard ids."""
        field = Field(self.model.meta, self.model.coefficients, memory, Window(self.model.net))
        for i, id in enumerate(ids):
            field.push(id, field.expected(id) if expected is None else expected[i])
        field.terms()
        return field

    def slow(self, ids, memory=10 ** 9):
        chain = self.model.meta.chain
        return Slow(self.model, ids, [chain.token_prob(ids[:i], id) for i, id in enumerate(ids)], memory)

    def assertClose(self, a, b, delta=1e-9):
        self.assertEqual(len(a), len(b))
        for x, y in zip(a, b):
            self.assertAlmostEqual(x, y, delta=delta)


class EveryTermIsItsFormula(FieldCase):
    def each(self, name, speaks):
        """Compares a term over the vocabulary after every text, and counts how often it says something."""
        said = 0
        for ids in self.texts:
            field, slow = self.field(ids), self.slow(ids)
            found = getattr(field, name)
            self.assertClose(found, [getattr(slow, name)(x) for x in range(self.vocab)])
            said += any(found)
        self.assertGreaterEqual(said, speaks)

    def test_chain(self):
        self.each("log_p", 7)

    def test_hebbian_resonance(self):
        self.each("h", 4)

    def test_prophecy(self):
        self.each("f", 4)

    def test_prophecy_promises_too_that_a_word_begun_is_finished(self):
        for ids in self.texts:
            field = self.model.field(postgpt.META)
            for id in ids:
                field.push(id, field.expected(id))
            field.terms()
            spelling = postgpt.Spelling(postgpt.Words(self.model.words, self.model.tokenizer, lives=self.model.lives))
            for id in ids:
                spelling.write(id)
            self.assertClose(field.f, [a + b for a, b in zip(self.field(ids).f, spelling.spelled())])

    def test_destiny(self):
        self.each("a", 5)

    def test_transformer(self):
        for ids in [[], *self.texts]:
            self.assertClose(self.field(ids).z, self.slow(ids).z())

    def test_trauma_level(self):
        for ids in self.texts:
            self.assertAlmostEqual(self.field(ids).level, self.slow(ids).level(), delta=1e-12)

    def test_trauma_recalls_what_followed_moments_like_this_one(self):
        said = 0
        for ids in self.texts:
            field, want = self.field(ids), self.slow(ids).t()
            self.assertClose(field.t, [want.get(x, 0.0) for x in range(self.vocab)])
            said += any(value > 0.1 for value in field.t)
        self.assertGreaterEqual(said, 2)

    def test_the_chain_doubts_as_much_as_its_bigram_has_a_say(self):
        """Where the bigram's distribution is exchanged for another one, P changes by the square of the doubt."""
        for order in (2, 3, 4, 6):
            chain = postgpt.Chain(self.model.meta.text, self.vocab, order)
            for ids in self.texts:
                for n in range(2, len(ids), 7):
                    bigram, p = chain.probs(ids[n - 1:n]), chain.probs(ids[:n])
                    fixed = [q - chain.doubt(ids[:n]) ** 2 * r for q, r in zip(p, bigram)]
                    self.assertTrue(-1e-12 < min(fixed), "more than P has")
                    self.assertTrue(any(abs(x) < 1e-12 for x in fixed), "what they never met has no more")
        self.assertEqual(chain.doubt([]), math.sqrt(chain.backoff[0]))
        self.assertEqual(chain.doubt(ids[:1]), math.sqrt(chain.backoff[chain.child[ids[0]]]))

    def test_modes_add_their_terms_with_their_coefficients(self):
        co, chain = self.model.coefficients, self.model.meta.chain
        # a context of two tokens that was met
        known = lambda n: chain.child.get(chain.child.get(self.held[n - 1], -1) * self.vocab + self.held[n - 2])
        n = next(n for n in range(70, len(self.held)) if known(n) and chain.backoff[known(n)] < 1.0)
        ids, doubt = self.held[:n], math.sqrt(chain.backoff[known(n)])
        self.assertEqual(self.field(ids).doubt, doubt)
        field = self.field(ids)
        self.assertTrue(0.0 < doubt < 1.0)
        parts = {"Z": (co["kappa"] * doubt, field.z), "H": (co["alpha"], field.h), "F": (co["beta"], field.f),
                 "A": (co["gamma"], field.a), "T": (1.0, field.t)}
        full = [(1.0 - doubt * (1.0 - co["lambda"])) * b + math.fsum(w * term[x] for w, term in parts.values()) for x,
                b in enumerate(field.log_p)]
        self.assertClose(field.logits(postgpt.MODES["full"]), full)
        self.assertClose(field.logits(postgpt.MODES["meta"]),
                         [b + co["alpha"] * h + co["beta"] * f for b, h, f in zip(field.log_p, field.h, field.f)])
        self.assertEqual(field.logits(postgpt.MODES["transformer"]), field.z)
        self.assertEqual(field.logits("B"), field.log_p)
        for label, use in postgpt.ROWS:
            if label.startswith("full -") and label != "full -heads":
                name = {"t": "Z"}.get(label[6], label[6])
                w, term = parts[name]
                alone = doubt * (postgpt.UNAIDED - co["lambda"]) if name == "Z" else 0.0
                self.assertClose(field.logits(use), [x - w * y + alone * b for x, y, b in zip(full, term, field.log_p)])


class WhatTheFieldRemembers(FieldCase):
    def test_every_term_but_trauma_forgets_what_is_older_than_its_memory(self):
        for memory in (1, 2, 5, 11, 40):
            ids = self.held[:130]
            field, slow = self.field(ids, memory), self.slow(ids, memory)
            for name in ("h", "f", "a"):
                self.assertClose(getattr(field, name), [getattr(slow, name)(x) for x in range(self.vocab)])

    def test_a_field_after_a_long_text_is_one_that_heard_its_end(self):
        """Matches may reach back beyond the memory, and trauma's level fades without end: the text before it is heard
        some way."""
        for memory in (30, 100):
            for end in (300, 451):
                long, short = self.field(self.held[:end], memory), self.field(self.held[end - memory - 150:end], memory)
                self.assertEqual((long.log_p, long.h, long.f), (short.log_p, short.h, short.f))
                self.assertClose(long.a, short.a)
                self.assertAlmostEqual(long.level, short.level, delta=1e-6)
                self.assertClose(long.t, short.t, 1e-5)

    def test_trauma_recalls_no_moment_before_the_memory(self):
        once, rest = [1, 2], [10 + i for i in range(30)]
        for memory in (31, 32, 33, 34):
            ids = once + rest + [1]                       # the moment after the first 1 is 32 tokens before the newest
            field = self.field(ids, memory)
            self.assertEqual(list(field.recall()[0]), [2] if memory >= 33 else [], memory)

    def test_a_new_document_is_heard_with_no_memory_of_the_last(self):
        field = self.field(self.held[:80])
        field.reset()
        for id in self.held[90:120]:
            field.push(id, field.expected(id))
        field.terms()
        new = self.field(self.held[90:120])
        for name in ("ids", "log_p", "z", "h", "f", "a", "t", "level"):
            self.assertEqual(getattr(field, name), getattr(new, name), name)


class ProphecyAndTrauma(FieldCase):
    def test_a_promise_that_is_kept_is_dropped_and_one_that_is_not_gains_with_age(self):
        promise = self.model.meta.promise
        a, (x, _) = next((a, row[0]) for a, row in enumerate(promise.rows) if row)
        silent = next(b for b, row in enumerate(promise.rows) if not row and b != x)
        strength = [self.field([a] + [silent] * n).f[x] for n in range(1, ROOM_FOR_PROMISE - 1)]
        self.assertGreater(strength[0], 0.0)
        self.assertEqual(strength, sorted(set(strength)))
        self.assertEqual(self.field([a] + [silent] * ROOM_FOR_PROMISE).f[x], 0.0, "after its time it was none")
        for n in range(1, 9):
            again = dict(promise.rows[x]).get(x, 0.0) * math.sqrt(2) / ROOM_FOR_PROMISE
            self.assertAlmostEqual(self.field([a] + [silent] * n + [x, silent]).f[x], again, delta=1e-12)

    def test_trauma_rises_while_what_was_expected_does_not_come_and_falls_where_it_does(self):
        ids, rng = self.model.tokenizer.encode(BOOK[2000:2600]), random.Random(2)
        known = self.field(ids).level
        noise = self.field([rng.randrange(self.vocab) for _ in ids]).level
        self.assertLess(known, noise - 1.0)
        field = self.field(self.held[:5], expected=[1e-9] * 5)
        self.assertAlmostEqual(field.level, 9.0 * math.log(10.0), delta=0.1)
        levels = [field.level]
        for id in self.held[5:40]:
            field.push(id, 1.0)                           # spoken with certainty
            levels.append(field.level)
        self.assertEqual(levels, sorted(levels, reverse=True))
        self.assertLess(levels[-1], 1e-9)

    def test_trauma_is_silent_where_all_came_as_expected(self):
        phrase = self.held[:12] * 2
        calm, shaken = (self.field(phrase, expected=[p] * len(phrase)) for p in (1.0, 1e-9))
        self.assertTrue(calm.recall()[0] and not any(calm.t))
        self.assertGreater(max(shaken.t), 0.5)
        self.assertEqual(shaken.t.index(max(shaken.t)), phrase[12])


class Distributions(FieldCase):
    def test_they_sum_to_1_in_every_mode(self):
        for n in (0, 1, 2, 17, 90):
            for mode in postgpt.MODES:
                ids = self.held[:n]
                total = math.fsum(math.exp(self.model.logprobs(ids + [x], mode)[-1])
                                  for x in range(self.vocab)) if n < 2 else \
                    math.fsum(postgpt.softmax(self.field(ids).logits(postgpt.MODES[mode])))
                self.assertAlmostEqual(total, 1.0, delta=1e-9)

    def test_cross_entropy_is_minus_the_logarithm_of_softmax(self):
        logits = self.field(self.held[:40]).logits(postgpt.FULL)
        for id, p in enumerate(postgpt.softmax(logits)):
            self.assertAlmostEqual(postgpt.cross_entropy(logits, id), -math.log(p), delta=1e-9)

    def test_the_sum_of_logprobs_is_the_printed_figure(self):
        data = BOOK[9000:9300]
        ids = self.model.tokenizer.encode(data)
        figures = {label: (bits, nats) for label, bits, nats in self.model.evaluate(data)}
        for mode in postgpt.MODES:
            total = -math.fsum(self.model.logprobs(ids, mode))
            self.assertAlmostEqual(figures[mode][0], total / math.log(2) / len(data), delta=1e-9)
            self.assertAlmostEqual(figures[mode][1], total / len(ids), delta=1e-9)
        self.assertAlmostEqual(figures["uniform"][1], math.log(self.vocab), delta=1e-12)
        self.assertEqual(list(figures), ["uniform", "unigram", "bigram", "chain", "transformer", "transformer -heads",
                                         "meta", "full",
                                         "full -H", "full -F", "full -A", "full -T", "full -heads",
                                         "full -transformer"])


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        names = (b"anna\nemma\nolivia\nava\nisabella\nsophia\nmia\namelia\nharper\nevelyn\nluna\ncamila\ngianna\n"
                 b"elena\naria\n")
        cls.model = PostGPT(names * 2, merges=0, alphabet="corpus", lines=True, shape=SHAPE)

    def test_distributions_sum_to_1_at_document_starts_and_later(self):
        encode = self.model.tokenizer.encode
        for mode in postgpt.MODES:
            for start in (b"\n", b"\na", b"\nisab"):
                total = math.fsum(math.exp(self.model.logprobs(encode(start) + [x], mode)[-1])
                                  for x in range(self.model.tokenizer.vocab))
                self.assertAlmostEqual(total, 1.0, delta=1e-9)

    def test_a_documents_first_token_is_not_predicted(self):
        self.assertEqual(len(self.model.logprobs(self.model.tokenizer.encode(b"\nmia\n"))), 4)

    def test_figures_are_those_of_the_documents_apart(self):
        lines = [b"maria", b"ella", b"", b"sophie"]
        for mode in postgpt.MODES:
            found = [p for line in lines for p in self.model.logprobs(self.model.tokenizer.encode(b"\n" + line + b"\n"),
                                                                      mode)]
            data = b"\n".join(lines) + b"\n"
            figures = {label: nats for label, _, nats in self.model.evaluate(data)}
            self.assertAlmostEqual(figures[mode], -math.fsum(found) / len(found), delta=1e-9)


if __name__ == "__main__":
    unittest.main()
