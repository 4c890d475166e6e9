"""Chapter IV: what the ghost's weights are meant to be."""
import copy
import math
import operator
import random
import re
import unittest
from unittest import mock

from twins import ROOT, binary, run
import postgpt
from postgpt import PostGPT, Table, Text, Window

BOOK = (ROOT / "postgpt.txt").read_bytes()


def solve(a, b):
    """x with a x = b, by elimination with pivots."""
    rows = [row[:] + [y] for row, y in zip(a, b)]
    for i in range(len(rows)):
        pivot = max(range(i, len(rows)), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(i + 1, len(rows)):
            times = rows[k][i] / rows[i][i]
            rows[k] = [x - times * y for x, y in zip(rows[k], rows[i])]
    x = [0.0] * len(rows)
    for i in reversed(range(len(rows))):
        x[i] = (rows[i][-1] - math.fsum(rows[i][j] * x[j] for j in range(i + 1, len(rows)))) / rows[i][i]
    return x


def dot(x, y):
    return math.fsum(a * b for a, b in zip(x, y))


class Regression(unittest.TestCase):
    def problem(self, rng, vocab, r):
        """Embeddings, even for the weight that every pair has besides; weights and targets of the pairs that were
        counted; that weight."""
        h = [[rng.gauss(0, 1) for _ in range(r)] for _ in range(vocab)]
        cells = [[(b, rng.uniform(0.2, 3), rng.uniform(-1, 2)) for b in range(vocab) if rng.random() < 0.4]
                 for _ in range(vocab)]
        cells[0] = []
        weight, target = (Table([[(cell[0], cell[k]) for cell in row] for row in cells]) for k in (1, 2))
        left, right = [rng.uniform(0.1, 2) for _ in range(vocab)], [rng.random() for _ in range(vocab)]
        return postgpt.even(h, right), weight, target, left, right

    def test_columns_are_made_even_without_leaving_what_they_span(self):
        rng = random.Random(3)
        x, n = [[rng.gauss(0, 1) for _ in range(3)] for _ in range(9)], [rng.random() for _ in range(8)] + [0.0]
        found = postgpt.even(x, n)
        for i in range(3):
            for j in range(3):
                square = math.fsum(w * row[i] * row[j] for w, row in zip(n, found))
                self.assertAlmostEqual(square, math.fsum(n) * (i == j), delta=1e-12)
        turn = [solve([row[:] for row in x[:3]], [row[k] for row in found[:3]]) for k in range(3)]
        for row, other in zip(x[:8], found):
            for k in range(3):
                self.assertAlmostEqual(dot(row, turn[k]), other[k], delta=1e-9)
        self.assertEqual(found[8], [0.0] * 3, "what weighs nothing is nowhere")

    def normal_equations(self, h, weight, target, left, right, a):
        """sum over b of w (h - mean)(h - mean)^T x = sum over b of w (h - mean) aim, written out over every b."""
        vocab, r = len(h), len(h[0])
        met = {b: (w, aim) for (b, w), (_, aim) in zip(weight.rows[a], target.rows[a])}
        w = [left[a] * right[b] + met.get(b, (0.0, 0.0))[0] for b in range(vocab)]
        aim = [met.get(b, (0.0, 0.0))[1] for b in range(vocab)]
        mean = [dot(w, [row[k] for row in h]) / math.fsum(w) for k in range(r)]
        off = [[x - m for x, m in zip(row, mean)] for row in h]
        system = [[math.fsum(w[b] * off[b][i] * off[b][j] for b in range(vocab)) + postgpt.RIDGE * (i == j)
                   for j in range(r)] for i in range(r)]
        return solve(system, [math.fsum(w[b] * off[b][i] * aim[b] for b in range(vocab)) for i in range(r)])

    def test_it_solves_the_normal_equations_of_every_row(self):
        rng = random.Random(1)
        for vocab, r in ((6, 1), (9, 3), (20, 5)):
            h, weight, target, left, right = self.problem(rng, vocab, r)
            with mock.patch.object(postgpt, "NEAR", 0.0):
                found = postgpt.regress(h, weight, target, left, right, 4 * r)
            self.assertEqual(found[0], [0.0] * r, "what was never counted stays where it is")
            for a in range(1, vocab):
                if weight.rows[a]:
                    for x, y in zip(found[a], self.normal_equations(h, weight, target, left, right, a)):
                        self.assertAlmostEqual(x, y, delta=1e-8)

    def test_no_other_row_comes_closer(self):
        rng = random.Random(2)
        h, weight, target, left, right = self.problem(rng, 12, 3)
        with mock.patch.object(postgpt, "NEAR", 0.0):
            found = postgpt.regress(h, weight, target, left, right, 12)

        def miss(x, a):
            """The weighted squared error with the best constant, and the ridge."""
            met = {b: (w, aim) for (b, w), (_, aim) in zip(weight.rows[a], target.rows[a])}
            w = [left[a] * right[b] + met.get(b, (0.0, 0.0))[0] for b in range(12)]
            error = [dot(x, h[b]) - met.get(b, (0.0, 0.0))[1] for b in range(12)]
            constant = dot(w, error) / math.fsum(w)
            return math.fsum(v * (e - constant) ** 2 for v, e in zip(w, error)) + postgpt.RIDGE * dot(x, x)
        for a in range(1, 12):
            for k in range(3):
                for step in (-0.01, 0.01):
                    other = [x + step * (i == k) for i, x in enumerate(found[a])]
                    self.assertGreater(miss(other, a), miss(found[a], a))


class TheNewtonStep(unittest.TestCase):
    """What a head adds to the bigram: x_d P h in its logits, P by one step of Newton's method from 0."""

    def follow(self, lines, rng, vocab=5, r=2):
        """A text of chance, its pairs, its bigram and a Follow of random x and h."""
        documents = [[0] + [rng.randrange(1, vocab) for _ in range(rng.randrange(2, 7))] + [0] for _ in range(40)]
        ids, starts = [id for ids in documents for id in ids], [0]
        for document in documents:
            starts.append(starts[-1] + len(document))
        text = Text(ids, starts if lines else None)
        apart = [None] + [postgpt.count_pairs(text, vocab, [0] * d + [1], d, 1.0) for d in (1, 2, 3)]
        bigram = postgpt.Chain(text, vocab, 2)
        x, h = ([[rng.gauss(0, 1) for _ in range(r)] for _ in range(vocab)] for _ in range(2))
        return text, apart, bigram, postgpt.Follow(text, apart[1], bigram, x, h), h

    def surprise(self, text, bigram, follow, h, distance, p):
        """What the text costs when x_d P h is added to the bigram's logarithms, wherever a token stands at that
        distance."""
        nats = []
        for ids in text.documents():
            for i in range(1, len(ids)):
                logits = [math.log(bigram.token_prob(ids[:i], b)) for b in range(bigram.vocab)]
                if i >= distance:
                    said = [math.fsum(a * b for a, b in zip(follow.x[ids[i - distance]], column)) for column in zip(*p)]
                    logits = [a + dot(said, row) for a, row in zip(logits, h)]
                nats.append(math.log(math.fsum(map(math.exp, logits))) - logits[ids[i]])
        return math.fsum(nats)

    def test_what_was_told_is_the_gradient_of_the_surprise(self):
        for lines in (False, True):
            text, apart, bigram, follow, h = self.follow(lines, random.Random(4))
            for distance in (2, 3):
                told = [[a - b for a, b in zip(*rows)]
                        for rows in zip(apart[distance].times(h), apart[distance - 1].times(follow.expected[1]))]
                gradient = postgpt.outer(follow.x, told)
                if not lines:                             # the last token has nobody after it to be asked for
                    missed = follow.x[text.ids[len(text.ids) - distance]]
                    gradient = [[g + a * b for g, b in zip(row, follow.expected[1][text.ids[-1]])] for row,
                                a in zip(gradient, missed)]
                for i in range(2):
                    for k in range(2):
                        cost = []
                        for step in (-1e-5, 1e-5):
                            p = [[step * ((a, b) == (i, k)) for b in range(2)] for a in range(2)]
                            cost.append(self.surprise(text, bigram, follow, h, distance, p))
                        self.assertAlmostEqual((cost[0] - cost[1]) / 2e-5, gradient[i][k],
                                               delta=1e-5 * max(1.0, abs(gradient[i][k])))

    def test_a_step_is_both_covariances_solved(self):
        text, apart, bigram, follow, h = self.follow(False, random.Random(5))
        rng = random.Random(6)
        told = [[rng.gauss(0, 1) for _ in range(2)] for _ in range(5)]
        with mock.patch.object(postgpt, "NEAR", 0.0):
            u, s, v = follow.step(follow.xx, postgpt.outer(follow.x, told), 3.0, 2)
        found = [[math.fsum(a * t * b for a, t, b in zip(row, s, other)) for other in v] for row in u]

        def covariance(rows, weight):
            c = [[math.fsum(w * row[i] * row[j] for row, w in zip(rows, weight)) for j in range(2)] for i in range(2)]
            return c

        def shrunk(c):
            sphere = postgpt.SHRINK * (c[0][0] + c[1][1]) / 2
            return [[c[i][j] + sphere * (i == j) for j in range(2)] for i in range(2)]
        first, second = ([n / apart[1].sum for n in side] for side in (apart[1].row_sum, apart[1].column_sum))
        left = [[a - b for a, b in zip(*rows)] for rows in zip(covariance(h, second),
                                                               covariance(follow.expected[1], first))]
        gradient = [[math.fsum(row[i] * out[j] for row, out in zip(follow.x, told)) / 3.0 for j in range(2)]
                    for i in range(2)]
        half = list(zip(*[solve(shrunk(covariance(follow.x, first)), list(column)) for column in zip(*gradient)]))
        want = [solve(shrunk(left), list(row)) for row in half]
        for row, other in zip(found, want):
            for a, b in zip(row, other):
                self.assertAlmostEqual(a, b, delta=1e-9)


class TheGhost(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.held = BOOK[-1500:]
        cls.model = PostGPT(BOOK[:-1500])
        cls.net = cls.model.net
        cls.nats = cls.loss(cls.model)

    @classmethod
    def loss(cls, model):
        """Held-out nats a token of the transformer alone."""
        window, ids = Window(model.net), model.tokenizer.encode(cls.held)
        window.push(ids[0])
        nats = 0.0
        for id in ids[1:]:
            nats += postgpt.cross_entropy(window.logits(), id)
            window.push(id)
        return nats / (len(ids) - 1)

    def test_all_embeddings_have_one_length(self):
        lengths = [math.sqrt(dot(row, row)) for row in self.net.wte]
        self.assertLess(max(lengths) / min(lengths) - 1.0, 1e-9)
        places = [dot(row, row) for row in self.net.wpe]
        self.assertLess(max(places) / min(places) - 1.0, 1e-9)

    def test_place_and_token_have_rooms_of_their_own(self):
        for k in range(self.net.shape.embd):
            self.assertFalse(any(row[k] for row in self.net.wte) and any(row[k] for row in self.net.wpe),
                             "coordinate %d" % k)

    def test_a_wide_ghost_fits_no_accidents(self):
        """Beyond WIDEST coordinates the seeds would follow what the corpus only happens to say, and cost the cube of
        the width: the rest is free."""
        self.assertEqual(postgpt.rooms_of(512, 1280, 128), (postgpt.WIDEST, 12, 4, 76, 510, 511))
        bits = []
        for embd in (48, 256):
            code, out, _ = run([binary()], ["-c", "/dev/stdin", "--holdout", "0.03", "--shape", "embd=%d" % embd],
                               stdin=BOOK[:20000])
            self.assertEqual(code, 0)
            bits.append(float(re.search(rb"\ntransformer +([0-9.]+)", out).group(1)))
        self.assertLess(bits[1], bits[0] + 0.05)

    def weights_of_places(self, layer, head, ids):
        """The softmax weights of an RRPRAM head, [i][j], on the residual stream that the layers below it leave."""
        below = copy.copy(self.net)
        below.shape, below.layers = copy.copy(self.net.shape), self.net.layers[:layer]
        below.shape.layers = layer
        window, r, rows = Window(below), self.net.layers[layer].r[head], []
        for i, id in enumerate(ids):
            window.push(id)
            n = postgpt.rmsnorm(window.x)
            rows.append(postgpt.softmax([math.fsum(n[e] * r[e][j] for e in range(len(n))) for j in range(i + 1)]))
        return rows

    def test_the_previous_token_head_attends_to_the_token_before_the_last(self):
        """Every seeded RRPRAM head looks back to one distance of its own: the first to the token before the newest."""
        context = self.net.shape.context
        ids = self.model.tokenizer.encode(self.held)[:context]
        distances = []
        for layer in range(self.net.shape.layers):
            for head in range(min(self.net.shape.rrpram, postgpt.REACH - 1 - len(distances))):
                rows = self.weights_of_places(layer, head, ids)
                on = lambda back: math.fsum(rows[i][i - back] for i in range(back, context)) / (context - back)
                back = max(range(10), key=on)
                self.assertGreater(min(rows[i][i - back] for i in range(back, context)), 0.97)
                distances.append(back)
        self.assertEqual(distances, list(range(1, postgpt.REACH)))

    def test_places_are_told_apart_in_windows_of_any_length(self):
        """The next best place loses SHARPNESS nats, or nearly: so two stand beside the best, and two a wave away."""
        for context in (2, 16, 64, 100, 1024, 4096):
            waves = [postgpt.waves_at(i, context) for i in range(context)]
            products = [math.fsum(map(operator.mul, waves[0], other)) for other in waves]
            losses = [2.0 - product for product in products[1:]]
            self.assertAlmostEqual(losses[0], min(losses), delta=0.07 * losses[0])
            self.assertAlmostEqual(losses[0], 1.0 - postgpt.waves_at(1, context)[1], delta=0.07 * losses[0])

    def test_the_first_head_writes_into_a_room_of_its_own_who_stood_before(self):
        """After the first layer the coordinates between `follow` and `place` tell the token before, whichever the
        newest is."""
        follow, before, *_ = postgpt.rooms_of(48, self.model.tokenizer.vocab, 12)
        self.assertFalse(any(any(row[follow:follow + before]) for row in self.net.wte))
        below = copy.copy(self.net)
        below.shape, below.layers = copy.copy(self.net.shape), self.net.layers[:1]
        below.shape.layers = 1
        ids, window, room = self.model.tokenizer.encode(self.held)[:120], Window(below), {}
        for i, id in enumerate(ids):
            window.push(id)
            if i:
                room.setdefault(ids[i - 1], []).append(window.x[follow:follow + before])
        apart = lambda x, y: math.fsum((a - b) ** 2 for a, b in zip(x, y))
        alike = [apart(x, y) for rows in room.values() for x in rows for y in rows if x is not y]
        other = [apart(rows[0], more[0]) for a, rows in room.items() for b, more in room.items() if a != b]
        self.assertGreater(len(alike), 20)
        self.assertLess(10 * sum(alike) / len(alike), sum(other) / len(other))

    def test_content_heads_of_the_second_layer_are_induction_heads(self):
        """A text of chance, said twice: the second time they look more at the token that stood after the newest one the
        first time."""
        rng = random.Random(8)
        often = sorted(range(self.model.tokenizer.vocab), key=lambda id: -self.model.meta.share[id])[:200]
        ids = rng.sample(often, 24) * 2
        window, layer, d = Window(self.net), self.net.layers[1], self.net.shape.head_dim
        stream = []
        below = copy.copy(self.net)
        below.shape, below.layers = copy.copy(self.net.shape), self.net.layers[:1]
        below.shape.layers = 1
        window = Window(below)
        for id in ids:
            window.push(id)
            stream.append(postgpt.rmsnorm(window.x))
        read = lambda n, matrix: [math.fsum(a * row[k] for a, row in zip(n, matrix)) for k in range(d)]
        keys, more = [read(n, layer.k) for n in stream], 0.0
        for i in range(24, 47):
            query = read(stream[i], layer.q)
            weights = postgpt.softmax([dot(query, key) / math.sqrt(d) for key in keys[:i + 1]])
            more += weights[i - 23] * (i + 1) / 23
        self.assertGreater(more, 2.0)

    def test_the_mlp_is_the_identity(self):
        for layer in self.net.layers:
            self.assertFalse(any(any(row) for row in layer.down))
            self.assertTrue(all(any(row) for row in layer.up), "what goes up is ready to be trained")

    def test_held_out_loss_is_far_below_uniform_and_below_the_unigram(self):
        vocab, ids = self.model.tokenizer.vocab, self.model.tokenizer.encode(self.held)
        unigram = -math.fsum(math.log(self.model.meta.chain.unigram[id]) for id in ids) / len(ids)
        self.assertLess(self.nats, math.log(vocab) - 1.5)
        self.assertLess(self.nats, unigram - 0.3)

    def test_random_weights_know_nothing(self):
        model = PostGPT(BOOK[:8000], merges=200, init="random", shape=dict(layers=1, embd=16))
        self.assertGreater(self.loss(model), math.log(model.tokenizer.vocab) - 0.2)

    def without(self, content, rrpram):
        """The held-out loss where what a kind of head brings is silenced."""
        quiet = copy.copy(self.model)
        quiet.network = copy.copy(self.net)
        quiet.network.layers = [copy.copy(layer) for layer in self.net.layers]
        at = self.net.shape.content_dim
        for layer in quiet.network.layers:
            layer.out = [[0.0] * len(row) if (content if i < at else rrpram) else row for i,
                         row in enumerate(layer.out)]
        return self.loss(quiet)

    def test_each_kind_of_head_says_something_that_helps(self):
        both, content, rrpram = self.without(True, True), self.without(True, False), self.without(False, True)
        self.assertGreater(both, 1.004 * self.nats)
        self.assertGreater(content, 1.001 * self.nats)
        self.assertGreater(rrpram, 1.001 * self.nats)

    def test_a_transformer_without_heads_is_what_evaluation_asks(self):
        window, ids = Window(postgpt.without_heads(self.net)), self.model.tokenizer.encode(self.held)
        window.push(ids[0])
        nats = 0.0
        for id in ids[1:]:
            nats += postgpt.cross_entropy(window.logits(), id)
            window.push(id)
        self.assertAlmostEqual(nats / (len(ids) - 1), self.without(True, True), delta=1e-12)


class SmallGhosts(unittest.TestCase):
    def test_same_corpus_same_weights(self):
        first, second = (PostGPT(BOOK[:6000], merges=100, seed=seed).net.matrices() for seed in (1, 2))
        self.assertEqual(first, second)

    def test_another_corpus_other_weights(self):
        first, second = (PostGPT(BOOK[at:at + 6000], merges=100).net.wte for at in (0, 6000))
        self.assertNotEqual(first, second)

    def test_random_weights_follow_the_seed(self):
        first, same, other = (PostGPT(BOOK[:3000], merges=20, init="random", seed=seed).net.wte for seed in (1, 1, 2))
        self.assertEqual(first, same)
        self.assertNotEqual(first, other)

    def test_a_language_of_bigrams_is_learned_to_its_bottom(self):
        """Each of eight letters is followed by one of two, evenly: a token costs log 2, and the ghost comes near to
        it."""
        rng, text = random.Random(3), [0]
        for _ in range(6000):
            text.append((2 * text[-1] + rng.randrange(2)) % 8)
        model = PostGPT(bytes(97 + x for x in text[:5000]), merges=0, alphabet="corpus")
        found = model.logprobs(text[5000:], "transformer")
        self.assertLess(-math.fsum(found[1:]) / (len(found) - 1), math.log(2) + 0.05)

    def test_every_shape_has_finite_weights(self):
        for shape in (dict(embd=2, content=1, rrpram=1), dict(embd=6, content=2, rrpram=0, layers=1),
                      dict(embd=16, content=0, rrpram=4),
                      dict(embd=40, content=1, rrpram=1, context=2), dict(layers=1, embd=160, mlp=1),
                      dict(layers=5, embd=24, content=2, rrpram=2, context=100)):
            for corpus in (BOOK[:1000], b"ab", b"aaaaaaaa", bytes(range(256))):
                net = PostGPT(corpus, merges=30, shape=shape).net
                self.assertTrue(all(math.isfinite(a) for matrix in net.matrices() for row in matrix for a in row),
                                (shape, corpus[:9]))


if __name__ == "__main__":
    unittest.main()
