"""Chapter III: the cached, sliding transformer against the formulas of the design, computed whole for every token."""
import math
import random
import unittest
from unittest import mock

from twins import ROOT
import postgpt
from postgpt import Shape, Transformer, Window

SHAPES = [dict(layers=2, embd=12, content=2, rrpram=2, context=10, mlp=2),
          dict(layers=1, embd=9, content=3, rrpram=0, context=7, mlp=1),
          dict(layers=1, embd=6, content=0, rrpram=1, context=6, mlp=3),
          dict(layers=3, embd=8, content=1, rrpram=3, context=12, mlp=1)]
VOCAB = 11


def times(x, w):
    """The row vector x times the matrix w."""
    return [math.fsum(x[i] * w[i][j] for i in range(len(w))) for j in range(len(w[0]))]


def columns(w, first, many):
    """Columns first .. first + many - 1 of a matrix."""
    return [row[first:first + many] for row in w]


def norm(x):
    return [a / math.sqrt(math.fsum(b * b for b in x) / len(x) + 1e-5) for a in x]


def attention(scores, values):
    """softmax(scores) times the values."""
    odds = [math.exp(s) for s in scores]
    return [math.fsum(p * v[k] for p, v in zip(odds, values)) / math.fsum(odds) for k in range(len(values[0]))]


def content_head(layer, h, d, normed, i):
    """softmax over j <= i of (n_i Wq) . (n_j Wk) / sqrt(d), times n_j Wv."""
    q, k, v = (columns(w, h * d, d) for w in (layer.q, layer.k, layer.v))
    query = times(normed[i], q)
    scores = [math.fsum(a * b for a, b in zip(query, times(normed[j], k))) / math.sqrt(d) for j in range(i + 1)]
    return attention(scores, [times(normed[j], v) for j in range(i + 1)])


def rrpram_head(layer, h, d, normed, i):
    """softmax over j <= i of n_i . Wr[:, j], times n_j Wv."""
    scores = [math.fsum(normed[i][e] * layer.r[h][e][j] for e in range(len(normed[i]))) for j in range(i + 1)]
    return attention(scores, [times(normed[j], columns(layer.rv, h * d, d)) for j in range(i + 1)])


def forward(net, ids):
    """The logits after each of ids, which fit the context: every layer over all places at once, nothing kept."""
    shape, d = net.shape, net.shape.head_dim
    x = [[a + b for a, b in zip(net.wte[id], net.wpe[i])] for i, id in enumerate(ids)]
    for layer in net.layers:
        normed, mixed = [norm(row) for row in x], []
        for i in range(len(x)):
            heads = [content_head(layer, h, d, normed, i)
                     for h in range(shape.content)] + [rrpram_head(layer, h, d, normed, i) for h in range(shape.rrpram)]
            mixed.append([a for head in heads for a in head])
        x = [[a + b for a, b in zip(row, times(out, layer.out))] for row, out in zip(x, mixed)]
        x = [[a + b for a, b in zip(row, times([max(u, 0.0) for u in times(norm(row), layer.up)], layer.down))]
             for row in x]
    return [times(norm(row), net.head) for row in x]


def random_net(shape, seed=1, loud=6.0):
    """PostGPT's random weights, made louder so that attention has something to choose."""
    net = Transformer(Shape(**shape), VOCAB)
    postgpt.randomize(net, seed)
    for matrix in net.matrices():
        for row in matrix:
            row[:] = [loud * a for a in row]
    return net


class Close(unittest.TestCase):
    def assertRow(self, a, b, delta=1e-9):
        self.assertEqual(len(a), len(b))
        for x, y in zip(a, b):
            self.assertAlmostEqual(x, y, delta=delta)


class ForwardIsTheFormula(Close):
    def test_logits_after_every_token(self):
        for n, shape in enumerate(SHAPES):
            net, rng = random_net(shape, n), random.Random(n)
            ids, window = [rng.randrange(VOCAB) for _ in range(shape["context"])], Window(net)
            for id, want in zip(ids, forward(net, ids)):
                window.push(id)
                self.assertRow(window.logits(), want)

    def test_each_head_alone(self):
        shape = dict(layers=1, embd=12, content=2, rrpram=2, context=9, mlp=1)
        for head in range(4):
            net, rng, d = random_net(shape, head), random.Random(head), 3
            layer = net.layers[0]
            # the others are not listened to, and this one is passed on as it is
            for i, row in enumerate(layer.out):
                row[:] = [float(i == j and head * d <= i < head * d + d) for j in range(12)]
            layer.down = postgpt.zeros(12, 12)
            ids, window = [rng.randrange(VOCAB) for _ in range(9)], Window(net)
            x = [[a + b for a, b in zip(net.wte[id], net.wpe[i])] for i, id in enumerate(ids)]
            normed = [norm(row) for row in x]
            for i, id in enumerate(ids):
                window.push(id)
                said = content_head(layer, head, d, normed, i) if head < 2 else rrpram_head(layer, head - 2, d, normed,
                        i)
                self.assertRow([a - b for a, b in zip(window.x, x[i])],
                               [0.0] * (head * d) + said + [0.0] * (12 - head * d - d))
                self.assertGreater(max(map(abs, said)), 0.01)

    def test_no_token_hears_what_comes_after_it(self):
        net = random_net(SHAPES[0])
        first, second = forward(net, [1, 2, 3, 4]), forward(net, [1, 2, 3, 9])
        self.assertEqual(first[:3], second[:3])
        self.assertNotEqual(first[3], second[3])

    def test_random_weights_are_between_plus_and_minus_half_over_the_root_of_embd(self):
        net = random_net(SHAPES[0], loud=1.0)
        weights = [abs(a) for matrix in net.matrices() for row in matrix for a in row]
        self.assertLess(max(weights), 0.5 / math.sqrt(12))
        self.assertGreater(max(weights), 0.49 / math.sqrt(12))
        self.assertEqual(len(set(weights)), net.n_params())


class WindowSlides(Close):
    def test_after_any_number_of_tokens_it_holds_what_recomputing_gives(self):
        """When the context is full, the newest half becomes positions 0 and on."""
        for n, shape in enumerate(SHAPES):
            net, rng, held, context = random_net(shape, n), random.Random(n), [], shape["context"]
            window = Window(net)
            for _ in range(3 * context + 2):
                if len(held) == context:
                    held = held[-(context // 2):]
                held.append(rng.randrange(VOCAB))
                window.push(held[-1])
                self.assertEqual(window.ids, held)
                self.assertRow(window.logits(), forward(net, held)[-1])

    def test_it_never_holds_more_than_the_context_nor_less_than_half_of_it(self):
        for context in (2, 3, 5, 8):
            window, lengths = Window(random_net({**SHAPES[0], "context": context})), []
            for id in range(40):
                window.push(id % VOCAB)
                lengths.append(len(window.ids))
            self.assertEqual((max(lengths), min(lengths[context:])), (context, context // 2 + 1))

    def test_a_cleared_window_starts_anew(self):
        net = random_net(SHAPES[0])
        old, new = Window(net), Window(net)
        for id in (1, 2, 3):
            old.push(id)
        old.clear()
        for window in (old, new):
            window.push(4)
        self.assertEqual(old.logits(), new.logits())

    def test_a_long_prompt_fills_the_window_as_its_tokens_one_by_one_do(self):
        """generate() never pushes what would have slid out of the window; the logits it goes on with are the same to
        the last bit."""
        data, compared = (ROOT / "postgpt.txt").read_bytes()[:3000], 0
        for context in (6, 7):
            model = postgpt.PostGPT(data, merges=30, shape=dict(layers=1, embd=16, content=1, rrpram=1, context=context,
                                                                mlp=1), init="random")
            ids = model.tokenizer.encode(data[100:160])
            for n in range(1, len(ids)):
                window, prompt = Window(model.net), model.tokenizer.decode(ids[:n])
                for id in ids[:n]:
                    window.push(id)
                if model.tokenizer.encode(prompt) == ids[:n]:
                    self.assertEqual(self.first_logits(model, prompt), window.logits())
                    compared += n > 2 * context
        self.assertGreater(compared, 10)

    def first_logits(self, model, prompt):
        """What the sampler is given after a prompt."""
        with mock.patch.object(postgpt, "sample", side_effect=lambda logits, *rest: 0) as sample:
            list(model.generate(prompt, 1, "transformer", verbatim=0, exact=True))
        return sample.call_args[0][0]


class Counts(unittest.TestCase):
    def test_parameters(self):
        for shape, vocab, n in ((dict(), 1280, 188928),
                                (dict(layers=1, embd=6, content=2, rrpram=0, context=7, mlp=1), 5, 318),
                                (dict(layers=1, embd=16, content=4, rrpram=0, context=16, mlp=4), 27, 4192)):
            net = Transformer(Shape(**shape), vocab)
            self.assertEqual(net.n_params(), n)
        self.assertEqual(Transformer(Shape()).n_params(), 188928)

    def test_parameters_by_the_formula(self):
        for s in SHAPES:
            layers, embd, content, rrpram, context, mlp = (s[name]
                                                           for name in ("layers", "embd", "content", "rrpram",
                    "context", "mlp"))
            d = embd // (content + rrpram)
            layer = 3 * embd * d * content + rrpram * (embd * context + embd * d) + embd * embd + 2 * mlp * embd * embd
            self.assertEqual(Transformer(Shape(**s), VOCAB).n_params(),
                             2 * VOCAB * embd + context * embd + layers * layer)

    def test_heads_must_divide_embd(self):
        for shape in (dict(embd=10, content=3, rrpram=0), dict(content=0, rrpram=0)):
            with self.assertRaises(ValueError):
                Shape(**shape)


if __name__ == "__main__":
    unittest.main()
