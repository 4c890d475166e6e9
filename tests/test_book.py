"""The book: each of its figures is what the program says of the small corpus that the book quotes, and it is written as
a manual is.

A model of counts learns what recurs, so the book is to be dispersed like a good manual and not like a collection of
essays.
"""
import collections
import functools
import os
import re
import unittest
from math import exp, log, sqrt

from twins import ROOT
import postgpt

with open(os.path.join(ROOT, "postgpt.txt"), "rb") as file:
    RAW = file.read()
TEXT = RAW.decode("latin-1")
PARTS = TEXT.rstrip("\n").split("\n\n")
SENTENCES = [s.strip() for s in re.split(r"(?<=[.!?])\s+|\n\n+", TEXT) if len(s.split()) > 3]
WORDS = re.findall(r"[a-z]+(?:'[a-z]+)?", TEXT.lower())
NUMBER = r"(\d+(?:,\d{3})*(?:\.\d+)?)"
DEFAULT = {option.name: option.default for option in postgpt.OPTIONS}

PROMPT, HELD_OUT, STRANGE = (
    b"The field looks",
    b"The heads look at the last tokens.",
    b"The lens looks at the lamp. The lens",
)
TWELVE = 12                                               # tokens that the example asks for


def small_corpus():
    """The paragraph after the one that announces it, and the newline at its end."""
    before = [i for i,
              part in enumerate(PARTS)
              if part.endswith("The next paragraph is the small corpus, and a newline stands at its end.")]
    return PARTS[before[0] + 1].encode() + b"\n"


@functools.lru_cache(None)
class Example:
    """The running example: what the program says of it, each thing once."""

    def __init__(self):
        self.data = small_corpus()
        self.model = postgpt.PostGPT(self.data)
        self.tok, self.meta, self.shape = self.model.tokenizer, self.model.meta, self.model.shape
        self.chain, self.ids = self.meta.chain, self.meta.text.ids
        self.met = collections.Counter(self.ids)
        self.words = collections.Counter(piece.strip().lower() for piece in postgpt.PIECE.findall(self.data))
        self.child, self.count, self.depth = self.chain.count(self.meta.text)
        self.pairs = set(zip(self.ids, self.ids[1:]))

    def encode(self, text):
        return self.tok.encode(text)

    def id(self, text):
        """The one token of a word within a sentence; of a mark."""
        id, = self.tok.encode(text if text in (b".", b"The") else b" " + text)
        return id

    def learned(self, merges):
        """How many tokens the small corpus has after so many merges."""
        return len(postgpt.Tokenizer.learn(self.data, merges).encode(self.data))

    def together(self, left, right):
        """How often two bytes stand side by side within a piece."""
        return sum(n * sum(pair == (left, right) for pair in zip(piece, piece[1:]))
                   for piece, n in collections.Counter(postgpt.PIECE.findall(self.data)).items())

    def after(self, text):
        """How many different tokens a token stands after."""
        return len({a for a, b in self.pairs if b == self.id(text)})

    def cuts(self, depth):
        """The discounts of the contexts of so many tokens."""
        tally = collections.Counter(n for counts, deep in zip(self.count, self.depth) if deep == depth
                                    for n in counts.values())
        return postgpt.discounts([0, tally[1], tally[2], tally[3], tally[4]])

    def node(self, context):
        """The node of a context."""
        node = 0
        for id in reversed(context):
            node = self.child[node * self.tok.vocab + id]
        return node

    def listens(self, context, word):
        return self.chain.token_prob(context, self.id(word))

    def order(self, n):
        """A chain of another order."""
        return postgpt.Chain(self.meta.text, self.tok.vocab, n)

    def speaks(self, prompt):
        """The field that hears a prompt and is about to speak."""
        field = self.model.field(postgpt.FULL, voice=self.model.voice())
        for id in self.encode(prompt):
            field.push(id, field.expected(id))
        field.terms()
        return field

    def parts(self, field, id):
        """What each term of the field adds to the logit of a token."""
        terms = field.log_p, field.z, field.h, field.f, field.a, field.t
        return [weight * term[id] for weight, term in zip(field.weights(postgpt.FULL), terms)]

    def levels(self, prompt):
        """Trauma's level after each token of a prompt."""
        field, found = self.model.field(postgpt.META), []
        for id in self.encode(prompt):
            field.push(id, field.expected(id))
            found.append(field.level)
        return found

    def transformer(self, net):
        """The transformer's probability of ` at` after the prompt; and how its heads share their attention."""
        window = postgpt.Window(net)
        for id in self.encode(PROMPT):
            window.push(id)
        return postgpt.softmax(window.logits())[self.id(b"at")], window.seen

    def first_loss(self, init):
        """The loss of the first step of training."""
        net = self.model.net
        if init == "random":
            net = postgpt.Transformer(self.shape, self.tok.vocab)
            postgpt.randomize(net, DEFAULT["seed"])
        rng, found = postgpt.Rng(DEFAULT["seed"]), []
        for turn in range(DEFAULT["batch"]):
            found.append(postgpt.window_loss(net, postgpt.window_draw(self.meta.text, self.shape.context, rng, turn,
                                                                      [])))
        return sum(loss for loss, _ in found) / sum(n for _, n in found)


@functools.lru_cache(None)
def figures():
    """(a regular expression with a group for each number, the program's figures for them)."""
    x = Example()
    tok, meta, shape, net, co = x.tok, x.meta, x.shape, x.model.net, x.model.coefficients
    at, the, last, place, likeness, looks, field_ = map(x.id,
                                                        (b"at", b"the", b"last", b"place", b"likeness", b"looks",
                                                         b"field"))
    half, full = x.speaks(PROMPT), x.speaks(PROMPT + b" at the")
    parts = {id: x.parts(full, id) for id in (last, place)}
    early = {id: x.parts(half, id) for id in (at, the)}
    weights = half.weights(postgpt.FULL)
    speaks = [exp(p) for p in full.log_p]
    rows = list(x.model.explain(PROMPT, tokens=TWELVE))
    gave = [dict(zip(postgpt.TERMS, row.gave)) for row in rows]
    worth = {text.strip().decode(): dict(zip(postgpt.TERMS, parts)) for text, _, parts in rows[10].candidates}
    left_over, = [p for text, p, _ in rows[10].candidates if text == b" last"]
    largest = collections.Counter("draw" if row.rank > 1 else max(postgpt.TERMS, key=g.get) for row,
                                  g in zip(rows, gave))
    exam = {label: bits for label, bits, _ in x.model.evaluate(HELD_OUT)}
    said = x.encode(HELD_OUT)
    bits = [-log(x.chain.token_prob(said[:i], id)) / postgpt.LN2 for i, id in enumerate(said)]
    nats = sum(bits) * postgpt.LN2 / len(said)
    two, three = x.cuts(1), x.cuts(2)
    after_looks, after_at_the, after_the = x.node([looks]), x.node([at, the]), x.node([the])
    trigram, after = [at, the], x.encode(PROMPT)
    share, seen = x.transformer(net)
    later = postgpt.Window(net)
    for id in x.encode(PROMPT + b" at the"):
        later.push(id)
    company = postgpt.count_pairs(meta.text, tok.vocab, [0, 0] + [postgpt.WHOLE // d for d in range(2, 17)], 16, 1.0)
    promise = {x_: value for x_, value in meta.promise.rows[looks]}
    strange = x.speaks(STRANGE)
    expected, trauma, recall, free = exp(strange.log_p[looks]), strange.t[looks], 0.0, 1.0
    for _ in range(3):                                    # ` looks` has followed once after one, two and three tokens
        free, recall = free / 2.0, recall / 2.0 + 1.0 / 2.0
    odds = co["trauma"] * strange.level / free
    rooms = postgpt.rooms_of(shape.embd, tok.vocab, shape.head_dim)
    book = postgpt.Transformer(shape, 256 + DEFAULT["merges"])
    layer = sum(len(row) for matrix in book.layers[0].matrices() for row in matrix)
    gap = sum(parts[last]) - sum(parts[place])
    tau = DEFAULT["temperature"]
    n = NUMBER
    return [
        # bytes, merges, pieces
        (n + r" bytes, while a corpus", len(x.data)),
        (r"letter T has the number " + n + " and the space has the number " + n, ord("T"), ord(" ")),
        (r"stands there " + n + " times", x.together(ord("h"), ord("e"))),
        (r"the new token gets the number " + n, tok.rank[ord("h"), ord("e")]),
        (r"had " + n + " tokens before this merge", x.learned(0)),
        (r"It has " + n + " tokens after it", x.learned(1)),
        (r"which stand together " + n + " times", x.together(ord(" "), ord("t"))),
        (r"After this merge the small corpus has " + n, x.learned(2)),
        (r"after it there are " + n + " tokens", x.learned(3)),
        (r"default is " + n + " merges", DEFAULT["merges"]),
        (r"vocabulary of " + n + " tokens", book.vocab),
        (r"ends after " + n + " merges, and its vocabulary has " + n, len(tok.pairs), tok.vocab),
        (
            r"small corpus has " + n + " pieces, and " + n,
            len(postgpt.PIECE.findall(x.data)),
            len(set(postgpt.PIECE.findall(x.data))),
        ),
        (r"their numbers are " + n + ", " + n + " and " + n, *x.encode(PROMPT)),
        (r"whole small corpus becomes " + n, len(x.ids)),
        (r"The row has (?:only )?" + n + " tokens", len(x.ids)),
        (r"\"the\" is met " + n, x.words[b"the"]),
        (r"\"token\" is met " + n, x.words[b"token"]),
        # counts and the chain
        *[
            (r"\"%s\" is counted %s times" % (word, n), x.met[x.id(word.encode())])
            for word in ("the", "token", "at", "looks", "last")
        ],
        (r"full stop is counted " + n, x.met[x.id(b".")]),
        (r"about " + n + " times as likely as the other", exp(1.0)),
        (r"there are " + n + " different bigrams and " + n, len(x.pairs), len(set(zip(x.ids, x.ids[1:], x.ids[2:])))),
        (r"has " + n + " contexts and " + n + " counts", len(x.chain.prob), x.chain.counts),
        (r"context \"looks\" is met " + n, x.met[looks]),
        (r"The vocabulary has " + n, tok.vocab),
        (r"\"at\" gets " + n + " of " + n + " shares", x.met[looks] + 1, x.met[looks] + tok.vocab),
        (r"met once loses " + n, three[1]),
        (r"met twice loses " + n + r"\. A trigram that was met more often loses " + n, three[2], three[3]),
        (r"\"at the\" of the example was met " + n, sum(x.count[after_at_the].values())),
        (r"discounts are " + n + " for the one and " + n, three[2], three[1]),
        (r"make " + n + " of the whole", x.chain.backoff[after_at_the]),
        (r"continuation count of the full stop is " + n, x.after(b".")),
        (r"has a continuation count of " + n, x.after(b"the")),
        (r"A count of two loses " + n + " at this order, and", two[2]),
        (r"a little less than " + n + " is left", 0.4),
        (r"which gives " + n, x.chain.prob[after_looks][at]),
        (r"set aside is " + n + ", and it goes to the unigram", x.chain.backoff[after_looks]),
        (r"The unigram gives the token \"at\" a probability of " + n, x.chain.unigram[at]),
        (r"The two parts together make " + n, x.listens(after, b"at")),
        (r"the chain gives it only " + n, x.listens(after, b"at")),
        (
            r"(?:[Ii]t would give|The bigram gives) the token \"at\" a probability of " + n,
            x.order(2).token_prob([looks], at),
        ),
        (r"A count of two loses " + n + r" at this order\.", three[2]),
        (r"This gives " + n, x.chain.prob[after_at_the][last]),
        (r"set aside is " + n + ", and it goes to the bigram", x.chain.backoff[after_at_the]),
        (r"The bigram gives the token \"last\" a probability of " + n, x.listens([the], b"last")),
        (r"product of these two numbers is " + n, x.chain.backoff[after_at_the] * x.listens([the], b"last")),
        (r"(?:chain|listens) gives the token \"last\" a probability of " + n, x.listens(trigram, b"last")),
        (r"It gives " + n + " to the token \"place\" and the same", x.listens(trigram, b"place")),
        # surprise
        (r"sentence has " + n + " bytes and " + n + " tokens", len(HELD_OUT), len(said)),
        (r"and (?:the sentence|it) has " + n + " bytes", len(HELD_OUT)),
        (r"first token, which costs " + n, bits[0]),
        (r"\"heads\" costs " + n + " bits, and the token \"look\" costs " + n, bits[1], bits[2]),
        (r"\"at\" costs " + n + " bits, and the token \"the\" costs " + n, bits[3], bits[4]),
        (r"\"last\" costs " + n, bits[5]),
        (r"\"tokens\" costs only " + n + " bits, and the full stop costs " + n, bits[6], bits[7]),
        (r"eight costs make " + n, sum(bits)),
        (r"chain (?:needs|needed) " + n + " bits", exam["chain"]),
        (r"same probability to each token needs " + n, exam["uniform"]),
        (r"unigram needs " + n + " bits, and the bigram needs " + n, exam["unigram"], exam["bigram"]),
        (r"on the sentence is " + n + " nats for each token, and the perplexity is " + n, nats, exp(nats)),
        (r"among all " + n + " tokens", tok.vocab),
        (r"meta mode, needs " + n, exam["meta"]),
        (r"full field needs " + n, exam["full"]),
        (r"Without prophecy the field would need " + n, exam["full -F"]),
        (r"Without the transformer it would need " + n, exam["full -transformer"]),
        (r"improves from " + n + " to " + n, exam["transformer"], exam["transformer -heads"]),
        # company, promises, words
        (r"three weights together make " + n, dict(company.rows[looks])[last] / postgpt.WHOLE),
        (r"A sum of " + n, dict(company.rows[looks])[last] / postgpt.WHOLE),
        (r"\"looks\" and \"last\" is " + n, dict(meta.trace.rows[looks])[last]),
        (r"keeps " + n + " pairs", len(meta.trace)),
        (r"makes " + n + " promises", len(meta.promise)),
        (n + r" of a hundred words", int(100 * postgpt.Words(x.model.words, tok).trust)),
        (
            r"reports "
            + n
            + " tokens, a vocabulary of "
            + n
            + ", a chain of "
            + n
            + " contexts, "
            + n
            + " pairs that keep company and "
            + n,
            len(x.ids),
            tok.vocab,
            len(x.chain.prob),
            len(meta.trace),
            len(meta.promise),
        ),
        # the transformer
        (r"The token with the number " + n, field_),
        (
            r"(?:row has|row of|have only) " + n + " (?:numbers (?:by default|for (?:the newest|each))|coordinates)",
            shape.embd,
        ),
        (n + r" rows and " + n + " columns", tok.vocab, tok.vocab),
        (r"first room has " + n, rooms[0]),
        (r"second room has " + n, rooms[1]),
        (r"third room has " + n, rooms[2]),
        (r"code has " + n, rooms[1]),
        (r"window (?:of the transformer )?has " + n + " places", shape.context),
        (r"a head has " + n + " coordinates", shape.head_dim),
        (r"works with " + n + " coordinates", shape.head_dim),
        (
            r"value has " + n + " numbers, and so all that it says must pass through " + n,
            shape.head_dim,
            shape.head_dim,
        ),
        (r"first layer give " + n, seen[0][0]),
        (
            r"\"at\" a probability of " + n + ", and without its heads it would give " + n,
            share,
            x.transformer(postgpt.without_heads(net))[0],
        ),
        (r"ghost without its heads gives it " + n, x.transformer(postgpt.without_heads(net))[0]),
        (r"second layer give " + n + " to the first token, " + n + " to the second and " + n, *seen[4]),
        (r"same heads now give " + n, later.seen[4][-1]),
        (r"(?:these are|each of the) " + n + " numbers", shape.mlp * shape.embd),
        (r"embeddings have " + n, book.vocab * shape.embd),
        (r"rows for the places have " + n, shape.context * shape.embd),
        (r"One layer has " + n, layer),
        (r"whole transformer has " + n, book.n_params()),
        (r"Its transformer has " + n, net.n_params()),
        (r"rows of " + n + " numbers", rooms[0]),
        (r"system of " + n + " linear", rooms[0]),
        (r"After " + n + " steps the walk", rooms[0]),
        (r"a row of " + n + " numbers, and the miss is a row of " + n, rooms[0], rooms[0]),
        # the field
        (
            r"doubt is " + n + ", and the weights are " + n + " for the chain and " + n,
            half.doubt,
            weights[0],
            weights[1],
        ),
        (r"is minus " + n + r"\. Its share of the logit is minus " + n, -half.log_p[at], -early[at][0]),
        (r"logit of " + n + ", and its share is " + n, half.z[at], early[at][1]),
        (r"gives it minus " + n + " and the transformer takes away another " + n, -early[the][0], -early[the][1]),
        (r"resonance of the token \"last\" is " + n + ", and its coefficient is " + n, full.h[last], co["alpha"]),
        (r"adds " + n + " to the logit of this token", parts[last][2]),
        (r"It adds " + n + " to the token \"place\"", parts[place][2]),
        (r"\"place\" with " + n + " nats and the token \"at\" with " + n, promise[place], promise[at]),
        (r"\"last\" and \"tokens\" with " + n, promise[last]),
        (r"Together they add " + n, parts[place][3]),
        (r"They add only " + n, parts[last][3]),
        (r"Destiny gives it " + n, full.a[looks]),
        (r"It gives " + n + " to the token \"field\"", full.a[field_]),
        (r"It gives " + n + " to the token \"the\"", full.a[the]),
        (r"coefficient of destiny is " + n, co["gamma"]),
        (r"level is " + n + " after the first token, " + n + " after the second and " + n, *x.levels(PROMPT)),
        (r"end of the prompt is " + n, strange.level),
        (r"\"looks\" a probability of " + n, expected),
        (r"gives this token a probability of " + n, recall),
        (r"trauma adds " + n, trauma),
        (r"trauma adds " + n, log(1.0 + odds * recall / expected)),
        # speaking
        (r"default temperature is " + n, tau),
        (r"larger than the logit of the token \"place\" by " + n + " nats", gap),
        (r"token would be " + n + " times", exp(gap)),
        (r"makes a difference of " + n, gap / tau),
        (r"token becomes " + n + " times", exp(gap / tau)),
        (
            r"\"last\" is then " + n + ", and the probability of the token \"place\" is " + n,
            rows[2].p,
            rows[2].second_p,
        ),
        (r"\"likeness\" follows with " + n, next(p for text, p, _ in rows[2].candidates if text == b" likeness")),
        (r"chain that speaks gives it " + n, speaks[last]),
        (r"It gives " + n + " to the token \"place\" and as much", speaks[place]),
        (r"three tokens together have " + n, speaks[last] + speaks[place] + speaks[likeness]),
        # the ledger
        (r"first token is \"at\" with a probability of " + n, rows[0].p),
        (r"runner-up is the token \"the\" with " + n, rows[0].second_p),
        (r"winner by " + n + " nats, and the transformer prefers it by " + n, gave[0]["chain"], gave[0]["net"]),
        (r"probabilit(?:y|ies) that rounds? to " + n, *[min(rows[i].p for i in (1, 7, 8, 9, 11, 12, 13, 14))]),
        (
            r"chain gives " + n + " nats for this token, and the rules of speaking give " + n,
            gave[1]["chain"],
            gave[1]["rules"],
        ),
        (r"wins with " + n + " against " + n, rows[2].p, rows[2].second_p),
        (r"The chain gives " + n + " nats, and the transformer gives " + n, gave[2]["chain"], gave[2]["net"]),
        (r"Resonance adds " + n, gave[2]["H"]),
        (r"against the winner with " + n, -gave[2]["F"]),
        (r"the chain gives " + n + " nats for it", gave[3]["chain"]),
        (r"fifth token is the full stop with " + n, rows[4].p),
        (r"prefers the full stop by " + n, gave[4]["net"]),
        (r"token \"chain\" with " + n, rows[6].p),
        (r"\"last\" to the token \"place\" by " + n, worth["last"]["chain"] - worth["place"]["chain"]),
        (r"against it with " + n, worth["place"]["rules"] - worth["last"]["rules"]),
        (r"decides between them with " + n, gave[10]["F"]),
        (r"is left with " + n, left_over),
        (r"wins with " + n + " over " + n, rows[10].p, rows[10].second_p),
        (r"all tokens was " + n, sum(row.p for row in rows) / len(rows)),
        (
            r"chain decided " + n + " tokens, the transformer decided " + n + " and the rules decided " + n,
            largest["chain"],
            largest["net"],
            largest["rules"],
        ),
        # training
        (r"ghost has a loss of " + n, x.first_loss("ghost")),
        (r"random numbers has a loss of " + n, x.first_loss("random")),
        (r"each token would have " + n, log(tok.vocab)),
        (r"by more than " + n + " nats", 0.02),
    ]


# Numbers that are no figures: years; names; what the text itself explains
NO_FIGURES = r"\b(?:1[89]\d\d|20[0-2]\d)\b|UTF-8|the number 33\.|python3"


class BookFigures(unittest.TestCase):
    """Neither the book nor the program can change a figure without the other."""

    def test_every_figure_the_book_gives_is_the_programs(self):
        for pattern, *values in figures():
            found = list(re.finditer(pattern, TEXT))
            with self.subTest(pattern):
                self.assertTrue(found, "the book no longer says this")
                for match in found:
                    for said, value in zip(match.groups(), values):
                        said = said.replace(",", "")
                        digits = len(said.partition(".")[2])
                        self.assertLessEqual(abs(float(said) - value), 0.5000001 * 10.0 ** -digits,
                                             "%s, not %s" % (said, value))

    def test_no_number_is_left_unchecked(self):
        known = {match.span(group) for pattern, *values in figures() for match in re.finditer(pattern, TEXT)
                 for group in range(1, len(values) + 1)}
        free = [match.span() for match in re.finditer(NO_FIGURES, TEXT)]
        for match in re.finditer(NUMBER, TEXT):
            at, end = match.span()
            if not any(a <= at and end <= b for a, b in free):
                with self.subTest(TEXT[max(at - 60, 0):end + 20]):
                    self.assertTrue((at, end) in known, "no figure of the program stands behind it")

    def test_numbers_in_words_are_the_programs_too(self):
        shape, data, x = postgpt.Shape(), small_corpus(), Example()
        strange, looks = x.speaks(STRANGE), x.id(b"looks")
        alone, recalled = (postgpt.softmax(strange.logits(use))[looks] for use in ("B", "BT"))
        third = list(x.model.explain(PROMPT, tokens=3))[2]
        left = 1.0 - sum(p for _, p, _ in third.candidates[:3])
        for text, value, program in (
                ("about thirty times as likely", 30, round(recalled / alone, -1)),
                ("about two parts in a hundred", 2, round(100.0 * left)),
                ("a single line of thirteen sentences", 13, data.count(b".")),
                ("it has fifteen bytes", 15, len(PROMPT)),
                ("only twelve tokens were asked for", 12, TWELVE),
                ("goes round about every nine places", 9, round(sqrt(1.25 * shape.context))),
                ("the next one goes round every eighty places", 80, 1.25 * shape.context),
                ("within sixteen places", 16, postgpt.ROOM_FOR_TRACE),
                ("within twelve tokens after", 12, postgpt.ROOM_FOR_PROMISE),
                ("fades by fifteen of a hundred", 15, round(100 - 100 * postgpt.ECHO)),
                ("five parts in a thousand at each step", 5, round(1000 - 1000 * postgpt.DRIFT)),
                ("hundred tokens ago counts about six tenths", 0.6, round(postgpt.DRIFT ** 100, 1)),
                ("two hundred tokens of the corpus", 200, postgpt.PRIOR),
                ("three tenths of the old level", 3, 10 * postgpt.CALM),
                ("the last four tokens at most", 4, postgpt.DEPTH), ("keeps fifteen tokens", 15, DEFAULT["top-k"]),
                ("among the last twelve tokens", 12, postgpt.RECENT), ("sixty tokens at most", 60, postgpt.GRACE),
                ("takes one fifth of them", 0.2, postgpt.DISCOUNT),
                ("contexts of up to seven tokens", 7, postgpt.SPEAKS - 1),
                ("more than eleven words", 11, postgpt.VERBATIM), ("loses three nats", 3, postgpt.LONELY),
                ("When three words have been said", 3, postgpt.AGAIN),
                ("loses four nats", 4, postgpt.STALE), ("gains four nats", 4, postgpt.HOME),
                ("before it has five words", 5, postgpt.SENTENCE), ("the newest eight steps", 8, postgpt.WATCH),
                ("sixty-four losses", 64, postgpt.BEST),
                ("there are two layers", 2, shape.layers),
                ("two content heads and two RRPRAM heads", 2, shape.content)):
            with self.subTest(text):
                self.assertIn(text, TEXT)
                self.assertEqual(value, program)

    def test_the_continuation_that_the_book_quotes_is_what_the_program_says(self):
        said = PROMPT + b"".join(row.text for row in Example().model.explain(PROMPT, tokens=TWELVE))
        self.assertIn('"%s"' % said.decode(), TEXT)

    def test_the_continuation_is_new(self):
        data = small_corpus()
        self.assertNotIn(b"The field looks at", data)
        self.assertNotIn(b"The chain looks at the place", data)


class BookLayout(unittest.TestCase):
    """What a corpus needs: plain text, headings, paragraphs."""

    def test_it_is_plain_ascii_of_the_size_of_a_book(self):
        self.assertTrue(RAW.isascii())
        self.assertTrue(150_000 <= len(RAW) <= 175_000, len(RAW))

    def test_paragraphs_stand_on_one_line_apart_by_one_blank_line(self):
        self.assertNotRegex(TEXT, r"[\t\r]|[ ]\n|\n\n\n")
        self.assertTrue(TEXT.endswith("\n") and not TEXT.endswith("\n\n"))
        for part in PARTS:
            words = len(part.split())
            self.assertTrue("\n" not in part and (words <= 8 or 60 <= words <= 200), part[:60])
        self.assertEqual(len(set(PARTS)), len(PARTS), "a paragraph stands twice")


class BookWording(unittest.TestCase):
    """A manual says the same thing in the same words each time it comes up."""

    def between(self, low, value, high):
        self.assertTrue(low <= value <= high, "%.2f, not from %s to %s" % (value, low, high))

    def again(self, n):
        """The share of the words with which a run of n words begins that stands elsewhere too, in percent."""
        runs = collections.Counter(zip(*(WORDS[i:] for i in range(n))))
        return 100 * sum(k for k in runs.values() if k > 1) / len(WORDS)

    def test_it_has_the_words_of_a_manual(self):
        often, pairs = collections.Counter(WORDS), collections.Counter(zip(WORDS, WORDS[1:]))
        self.between(6, 100 * len(often) / len(WORDS), 10.5)                              # different words
        self.between(1, 100 * sum(n == 1 for n in often.values()) / len(WORDS), 4.2)      # met once
        self.between(20, 100 * sum(n == 1 for n in pairs.values()) / len(WORDS), 42)      # pairs met once

    def test_what_is_said_again_is_said_in_the_same_words(self):
        self.between(9, self.again(4), 25)
        self.between(1, self.again(8), 8)

    def test_sentences_are_neither_long_nor_worn(self):
        self.between(11, sum(len(s.split()) for s in SENTENCES) / len(SENTENCES), 19)
        self.between(1, 100 * sum(bool(re.search(r"\d", s)) for s in SENTENCES) / len(SENTENCES), 14)    # hold a digit
        count = collections.Counter(s.lower() for s in SENTENCES)
        self.assertLessEqual(max(count.values()), 8)
        self.assertLessEqual(sum(n for n in count.values() if n > 1), 0.06 * len(SENTENCES))


if __name__ == "__main__":
    unittest.main()
