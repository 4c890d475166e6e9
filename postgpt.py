#!/usr/bin/env python3
"""postgpt.py: a GPT whose weights are counted, not trained. The twin of postgpt.c.

A corpus is cut into byte-pair tokens (I). What is counted in it, the metaweights (II), already is
a language model. A small transformer (III) is seeded from the counts (IV), the
Dario field (V) mixes both, and a sampler speaks (VI). Training (VII) is optional; evaluation (VIII)
says honestly what each part is worth. Both twins print the same bytes, so every float operation
here stands in the order in which postgpt.c does it.

    python3 postgpt.py "The transformer architecture"

A first reading goes down to "Second reading" in each chapter, and from there to the next chapter:

    0    Arithmetic     58 lines   sums, softmax, RMSNorm
    I    Tokenizer      68 lines   bytes to tokens
    II   Metaweights   270 lines   the chain, and who stands near whom
    III  Transformer   133 lines   two kinds of attention, one residual stream
    IV   Seeding       179 lines   three questions that the counts can answer
    V    Dario field   148 lines   all that is known, in one sum
    VI   Sampling      144 lines   a token is drawn, and there is text on the screen
                      1000 lines
"""
import os
try:
    import signal
    if __name__ == "__main__" and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        # an interrupt before main() gives no traceback
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
except KeyboardInterrupt:
    os._exit(130)
import bisect
import contextlib
import copy
import errno
import gc
import glob
import heapq
import itertools
import re
import select
import stat
import struct
import sys
import time
import zlib
from collections import Counter, defaultdict, namedtuple
from math import cos, exp, log, sin, sqrt
from operator import add, mul, sub

VERSION = "postgpt 1.0.0"


class Failure(Exception):
    """What cannot be done; its text says what and why. The command line prints it and exits with 1."""


class Progress:
    """One line on the terminal, in place, about what takes longer than a second. Nothing is said before
    watch()."""

    def __init__(self):
        self.next, self.shown = None, False

    def watch(self):
        """Somebody looks on."""
        self.next = time.monotonic() + 1.0

    def say(self, text, *values):
        """What is being done, at most ten times a second."""
        if self.next is not None and time.monotonic() >= self.next:
            self.next = time.monotonic() + 0.1
            self.show(text % values)

    def show(self, text):
        """The line, whenever it is."""
        self.shown = bool(text)
        try:
            os.write(2, ("\r\x1b[K" + text).encode())
        except OSError:
            pass                                          # nobody listens

    def clear(self):
        """Takes the line away: something else is to be written."""
        if self.shown:
            self.show("")


progress = Progress()


# ---------------------------------------------------------------------------------------------
# 0  ARITHMETIC

def matvec(y, x, rows):
    """y + x W: y[j] + sum over i of x[i] * rows[i][j], ascending i for each j.  [m], [n], [n][m] -> [m]

    >>> matvec([0.0, 0.0], [1.0, 2.0], [[1.0, 10.0], [100.0, 1000.0]])
    [201.0, 2010.0]

    A zero in x adds nothing and is passed over. Eight rows at a time add in the same order as one by one and
    visit y an eighth as often: generation takes a tenth less time.
    """
    pairs = [pair for pair in zip(x, rows) if pair[0]]
    eights = len(pairs) // 8 * 8
    for i in range(0, eights, 8):
        (a, o), (b, p), (c, q), (d, r), (e, s), (f, t), (g, u), (h, v) = pairs[i:i + 8]
        y = [z + a * z0 + b * z1 + c * z2 + d * z3 + e * z4 + f * z5 + g * z6 + h * z7
             for z, z0, z1, z2, z3, z4, z5, z6, z7 in zip(y, o, p, q, r, s, t, u, v)]
    for a, o in pairs[eights:]:
        y = [z + a * z0 for z, z0 in zip(y, o)]
    return y


def dot(x, y):
    """The sum of x[i] * y[i], ascending i, from 0.0."""
    s = 0.0
    for a in map(mul, x, y):
        s += a
    return s


def total(x):
    """The sum of x[i], ascending i, from 0.0: what sum() gave before Python 3.12 began to compensate."""
    s = 0.0
    for a in x:
        s += a
    return s


def softmax(x):
    """exp(x[i]) / the sum of all exp(x[j]): positive numbers that sum to 1. The largest x is taken
    off first, so that no exp overflows.

    >>> ["%.3f" % p for p in softmax([0.0, 1.0, 2.0])]    # [n] -> [n]
    ['0.090', '0.245', '0.665']
    """
    top = max(x)
    x = [exp(a - top) for a in x]
    s = total(x)
    return [a / s for a in x]


def rmsnorm(x):
    """x / sqrt(mean(x^2) + 1e-5), no gain (Zhang and Sennrich 2019).  [n] -> [n]"""
    scale = 1.0 / sqrt(dot(x, x) / len(x) + 1e-5)
    return [a * scale for a in x]


# Second reading of 0

def cross_entropy(logits, token):
    """-log softmax(logits)[token], in nats: what it costs to be told the token where these were the logits
    (Shannon 1948).

    >>> "%.4f" % cross_entropy([0.0, 0.0], 1)             # one of two: log 2
    '0.6931'
    """
    top = max(logits)
    return log(total([exp(x - top) for x in logits])) - (logits[token] - top)


class Rng:
    """SplitMix64 (Steele, Lea and Flood 2014): random numbers that a seed decides."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        """A whole number of 64 bits."""
        mask = 0xFFFFFFFFFFFFFFFF
        self.state = z = (self.state + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def uniform(self):
        """A number in [0, 1), a multiple of 2^-53."""
        return (self.next() >> 11) * 2.0 ** -53


# ---------------------------------------------------------------------------------------------
# I  TOKENIZER: bytes to tokens and back (byte pair encoding: Gage 1994; Sennrich, Haddow, Birch 2016)

LETTER, DIGIT, MARK, SPACE, WHITE = range(5)              # kinds of bytes; those under SPACE are spelled
LONGEST = 256               # bytes a token may have

# Text is cut into pieces, and no token crosses a piece: `to be,  or 42` is `to` ` be` `,` ` ` ` or` ` 42`.
PIECE = re.compile(rb"""
    [ ]? [A-Za-z\x80-\xff]+                     # a run of letters (and of all that is not ASCII),
  | [ ]? [0-9]+                                 # of digits,
  | [ ]? [^A-Za-z\x80-\xff0-9\t-\r ]+           # or of marks, each with the one space before it;
  | [\t-\r ]+ (?= [ ][^\t-\r ])                 # or white space, less the space that goes with what follows
  | [\t-\r ]+
""", re.VERBOSE)
KIND = [LETTER if byte.isalpha() or byte >= b"\x80" else DIGIT if byte.isdigit() else
        SPACE if byte == b" " else WHITE if byte.isspace() else MARK for byte in map(bytes, zip(range(256)))]


class Tokenizer:
    """Byte-level BPE: a token for each byte of the alphabet, then one for each learned pair: again and again
    the two neighbouring tokens that are met most often become one.

    >>> tokenizer = Tokenizer.learn(b"low lower lowest", merges=3)
    >>> tokenizer.text[256:]                              # ties: the smaller ids first
    [b'lo', b'low', b' low']
    >>> [tokenizer.text[token] for token in tokenizer.encode(b"lowly")]
    [b'low', b'l', b'y']

    pairs  what was learned, (left, right), in order     rank  (left, right) -> the token that joins them
    text   the bytes of every token                      seen  piece -> its ids: each distinct piece is merged
           once
    """

    def __init__(self, alphabet, pairs=()):
        self.alphabet = bytes(alphabet)
        self.base = len(self.alphabet)
        self.id_of_byte = {byte: token for token, byte in enumerate(self.alphabet)}
        self.pairs, self.rank, self.seen = [], {}, {}
        self.text = [bytes([byte]) for byte in self.alphabet]
        for left, right in pairs:
            self.add(left, right)

    @property
    def vocab(self):
        """The number of tokens."""
        return len(self.text)

    def add(self, left, right):
        """The next token: left and right joined."""
        self.rank[left, right] = len(self.text)
        self.pairs.append((left, right))
        self.text.append(self.text[left] + self.text[right])

    def encode(self, data):
        """Token ids of any bytes, or of a str as UTF-8: each piece is merged, the earliest learned pair
        first. Raises Failure at a byte that the alphabet lacks."""
        data = as_bytes(data, "a text to encode")
        missing = set(data) - set(self.alphabet)
        if missing:
            raise Failure("the text has the byte 0x%02x, which the corpus' alphabet lacks "
                          "(--alphabet bytes knows all)" % min(missing))
        ids, seen = [], self.seen
        for piece in PIECE.findall(data):
            if piece not in seen:
                seen[piece] = self.merge(piece)
            ids += seen[piece]
        return ids

    # Second reading

    @classmethod
    def learn(cls, data, merges, alphabet=range(256)):
        """A tokenizer of up to `merges` pairs: again and again the most frequent pair becomes a token.

        Equal counts: the smaller left id first, then the smaller right id. It stops where no pair occurs
        twice; no token becomes longer than LONGEST. Every adjacency of two tokens is listed under its pair,
        so that a merge touches its own occurrences and nothing else: the cost grows with the number of
        distinct pieces.
        """
        data, self = as_bytes(data, "a text to learn from"), cls(alphabet)
        token, before, after, weight = [], [], [], []     # the distinct pieces as linked lists of tokens
        for piece, often in Counter(PIECE.findall(data)).items():
            start, n = len(token), len(piece)
            token += [self.id_of_byte[byte] for byte in piece]
            before += [-1, *range(start, start + n - 1)]
            after += [*range(start + 1, start + n), -1]
            weight += [often] * n
        counts, places = {}, {}                           # of each pair: how often; its places, some stale

        def change(left, right, often):
            """The pair at two neighbouring places occurs so much more often, or less."""
            if left >= 0 and right >= 0:
                pair = token[left], token[right]
                counts[pair] = counts.get(pair, 0) + often
                if often > 0:
                    places.setdefault(pair, []).append(left)
                    return pair

        for left, right in enumerate(after):
            change(left, right, weight[left])
        heap = [(-often, pair) for pair, often in counts.items()]
        heapq.heapify(heap)
        while len(self.pairs) < merges and heap:
            often, pair = heapq.heappop(heap)
            if counts[pair] < 2 or len(self.text[pair[0]]) + len(self.text[pair[1]]) > LONGEST:
                continue
            if counts[pair] != -often:                    # it has lost occurrences since: later
                heapq.heappush(heap, (-counts[pair], pair))
                continue
            progress.say("learning merges: %d of %d", len(self.pairs), merges)
            merged, fresh = self.vocab, set()
            self.add(*pair)
            for at in places.pop(pair):
                right = after[at]
                if right < 0 or (token[at], token[right]) != pair:
                    continue                              # an earlier merge has taken this place
                left, beyond, often = before[at], after[right], weight[at]
                change(left, at, -often)
                change(at, right, -often)
                change(right, beyond, -often)
                token[at], token[right], after[at] = merged, -1, beyond
                if beyond >= 0:
                    before[beyond] = at
                fresh |= {change(left, at, often), change(at, beyond, often)}
            for pair in fresh - {None}:
                heapq.heappush(heap, (-counts[pair], pair))
        return self

    def decode(self, ids):
        """The bytes of the tokens, joined."""
        return b"".join([self.text[token] for token in ids])

    def merge(self, piece):
        """One piece's ids: the earliest learned pair first, leftmost first, until none is left."""
        token, n = [self.id_of_byte[byte] for byte in piece], len(piece)
        before, after, heap, rank = list(range(-1, n - 1)), [*range(1, n), -1], [], self.rank.get

        def consider(left, right):
            """Notes that two neighbours can be joined."""
            joined = rank((token[left], token[right])) if left >= 0 and right >= 0 else None
            if joined:
                heapq.heappush(heap, (joined, left))

        for at in range(n - 1):
            consider(at, at + 1)
        while heap:
            merged, at = heapq.heappop(heap)
            right = after[at]
            if token[at] < 0 or right < 0 or rank((token[at], token[right])) != merged:
                continue                                  # one of the two is joined otherwise by now
            token[at], token[right], after[at] = merged, -1, after[right]
            if after[at] >= 0:
                before[after[at]] = at
            consider(before[at], at)
            consider(at, after[at])
        return [one for one in token if one >= 0]

    def passes(self, data, merges):
        """Could learning `merges` pairs from data have given these, as far as counts tell?

        What a pair joined occurs in the text that they make, in itself or in what was joined of it; none was
        joined less than twice or more often than one before it, and none is left that should have been. Of
        two equal tokens every other pair at least is joined: aaa has two, of which one is.
        """
        made, left_over = [0] * self.vocab, Counter()
        for piece, often in Counter(PIECE.findall(data)).items():
            ids = self.encode(piece)
            for token in ids:
                made[token] += often
            for pair in zip(ids, ids[1:]):
                left_over[pair] += often
        for token in reversed(range(self.base, self.vocab)):
            for part in self.pairs[token - self.base]:
                made[part] += made[token]
        most = len(data)
        for n, (left, right) in zip(made[self.base:], self.pairs):
            if not (1 if left == right else 2) <= n <= most:
                return False
            most = min(most, 2 * n if left == right else n)
        most = most if len(self.pairs) == merges else 1
        return all([n <= most or len(self.text[left]) + len(self.text[right]) > LONGEST
                    for (left, right), n in left_over.items()])


def to_bytes(text):
    """Text as UTF-8; what was escaped is the byte that it was (PEP 383)."""
    return text.encode("utf-8", "surrogateescape")


def to_text(data):
    """Bytes as text, what is not UTF-8 escaped: to_bytes gives it back."""
    return data.decode("utf-8", "surrogateescape")


def as_bytes(text, what):
    """Bytes of what is given as bytes or as text, which is encoded as UTF-8. Raises TypeError."""
    if isinstance(text, str):
        return to_bytes(text)
    if isinstance(text, (bytes, bytearray, memoryview)):
        return bytes(text)
    raise TypeError("%s is bytes or str, not %s" % (what, type(text).__name__))


# ---------------------------------------------------------------------------------------------
# II  METAWEIGHTS: what is counted

class Text:
    """Token ids in documents: ids[starts[d] : starts[d + 1]]. In one running text there is one document.

    With `lines` each line is a document, between two newlines; the first is only context.
    """

    def __init__(self, ids, starts=None):
        self.ids, self.lines, self.starts = ids, starts is not None, starts or [0, len(ids)]

    def documents(self):
        """The documents, lists of ids."""
        return [self.ids[a:b] for a, b in zip(self.starts, self.starts[1:])]


# The chain: interpolated modified Kneser-Ney (Chen and Goodman 1998). The probability of the token x after
# the context c, with n(c x) the count of x after c, n(c) the sum of these counts, and D what is taken off a
# count (as a rule more off a larger one):
#
#     P(x | c) = (n(c x) - D(n(c x))) / n(c)  +  backoff(c) * P(x | c without its oldest token)
#     backoff(c) = (the sum over x of D(n(c x))) / n(c)      the weight of the shorter context
#
# and below the empty context every token has 1 / vocab. A chain of order 3 looks at contexts of up to 2
# tokens. Only the longest contexts count how often x came. A shorter one counts, instead, how many different
# tokens stood before c x (the continuation count): it is asked where the longer one knows little, and there
# it matters in how many places x has been at home, not how often in one of them.

def discounts(n):
    """D of a count of 0, of 1, of 2, and of 3 or more; n[k] is how many counts are k (their equation 26).

    What came k times would come about (k + 1) n[k + 1] / n[k] times in another such text (Good 1953). D is k
    less Y times that, Y = n[1] / (n[1] + 2 n[2]) being the authors' correction; half of k where there are too
    few counts to tell.
    """
    if not (n[1] and n[2] and n[3]):
        return 0.0, 0.5, 1.0, 1.5
    y = n[1] / (n[1] + 2 * n[2])
    cut = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
    # never 0: nothing may have probability 0
    return (0.0, *(min(max(d, 0.01), float(k)) for k, d in enumerate(cut, 1)))


def discounted(counts, cut):
    """A context's counts {token: n} after the discounts: {token: (n - D(n)) / sum}, and its backoff.

    >>> discounted({7: 3, 9: 1}, (0.0, 0.5, 1.0, 1.5))
    ({7: 0.375, 9: 0.125}, 0.5)
    """
    met, many = sum(counts.values()), [0, 0, 0, 0]
    for n in counts.values():
        many[n if n < 3 else 3] += 1
    if not met:
        return dict.fromkeys(counts, 0.0), 1.0
    return ({token: (n - cut[n if n < 3 else 3]) / met for token, n in sorted(counts.items())},
            (cut[1] * many[1] + cut[2] * many[2] + cut[3] * many[3]) / met)


class Chain:
    """The chain of any order over token ids.

    Contexts form a tree: node 0 is the empty one, child[node * vocab + t] the one with t before it. The
    first summand of P is prob[node][token], the weight of the second backoff[node].

    >>> chain = Chain(Text([0, 1, 2, 0, 1, 3, 0, 1, 2]), 4, 2)         # a b c a b d a b c
    >>> ["%.1f" % d for d in chain.cut], "%.3f" % chain.token_prob([], 2)
    (['0.0', '0.6', '0.2', '3.0'], '0.225')
    >>> "%.3f" % chain.token_prob([1], 2)                 # c after b: (2 - 0.2) / 3 + (0.2 + 0.6) / 3 * 0.225
    '0.660'
    """

    def __init__(self, text, vocab, order):
        self.order, self.vocab = order, vocab
        self.child, counts, depth = self.count(text)
        tally = [[0] * 5 for _ in range(order)]           # how many counts are 1, 2, 3, 4, at each depth
        for followed, deep in zip(counts, depth):
            for n in followed.values():
                if n < 5:
                    tally[deep][n] += 1
        cuts = list(map(discounts, tally))
        self.cut, self.counts = cuts[-1], sum(map(len, counts))        # cut: of the longest contexts
        self.prob, self.backoff = zip(*[discounted(followed, cuts[d]) for followed, d in zip(counts, depth)])
        self.unigram = [self.backoff[0] * (1.0 / vocab)] * vocab
        for token, p in self.prob[0].items():
            self.unigram[token] += p

    def count(self, text):
        """The tree: child; for every node {token: n(c token)}; and how many tokens it looks at.

        Both kinds of count in one pass, from the longest context to the empty one: where x is new after a
        context, the next shorter one has met one more token before c x and counts 1 more; where x is known,
        it has not, and neither have those below. Where nothing stands before c, at a document's beginning, x
        is entered with 0, only to be known; but with `lines` it counts, for a line's beginning is a habit.

        >>> text = Text([0, 1, 2, 0, 1, 3, 0, 1, 2])    # a b c a b d a b c: b comes thrice, always after a
        >>> child, counts, depth = Chain(text, 4, 3).count(text)
        >>> counts[0], counts[child[child[1] * 4 + 0]]  # after nothing; after a b
        ({0: 2, 1: 1, 2: 1, 3: 1}, {2: 2, 3: 1})
        """
        child, counts, depth = {}, [{}], [0]
        for ids in text.documents():
            for i in range(1 if text.lines else 0, len(ids)):
                if not i & 4095:
                    progress.say("counting: %d contexts", len(counts))
                node, path, token = 0, [0], ids[i]
                for back in range(1, min(self.order, i + 1)):
                    key = node * self.vocab + ids[i - back]
                    node = child.get(key)
                    if node is None:
                        node = child[key] = len(counts)
                        counts.append({})
                        depth.append(back)
                    path.append(node)
                more = 1 if len(path) == self.order or text.lines else 0
                for node in reversed(path):               # the longest context first
                    followed = counts[node]
                    known = token in followed
                    followed[token] = followed.get(token, 0) + more
                    if known:
                        break
                    more = 1
        return child, counts, depth

    def nodes(self, ids):
        """The nodes of the contexts that were met at the end of ids, the empty one not, shortest first."""
        node = 0
        for back in range(1, min(self.order, len(ids) + 1)):
            node = self.child.get(node * self.vocab + ids[-back])
            if node is None:
                return
            yield node

    def probs(self, ids):
        """P(x | ids) for every token x.  -> [vocab]"""
        p = self.unigram
        for node in self.nodes(ids):
            p = mixed(p, self.prob[node], self.backoff[node])
        return p

    def token_prob(self, ids, token):
        """P(token | ids): the same sums, for it alone."""
        p = self.unigram[token]
        for node in self.nodes(ids):
            p *= self.backoff[node]
            p += self.prob[node].get(token, 0.0)
        return p

    def doubt(self, ids):
        """Chapter V weighs the transformer by this, the root (it did better) of what is left to the bigram:
        the product of the backoffs of all contexts met of 2 tokens and more; before 2 are heard, the last."""
        share, left = 1.0, [self.backoff[node] for node in (0, *self.nodes(ids))]
        for backoff in left[2:] if len(ids) > 1 else left[-1:]:
            share *= backoff
        return sqrt(share)


def mixed(p, prob, backoff):
    """P after a longer context: prob + backoff * p, prob a dict of the tokens it has met.  [vocab] ->
    [vocab]"""
    p = [x * backoff for x in p]
    for token, q in prob.items():
        p[token] += q
    return p


# Pairs: who stands near whom.

class Table:
    """A sparse table over pairs of tokens: rows[a] is a list of (x, value), x ascending.

    row_sum, column_sum and sum are of all that was counted, also what is too rare to be kept.
    """

    def __init__(self, rows, row_sum=None, column_sum=None, whole=0.0):
        self.rows, self.row_sum, self.column_sum, self.sum = rows, row_sum, column_sum, whole

    def __len__(self):
        return sum(map(len, self.rows))

    def transposed(self):
        """The table with rows and columns exchanged, without sums."""
        back = [[] for _ in self.rows]
        for a, row in enumerate(self.rows):
            for x, value in row:
                back[x].append((a, value))
        return Table(back)

    def times(self, x):
        """The product with a dense matrix.  [rows][r] -> [rows][r]"""
        nothing = [0.0] * len(x[0])
        return [matvec(nothing, [value for _, value in row], [x[b] for b, _ in row]) for row in self.rows]


def count_pairs(text, vocab, weight, reach, least):
    """Co-occurrence as a Table: value(a, x) = the sum of weight[d] over the places where x stands d tokens
    after a, d <= reach. Entries under `least` are summed but not kept. Weights are whole numbers: the order
    of such sums does not matter.

    >>> count_pairs(Text([0, 1, 2, 0, 2]), 3, [0, 2, 1], 2, 1.0).rows     # 0 2: 2 at distance 1, 1 at 2
    [[(1, 2.0), (2, 3.0)], [(0, 1.0), (2, 2.0)], [(0, 2.0), (2, 1.0)]]
    """
    ids, counts = text.ids, {}
    rows, get = [a * vocab for a in ids], counts.get
    left = [end - i for start, end in zip(text.starts, text.starts[1:]) for i in range(start, end)]
    for d in range(1, reach + 1):
        if weight[d]:
            progress.say("counting: pairs %d apart", d)
            keys = map(add, rows, ids[d:])
            if text.lines:                                # not across documents
                keys = [key for key, n in zip(keys, left) if n > d]
            for key, n in Counter(keys).items():
                counts[key] = get(key, 0.0) + n * float(weight[d])
    row_sum, column_sum, kept = [0.0] * vocab, [0.0] * vocab, [[] for _ in range(vocab)]
    for key, n in counts.items():
        a, x = divmod(key, vocab)
        row_sum[a] += n
        column_sum[x] += n
        if n >= least:
            kept[a].append((x, n))
    for row in kept:
        row.sort()
    return Table(kept, row_sum, column_sum, total(row_sum))


def pmi(table):
    """Positive pointwise mutual information (Church and Hanks 1990), as a Table: how much oftener than chance
    a and x meet, max(0, log(p(a, x) / (p(a) q(x)))), q(x) being n(x)^0.75 over the sum of all such, so that
    what is rare is not overrated (Levy, Goldberg and Dagan 2015).

    >>> table = Table([[(0, 1.0), (1, 3.0)], [(0, 4.0)]], [4.0, 4.0], [5.0, 3.0], 8.0)
    >>> [(x, "%.3f" % value) for x, value in pmi(table).rows[0]]    # log(3/8 / (4/8 q)), q = 0.405
    [(1, '0.615')]
    """
    flat, rows = [exp(0.75 * log(n)) if n > 0.0 else 0.0 for n in table.column_sum], []
    whole = total(flat)
    for row, n in zip(table.rows, table.row_sum):
        values = [(x, log(value * whole / (n * flat[x]))) for x, value in row]
        rows.append([(x, value) for x, value in values if value > 0.0])
    return Table(rows)


ROOM_FOR_TRACE = 16         # tokens: the reach of the Hebbian trace
ROOM_FOR_PROMISE = 12       # tokens: a promise counts where it is kept within so many
WHOLE = 720720              # the least common multiple of 1 .. 16: WHOLE / distance is a whole number


class Metaweights:
    """What is counted in a text of token ids: weights that nobody trained, a language model already.

    chain    the probability of the next token after the last order - 1
    trace    the Hebbian trace (what fires together wires together: Hebb 1949): PMI of (a, then x) at
             distances 2 .. 16 (1 is the chain's), each meeting weighed by 1 / distance
    promise  prophecy: the log of how much likelier x is within 12 tokens after an a than within any 12,
             where it is likelier
    share    destiny: how much of the text each token is, [vocab]

    Positional affinity, the pairs at each distance alone, is counted where it is read, in chapter IV.
    """

    def __init__(self, ids, vocab, order=3, starts=None):
        self.text, self.vocab = Text(ids, starts), vocab
        self.chain = Chain(self.text, vocab, order)
        weight = [0, 0] + [WHOLE // d for d in range(2, ROOM_FOR_TRACE + 1)]
        # dropped where all meetings of a pair weigh no more than one at distance 3
        self.trace = pmi(count_pairs(self.text, vocab, weight, ROOM_FOR_TRACE, WHOLE / 3.0 + 1.0))
        often = Counter(ids)
        self.promise = self.promises(often)
        self.share = [(often[x] + 0.5) / (len(ids) + 0.5 * vocab) for x in range(vocab)]

    # Second reading

    def promises(self, often):
        """log((met + chance) / ((n(a) + 1) chance)), met: how many of the n(a) places of a have an x within
        12 tokens, once or more; chance: that any 12 tokens have one, 1 - (1 - share of x)^12."""
        met, rows, chance = [Counter() for _ in range(self.vocab)], [], []
        for ids in self.text.documents():
            for i, a in enumerate(ids, 1):
                met[a].update(set(ids[i:i + ROOM_FOR_PROMISE]))
        for x in range(self.vocab):
            q = 1.0 - often[x] / len(self.text.ids)
            q3 = q * q * q
            chance.append(1.0 - q3 * q3 * (q3 * q3))
        for a in range(self.vocab):
            progress.say("counting: promises, %d of %d", a, self.vocab)
            values = [(x, log((k + chance[x]) / ((often[a] + 1.0) * chance[x])))
                      for x, k in sorted(met[a].items()) if k >= 2]
            rows.append([(x, value) for x, value in values if value > 0.0])
        return Table(rows)


# What the speaker of chapter VI must know of words and sentences; and the tree of whole words

UNKNOWN, BEGUN, WHOLE_WORD = range(3)
STUB = 4.0                  # nats, times trust: what a token loses that would end the word under way
                            # unfinished
BREAK = 1.6                 # and what one loses that goes on with it as no word does
NEVER = 20.0                # what a token loses that cannot come
LONGEST_WORD = 48           # bytes: a longer run of letters is no word but a text without spaces, and is not
                            # spelled
HAN = re.compile(b"[\xe3-\xe9]")        # so Han and kana begin in UTF-8: they stand without spaces, a run of
                                        # them is no word
BRACKETS = {**dict.fromkeys(b"([{", 1), **dict.fromkeys(b")]}", -1), 34: 34, 10: 10}

Trait = namedtuple("Trait", "white begins ends length han closes breaks digit brackets")
Trait.__doc__ = """What there is to know of a token: is it white space, does it begin and end so; how many
bytes and how many characters of Han and kana; does it end a sentence, a line; has it a digit; its brackets,
quotes and line ends (BRACKETS)."""


def trait_of(text):
    """The Trait of a token."""
    white, core = [KIND[byte] >= SPACE for byte in text], text.rstrip(b")]}\"'")
    return Trait(all(white), white[0], white[-1], len(text), len(HAN.findall(text)),
                 core.endswith((b".", b"!", b"?", b"\xe3\x80\x82")), b"\n" in text,
                 DIGIT in [KIND[byte] for byte in text],
                 [BRACKETS[byte] for byte in text if byte in BRACKETS])


LINE, STOP = range(2)       # what a token may end: a line, a sentence
OLD = 1023                  # bytes: what has lasted longer counts as this old
FEW = 70.0                  # tokens: an age that was met so often goes half by itself, half by all
DUE = 0.8                   # of what the ages know: the chain knows some of it


class Lives:
    """How long the lines and the sentences of a text last, in bytes: a table of their lives, as Halley (1693)
    made one of people's. Of those that have come to an age, how many end there?

    traits  of each token        ends  {token: LINE or STOP}, of those that end one
    due     for LINE and STOP, at each age: log(share of ends among the tokens that come at this age / among
            all), FEW tokens being as all are. Ages of one int(8 sqrt(age)) are one: the older, the coarser
    lines   is each line a document?

    >>> lives = Lives(Text([0, 1] * 300 + [0, 0, 1] * 100), [b"a", b"."])        # sentences of two, of three
    >>> ["%.1f" % lives.due[STOP][age] for age in (1, 2, 3)]
    ['-1.9', '0.5', '0.6']
    """

    def __init__(self, text, tokens):
        self.traits, self.ends, self.due, self.lines = list(map(trait_of, tokens)), {}, [], text.lines
        for token, trait in enumerate(self.traits):
            if trait.breaks or trait.closes:
                self.ends[token] = LINE if trait.breaks else STOP
        came, ended = ([[0] * (OLD + 1) for _ in (LINE, STOP)] for _ in range(2))           # at each age
        for ids in text.documents():
            lasted = 1, 1
            for i, token in enumerate(ids):
                line, sentence = lasted
                if i >= text.lines:
                    came[LINE][line] += 1
                    came[STOP][sentence] += 1
                    if token in self.ends:
                        what = self.ends[token]
                        ended[what][lasted[what]] += 1
                lasted = self.after(lasted, token)
        cells = [int(8.0 * sqrt(age)) for age in range(OLD + 1)]
        for n, k in zip(came, ended):
            share, n_in, k_in = total(k) / max(total(n), 1.0), [0] * (cells[-1] + 1), [0] * (cells[-1] + 1)
            for age, cell in enumerate(cells):
                n_in[cell] += n[age]
                k_in[cell] += k[age]
            self.due.append([log((k_in[cell] + FEW * share) / (n_in[cell] + FEW) / share) if share else 0.0
                             for cell in cells])

    def after(self, lasted, token):
        """How old the line and the sentence are after the next token; a new one is 1."""
        (line, sentence), what, size = lasted, self.ends.get(token), self.traits[token].length
        return 1 if what == LINE else min(line + size, OLD), min(sentence + size, OLD) if what is None else 1


def words_of(data):
    """The words of a text and how often each is met: its pieces that are not white, without their space, of
    what is longer than any token the beginning.

    >>> words_of(b"to be,  or to")
    Counter({b'to': 2, b'be': 1, b',': 1, b'or': 1})
    """
    words = Counter()
    for piece, n in Counter(PIECE.findall(data)).items():
        if KIND[piece[-1]] < SPACE:
            words[piece.lstrip(b" ")[:LONGEST]] += n
    return words


class Words:
    """The words of a text, sorted; and the tokens by what they spell.

    counts, more   how often each word was met; words to be known besides
    tokens, pairs  the bytes of each token; what each that is no byte was joined of
    joins          for each token those that were joined of it and another after it
    trust          the share of the text's words that were met more than once
    han            are there characters of Han or kana in the text?
    lives          how long its lines and sentences last, or None
    """

    def __init__(self, counts, tokenizer, more=(), han=False, lives=None):
        self.sorted, self.ends, self.han, self.lives = sorted({*counts, *more}), {}, han, lives
        self.tokens, self.pairs = tokenizer.text, dict(enumerate(tokenizer.pairs, tokenizer.base))
        self.joins = [[] for _ in self.tokens]
        for token, (left, _) in self.pairs.items():
            self.joins[left].append(token)
        self.trust = 1.0 - list(counts.values()).count(1) / sum(counts.values()) if counts else 0.0
        self.spelled = {}                                 # bytes -> the tokens that spell them
        # kind -> the tokens that go on with a word of that kind
        self.inside = [[] for _ in range(SPACE)]
        for token, text in enumerate(self.tokens):
            if KIND[text[0]] < SPACE:
                self.spelled.setdefault(text, []).append(token)
                self.inside[KIND[text[0]]].append(token)
        self.lengths = {len(text) for text in self.spelled}

    def find(self, word):
        """UNKNOWN: no word begins so; BEGUN: some word does; WHOLE_WORD: it is a word."""
        at = bisect.bisect_left(self.sorted, word)
        if at == len(self.sorted) or not self.sorted[at].startswith(word):
            return UNKNOWN
        return WHOLE_WORD if self.sorted[at] == word else BEGUN

    def endings(self, word):
        """The tokens that go on with a word begun as some word does."""
        if word not in self.ends:
            at, n, found = bisect.bisect_left(self.sorted, word), len(word), set()
            while at < len(self.sorted) and self.sorted[at].startswith(word):
                for k in self.lengths:
                    found.update(self.spelled.get(self.sorted[at][n:n + k], ()))
                at += 1
            self.ends[word] = list(found)
        return self.ends[word]

    def parted(self, token):
        """The tokens that cannot come after this one inside a word: encoding would have joined what ends the
        one and what begins the other before it joined either to its own neighbour. Tokens count up in the
        order of joining.

        >>> tokenizer = Tokenizer.learn(b"low lower lowest", merges=3)
        >>> words = Words({}, tokenizer)
        >>> [tokenizer.text[x] for x in sorted(words.parted(tokenizer.encode(b"l")[0]))]
        [b'o']
        """
        found, before = set(), len(self.tokens)           # before: what joined the end to its neighbour
        while True:
            for joined in self.joins[token]:
                if joined < before:
                    _, begins = self.pairs[joined]
                    found.add(begins)
                    longer = [other for other in self.joins[begins] if other >= joined]
                    while longer:
                        found.add(longer[-1])
                        longer += self.joins[longer.pop()]
            if token not in self.pairs:
                return found
            before, (_, token) = token, self.pairs[token]


class Spelling:
    """The word under way in a text, without its space (between words it is empty), and what may follow it;
    and how long the line and the sentence have lasted."""

    def __init__(self, words):
        self.words = words
        self.clear()

    def clear(self):
        """A new document."""
        self.word, self.known, self.free, self.last = b"", WHOLE_WORD, False, None
        self.lasted = 1, 1

    def write(self, token):
        """The next token."""
        self.last = token
        if self.words.lives:
            self.lasted = self.words.lives.after(self.lasted, token)
        for byte in self.words.tokens[token]:
            if not self.goes_on(byte):
                self.word = b""
            if KIND[byte] < SPACE:
                self.word += bytes([byte])
        self.word = self.word[-(LONGEST + 1):]            # no word is longer: its end will do
        self.known = self.words.find(self.word) if self.word else WHOLE_WORD
        self.free = len(self.word) > LONGEST_WORD or HAN.search(self.word[-3:]) is not None

    def goes_on(self, byte):
        """Would a byte go on with the word under way? After a character of Han or kana none does that begins
        another."""
        return (bool(self.word) and KIND[byte] == KIND[self.word[0]]
                and (0x80 <= byte < 0xC0 or not HAN.search(self.word[-3:])))

    def allows(self, data):
        """May these bytes, a token's, come next? They must go on like a word, or begin like one after a whole
        one. A word that the corpus does not have, in the prompt, is whole."""
        words, core = self.words, data[KIND[data[0]] >= SPACE:]
        if self.goes_on(data[0]):
            return (self.free or words.han and HAN.search(data) is not None
                    or words.find(self.word + data) != UNKNOWN)
        if self.known == BEGUN and not self.free:
            return False
        return (not core or KIND[core[0]] >= SPACE or words.han and HAN.search(core) is not None
                or words.find(core) != UNKNOWN)

    def spelled(self, heard=True):
        """What each token would cost the word under way, in nats, 0 or negative: times trust, for where many
        words of a text are new (Good 1953: as often as one was met once), the next may be new too. In a text
        that is heard what ends a line or a sentence gains where many that have lasted as long end, and the
        tokens that encoding would have joined cannot come. Who speaks may go on with a prompt that was cut
        anywhere, and has rules for ends; but with `lines` they come in time too.  -> [vocab]"""
        words, unfinished = self.words, self.known == BEGUN and not self.free
        f = [-(STUB * words.trust) if unfinished else 0.0] * len(words.tokens)
        if self.word and self.known != UNKNOWN and not self.free:
            for token in words.inside[KIND[self.word[0]]]:
                f[token] = -(BREAK * words.trust)
            for token in words.endings(self.word):
                f[token] = 0.0
        timed = words.lives and (heard or words.lives.lines)
        for token, what in words.lives.ends.items() if timed else ():
            f[token] += DUE * words.lives.due[what][self.lasted[what]]
        for token in words.parted(self.last) if heard and self.word else ():
            f[token] = -NEVER
        return f


LONG = 16                   # bytes: in a script without spaces so many count as a word; a character of Han or
                            # kana is one
SENTENCE = 5                # words: a sentence that has as many is not short

class Reader:
    """Reads a text token by token, as whoever speaks must: in words and sentences. traits: of each token.

    words   how many have begun; what follows white space begins one
    spoken  the same since the sentence began
    nested  how many brackets are open, and 8 more within quotes; a line's end closes all

    >>> reader = Reader([trait_of(text) for text in (b"Words", b" (in", b" one", b")", b".")])
    >>> for token in (0, 1, 2): reader.read(token)
    >>> reader.words, reader.spoken, reader.nested, reader.ended
    (3, 3, 1, False)
    """

    def __init__(self, traits):
        self.traits = traits
        self.clear()

    def clear(self):
        """A new document."""
        self.words = self.spoken = self.nested = self.length = 0
        self.apart = self.ended = True                    # what comes begins a word, a sentence

    def read(self, token):
        """The next token."""
        white, begins, ends, length, han, closes, breaks, _, brackets = self.traits[token]
        self.length += length
        if not white:
            if han or begins or self.apart or self.length > LONG:
                self.words, self.length = self.words + (han or 1), length
                self.spoken = (0 if self.ended else self.spoken) + (han or 1)
            self.ended = closes
        self.apart, self.ended = ends, self.ended or breaks
        for kind in brackets:
            if kind == 10:
                self.nested = 0
            elif kind == 34:
                self.nested ^= 8
            elif 0 <= self.nested % 8 + kind < 8:
                self.nested += kind


SHARED = 2                  # words that a good junction shares with where it goes
JUNCTION = 64               # tokens: words that take more share nothing
FAR = 20                    # words: as far as until_fork looks


class Places:
    """Where a text has what it has: the index a speaker goes by. A place is a position in ids: what it
    follows, what follows it.

    after  (a, b) -> the places that an a and a b stand before, the oldest first; none is the text's end
    words, spoken, nested, ended  [n + 1]: what a Reader knows at each place
    home   [n + 1]: the words at the next end of a sentence
    fork   [n]: is this a place to leave the text?    leave  [n + 1]: the words at the next one
    bare   token -> the same without its space: " The" begins a sentence as "The" begins a paragraph
    traits of each token
    """

    def __init__(self, ids, tokenizer, traits):
        self.ids, self.after, self.bare, self.traits = ids, {}, list(range(tokenizer.vocab)), traits
        for token, text in enumerate(tokenizer.text):
            if text[:1] == b" " and text[1:2].isupper():
                bare = tokenizer.encode(text[1:])
                self.bare[token] = bare[0] if len(bare) == 1 else token
        same = self.same = [self.bare[token] for token in ids]
        for place, pair in enumerate(zip(same, same[1:-1]), 2):
            self.after.setdefault(pair, []).append(place)
        reader, known = Reader(self.traits), [(0, 0, 0, True)]
        for token in ids:
            reader.read(token)
            known.append((reader.words, reader.spoken, reader.nested, reader.ended))
        self.words, self.spoken, self.nested, self.ended = zip(*known)
        self.home = self.next_words(self.ended[:-1])
        self.fork = self.find_forks()
        self.leave = self.next_words(self.fork)

    def find_forks(self):
        """Where to leave the text: where a sentence ends; and where another place shares SHARED words with
        it, stands within as many brackets, and goes on otherwise.  -> [n]"""
        words, follows, keys, start = self.words, {}, [], 0
        for at, token in enumerate(self.same):
            while start + 2 < at and words[at] - words[start + 1] >= SHARED:
                start += 1
            far = words[at] - words[start] >= SHARED and 2 <= at - start <= JUNCTION
            keys.append((self.nested[at], *self.same[start:at]) if far else None)
            if far and follows.setdefault(keys[-1], token) != token:
                follows[keys[-1]] = None                  # it goes on in two ways
        return [ended or follows.get(key, 0) is None for ended, key in zip(self.ended, keys)]

    def next_words(self, marks):
        """The words at the next place that is marked, or at the text's end.  [n] -> [n + 1]"""
        found = [self.words[-1]]
        for marked, words in zip(reversed(marks), reversed(self.words[:-1])):
            found.append(words if marked else found[-1])
        return found[::-1]

    def until_fork(self, place):
        """How many words one must say from a place on to come to one where the text forks; FAR at most."""
        return min(self.leave[place + 1] - self.words[place], FAR)

    def until_home(self, place):
        """How many words one must say from a place on to come to the end of its sentence."""
        return self.home[place + 1] - self.words[place]


COMMON = 400                # a word more frequent than one in so many,
EVEN = 2.5                  # whose gaps' mean square is under so many times their mean's square (2: chance),
                            # means nothing
BRANCHES = 5, 3             # of a tree: how many are nearest to a word, and to each of them


def letters_of(data):
    """The words of letters in data, in order, small and capital letters alike."""
    return [piece.lstrip(b" ").lower() for piece in PIECE.findall(data) if KIND[piece[-1]] == LETTER]


class Company:
    """Whole words and the company they keep, counted as the trace of tokens is. Two words are near where the
    same words stand before and after them: the cosine of what they keep, 0 to 1."""

    def __init__(self, data):
        text = letters_of(data)
        self.names = sorted(set(text))
        self.number = {name: i for i, name in enumerate(self.names)}
        ids, n = [self.number[word] for word in text], len(self.names)
        weight = [0] + [WHOLE // d for d in range(1, ROOM_FOR_TRACE + 1)]
        self.after = pmi(count_pairs(Text(ids), n, weight, ROOM_FOR_TRACE, 1.0))
        self.before = self.after.transposed()
        self.square = [total([value * value for _, value in self.after.rows[a] + self.before.rows[a]])
                       for a in range(n)]
        places = [[] for _ in range(n)]
        for at, a in enumerate(ids):
            places[a].append(at)
        self.met, self.common = list(map(len, places)), []
        # the text is a ring: after the last place comes the first
        for at in places:
            gaps = total([float(b - a) * float(b - a) for a, b in zip(at, [*at[1:], at[0] + len(ids)])])
            self.common.append(len(at) > 8 and len(at) * COMMON > len(ids)
                               and gaps * len(at) < EVEN * float(len(ids)) * float(len(ids)))

    def nearest(self, a, most, shown):
        """Up to `most` words that carry meaning and are not in `shown`, which gets them: (similarity, word),
        the nearest first."""
        near = [0.0] * len(self.names)
        for table, back in (self.after, self.before), (self.before, self.after):
            for k, value in table.rows[a]:
                for x, other in back.rows[k]:
                    near[x] += value * other
        found = sorted([(-(s / sqrt(self.square[a] * self.square[x])), x) for x, s in enumerate(near)
                        if s > 0.0 and self.met[x] > 2 and not self.common[x] and x not in shown])[:most]
        shown.update([x for _, x in found])
        return [(-s, x) for s, x in found]

    def tree(self, words):
        """Lines of bytes: each of the words that carries meaning (if none does, each), and who is nearest to
        it, two levels deep."""
        telling = [word for word in words if word not in self.number or not self.common[self.number[word]]]
        for word in dict.fromkeys(telling or words):
            yield word + (b"" if word in self.number else b"  (not in the corpus)")
            if word in self.number:
                yield from self.branch(self.number[word], {self.number[word]}, "", BRANCHES)

    def branch(self, a, shown, bars, sizes):
        """The lines under a word: the sizes[0] nearest, under each of them the sizes[1] nearest to it, ..;
        bars: of the levels above."""
        found = self.nearest(a, sizes[0], shown) if sizes else ()
        for i, (s, x) in enumerate(found, 1):
            last = i == len(found)
            stem = bars + ("\u2514" if last else "\u251c") + "\u2500\u2500 "
            yield stem.encode() + b"%s  %.2f" % (self.names[x], s)
            yield from self.branch(x, shown, bars + ("    " if last else "\u2502   "), sizes[1:])


# ---------------------------------------------------------------------------------------------
# III  TRANSFORMER: content heads, RRPRAM heads, one residual stream (Vaswani and others 2017)
#
# A token becomes a vector x, the residual stream; each part reads it and adds to it; the output head turns
# the last x into logits, a score for each token. At place i of the window, with n = rmsnorm(x):
#
#     first          x_i = wte[token] + wpe[i]                                    # [embd]
#     each layer     x = x + concat(heads) Wo                                     # what its heads bring, then
#                    x = x + relu(n W_up) W_down                                  # the MLP
#     content head   a_ij = (n_i Wq) . (n_j Wk) / sqrt(head_dim)   for j <= i     what is relevant
#     RRPRAM head    a_ij = n_i . Wr[:, j]                         for j <= i     which places form a pattern
#     either brings  softmax over j of a_ij, times n_j Wv                         # [head_dim]
#     last           logits = rmsnorm(x) W_head                                   # [vocab]
#
# In a content head place i asks with its query, n_i Wq, and each place j answers with its key, n_j Wk: the
# better they fit, the more of j's value, n_j Wv, comes to i.
#
# RRPRAM is the Recursive Resonant Pattern Recognition Attention Mechanism: its scores do not compare two
# tokens; they depend on x_i and on the number j alone, not on the token there (Wr has a column for each
# place). With sines and cosines of the place in x_i and in Wr, it looks at one distance back: chapter IV.
#
# By default (Shape) there are 2 layers of 2 content and 2 RRPRAM heads, x is 48 numbers wide (embd), a head
# 12 (head_dim, embd / heads), the MLP 192, and a window has 64 places (context).

def zeros(n, m):
    """A matrix of zeros.  [n][m]"""
    return [[0.0] * m for _ in range(n)]


class Layer:
    """The matrices of one layer, rows first."""

    def __init__(self, shape):
        embd, hidden = shape.embd, shape.mlp * shape.embd
        self.q, self.k, self.v = (zeros(embd, shape.content_dim) for _ in range(3))       # content heads
        self.r = [zeros(embd, shape.context) for _ in range(shape.rrpram)]    # RRPRAM heads: a column a place
        self.rv = zeros(embd, shape.rrpram_dim)
        self.out, self.up, self.down = zeros(embd, embd), zeros(embd, hidden), zeros(hidden, embd)

    def matrices(self):
        """All of them, in the order of postgpt.c's parameters."""
        return [self.q, self.k, self.v, *self.r, self.rv, self.out, self.up, self.down]


class Transformer:
    """wte [vocab][embd], wpe [context][embd], layers, head [embd][vocab], all zero at first."""

    def __init__(self, shape, vocab=1280):
        self.shape, self.vocab = shape, vocab
        self.wte, self.wpe = zeros(vocab, shape.embd), zeros(shape.context, shape.embd)
        self.head = zeros(shape.embd, vocab)
        self.layers = [Layer(shape) for _ in range(shape.layers)]

    def matrices(self):
        """All matrices, in the order of postgpt.c's parameters."""
        return [self.wte, self.wpe, *(m for layer in self.layers for m in layer.matrices()), self.head]

    def n_params(self):
        """The number of parameters."""
        return sum(len(row) for matrix in self.matrices() for row in matrix)


class Window:
    """The text that the transformer sees, going through it token by token, keys and values cached.

    Its matrices are Rows: m.times(x, y) is y + x m without m's rows of zeros, as long as y is.

    ids   the window's tokens, n of them, n <= context
    keys  [layers][content_dim][n]       values  [layers][heads][n][head_dim]
    seen  for each layer and head, how the newest token's attention is shared among the window's tokens
    """

    def __init__(self, net):
        self.net, self.head = net, Rows(net.head)
        self.layers = [(Rows(layer.q), Rows(layer.k), Rows(layer.v), list(map(Rows, layer.r)), Rows(layer.rv),
                        layer.out and Rows(layer.out), Rows(layer.up), Rows(layer.down))
                       for layer in net.layers]
        self.clear()

    def clear(self):
        """Forgets everything."""
        shape = self.net.shape
        self.ids, self.x, self.seen = [], None, []
        self.keys = [[[] for _ in range(shape.content_dim)] for _ in range(shape.layers)]
        self.values = [[[] for _ in range(shape.content + shape.rrpram)] for _ in range(shape.layers)]

    def forward(self, token):
        """One token through all layers at the window's next position; the residual stream is left in x."""
        x = list(map(add, self.net.wte[token], self.net.wpe[len(self.ids)]))             # [embd]
        self.ids.append(token)
        self.seen = []
        for layer, keys, values in zip(self.layers, self.keys, self.values):
            *heads, out, up, down = layer
            if out:                                       # its heads may have been silenced: chapter VIII
                x = out.times(self.attend(heads, keys, values, rmsnorm(x)), x)
            if down.at:                                   # any row of down but zeros: [hidden] -> [embd]
                x = down.times([u if u > 0.0 else 0.0 for u in up.times(rmsnorm(x))], x)
        self.x = x

    def attend(self, heads, keys, values, normed):
        """What the heads of a layer bring to the newest token from the window's places.  [embd] -> [embd]"""
        q, k, v, r, rv = heads
        content, d, n = self.net.shape.content, self.net.shape.head_dim, len(self.ids)
        root = sqrt(d)
        for row, key in zip(keys, k.times(normed)):
            row.append(key)
        query, value, mixed = q.times(normed), v.times(normed) + rv.times(normed), []
        for h, cached in enumerate(values):
            cached.append(value[h * d:h * d + d])
            if h < content:                               # q_i . k_j / sqrt(d)
                score = matvec([0.0] * n, query[h * d:h * d + d], keys[h * d:h * d + d])
                score = [s / root for s in score]         # [n]
            else:                                         # n_i . Wr[:, j], only the first n columns
                score = r[h - content].times(normed, [0.0] * n)
            self.seen.append(softmax(score))
            mixed += matvec([0.0] * d, self.seen[-1], cached)         # [n], [n][head_dim] -> [head_dim]
        return mixed

    def push(self, token):
        """The next token of a text of any length. When the context is full it slides: the newest half of it
        becomes the first positions, computed anew, so that the cost a token stays constant."""
        if len(self.ids) == self.net.shape.context:
            newest = self.ids[-(len(self.ids) // 2):]
            self.clear()
            for old in newest:
                self.forward(old)
        self.forward(token)

    def logits(self):
        """What the transformer says of the next token.  -> [vocab]"""
        return self.head.times(rmsnorm(self.x))


# Second reading of III

def randomize(net, seed):
    """Random weights instead of the ghost of chapter IV: what training usually starts from."""
    rng, root = Rng(seed), sqrt(net.shape.embd)
    for matrix in net.matrices():
        for row in matrix:
            row[:] = [(rng.uniform() - 0.5) / root for _ in row]


class Shape:
    """The transformer's shape, whole numbers within LIMITS. Raises ValueError, also where the heads do not
    divide embd, and TypeError."""

    LIMITS = dict(layers=(1, 32), embd=(2, 1024), content=(0, 64), rrpram=(0, 64),
                  context=(2, 4096), mlp=(1, 16))

    def __init__(self, layers=2, embd=48, content=2, rrpram=2, context=64, mlp=4):
        self.layers, self.embd, self.content = layers, embd, content
        self.rrpram, self.context, self.mlp = rrpram, context, mlp
        for name, (low, high) in self.LIMITS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise (ValueError if isinstance(value, int) else TypeError)(
                    "%s is a whole number from %d to %d, not %r" % (name, low, high, value))
        heads = content + rrpram
        if not heads or embd % heads:
            raise ValueError("embd=%d cannot be divided among %d heads (content + rrpram)" % (embd, heads))
        self.head_dim = embd // heads
        self.content_dim, self.rrpram_dim = content * self.head_dim, rrpram * self.head_dim


class Rows:
    """A matrix as its rows that are not all zero: the ghost leaves many empty, and an empty row adds
    nothing."""

    def __init__(self, matrix):
        self.at = [i for i, row in enumerate(matrix) if any(row)]
        self.rows, self.zeros = [matrix[i] for i in self.at], [0.0] * len(matrix[0])

    def times(self, x, y=None):
        """y + x W, y zero where it is not given. Where y is shorter than the rows, so is what comes back."""
        return matvec(self.zeros if y is None else y, [x[i] for i in self.at], self.rows)


# ---------------------------------------------------------------------------------------------
# IV  SEEDING: the ghost becomes flesh
#
# The ghost is a transformer that nobody trained: what its embeddings and heads know answers questions that
# the counts can answer, by least squares or one step of Newton's method; the MLP adds nothing yet. First,
# what stands where? The residual stream is divided into rooms (coordinates at width 48):
#
#     |             follow             | before | place | 1 | f |
#     0                               33       42      46  47  48
#
# follow: x, who follows the token; before: empty, until a head writes there who stood before; place: two
# sines and two cosines of it; 1: a constant, through whose row a matrix can add anything fixed or take it
# off, such as a mean; f: what fills every embedding up to one length, so that RMSNorm multiplies all by the
# same number (what the heads add makes a row a little longer).
#
# The first question: who follows whom (wte, head)? In this chapter x[a] is a vector for each token a, what
# the follow room of wte holds, and h[b] column b of the output head's rows for that room. Its row for the
# constant adds log unigram(b), so the logit of b is x[a] . h[b] + log unigram(b): a bigram, and it is to
# come close to the Kneser-Ney bigram P(b | a). The target is t = log(P(b | a) / unigram(b)), up to a
# constant, one for each a, which softmax does not see; call it c. Small misses cost nats (units of -log p):
# about half the mean of their squares, b drawn from the bigram and their own mean taken off. So each x[a] is
#
#     argmin over x and c of   sum over b of w_b (x . h[b] + c - t_b)^2 + RIDGE |x|^2
#
# (weighted least squares), where w_b is how often the bigram expects b after a. Where the slope is 0, c
# takes the weighted mean of the misses off: with m the weighted mean of h, h[b] - m stands for h[b] in what
# remains, the normal equations (Gauss 1809; vectors as columns, I the identity)
#
#     (sum over b of w_b (h[b] - m)(h[b] - m)^T + RIDGE I) x = sum over b of w_b t_b (h[b] - m)
#
# h begins as t's leading singular vectors (subspace), the few directions that rebuild t best; x, h and x are
# then fitted in turn by regress() (alternating least squares: Hu, Koren and Volinsky 2008), in a few rounds
# of conjugate gradients; even() makes all directions weigh alike. Constants of h's fit are dropped.
#
# The second question: what does a token further back tell that the bigram does not know (RRPRAM heads)? The
# head for the distance d looks at the token d before the one to come, d - 1 before the newest: its Wr holds
# the waves of later places, so that at place i of the window the score of place j,
#
#     a_ij = loud * waves(i) . waves(j + d - 1),      is largest where j = i - (d - 1)
#
# for the product of two places' waves is a sum of cosines of their distance. loud lets the next best place
# lose SHARPNESS (6) nats, so that 99 of 100 parts go to one place (if the window has it: its first token
# sees itself). What a head writes lands in the follow room, which the output head multiplies by h[b]. So it
# can add x_d P h[b]^T to the logit of b (vectors as rows from here on), x_d the x of the token there, less
# the mean of all, P a matrix and no probability. Which P? Newton's step goes from P = 0 to the bottom of the
# parabola that has the loss's slope there (of -log softmax: what is expected less what came) and its
# curvature (the covariance of the h[b] expected: the mean of (h[b] - e)^T (h[b] - e), e their mean).
#
#     loss(P) = - the mean over places of log softmax(log bigram + what nearer heads add + x_d P h^T)[next]
#     gradient  at 0:  -G,  G = the mean of x_d^T (h[next] - e),  e what is expected: the mean of h by the
#                      bigram, plus x_k P_k C, how far the head for each nearer distance k shifts it
#     curvature at 0:  the mean of x_d^T x_d P Cov(h | bigram), nearly Cov(x) P C,  C the mean of that Cov
#     Newton:  Cov(x) P C = G,  so  P = Cov(x)^-1 G C^-1    (Cov(x) and C mixed with I: SHRINK)
#
# Cut to as many directions as a head has columns, the strongest (svd, singular value decomposition: a sum of
# u_k s_k v_k^T, the largest s_k first), P = u diag(s) v^T: the head reads x_d u and writes it times s v^T.
#
# The third question: what stood here the last time (content heads)? Trained transformers of two layers or
# more form this circuit early: induction heads (Elhage and others 2021, Olsson and others 2022). The first
# RRPRAM head, that for d = 2, also writes what it reads, (x - mean) u of the token before, into the room
# `before`, as far as it goes. From layer 2 on, content heads ask, with the same u, where `before` is like
# the newest token (x_i: `follow` at i; power: the mean square of a number in `before`; RELEVANCE: 1.5):
#
#     q_i = (x_i - mean) u RELEVANCE / power,  k_j = before_j,  a_ij = q_i . k_j / sqrt(head_dim)
#
#     text      so | the | ghost | speaks | of     | the | ?
#     before    so | so  | the   | ghost  | speaks | of        the last `the` finds `ghost`: after a `the`
#
# What stands there came after such a token, and its like may come again: RRPRAM heads look by distance,
# content heads by likeness. A content head does not copy: for x_d comes the mean of x over all places,
# weighed by its attention, and what to say of it is Newton's step again, CHORUS (0.22) of the way. No table
# of pairs tells what such a head finds: G and the covariances are taken where it is tried, at LESSONS places
# of the corpus. (Follow by then holds more than x, what layer 1 added; the step takes it for x.)
#
# By default (REACH is 4) layer 1 has d = 2, which writes `before`, and d = 3; layer 2 has d = 4 and two
# content heads, which share the answer. The other three heads are silent, to be trained.

# three sizes; where the last three begin
Rooms = namedtuple("Rooms", "follow before waves place constant fill")


def rooms_of(embd, vocab, head_dim):
    """The Rooms of the residual stream. head_dim: the width of a head that looks back, or 0.

    >>> rooms_of(48, 1280, 12)
    Rooms(follow=33, before=9, waves=4, place=42, constant=46, fill=47)
    """
    waves = 4 if embd >= 12 and head_dim else 0
    before = min(head_dim, min(embd, WIDEST) // 5) if waves else 0
    follow = min(embd - 2 - waves - before, WIDEST, vocab - 1)      # a small vocabulary needs no more
    return Rooms(follow, before, waves, follow + before, embd - 2, embd - 1)


WIDEST = 64                 # coordinates of follow: more would fit accidents; the rest is free for training
NEAR = 3e-4                 # conjugate gradients stop at this share of the squared target
RIDGE = 0.1                 # added to each square, so that a row counted little stays near 0
ROUNDS = (4, 6, 6)          # of conjugate gradients for x, for h and x again; follow's width would be exact


def seed_follow(pairs, bigram, r):
    """x and h, who follows whom, from the counted pairs and their Kneser-Ney bigram.  -> [vocab][r],
    [vocab][r]

    P(b | a) = prob[b] + keep unigram(b), so t = log keep + log(1 + prob[b] / (keep unigram(b))). log keep is
    the same for all b and goes into c: a b never met after a has the target 0. And w_b = n(a) P(b | a) is a
    sum: `weight`, n(a) prob[b], where b was met after a, and left[a] right[b], n(a) keep unigram(b), for all.
    subspace() knows no weights: it gets t times sqrt(n(a) unigram(b)), and h is divided by sqrt(unigram(b)).
    """
    left, weight, target, scaled = [], [], [], []
    for a, (row, n) in enumerate(zip(pairs.rows, pairs.row_sum)):
        node = bigram.child.get(a) if row else None
        keep, prob = (bigram.backoff[node], bigram.prob[node]) if row else (0.0, {})
        left.append(n * keep)
        weight.append([(b, n * prob[b]) for b, _ in row])
        target.append([(b, log(1.0 + prob[b] / (keep * bigram.unigram[b]))) for b, _ in row])
        scaled.append([(b, t * sqrt(n * bigram.unigram[b])) for b, t in target[-1]])
    weight, target, right = Table(weight), Table(target), bigram.unigram
    h = weighed([1.0 / sqrt(p) for p in right], subspace(Table(scaled), r, 1))
    x = even(regress(h, weight, target, left, right, ROUNDS[0]), left)
    h = even(regress(x, weight.transposed(), target.transposed(), right, left, ROUNDS[1]), right)
    return regress(h, weight, target, left, right, ROUNDS[2]), h


SIZE = 0.2                  # of the residual stream: RMSNorm undoes it; what is small training turns sooner


def seed_embeddings(net, rooms, x, h, unigram):
    """Fills wte, wpe and head, room by room. The constant has a quarter of the square of follow and fill,
    the place a tenth of all three. -> scale (rmsnorm makes scale v of SIZE v, so that x . h comes out of wte
    and head); constant; swing, how far the waves go: what the heads must know
    """
    r, _, waves, place, constant_at, fill_at = rooms
    embd, square = net.shape.embd, [dot(row, row) for row in x]
    whole = 1.02 * max(square) + 0.01                     # more than the longest x: all can be filled up
    constant, length = sqrt(whole / 4.0), whole + whole / 4.0
    for t, row in enumerate(x):
        net.wte[t][:r] = [SIZE * k for k in row]
        net.wte[t][fill_at] = SIZE * sqrt(whole - square[t])
        net.wte[t][constant_at] = SIZE * constant
    swing = sqrt(length / (5.0 * waves)) if waves else 0.0
    for i, row in enumerate(net.wpe):
        row[place:place + waves] = [SIZE * swing * wave for wave in waves_at(i, net.shape.context)[:waves]]
    scale = sqrt(embd / (length + swing * swing * waves / 2.0))
    for k in range(r):
        net.head[k] = [row[k] / scale for row in h]
    net.head[constant_at] = [log(p) / (constant * scale) for p in unigram]
    return scale, constant, swing


def waves_at(i, context):
    """A sine and a cosine of a place for each of two waves, of lengths L, a window and a quarter (40 at
    least), and sqrt(L): one step turns the short wave as far as a whole short wave turns the long one."""
    slow = max(1.25 * context, 40.0)
    angles = [6.283185307179586 * i / period for period in (sqrt(slow), slow)]
    return [wave(angle) for angle in angles for wave in (sin, cos)]


def seed(net, meta):
    """Fills the transformer's matrices from what was counted: no gradient step."""
    shape, vocab, text = net.shape, net.vocab, meta.text
    rooms = rooms_of(shape.embd, vocab, shape.head_dim if shape.rrpram else 0)
    # positional affinity: who stands d before whom, at each distance that a head can look at; 1: who follows
    reach = min(shape.layers * shape.rrpram + 1, REACH) if rooms.waves and rooms.follow else 1
    apart = [None] + [count_pairs(text, vocab, [0] * d + [1], d, 1.0) for d in range(1, reach + 1)]
    bigram = Chain(text, vocab, 2)
    x, h = seed_follow(apart[1], bigram, rooms.follow) if rooms.follow else ([[] for _ in range(vocab)],) * 2
    stream = seed_embeddings(net, rooms, x, h, bigram.unigram)
    # the MLP adds nothing at first: down is zero; up is ready to be trained
    rng = Rng(1)
    for layer in net.layers:
        for row in layer.up:
            row[:] = [(rng.uniform() - 0.5) / sqrt(shape.embd) for _ in row]
    if rooms.follow:
        follow = Follow(text, apart[1], bigram, x, h, *stream)
        code = seed_rrpram(net, rooms, follow, apart)     # the directions that `before` tells, if any
        if code:
            seed_content(net, rooms, follow, text, code)


# Second reading of IV: the heads, and the linear algebra

SHRINK = 0.4                # of a covariance toward a sphere: its own mean square, times this, is added
SOLVE = 6                   # rounds of conjugate gradients for a shrunk covariance
CHORUS = 0.22               # how loud the content heads are
SHARPNESS = 6.0             # of a head that reads places: nats by which the next best place loses
WHISPER = 0.2               # how loud who stood before is told: RMSNorm is hardly to notice
RELEVANCE = 1.5             # of a head that reads likeness, nearly in standard deviations: it leans, and
                            # training may turn it
REACH = 4                   # tokens: RRPRAM heads are seeded for the distances 2, 3, .. up to this
LESSONS = 2048              # places of the corpus that content heads are seeded from


def conjugate(times, b, rounds):
    """x for which A x comes close to b, times(v) being A v, A symmetric and positive definite: conjugate
    gradients from 0 (Hestenes and Stiefel 1952). Each round costs one product, and as many rounds as
    coordinates would be exact; what is NEAR is near enough."""
    x, rest, way, square = [0.0] * len(b), b, b, dot(b, b)
    enough = NEAR * square
    for _ in range(rounds):
        if not square > enough:
            break
        image = times(way)
        along = dot(way, image)
        if not along > 0.0:                               # A is 0 in this direction
            break
        far = square / along
        x = [a + far * k for a, k in zip(x, way)]
        rest = [a - far * k for a, k in zip(rest, image)]
        last, square = square, dot(rest, rest)
        keep = square / last
        way = [a + keep * k for a, k in zip(rest, way)]
    return x


def outer(x, y):
    """The sum over a of x[a] y[a]^T.  [n][r], [n][m] -> [r][m]"""
    return [matvec([0.0] * len(y[0]), column, y) for column in zip(*x)]


def gram(x, weight=None):
    """The sum over a of weight[a] (or 1) x[a] x[a]^T, symmetric: half is computed.  [n][r], [n] -> [r][r]"""
    c, rest = [], x
    for column in zip(*(weighed(weight, x) if weight else x)):
        c.append([row[len(c)] for row in c] + matvec([0.0] * len(rest[0]), column, rest))
        rest = [row[1:] for row in rest]
    return c


def weighed(weight, x):
    """Row a of x, weight[a] times."""
    return [[w * k for k in row] for w, row in zip(weight, x)]


def regress(h, weight, target, left, right, rounds):
    """The x[a] of the normal equations, a row at a time. The pair (a, b) weighs weight(a, b) + left[a]
    right[b], and its target is 0 where it is not in the tables: only the pairs that were met cost time, for
    over all b the sum of right[b] h[b] h[b]^T is total(right) times the identity, h being even.  [vocab][r],
    Tables, [vocab]s -> [vocab][r]
    """
    r, x, whole, whole_mean = len(h[0]), [], total(right), matvec([0.0] * len(h[0]), right, h)
    for a, (l, weights, targets) in enumerate(zip(left, weight.rows, target.rows)):
        progress.say("seeding: %d of %d tokens", a, len(left))
        if not weights:
            x.append([0.0] * r)
            continue
        w, met = [value for _, value in weights], [h[b] for b, _ in weights]
        wt = [(value + l * right[b]) * t for (b, value), (_, t) in zip(weights, targets)]
        sum_w, sum_wt = l * whole, 0.0
        spare = RIDGE + sum_w
        for value, p in zip(w, wt):
            sum_w += value
            sum_wt += p
        # mean: times sum_w
        mean, columns = matvec([l * m for m in whole_mean], w, met), list(zip(*met))

        def squares(v):
            """The left side times v: (sum of w h h^T - mean mean^T / sum_w + (spare) I) v."""
            along = dot(mean, v) / sum_w
            y = [spare * a - along * m for a, m in zip(v, mean)]
            return matvec(y, map(mul, w, matvec([0.0] * len(w), v, columns)), met)

        aimed = matvec([0.0] * r, wt, met)
        x.append(conjugate(squares, [y - sum_wt * m / sum_w for y, m in zip(aimed, mean)], rounds))
    return x


def even(x, n):
    """Columns of x turned so that the sum over a of n[a] x[a] x[a]^T becomes total(n) times the identity:
    where all weigh alike, least squares need no products, and elsewhere a few rounds of conjugate gradients
    go far."""
    whole = total(n)
    root = [sqrt(a / whole) for a in n]
    return weighed([1.0 / a if a > 0.0 else 0.0 for a in root], orthonormalize(weighed(root, x)))


def solve(c, b):
    """A shrunk covariance's inverse times each of the vectors b.  [r][r], [n][r] -> [n][r]"""
    sphere = SHRINK * total([row[i] for i, row in enumerate(c)]) / len(c)
    return [conjugate(lambda v: matvec([sphere * k for k in v], v, c), list(row), SOLVE) for row in b]


class Follow:
    """What the heads are seeded from; every mean is over pairs that were counted.

    x, x_mean     [vocab][r]: less its mean; [r]
    expected[d]   [vocab][r]: of what stands d after a token, the mean h as the bigram says (d = 1); what the
                  head for d adds to it
    share         [vocab]: of the tokens that something follows
    xx, hh        [r][r]: the covariance of x, and of h where the bigram is known
    scale, constant, swing   as seed_embeddings found them
    """

    def __init__(self, text, pairs, bigram, x, h, scale=1.0, constant=1.0, swing=0.0):
        r = len(x[0])
        self.scale, self.constant, self.swing, self.h, expected = scale, constant, swing, h, []
        mean = matvec([0.0] * r, bigram.unigram, h)
        for a, n in enumerate(pairs.row_sum):
            node = bigram.child[a] if n > 0.0 else 0
            follows = bigram.prob[node] if node else {}
            expected.append(matvec([bigram.backoff[node] * k for k in mean] if node else [0.0] * r,
                                   follows.values(), [h[b] for b in follows]))
        self.share = [n / pairs.sum for n in pairs.row_sum]
        self.x_mean = matvec([0.0] * r, self.share, x)
        self.x = [list(map(sub, row, self.x_mean)) for row in x]
        self.xx, between = gram(self.x, self.share), gram(expected, self.share)
        whole = gram(h, [n / pairs.sum for n in pairs.column_sum])
        self.hh = [list(map(sub, *rows)) for rows in zip(whole, between)]
        if text.lines:
            expected[text.ids[0]] = [0.0] * r             # nothing follows a document's end
        self.expected = [None, expected]

    def step(self, xx, told, n, rank):
        """Newton's step as factors u diag(s) v^T of the rank that a head has room for. xx: the mean of x_d
        x_d^T; told: the sum of x_d (h less the h that was expected)^T; n: of how many.
        [r][r], [r][r] -> [r][rank], [rank], [r][rank]"""
        c = [[value / n for value in row] for row in told]
        c = solve(self.hh, zip(*solve(xx, zip(*c))))
        return svd(Table([list(enumerate(row)) for row in c]), rank, 4)

    def read(self, matrix, column, u, gain):
        """Lets a column of a matrix read (x less its mean) . u, `gain` times; the constant coordinate takes
        the mean off."""
        for i, a in enumerate(u):
            matrix[i][column] = a * gain / self.scale
        matrix[-2][column] = -(dot(self.x_mean, u) * gain / (self.constant * self.scale))

    def tell(self, matrix, row, v, gain):
        """Lets a row of a matrix add v, `gain` times, to the follow room."""
        matrix[row][:len(v)] = [SIZE * gain * a for a in v]


def seed_rrpram(net, rooms, follow, apart):
    """RRPRAM heads: each looks at one distance, the nearer first; the first also writes who stands there into
    `before`. -> the directions of x that it writes, [before][r]"""
    shape, code = net.shape, []
    d, at, r = shape.head_dim, shape.content_dim, rooms.follow
    # one step away, waves(i) . waves(j) is less by 1 - cos
    step = (1.0 - waves_at(1, shape.context)[1]) * follow.swing * follow.scale
    loud = SHARPNESS / step if rooms.waves else 0.0
    for l, layer in enumerate(net.layers):
        for n in range(shape.rrpram):
            distance = l * shape.rrpram + n + 2
            if distance >= len(apart):
                continue
            progress.say("seeding: heads that look %d back", distance)
            told = apart[distance].times(follow.h)
            # what is expected already: by the newest token, by nearer heads
            for nearer in range(1, distance):
                expected = apart[distance - nearer].times(follow.expected[nearer])
                told = [list(map(sub, *rows)) for rows in zip(told, expected)]
            u, s, v = follow.step(follow.xx, outer(follow.x, told), apart[1].sum, min(d, r))
            for j in range(shape.context):
                for k, wave in enumerate(waves_at(j + distance - 1, shape.context)):
                    layer.r[n][rooms.place + k][j] = loud * wave
            for k, (column, back) in enumerate(zip(zip(*u), zip(*v))):
                follow.read(layer.rv, n * d + k, column, 1.0)
                follow.tell(layer.out, at + n * d + k, back, s[k])
                if distance == 2 and k < rooms.before:
                    layer.out[at + n * d + k][rooms.follow + k] = SIZE * WHISPER
                    code.append(list(column))
            back = [matvec([0.0] * r, map(mul, s, row), list(zip(*v))) for row in u]
            follow.expected.append(outer(list(zip(*follow.x)), outer(list(zip(*back)), follow.hh)))
    return code


def read_windows(follow, text, context, code, relevance):
    """What a content head would bring together: on windows of the corpus, at each place, the mean of x where
    the code of the token before is alike to the newest one's. -> the sum of that mean times itself; times (h
    - the h expected); of how many places"""
    r, met, missed = len(follow.x[0]), [], []
    spans = [(at, min(at + context, end - 1)) for start, end in zip(text.starts, text.starts[1:])
             for at in ([start] if text.lines else range(start, end, context))]
    for at, end in spans[::max(len(text.ids) // LESSONS, 1)]:
        ids = text.ids[at:end]
        keys, near = list(zip(*[code[token] for token in ids[:1] + ids])), [follow.x[token] for token in ids]
        for i, token in enumerate(ids):
            alike = softmax(matvec([0.0] * (i + 1), [relevance * k for k in code[token]], keys))
            met.append(matvec([0.0] * r, alike, near))
            rest = follow.h[text.ids[at + i + 1]]
            for back, expected in zip(ids[i::-1], follow.expected[1:]):
                rest = list(map(sub, rest, expected[back]))
            missed.append(rest)
    return gram(met), outer(met, missed), len(met)


def seed_content(net, rooms, follow, text, first):
    """Content heads: they look where the token before is alike, in all layers but the first, where nobody
    knows yet who stood before. first: the directions of x that `before` tells, [before][r]"""
    shape, d = net.shape, net.shape.head_dim
    code = [[dot(row, column) for column in first] for row in follow.x]
    spread = gram(code, follow.share)
    likeness = total([row[k] for k, row in enumerate(spread)])
    if not shape.content or shape.layers < 2 or not likeness > 0.0:
        return
    relevance = RELEVANCE * len(first) / likeness
    xx, told, n = read_windows(follow, text, shape.context, code, relevance / sqrt(d))
    xx = [[value / n for value in row] for row in xx]
    u, s, v = follow.step(xx, told, n, min(shape.content_dim, rooms.follow))
    for layer in net.layers[1:]:
        for head in range(shape.content):
            for k, column in enumerate(first):
                follow.read(layer.q, head * d + k, column, relevance)
                layer.k[rooms.follow + k][head * d + k] = 1.0 / (WHISPER * follow.scale)
        for k, (column, back) in enumerate(zip(zip(*u), zip(*v))):
            follow.read(layer.v, k, column, 1.0)
            follow.tell(layer.out, k, back, CHORUS / (shape.layers - 1) * s[k])


def orthonormalize(rows):
    """Makes the columns of a matrix orthonormal, left to right (Gram and Schmidt, in the modified order); a
    column that the ones before it span becomes zero.  [n][r] -> [n][r]"""
    done = []
    for column in map(list, zip(*rows)):
        before = dot(column, column)
        for other in done:
            along = dot(other, column)
            column = [x - along * y for x, y in zip(column, other)]
        after = dot(column, column)
        scale = 1.0 / sqrt(after) if after > 1e-20 * before else 0.0
        done.append([x * scale for x in column])
    return list(map(list, zip(*done)))


def subspace(table, r, rounds):
    """[rows][r]: orthonormal columns that nearly span the table's leading right singular directions, by
    subspace iteration from a random start (Halko, Martinsson and Tropp 2011)."""
    back, rng = table.transposed(), Rng(1)
    q = [[rng.uniform() - 0.5 for _ in range(r)] for _ in table.rows]
    for _ in range(rounds):
        q = orthonormalize(back.times(table.times(q)))
    return q


def eigen(m):
    """Eigenvalues and eigenvectors of a small symmetric matrix by Jacobi's rotations (1846).  [n][n] -> [n],
    [n][n]; a row of the second is an eigenvector."""
    n = len(m)
    m = [row[:] for row in m]
    v = [[1.0 if i == j else 0.0 for j in range(n)] for i in range(n)]
    for _ in range(10):
        for p in range(n):
            for q in range(p + 1, n):
                off = m[p][q]
                if off * off <= 1e-24 * (m[p][p] * m[q][q]):
                    continue
                theta = (m[q][q] - m[p][p]) / (2.0 * off)
                t = (-1.0 if theta < 0.0 else 1.0) / (abs(theta) + sqrt(theta * theta + 1.0))
                c = 1.0 / sqrt(t * t + 1.0)
                s = t * c
                for row in m:
                    x, y = row[p], row[q]
                    row[p], row[q] = c * x - s * y, s * x + c * y
                for rows in m, v:
                    x, y = rows[p], rows[q]
                    rows[p] = [c * a - s * b for a, b in zip(x, y)]
                    rows[q] = [s * a + c * b for a, b in zip(x, y)]
    return [m[k][k] for k in range(n)], v


def svd(table, r, rounds):
    """The leading singular value decomposition, table ~ u diag(s) v^T, s falling.  -> [rows][r], [r],
    [rows][r]"""
    q = subspace(table, r, rounds)
    y = table.times(q)
    values, vectors = eigen(gram(y))
    order = sorted(range(r), key=lambda k: -values[k])
    axes = list(zip(*[vectors[k] for k in order]))
    s = [sqrt(values[k]) if values[k] > 0.0 else 0.0 for k in order]
    u = [[x / t if t > 1e-9 * s[0] else 0.0 for x, t in zip(matvec([0.0] * r, row, axes), s)] for row in y]
    return u, s, [matvec([0.0] * r, row, axes) for row in q]


# ---------------------------------------------------------------------------------------------
# V  THE DARIO FIELD: p(x | context) = softmax((B + alpha H + beta F + gamma A + T) / tau)
#
# All that is known of the next token x, weighed: tau is the temperature, P the chain of chapter II (in speech
# the Voice of chapter VI), z the transformer's logits, t_back the token `back` places before x.
#
#     B   (1 - d (1 - lambda)) log P(x) + d kappa z(x)    chain and transformer; d is the chain's doubt
#     H   sum of ECHO^(back-2) trace(t_back, x), back = 2 .. 16, but for the chain's context: resonance
#     F   spelled(x) + the sum of (sqrt(back) / 12) promise(t_back, x), back = 2 .. 11     prophecy: what was
#         promised and has not come since, the stronger the longer it is open (a twelfth earns nothing).
#         spelled: fines; word, sentence and line under way are to end as the corpus' do (in speech: word)
#     A   log(1 + heard(x) / (PRIOR share(x)))       destiny, the direction of the talk: how much more of x
#         it has than the corpus; heard(x): the sum over the places of x of DRIFT^(tokens since)
#     T   log(1 + odds recall(x) / P(x))             trauma: what followed earlier moments like this one
#
# recall is a small chain of this talk alone, a cache (Kuhn and De Mori 1990), that leaves the share `free`
# to others and sums to the rest: mixed, they are recall + free P, in proportion P + recall / free. The odds
# are trauma * level / free, trauma the coefficient, level a fading mean of the surprise, in nats: the less
# was expected of late, the more of recall is let in. Terms are added to log P: so T is a logarithm (it makes
# just this mixture where log P weighs 1; where it weighs less, T favours the improbable).

ECHO = 0.85                 # resonance fades by this with each token back
DRIFT = 0.995               # destiny keeps this much of what it heard at each token
PRIOR = 200.0               # tokens of the corpus that destiny has heard before the talk begins
CALM, HUSH = 0.3, 1e-3      # trauma keeps so much of its level at each token; below so many nats it is silent
DEPTH = 4                   # tokens of context that recall looks at

# as tests/measure/tune.py found them, on pieces that no figure is reported on
COEFFICIENTS = {"lambda": 0.54, "kappa": 0.4, "alpha": 0.08, "beta": 1.0, "gamma": 0.45, "trauma": 0.006}
TRAINED = {"lambda": 0.5, "kappa": 0.5}                  # a transformer that was trained is believed more
UNAIDED = 0.88              # lambda in FULL without its transformer, a row of chapter VIII

# Which terms speak in a mode: B the chain and Z the transformer (together the B of the title), H, F, A, T
META, TRANSFORMER, FULL = "BHF", "Z", "BZHFAT"
MODES = {"meta": META, "full": FULL, "transformer": TRANSFORMER}


class Field:
    """Hears a text token by token and says what it expects next. The transformer sees its window; the field
    remembers the last `memory` tokens of the document.
    window, words, voice   the transformer's Window, what is known of spelling, the Voice that speaks; or None
    """

    def __init__(self, meta, coefficients, memory, window=None, words=None, voice=None):
        self.meta, self.co, self.memory, self.window, self.voice = meta, coefficients, memory, window, voice
        self.spelling = Spelling(words) if words else None
        self.gone = 1.0                     # DRIFT to the power of the memory
        for _ in range(memory):
            self.gone *= DRIFT
        self.reset()

    def reset(self):
        """A new document."""
        self.ids = []
        self.before = []                    # the last earlier place of the same token, or -1
        self.newest = {}                    # the last place of each token
        self.level = 0.0                    # trauma, nats: 0 where all comes as expected
        self.destiny = [0.0] * self.meta.vocab
        for listener in self.spelling, self.window, self.voice:
            if listener:
                listener.clear()

    def push(self, token, expected):
        """The next token, and how much the chain expected it; 1 where it is spoken."""
        ids, n = self.ids, len(self.ids)
        self.level = CALM * self.level - (1.0 - CALM) * log(expected)
        ids.append(token)
        self.before.append(self.newest.get(token, -1))
        self.newest[token] = n
        self.destiny = [DRIFT * k for k in self.destiny]
        self.destiny[token] += 1.0
        if n >= self.memory:
            self.destiny[ids[n - self.memory]] -= self.gone                # what is forgotten leaves the sum
        if self.spelling:
            self.spelling.write(token)
        if self.voice:
            self.voice.write(token)
        if self.window:
            self.window.push(token)

    def start(self):
        """The oldest place that is remembered."""
        return max(len(self.ids) - self.memory, 0)

    def terms(self):
        """Every term for the token to come: log_p, z, h, f, a, t, [vocab] each, and the chain's doubt."""
        meta, ids, nothing = self.meta, self.ids, [0.0] * self.meta.vocab
        p = meta.chain.probs(ids)
        if self.voice:
            p = self.voice.speak(p)
        self.log_p, self.doubt = list(map(log, p)), meta.chain.doubt(ids)
        self.z = nothing
        if self.window:                                   # before the first token the chain speaks for it
            self.z = self.window.logits() if self.window.ids else self.log_p
        self.h, echo, met = nothing[:], 1.0, len([*meta.chain.nodes(ids)])
        for back in range(2, min(ROOM_FOR_TRACE, len(ids) - self.start()) + 1):
            for x, value in meta.trace.rows[ids[-back]] if back > met else ():
                self.h[x] += echo * value
            echo *= ECHO
        self.f = self.spelling.spelled(heard=not self.voice) if self.spelling else nothing[:]
        for _, promised in self.promised():
            for x, value in promised:
                self.f[x] += value
        self.a = [log(1.0 + k / (PRIOR * q)) if k > 0.0 else 0.0 for k, q in zip(self.destiny, meta.share)]
        recall, free = self.recall() if self.level > HUSH else ({}, 1.0)
        odds = self.co["trauma"] * self.level / free
        self.t = nothing[:]
        for x, value in recall.items():
            self.t[x] = log(1.0 + odds * value / p[x])

    def recall(self):
        """A chain of the talk itself, {x: recall(x)}, and what it leaves to the chain of the corpus, 0 to 1.
        It mixes what followed the newest 1, 2, .. DEPTH tokens (Witten and Bell 1991): of n tokens that
        followed a context, D of them different, recall(x) = (n(x) + D recall(x after the shorter context)) /
        (n + D)."""
        followed = [{} for _ in range(DEPTH)]
        for at, length in self.moments():
            x = self.ids[at + 1]
            for counts in followed[:length]:
                counts[x] = counts.get(x, 0) + 1
        recall, free = {}, 1.0
        for counts in followed:
            if counts:
                every = sum(counts.values()) + len(counts)
                keep = len(counts) / every
                free *= keep
                recall = {x: share * keep for x, share in recall.items()}
                for x, k in counts.items():
                    recall[x] = recall.get(x, 0.0) + k / every
        return recall, free

    def weights(self, use):
        """What each term is multiplied by in a mode. In FULL a chain that is sure weighs 1 and the
        transformer 0; one in full doubt lambda (without the transformer UNAIDED) and kappa; between, in
        proportion. By itself ("B") and in META the chain weighs 1."""
        if use == TRANSFORMER:
            return 0.0, 1.0, 0.0, 0.0, 0.0, 0.0
        co = self.co
        least = 1.0 if use in ("B", META) else co["lambda"] if "Z" in use else UNAIDED
        chain, net = 1.0 - self.doubt * (1.0 - least), self.doubt * co["kappa"]
        weights = chain, net, co["alpha"], co["beta"], co["gamma"], 1.0
        return [weight if name in use else 0.0 for name, weight in zip("BZHFAT", weights)]

    def logits(self, use):
        """The terms named in `use`, weighed and added.  -> [vocab]"""
        terms = self.log_p, self.z, self.h, self.f, self.a, self.t
        return matvec([0.0] * self.meta.vocab, self.weights(use), terms)

    # Second reading

    def expected(self, token):
        """How much the chain expects a token."""
        return self.meta.chain.token_prob(self.ids, token)

    def parts(self, use, x):
        """What each term adds to the logit of x: chain, transformer, H, F, A, T."""
        terms = self.log_p, self.z, self.h, self.f, self.a, self.t
        return [weight and weight * term[x] for weight, term in zip(self.weights(use), terms)]

    def listen(self, ids, context):
        """Pushes a text of any length: what nobody remembers at its end is left out.

        A full window drops its older half at a time: what is dropped by now need not go through it.

            context 4, 11 tokens    0 1 2 3, 2 3 4 5, 4 5 6 7, 6 7 8 9, 8 9 10: only 8 9 10 are pushed
        """
        n, drop, window, voice = len(ids), context - context // 2, self.window, self.voice
        self.window = self.voice = None
        for token in ids[max(n - self.memory - context, 0):]:
            self.push(token, self.expected(token))
        self.window, self.voice = window, voice
        for token in ids[max((n - context + drop - 1) // drop * drop, 0):] if window else ():
            window.push(token)
        for token in ids[-HEARS:] if voice else ():
            voice.write(token)

    def promised(self):
        """The open promises: (back, [(x, what x gains by t_back), ..]), the newest first."""
        ids, since = self.ids, set()
        for back in range(2, min(ROOM_FOR_PROMISE - 1, len(ids) - self.start()) + 1):
            age = sqrt(back) / ROOM_FOR_PROMISE
            since.add(ids[1 - back])
            yield back, [(x, age * value) for x, value in self.meta.promise.rows[ids[-back]]
                         if x not in since]

    def moments(self):
        """The newest PLACES places where the newest token stood before, and how many tokens up to there,
        MATCH at most, are as the newest are.

        >>> ids = [0, 1, 2, 3, 0, 1, 2, 0, 1]             # a b c d a b c a b: `a b` stood twice before
        >>> field = Field(Metaweights(ids, 4), COEFFICIENTS, 100)
        >>> for token in ids: field.push(token, 1.0)
        >>> list(field.moments())
        [(5, 2), (1, 2)]
        """
        ids, n, start = self.ids, len(self.ids), self.start()
        at = self.before[n - 1] if n else -1
        for _ in range(PLACES):
            if at < start:
                break
            length = 1
            while length < MATCH and at - length >= start and ids[at - length] == ids[n - 1 - length]:
                length += 1
            yield at, length
            at = self.before[at]


MATCH = 32                  # tokens: longer matches count as this long
HEARS = 1024                # tokens of a prompt, the newest, that the voice follows through the corpus
PLACES = 256                # moments: only so many, the newest, are looked at


# ---------------------------------------------------------------------------------------------
# VI  SAMPLING, and the model: text on the screen

# The voice. P is made to predict what somebody else writes and keeps a share for what was never seen; who
# draws from that share says what nobody says. So the Voice takes P and mixes contexts of 2 tokens in (once
# more), then of 3, up to 7, with a fifth of the discounts. It would recite the corpus; rules, in nats, make
# it move on. A junction is another place of the corpus that has the last two words, or more, of what was
# said: there the text can go on otherwise. `verbatim` is 11 words. From the fourth word that is copied in a
# row each costs more, and a junction is taken gladly, most of all one whose sentence can be ended in time;
# from the eighth any junction is better than to go on; a twelfth is not said. More rules keep sentences,
# numbers and brackets whole. Spelling knows the words and the one under way; the Speller asks it, so that no
# word is written that neither corpus nor prompt has, and keeps the bytes valid UTF-8.

# the defaults of the options of these names
TEMPERATURE, REPETITION, DISCOUNT, VERBATIM = 0.9, 0.0, 0.2, 11
RECENT = 12                 # tokens: what the repetition penalty looks back on
GRACE = 60                  # tokens that a text may go on to the end of its sentence

Sampling = namedtuple("Sampling", "seed temperature top_k repetition top_p discount verbatim exact",
                      defaults=(42, TEMPERATURE, 15, REPETITION, 1.0, None, VERBATIM, False))
Sampling.__doc__ = """How to draw. temperature, top_k, repetition, top_p: see sample(). discount, verbatim:
see Voice; with `lines`, where documents are to be invented, discount is 1 by default. exact: not on to the
end of the sentence."""


def sample(logits, tokens, recent, temperature, top_k, repetition, speller, rng, top_p=1.0):
    """Draws a token: repetition penalty on the recent ids; what the speller forbids is left out; top-k, the
    k most probable (0: all); softmax of logits / temperature (0: the most probable comes); top-p, the most
    probable that together have so much (Holtzman and others 2020); one uniform draw.

    logits [vocab]; tokens: the bytes of each; speller: which of them may come. Where none may, the most
    probable that is valid UTF-8 comes, or else the most probable. Returns the id.

    >>> sample([0.0, 1.0, 2.0], [b"a", b"b", b"c"], [], 1.0, 2, 0.0, Speller(None, False), Rng(1))
    2
    """
    logits = penalize(logits, recent, repetition)
    allowed = (token for token in best_first(logits) if speller.allows(tokens[token]))
    kept = list(itertools.islice(allowed, (top_k or len(logits)) if temperature > 0.0 else 1))
    if not kept:
        valid = (token for token in best_first(logits) if speller.valid(tokens[token]))
        kept = [next(valid, best_first(logits)[0])]
    if len(kept) == 1:
        return kept[0]
    odds = [exp((logits[token] - logits[kept[0]]) / temperature) for token in kept]
    whole, walked = total(odds), 0.0
    for n, x in enumerate(odds if top_p < 1.0 else (), 1):
        walked += x
        if walked >= top_p * whole:
            kept, odds, whole = kept[:n], odds[:n], walked
            break
    walked, stop = 0.0, rng.uniform()
    for token, x in zip(kept, odds):
        walked += x / whole
        if stop < walked:
            break
    return token


# The model: a corpus, what was counted in it, and the ghost

class PostGPT:
    """The model: a corpus, what was counted in it, and the ghost.

    >>> model = PostGPT("A corpus is bytes or text; a little one says little. " * 9, merges=30)
    >>> b"".join(model.generate("A corpus", tokens=4, mode="meta", verbatim=0, exact=True))
    b' is bytes or text'

    Building it takes about two seconds for a book; with seeded=False the transformer is seeded when it is
    first wanted. A model can be pickled. Text is bytes or str, which is encoded as UTF-8; what is said is
    bytes.

    Options: merges, alphabet ("bytes" or "corpus"), order, lines, shape (a dict of Shape's arguments), init
    ("ghost" or "random"), seed, memory, the field's coefficients by name; tokenizer, where it has been
    learned. Raises Failure where the corpus has less than two bytes, ValueError or TypeError for a wrong
    option.
    """

    def __init__(self, corpus, merges=1024, alphabet="bytes", order=3, lines=False, shape=None, init="ghost",
                 seed=42, memory=4096, tokenizer=None, seeded=True, **coefficients):
        corpus = checked_corpus(corpus, coefficients)
        check_options(merges=merges, alphabet=alphabet, order=order, init=init, seed=seed, memory=memory,
                      **coefficients)
        self.corpus, self.crc32 = corpus, zlib.crc32(corpus)
        self.utf8 = corpus.decode(errors="ignore").encode() == corpus
        self.alphabet, self.lines, self.memory, self.chosen = alphabet, lines, memory, coefficients
        self.shape, self.init, self.seed = Shape(**(shape or {})), init, seed
        self.network, self.places, self.trained = None, None, False
        with resting():
            known = alphabet_of(corpus, alphabet, lines)
            self.tokenizer = tokenizer or Tokenizer.learn(corpus, merges, known)
            ids, starts = encode_text(self.tokenizer, corpus, lines)
            self.words, self.han = words_of(corpus), HAN.search(corpus) is not None
            self.meta = Metaweights(ids, self.tokenizer.vocab, order, starts)
            self.lives = Lives(self.meta.text, self.tokenizer.text)     # how long lines and sentences last
            if seeded:
                self.net                                  # the property seeds it

    def generate(self, prompt=b"", tokens=100, mode="full", *how, **named):
        """Yields what follows the prompt (bytes), token by token; bytes of a character under way are held
        back until it is whole.

        mode: meta, full or transformer. how, named: a Sampling's. After `tokens` the text goes on to the end
        of its sentence, with `lines` of its line, at most GRACE tokens more. Raises Failure where the prompt
        has a byte that the alphabet lacks.
        """
        return (data for data, _ in self.speak(prompt, tokens, mode, sampling(*how, **named)) if data)

    def say(self, prompt, tokens, use, how, why):
        """What speak() yields: for each token its bytes, and its Row if somebody asks why. The field hears
        the prompt; then again and again its terms are weighed and added, the voice's rules change the sum,
        a token is drawn, and the field hears it, too."""
        tok, ids, rng, row = self.tokenizer, self.heard(prompt), Rng(how.seed), None
        # the words of the prompt may be used too, but for the last, which may be cut short
        voice = self.voice(how.discount, how.verbatim)
        field = self.field(use, words_of(b"".join(PIECE.findall(prompt)[:-1])), voice)
        field.listen(ids, self.shape.context)
        # a line may be a new name
        speller, waiting = Speller(None if self.lines else field.spelling, self.utf8), b""
        speller.write(prompt)
        standing = Standing(self.corpus, [tok.text[token] for token in ids]) if why else None
        for n in range(tokens if how.exact else tokens + GRACE):
            field.terms()
            before, recent = field.logits(use), field.ids[:-RECENT - 1:-1]
            logits = before[:]                            # what the Row compares with
            for token, nats in voice.rules(field, "B" in use, speller.spelling).items():
                logits[token] += nats
            token = sample(logits, tok.text, recent, how.temperature, how.top_k, how.repetition, speller, rng,
                           how.top_p)
            text = tok.text[token]
            if n >= tokens and (b"\n" in text if self.lines else voice.rests(token)):
                break                                     # all is said; it would begin the next: left out
            if why:
                final = penalize(logits, recent, how.repetition)
                row = look_back(field, use, before, final, token, how, tok.text, speller, standing, why > 1)
            speller.write(text)
            waiting += text
            yield b"" if speller.state else waiting, row
            if not speller.state:
                waiting = b""
            if self.lines and text == b"\n":
                field.reset()                             # the next line is another document
            field.push(token, 1.0)                        # nobody surprises himself

    # Second reading

    @property
    def net(self):
        """The transformer, seeded when it is first wanted."""
        if not self.network:
            with resting():
                net = Transformer(self.shape, self.tokenizer.vocab)
                if self.init == "ghost":
                    seed(net, self.meta)
                else:
                    randomize(net, self.seed)
            self.network = net                            # all at once: no interrupt leaves half a ghost
        return self.network

    @property
    def coefficients(self):
        """The field's coefficients: those that were chosen, else the default."""
        return {**COEFFICIENTS, **(TRAINED if self.trained else {}), **self.chosen}

    def field(self, use, words=(), voice=None):
        """A field for a mode's terms. words: those it knows beside the corpus'."""
        return Field(self.meta, self.coefficients, self.memory, Window(self.net) if "Z" in use else None,
                     Words(self.words, self.tokenizer, words, self.han, self.lives), voice)

    def voice(self, discount=None, verbatim=VERBATIM):
        """The chain that speaks."""
        if not self.places:
            self.places = Places(self.meta.text.ids, self.tokenizer, self.lives.traits)
        discount = (1.0 if self.lines else DISCOUNT) if discount is None else discount
        return Voice(self.places, self.tokenizer, self.meta.chain.cut, discount, verbatim)

    def heard(self, prompt):
        """The tokens that a text (bytes) begins with. With `lines`, context does not reach behind the last
        line."""
        encode = self.tokenizer.encode
        if self.lines:
            return encode(b"\n") + encode(prompt.rpartition(b"\n")[2])
        return encode(b"\n\n") if not prompt and 10 in self.tokenizer.id_of_byte else encode(prompt)

    def speak(self, prompt, tokens, mode, how, why=0):
        """Checks the options at once; yields (bytes, Row) for generate, explain and the command line. why: 0
        no rows, 1 without what only the page shows, 2 whole rows."""
        given = [pair for pair in zip(how._fields, how) if pair[0] != "exact" and pair != ("discount", None)]
        check_options(tokens=tokens, **dict(given))
        return self.say(as_bytes(prompt, "the prompt"), tokens, MODES[mode_of(mode)], how, why)

    def explain(self, prompt=b"", tokens=100, mode="full", *how, **named):
        """Yields the ledger of what generate() yields with the same options: a Row a token.

        >>> model = PostGPT("A corpus is bytes or text; a little one says little. " * 9, merges=30)
        >>> row = next(model.explain("A corpus is bytes or", verbatim=0))
        >>> row.text, row.second_text, ["%s %.1f" % pair for pair in zip(TERMS, row.gave)]
        (b' text', b' little', ['chain 15.2', 'net 1.0', 'H 0.1', 'F 0.2', 'A 0.0', 'T 0.0', 'rules 7.5'])
        """
        return (row for _, row in self.speak(prompt, tokens, mode, sampling(*how, **named), 2))

    def logprobs(self, ids, mode="full"):
        """The log probability (nats) of every id after those before it, at temperature 1, without top-k or
        repetition penalty.

        With `lines` ids is one document, and its first id is only context. Raises ValueError for an id that
        there is not.
        """
        use, found, ids = MODES[mode_of(mode)], [], list(ids)
        for token in ids:
            if not 0 <= token < self.tokenizer.vocab:
                raise ValueError("%r is no token: there are %d" % (token, self.tokenizer.vocab))
        field = self.field(use)
        for i, token in enumerate(ids):
            if i >= self.lines:
                field.terms()
                found.append(-cross_entropy(field.logits(use), token))
            field.push(token, field.expected(token))
        return found

    def evaluate(self, data):
        """Held-out figures of data: see evaluate()."""
        return evaluate(self, data)

    def train(self, steps, rate=0.003, batch=4, held_out=b"", report=None):
        """Trains the transformer on the corpus: see train(). held_out: bytes that choose the best state.
        Raises TypeError or ValueError for what --train, --lr or --batch would refuse."""
        check_options(train=steps, lr=rate, batch=batch)
        if report is not None and not callable(report):
            raise TypeError("report is a function, not %r" % (report,))
        rest = Text(*encode_text(self.tokenizer, as_bytes(held_out, "the held-out text"), self.lines))
        net, before, trained = self.net, self.net.wte, self.trained
        self.trained = True
        try:
            with resting():
                rest = rest if len(rest.ids) > 1 else None
                train(net, self.meta.text, steps, rate, batch, self.seed, rest, report)
        except (Failure, KeyboardInterrupt):
            raise                                         # the best state so far is kept
        except BaseException:
            self.trained = trained or net.wte is not before
            raise

    def about(self, trained):
        """What a checkpoint says of itself: where any of it differs, its weights mean something else."""
        return [("format", "postgpt-checkpoint 2"),
                ("shape", ",".join(["%s=%d" % (name, getattr(self.shape, name)) for name in Shape.LIMITS])),
                ("merges", "%d" % len(self.tokenizer.pairs)),
                ("alphabet", "%s %d" % (self.alphabet, self.tokenizer.base)),
                ("corpus_crc32", "%08x" % self.crc32), ("trained", "yes" if trained else "no")]

    def save(self):
        """The transformer as the bytes of a .safetensors file."""
        return b"".join(self.saved(checkpoint_room(self.net)))

    def saved(self, room):
        """What save() joins; room is checkpoint_room()'s."""
        return checkpoint_parts(self.net, self.about(self.trained), room)

    def load(self, data):
        """The transformer from what save() returned. Raises Failure where it is not of this corpus and shape,
        or damaged."""
        net = Transformer(self.shape, self.tokenizer.vocab)
        trained = b'"trained":"yes"' in data[:1024]
        checkpoint_take(net, self.about(trained), data)
        self.trained = trained
        self.network = net


# Second reading of VI: what may be written, where the speaker leaves the corpus, why each token was said.

def best_first(logits):
    """Token ids, the largest logit first, of equals the smaller id, for sorting is stable."""
    return sorted(range(len(logits)), key=logits.__getitem__, reverse=True)


def penalize(logits, recent, repetition):
    """The logits after the repetition penalty on the recent ids.  [vocab] -> [vocab]"""
    logits, cost = logits[:], log(1.0 + repetition)
    for token in recent:
        logits[token] -= cost
    return logits


def check_options(**values):
    """Raises TypeError or ValueError, which says what is right, for what the option of that name would refuse
    on the command line."""
    for name, value in values.items():
        option, = [option for option in OPTIONS if option.name == name.replace("_", "-")]
        word, kinds = option.takes == "word", {"word": str, "number": (int, float)}.get(option.takes, int)
        fine = isinstance(value, kinds) and not isinstance(value, bool)
        if not fine or not (value in option.choices if word else option.low <= value <= option.high):
            wanted = "one of " + option.words if word else option.number
            raise (ValueError if fine else TypeError)("%s is %s, not %r" % (name, wanted, value))


def sampling(*how, **named):
    """A Sampling. Raises TypeError, which says what it takes."""
    for name in named:
        if name not in Sampling._fields:
            raise TypeError("there is no option %r; there are %s" % (name, ", ".join(Sampling._fields)))
    return Sampling(*how, **named)


def checked_corpus(corpus, coefficients):
    """The bytes of a corpus. Raises Failure where there are none to count, TypeError for another
    coefficient."""
    corpus = as_bytes(corpus, "the corpus")
    if len(corpus) < 2:
        few = "has one byte" if corpus else "is empty"
        raise Failure("the corpus %s: there is nothing to count" % few)
    for name in coefficients:
        if name not in COEFFICIENTS:
            known = ", ".join(COEFFICIENTS)
            raise TypeError("PostGPT has no option %r; its coefficients are %s" % (name, known))
    return corpus


def mode_of(mode):
    """A mode's name. Raises ValueError."""
    if mode not in MODES:
        raise ValueError("a mode is one of %s, not %r" % (", ".join(MODES), mode))
    return mode


@contextlib.contextmanager
def resting():
    """The garbage collector rests meanwhile: nothing here is cyclic, and there are many small lists that it
    would look through."""
    awake = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if awake:
            gc.enable()


def alphabet_of(corpus, name, lines):
    """The bytes that are numbered: all, or those that occur; a document begins and ends with a newline."""
    return range(256) if name == "bytes" else sorted({*corpus, *(b"\n" if lines else b"")})


def encode_text(tokenizer, data, lines):
    """The tokens of data as documents: (ids, None), or with `lines` (ids, starts), a newline before each line
    and one after it."""
    encode = tokenizer.encode
    if not lines:
        return encode(data), None
    newline, ids, starts = encode(b"\n"), [], [0]
    for line in (data[:-1] if data.endswith(b"\n") else data).split(b"\n") if data else ():
        ids += newline + encode(line) + newline
        starts.append(len(ids))
    return ids, starts


# How a UTF-8 text may go on (Unicode, table 3-7). For each state: how many bytes of the character are
# missing, and from where to where the next may go. 0: none is missing; BROKEN is where no text goes on.

UTF8 = ((0, 0, 0), (1, 0x80, 0xBF), (2, 0x80, 0xBF), (3, 0x80, 0xBF),
        (2, 0xA0, 0xBF), (2, 0x80, 0x9F), (3, 0x90, 0xBF), (3, 0x80, 0x8F))           # after E0, ED, F0, F4
BROKEN = 255
LEAD = ([0] * 0x80 + [BROKEN] * 0x42 + [1] * 0x1E + [4] + [2] * 12 + [5] + [2] * 2 + [6] + [3] * 3 + [7]
        + [BROKEN] * 11)                                  # the state after each first byte


def utf8_run(state, data):
    """The state after data, from a state."""
    for byte in data:
        if state:
            missing, low, high = UTF8[state]
            state = missing - 1 if low <= byte <= high else BROKEN
        else:
            state = LEAD[byte]
        if state == BROKEN:
            break
    return state


class Speller:
    """What may be written next: of words those that `spelling` allows, or any where it is None; of bytes only
    valid UTF-8, if `utf8`."""

    def __init__(self, spelling, utf8):
        self.spelling, self.utf8, self.state = spelling, utf8, 0

    def write(self, data):
        """These bytes have been written."""
        state = utf8_run(self.state, data) if self.utf8 else 0
        # what is broken already, in the prompt, is left behind
        self.state = 0 if state == BROKEN else state

    def valid(self, data):
        """Do these bytes keep the text valid UTF-8?"""
        return not self.utf8 or utf8_run(self.state, data) != BROKEN

    def allows(self, data):
        """May these bytes, a token's, come next?"""
        return self.valid(data) and (self.spelling is None or self.spelling.allows(data))


SPEAKS = 8                  # the order of the chain that speaks
SPOTS = 4096                # places: of those that a pair stands before the newest so many are followed
AGAIN = 3                   # words: of a run as long that has been said already
# The rules, in nats. A token loses
WALL = 1e4                  # if it makes a run of words of the corpus longer than `verbatim`,
GLAD = 0.7                  # for each word by which the run is longer than a third, but on the way home,
SATED = 12.0                # if the run is longer than two thirds of it: any junction is better, and what is
                            # no junction worse,
STUCK = 3.0                 # if no fork can be reached from it in time,
ODD = 16.0                  # if it is a number where the corpus has none, or follows one, or a whole word, as
                            # it does nowhere there,
ABRUPT = 6.0                # if it ends a sentence too early (less with each word) or within brackets,
STALE = 4.0                 # if it goes on with a run of AGAIN words that were said already;
LONELY = 3.0                # it gains for each word that its best place shares with what was said, up to
                            # SHARED,
ONE_MORE = 1.5              # and for more than that,
HOME = 4.0                  # and if it joins a sentence that can be ended before the run is too long


class Voice:
    """The chain that speaks, and where it leaves the corpus. Kneser-Ney's discounts set mass aside for what
    was never seen: right for predicting what somebody else wrote, wrong for speaking, where who draws from it
    says what nobody says. So the voice takes off only `discount` of them, and asks contexts of up to SPEAKS -
    1 tokens.

    spots   the places that the last two tokens and more stand before: place -> how many tokens match
    run     token -> how many words of the corpus in a row have been said when it is said
    shared  token -> the words that the best place has in common with what was said, within the same brackets
    home    the tokens that a junction within the sentence under way carries to the end of another one, before
            the run is longer than two thirds of `verbatim`; as much of the other one must have been said
    heard   how many words had begun after each token that was said
    """

    def __init__(self, places, tokenizer, cut, discount, verbatim):
        self.places, self.encode, self.verbatim = places, tokenizer.encode, verbatim
        self.tokens, self.reader = tokenizer.text, Reader(places.traits)
        self.cut = [max(discount, 0.001) * d for d in cut]            # nothing is to have probability 0
        # what a number must share with its place: the word before it, and itself where it is under way
        self.digits = [(token, 1 if trait.begins else 2)
                       for token, trait in enumerate(places.traits) if trait.digit]
        self.ends = [token for token, trait in enumerate(places.traits) if trait.closes or trait.breaks]
        self.clear()

    def clear(self):
        """A new document."""
        self.spots, self.last, self.piece, self.before, self.heard = {}, None, [], ({}, None), []
        self.reader.clear()

    def write(self, token):
        """The next token. The piece under way is read as the corpus would have it, should it be said in other
        tokens."""
        text, traits = self.tokens[token], self.reader.traits
        if self.piece:
            last = self.piece[-1]
            ended = (not traits[token].white if traits[last].white
                     else KIND[text[0]] != KIND[self.tokens[last][-1]])
            if ended or len(self.piece) == LONGEST_WORD:
                self.piece, self.before = [], (self.spots, self.last)
        self.piece.append(token)
        self.spots, self.last = self.before
        for one in self.encode(b"".join([self.tokens[old] for old in self.piece])):
            # from every place to the one after it, where the corpus goes on with this token
            bare = self.places.bare[one]
            match, places = self.spots.get, self.places.after.get((self.last, bare), ())[-SPOTS:]
            self.spots, self.last = {place: match(place - 1, 1) + 1 for place in places}, bare
        self.reader.read(token)
        self.heard.append(self.reader.words)

    def speak(self, p):
        """What the chain says when it speaks, p being what it says when it listens: the recursion of chapter
        II goes on over contexts of 2, 3, .. tokens.  [vocab] -> [vocab]"""
        places, reader, words = self.places, self.reader, self.places.words
        self.run, self.shared, self.level, self.home, self.reach, fit = {}, {}, set(), set(), {}, []
        said, deep, limit = 0 if reader.ended else reader.spoken, min(reader.spoken, SENTENCE), self.verbatim
        for place, n in self.spots.items():
            token, common = places.ids[place], words[place] - words[place - n]
            if words[place + 1] > words[place]:
                self.run[token] = max(words[place + 1] - words[place - n], self.run.get(token, 0))
            if places.nested[place] == reader.nested:
                fit.append((n, token))
                self.shared[token] = max(common, self.shared.get(token, 0))
                if min(places.spoken[place], SENTENCE) == deep:
                    self.level.add(token)
                if common >= SHARED and limit:
                    reach = common + places.until_fork(place)
                    self.reach[token] = min(reach, self.reach.get(token, reach))
                    home = common + places.until_home(place)
                    if common < said >= places.spoken[place] and home <= 2 * limit // 3:
                        self.home.add(token)
        for order in range(2, SPEAKS):
            fit = [(n, token) for n, token in fit if n >= order]
            if not fit:
                break
            p = mixed(p, *discounted(Counter([token for _, token in fit]), self.cut))
        return p

    def rests(self, token):
        """Is what was said a whole sentence, or line, with this token to come?"""
        text = self.tokens[token]
        begins = self.reader.traits[token].han or text[:1] == b" " and not text[1:2].islower()
        return b"\n" in text or self.reader.ended and begins

    def stale(self, field):
        """The tokens that would go on with a run of AGAIN words that this very text has said before."""
        heard, n = self.heard, len(self.heard)
        return {field.ids[at + 1] for at, match in field.moments()
                if heard[-1] - (heard[n - 1 - match] if match < n else 0) >= AGAIN}

    def rules(self, field, chain=True, spelling=None):
        """What each token gains or loses: token -> nats. Without the chain only the limit of verbatim holds;
        without the spelling any word may go on."""
        gain, limit, reader = defaultdict(float), self.verbatim, self.reader
        glad, sated = limit // 3, 2 * limit // 3
        for token, run in self.run.items() if limit else ():
            if run > limit:
                gain[token] -= WALL
            elif chain and run > (sated if token in self.home else glad):
                gain[token] -= GLAD * (run - glad) + (SATED if run > sated else 0.0)
        if not chain:
            return gain
        wanted = 0 if reader.ended else min(SHARED, reader.spoken)
        number = self.last is not None and KIND[self.tokens[self.last][-1]] == DIGIT
        for token, shared in self.shared.items():
            gain[token] += LONELY * min(shared, wanted)
            if shared > wanted == SHARED:
                gain[token] += ONE_MORE
            if self.reach.get(token, 0) > limit:
                gain[token] -= STUCK
            if token in self.home:
                gain[token] += HOME
            if number and shared:
                gain[token] += ODD
        for token, least in () if number else self.digits:
            if self.shared.get(token, 0) < least:
                gain[token] -= ODD
        if spelling and spelling.word and spelling.known != BEGUN:
            for token in spelling.words.inside[KIND[spelling.word[0]]]:
                if token not in self.shared:
                    gain[token] -= ODD
        short = 0 if reader.ended else max(SENTENCE - reader.spoken, 0)
        for token in self.ends if short or reader.nested else ():
            if token not in self.level:
                gain[token] -= ABRUPT * (short or SENTENCE) / SENTENCE
        for token in self.stale(field):
            gain[token] -= STALE
        return gain


# The glass: why each token was said

TERMS = ("chain", "net", "H", "F", "A", "T", "rules")
CANDIDATES, PROMISES = 10, 6            # that a row knows
FAR_BACK = 64               # words: of the prompt, the run may begin in the last so many
EXCERPTS, MARGIN = 3, 70    # of the corpus: how many a row has, and how many bytes before and after the run

Row = namedtuple("Row", "id text p rank gave second second_text second_p place since level "
                        "candidates excerpts attention promises")
Row.__doc__ = """Why a token was said.

id, text    the token, its bytes
p, rank     its probability and rank among all tokens, after the rules and the temperature, before top-k
gave        what each of TERMS gave it more than it gave the runner-up, nats: the difference of their logits
            in seven parts
second, second_text, second_p   the runner-up: of the others that might have been said the most probable
place       (line, column, words): the longest run of words that ends here, and where it stands first in the
            corpus; None where the last two words stand nowhere side by side
since       how many tokens the run has in this text
level       trauma before the token, nats: 0 where all came as expected
candidates  (text, p, seven parts of the logit) of those that might have been said, the most probable first
excerpts    (before, run, after) of the corpus, for places where the run stands
attention   for each layer and head, how it is shared among the window's tokens
promises    (text, who promised it, how many tokens back, nats): what is still expected, the strongest first
"""


class Standing:
    """Where a text stands in the corpus: the longest run of whole words, the last perhaps under way, that
    ends where the text does.

    begun  where each word of the text begins; words  how many of them, the newest, are the run; at  where it
    stands first
    """

    def __init__(self, corpus, tokens):
        self.corpus, self.text, self.ends, self.begun = corpus, bytearray(), [], []
        self.words, self.at = 0, -1
        for data in tokens:
            self.write(data)

    @staticmethod
    def begins(data, at):
        """Does a word begin here? What stands after white space does; and every character of Han or kana,
        without spaces."""
        return (KIND[data[at]] < SPACE and (not at or KIND[data[at - 1]] >= SPACE)
                or HAN.match(data, at) is not None)

    def write(self, data):
        """The next token's bytes."""
        for byte in data:
            self.text.append(byte)
            if self.begins(self.text, len(self.text) - 1):
                self.begun.append(len(self.text) - 1)
                self.words += 1
        self.ends.append(len(self.text))

    def find(self, words, at):
        """The next place in the corpus, from `at` on, where the newest words stand, or -1."""
        run = bytes(self.text[self.begun[-words]:])
        at = self.corpus.find(run, at)
        while at >= 0 and not self.begins(self.corpus, at):
            at = self.corpus.find(run, at + 1)
        return at

    def look(self):
        """(place, since, excerpts) as in Row, of the text as it is now."""
        corpus, begun = self.corpus, self.begun
        if self.words and (self.at < 0 or not corpus.startswith(self.text[begun[-self.words]:], self.at)):
            most, self.words, self.at = min(self.words, FAR_BACK), 0, -1
            while self.words < most:                      # a run with a word more stands there too, or later
                longer = begun[-self.words] - begun[-self.words - 1] if self.words else 0
                at = self.find(self.words + 1, max(self.at - longer, 0))
                if at < 0:
                    break
                self.words, self.at = self.words + 1, at
        if self.words < min(len(begun), 2) or not self.words:
            return None, 0, []
        start, line, excerpts, at = begun[-self.words], corpus.rfind(b"\n", 0, self.at) + 1, [], self.at
        while at >= 0 and len(excerpts) < EXCERPTS:
            end = at + len(self.text) - start
            excerpts.append((corpus[max(at - MARGIN, 0):at], corpus[at:end], corpus[end:end + MARGIN]))
            at = self.find(self.words, at + 1)
        column = 1 + len([byte for byte in corpus[line:self.at] if byte & 0xC0 != 0x80])
        since = len(self.ends) - bisect.bisect_right(self.ends, start)
        return (corpus.count(b"\n", 0, self.at) + 1, column, self.words), since, excerpts


def strongest_promises(field):
    """Up to PROMISES open promises: (token, who promised it the most, how far back that is, nats), the
    strongest first."""
    found = {}
    for back, promised in field.promised():
        for x, value in promised:
            nats, best, who = found.get(x, (0.0, 0.0, 0))
            found[x] = (nats + value, value, back) if value > best else (nats + value, best, who)
    best = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))[:PROMISES]
    return [(x, field.ids[-back], back, field.co["beta"] * nats) for x, (nats, _, back) in best]


def look_back(field, use, logits, final, token, how, tokens, speller, standing, deep):
    """The Row of a token that is about to be said. logits, final [vocab]: before and after the rules; deep:
    with what only the page shows."""
    best, tau = best_first(final), how.temperature or 1.0
    odds = [exp((x - final[best[0]]) / tau) for x in final]
    whole = total(odds)

    def parts(x):
        """What each of TERMS adds to the logit of x."""
        return field.parts(use, x) + [final[x] - logits[x]]

    allowed = (x for x in best if x == token or speller.allows(tokens[x]))
    found = list(itertools.islice(allowed, CANDIDATES if deep else 2))
    if token not in found:
        found[-1] = token
    second = next((x for x in [*found, *best[:2]] if x != token), token)
    standing.write(tokens[token])
    place, since, excerpts = standing.look()
    gave = list(map(sub, parts(token), parts(second)))
    row = Row(token, tokens[token], odds[token] / whole, best.index(token) + 1, gave, second, tokens[second],
              odds[second] / whole, place, since, field.level, [], excerpts, [], [])
    if not deep:
        return row
    promises = strongest_promises(field) if "F" in use else []
    return row._replace(candidates=[(tokens[x], odds[x] / whole, parts(x)) for x in found],
                        attention=field.window.seen if field.window else [],
                        promises=[(tokens[x], tokens[who], back, nats) for x, who, back, nats in promises])


# ---------------------------------------------------------------------------------------------
# VII  TRAINING: backpropagation by hand, and Chuck, who watches himself
#
# A window of n + 1 tokens asks n questions: position i has seen tokens 0 .. i, which one is next? The forward
# pass is the Window's of chapter III, all positions at once. The backward pass walks it in reverse
# (Rumelhart, Hinton and Williams 1986): each part is told how the loss changes with what it gave (dy), adds
# up how it changes with its matrices, and says how it changes with what it took (dx). Three rules are enough:
#
#     y = x W        dx = dy W^T,  dW = x^T dy     a product: each side's gradient is dy times the other side
#     y = f(x)       dx = dy f'(x)                 the chain rule, for what is not a product
#     x used twice   dx = the sum of both          a residual stream adds, so its gradient goes straight on
#
# Sums run over positions in ascending order; the windows of a step have a gradient each, added in their
# order.

def transpose(x):
    """Rows to columns.  [n][m] -> [m][n]"""
    return list(zip(*x))


def matmul(x, w, y=None):
    """y + x W, y zero where it is not given.  [n][r], [r][m], [n][m] -> [n][m]"""
    return [matvec(a, b, w) for a, b in zip(y or zeros(len(x), len(w[0])), x)]


def linear_backward(dy, x, w, dw, dx=None):
    """Back through y = x W: adds x^T dy to dw, returns dx + dy W^T, dx zero where it is not given.  [n][m],
    [n][r], [r][m], [r][m], [n][r] -> [n][r]

    >>> dw = [[0.0], [0.0]]
    >>> linear_backward([[2.0]], [[3.0, 4.0]], [[5.0], [7.0]], dw), dw      # y = 3 * 5 + 4 * 7
    ([[10.0, 14.0]], [[6.0], [8.0]])
    """
    dw[:] = matmul(transpose(x), dy, dw)
    return matmul(dy, transpose(w), dx)


def norm_forward(x):
    """RMSNorm of every row, and the factor each was scaled by.  [n][m] -> [n][m], [n]

    s = 1 / sqrt(mean(x^2) + 1e-5),  y = x s        (Zhang and Sennrich 2019)
    """
    scale = [1.0 / sqrt(dot(row, row) / len(row) + 1e-5) for row in x]
    return weighed(scale, x), scale


def norm_backward(dx, dy, y, scale):
    """Back through norm_forward: what of dy points along y only changes the length, which is taken out again.

    dx + s (dy - y mean(y dy)).  [n][m] -> [n][m]
    """
    back = []
    for d, g, row, s in zip(dx, dy, y, scale):
        along = dot(row, g) / len(row)
        back.append([a + s * (b - c * along) for a, b, c in zip(d, g, row)])
    return back


def columns(x, at, n):
    """A head's part of every row.  [n][m] -> [n][n columns]"""
    return [row[at:at + n] for row in x]


def widened(x, n):
    """Every row with zeros behind it, to n numbers."""
    return [row + [0.0] * (n - len(row)) for row in x]


def beside(x, y):
    """Every row of y behind the row of x.  [n][m], [n][r] -> [n][m + r]"""
    return list(map(add, x, y))


def attention_forward(layer, shape, x):
    """x + what all heads bring from the positions before.  [n][embd] -> [n][embd], and what the backward pass
    needs

    content head    score_ij = q_i . k_j / sqrt(d)
    RRPRAM head     score_ij = normed_i . r[:, j]
    both            weight_i = softmax over j <= i of score_i,  mixed_i = sum over j of weight_ij value_j
                    x_i + mixed_i out
    """
    content, d, root = shape.content, shape.head_dim, sqrt(shape.head_dim)
    normed, scale = norm_forward(x)
    q, k, v = (matmul(normed, w) for w in (layer.q, layer.k, layer.v))
    value = beside(v, matmul(normed, layer.rv))
    weights, mixed = [], [[] for _ in x]
    for h in range(content + shape.rrpram):
        if h < content:
            keys = transpose(columns(k, h * d, d))
            score = [[s / root for s in matvec([0.0] * i, row, keys)]
                     for i, row in enumerate(columns(q, h * d, d), 1)]
        else:
            score = [matvec([0.0] * i, row, layer.r[h - content]) for i, row in enumerate(normed, 1)]
        weights.append(list(map(softmax, score)))         # row i has i + 1 of them: nobody looks ahead
        values = columns(value, h * d, d)
        mixed = beside(mixed, [matvec([0.0] * d, weight, values) for weight in weights[h]])
    return matmul(mixed, layer.out, x), (normed, scale, q, k, value, weights, mixed)


def softmax_backward(p, dp):
    """Back through p = softmax(score), where what raises one weight lowers all others.

    dscore_j = p_j (dp_j - sum of p dp)

    >>> softmax_backward([0.5, 0.25, 0.25], [1.0, 0.0, 0.0])
    [0.25, -0.125, -0.125]
    """
    mean = dot(p, dp)
    return [a * (b - mean) for a, b in zip(p, dp)]


def attention_backward(layer, grad, shape, dx, kept):
    """Back through attention_forward: adds to the gradients of the layer's heads, returns dx.  [n][embd]
    -> [n][embd]"""
    normed, scale, q, k, value, weights, mixed = kept
    n, content, d, root = len(dx), shape.content, shape.head_dim, sqrt(shape.head_dim)
    dmixed = linear_backward(dx, mixed, layer.out, grad.out)
    dq, dk, dvalue, dr = zeros(n, 0), zeros(n, 0), zeros(n, 0), []
    for h, weight in enumerate(weights):
        dm, values = columns(dmixed, h * d, d), transpose(columns(value, h * d, d))
        dscore = [softmax_backward(p, matvec([0.0] * len(p), row, values)) for p, row in zip(weight, dm)]
        dvalue = beside(dvalue, matmul(transpose(widened(weight, n)), dm))
        if h < content:                                   # back through q . k / sqrt(d)
            dscore = widened([[s / root for s in row] for row in dscore], n)
            dq = beside(dq, matmul(dscore, columns(k, h * d, d)))
            dk = beside(dk, matmul(transpose(dscore), columns(q, h * d, d)))
        else:
            dr.append(widened(dscore, shape.context))
    dv, drv = columns(dvalue, 0, shape.content_dim), columns(dvalue, shape.content_dim, shape.rrpram_dim)
    dnormed = zeros(n, shape.embd)                        # every matrix used normed: all of them answer
    for dy, w, dw in zip([dq, dk, dv, *dr, drv], [layer.q, layer.k, layer.v, *layer.r, layer.rv],
                         [grad.q, grad.k, grad.v, *grad.r, grad.rv]):
        dnormed = linear_backward(dy, normed, w, dw, dnormed)
    return norm_backward(dx, dnormed, normed, scale)


def mlp_forward(layer, x):
    """x + relu(rmsnorm(x) up) down.  [n][embd] -> [n][embd], and what the backward pass needs"""
    normed, scale = norm_forward(x)
    hidden = [[u if u > 0.0 else 0.0 for u in row] for row in matmul(normed, layer.up)]
    return matmul(hidden, layer.down, x), (normed, scale, hidden)


def mlp_backward(layer, grad, dx, kept):
    """Back through mlp_forward: where the relu was shut, nothing comes back.  [n][embd] -> [n][embd]"""
    normed, scale, hidden = kept
    dhidden = linear_backward(dx, hidden, layer.down, grad.down)
    dhidden = [[g if u > 0.0 else 0.0 for g, u in zip(*rows)] for rows in zip(dhidden, hidden)]
    dnormed = linear_backward(dhidden, normed, layer.up, grad.up)
    return norm_backward(dx, dnormed, normed, scale)


def cross_entropy_backward(logits, token, loss_scale):
    """cross_entropy, and its gradient times loss_scale: every token's probability, less one for the token
    that came.  -> loss, [vocab]

    >>> loss, d = cross_entropy_backward([0.0, 0.0, 0.0], 0, 1.0)     # three tokens alike, and the first came
    >>> ["%.2f" % x for x in [loss, *d]]
    ['1.10', '-0.67', '0.33', '0.33']
    """
    top = max(logits)
    odds = [exp(x - top) for x in logits]
    norm = total(odds)
    scale = loss_scale / norm
    d = [x * scale for x in odds]
    d[token] -= loss_scale
    return log(norm) - (logits[token] - top), d


def net_forward(net, ids):
    """The logits at all positions.  [n] -> [n][vocab], and what the backward pass needs"""
    x, kept = [list(map(add, net.wte[token], place)) for token, place in zip(ids, net.wpe)], []
    for layer in net.layers:
        x, heads = attention_forward(layer, net.shape, x)
        x, mlp = mlp_forward(layer, x)
        kept.append((heads, mlp))
    normed, scale = norm_forward(x)
    return matmul(normed, net.head), (kept, normed, scale)


def net_backward(net, grad, ids, dlogits, kept):
    """Back through net_forward, from the last part to the first: fills grad."""
    kept, normed, scale = kept
    dnormed = linear_backward(dlogits, normed, net.head, grad.head)
    dx = norm_backward(zeros(len(ids), net.shape.embd), dnormed, normed, scale)
    for layer, dlayer, (heads, mlp) in reversed(list(zip(net.layers, grad.layers, kept))):
        dx = mlp_backward(layer, dlayer, dx, mlp)
        dx = attention_backward(layer, dlayer, net.shape, dx, heads)
    for i, (token, row) in enumerate(zip(ids, dx)):
        grad.wte[token] = list(map(add, grad.wte[token], row))
        grad.wpe[i] = row


def window_loss(net, ids):
    """The summed cross-entropy at all but the first of n + 1 ids, and how many those are."""
    logits, _ = net_forward(net, ids[:-1])
    return total([cross_entropy(row, token) for row, token in zip(logits, ids[1:])]), len(logits)


def window_gradient(net, ids, loss_scale):
    """The summed cross-entropy at all but the first of n + 1 ids, and the gradient of loss_scale times it: a
    Transformer of gradients."""
    grad = Transformer(net.shape, net.vocab)
    logits, kept = net_forward(net, ids[:-1])
    losses, dlogits = zip(*[cross_entropy_backward(row, token, loss_scale)
                            for row, token in zip(logits, ids[1:])])
    net_backward(net, grad, ids[:-1], dlogits, kept)
    return total(losses), grad


def batch_gradient(net, windows):
    """The mean cross-entropy of a step's windows, and its gradient."""
    n = total([len(ids) - 1.0 for ids in windows])
    loss, grad = window_gradient(net, windows[0], 1.0 / n)
    for ids in windows[1:]:
        more, other = window_gradient(net, ids, 1.0 / n)
        loss += more
        for matrix, its in zip(grad.matrices(), other.matrices()):
            matrix[:] = [list(map(add, *rows)) for rows in zip(matrix, its)]
    return loss / n, grad


BETA1, BETA2, EPSILON, DECAY = 0.9, 0.999, 1e-8, 0.01
WATCH = 8                   # steps: Chuck compares the newest so many with as many before
BEST = 64                   # steps: the best state has the lowest mean loss of so many


class Chuck:
    """AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019) that watches itself. Step t moves each weight w
    against its gradient g:

        m = BETA1 m + (1 - BETA1) g           where the gradient points, smoothed
        s = BETA2 s + (1 - BETA2) g^2         how large it is
        w = w - rate factor (m / (1 - BETA1^t) / (sqrt(s / (1 - BETA2^t)) + EPSILON) + DECAY w)

    factor   0.05 less where the mean loss of the newest 8 steps has risen by more than 0.02 nats over the 8
             before (not under 0.5), 0.05 more where it has fallen by as much (not over 1.5); and each step it
             drifts back to 1 by 0.1 %
    limit    of the gradient's norm: twice its moving average (0.99 a step, from the first norm on), or 1 if
             that is more

    >>> chuck = Chuck(Transformer(Shape(1, 2, 1, 0, 2, 1), 2))
    >>> for loss in 8 * [2.0] + 8 * [1.0]: chuck.watch(loss)              # the loss falls: longer steps
    >>> chuck.factor, chuck.clip(4.0), chuck.limit                        # the first norm says what is usual
    (1.05, 1.0, 8.0)
    """

    def __init__(self, net):
        self.mean, self.square = ([zeros(len(m), len(m[0])) for m in net.matrices()] for _ in range(2))
        self.losses, self.factor, self.average, self.limit = [], 1.0, 0.0, 1.0
        self.power1 = self.power2 = 1.0                   # BETA1^t, BETA2^t

    def watch(self, loss):
        """A step's loss: sets factor."""
        self.losses = self.losses[-(2 * WATCH - 1):] + [loss]
        self.factor += 0.001 * (1.0 - self.factor)
        if len(self.losses) == 2 * WATCH:
            rise = (total(self.losses[WATCH:]) - total(self.losses[:WATCH])) / WATCH
            if rise > 0.02:
                self.factor = max(self.factor - 0.05, 0.5)
            elif rise < -0.02:
                self.factor = min(self.factor + 0.05, 1.5)

    def clip(self, norm):
        """A step's gradient norm: sets limit, returns what the gradient is to be multiplied by."""
        self.average = 0.99 * self.average + 0.01 * norm if self.power1 < 1.0 else norm
        self.limit = max(1.0, 2.0 * self.average)
        return self.limit / norm if norm > self.limit else 1.0

    def step(self, net, grad, rate):
        """Moves the weights against the gradient. rate: before the factor. Returns the gradient's norm."""
        norm = sqrt(total(g * g for matrix in grad.matrices() for row in matrix for g in row))
        if not norm < 1e300:
            return norm
        clip = self.clip(norm)
        self.power1, self.power2 = self.power1 * BETA1, self.power2 * BETA2
        unbias1, unbias2 = 1.0 / (1.0 - self.power1), 1.0 / (1.0 - self.power2)
        keep1, keep2 = 1.0 - BETA1, 1.0 - BETA2
        rate *= self.factor
        for w, grads, means, squares in zip(net.matrices(), grad.matrices(), self.mean, self.square):
            for i, (row, g) in enumerate(zip(w, grads)):
                if clip < 1.0:
                    g = [a * clip for a in g]
                means[i] = m = [BETA1 * a + keep1 * b for a, b in zip(means[i], g)]
                squares[i] = s = [BETA2 * a + keep2 * (b * b) for a, b in zip(squares[i], g)]
                row[:] = [a - rate * (b * unbias1 / (sqrt(c * unbias2) + EPSILON) + DECAY * a)
                          for a, b, c in zip(row, m, s)]
        return norm


def shuffled(n, rng):
    """0 .. n - 1 in an order drawn from rng (Fisher and Yates 1938).

    >>> shuffled(5, Rng(1))
    [2, 1, 4, 3, 0]
    """
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = rng.next() % (i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def window_draw(text, context, rng, k, order):
    """The ids of the k-th window that training sees: with `lines` the start of the documents, in their
    shuffled order, else at a place drawn from all places.  -> [n + 1], n <= context"""
    if text.lines:
        at = order[k % len(order)]
        start, end = text.starts[at], text.starts[at + 1]
        return text.ids[start:min(end, start + context + 1)]
    n = min(context, len(text.ids) - 1)
    start = rng.next() % (len(text.ids) - n)
    return text.ids[start:start + n + 1]


def held_out_loss(net, text):
    """The mean cross-entropy of a text, a window after the other; with `lines` of each document's start."""
    loss, tokens, context = 0.0, 0, net.shape.context
    for ids in text.documents():
        for at in range(0, 1 if text.lines else len(ids) - 1, context):
            more, n = window_loss(net, ids[at:at + context + 1])
            loss, tokens = loss + more, tokens + n
    return loss / tokens


def copied(net):
    """A transformer with the same weights."""
    other = Transformer(net.shape, net.vocab)
    for matrix, rows in zip(other.matrices(), net.matrices()):
        matrix[:] = [row[:] for row in rows]
    return other


def check_number(x, what, step):
    """x. Raises Failure where it is none, or 1e300 and more."""
    if not x < 1e300:
        raise Failure("the %s of step %d is not a number; the best state so far is kept"
                      " (a lower --lr may help)" % (what, step + 1))
    return x


LOOKS = 10                  # times that training looks at the held-out loss, and once before


def train(net, text, steps, rate=0.003, batch=4, seed=42, held_out=None, report=None):
    """Trains the transformer. Its weights are the best state so far at any moment, also when it is
    interrupted: what takes the steps is a copy.

    text, held_out: Text. Each step takes `batch` windows; the rate falls linearly to zero over the steps, as
    microgpt's does. The best state is the one with the lowest held-out loss where there is a held-out text
    (looked at LOOKS times), else the lowest mean loss of the newest BEST steps: a state is judged before it
    is changed, and the last one by one more batch. Before there are so many losses, the newest is kept.
    report(line, step, loss, best) hears of every step and every look. Raises Failure where the loss or the
    gradient's norm is not a finite number.
    """
    rng, chuck, losses, now = Rng(seed), Chuck(net), [], copied(net)
    order = shuffled(len(text.starts) - 1, rng) if text.lines else []
    best, judged_once, report = 0.0, False, report or (lambda *line: None)
    for step in range(steps + 1):
        windows = [window_draw(text, now.shape.context, rng, step * batch + i, order) for i in range(batch)]
        if step < steps:
            loss, grad = batch_gradient(now, windows)
        else:
            found = [window_loss(now, ids) for ids in windows]
            loss = total([loss for loss, _ in found]) / total([float(n) for _, n in found])
        losses = losses[-(BEST - 1):] + [check_number(loss, "loss", step)]
        look = held_out and step * LOOKS % steps < LOOKS  # every tenth part of the steps
        judged = held_out_loss(now, held_out) if look else total(losses) / len(losses)
        if (look or not held_out) and (not judged_once or judged < best):
            best, judged_once = judged, look or len(losses) == BEST
            vars(net).update(vars(copied(now)))           # all at once: no interrupt finds half of it
        if look:
            line = "held-out after %d steps: loss %.17g best %.17g" % (step, judged, best)
            report(line, step, judged, best)
        if step == steps:
            report("after %d steps: loss %.17g best %.17g" % (step, loss, best), step, loss, best)
            break
        chuck.watch(loss)
        falling = rate * ((steps - step) / steps)
        norm = check_number(chuck.step(now, grad, falling), "gradient", step)
        report("step %d loss %.17g rate %.17g factor %.17g norm %.17g clip %.17g best %.17g" %
               (step + 1, loss, falling * chuck.factor, chuck.factor, norm, chuck.limit, best),
               step + 1, loss, best)


def matrix_names(shape):
    """The names of the matrices in a checkpoint, and each one's shape, in the order of
    Transformer.matrices(); the RRPRAM heads of a layer are one [heads][embd][context]. Those without
    numbers are left out."""
    embd, hidden, content, rrpram = shape.embd, shape.mlp * shape.embd, shape.content_dim, shape.rrpram_dim
    parts = {"content.q": [embd, content], "content.k": [embd, content], "content.v": [embd, content],
             "rrpram.r": [shape.rrpram, embd, shape.context], "rrpram.v": [embd, rrpram], "out": [embd, embd],
             "mlp.up": [embd, hidden], "mlp.down": [hidden, embd]}
    return [("wte", [None, embd]), ("wpe", [shape.context, embd]),
            *(("layers.%d.%s" % (l, name), sizes)
              for l in range(shape.layers) for name, sizes in parts.items() if 0 not in sizes),
            ("head", [embd, None])]


def checkpoint_header(net, about, weights):
    """The JSON header of a checkpoint of these weights (bytes), in parts: (label, text); '' for what
    stands between."""
    before = '{"__metadata__":{"'
    for name, value in [*about, ("weights_crc32", "%08x" % zlib.crc32(weights))]:
        yield from (("", before + name + '":"'), (name, value))
        before = '","'
    yield "", '"}'
    at = 0
    for name, sizes in matrix_names(net.shape):
        sizes, end = [net.vocab if n is None else n for n in sizes], 8
        for n in sizes:
            end *= n
        name += ".weight"
        yield from (("", ',"%s":{"dtype":"' % name), (name + " dtype", "F64"),
                    ("", '","shape":['), (name + " shape", ",".join(map(str, sizes))),
                    ("", '],"data_offsets":['), (name + " data_offsets", "%d,%d" % (at, at + end)),
                    ("", "]}"))
        at += end
    yield "", "}"


def checkpoint_room(net):
    """Room for the weights of a checkpoint, which is all the memory that writing one takes."""
    return bytearray(8 * net.n_params())


def checkpoint_parts(net, about, room):
    """The transformer as a .safetensors file, in parts: the header's length (8 bytes) and the header; every
    weight as a little-endian double, in room.

    about: what must be the same where it is loaded, pairs of name and value.
    """
    at = 0
    for matrix in net.matrices():
        for row in matrix:
            struct.pack_into("<%dd" % len(row), room, at, *row)
            at += 8 * len(row)
    header = "".join([text for _, text in checkpoint_header(net, about, room)]).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header, room


LARGEST = 1e30              # weights beyond are no transformer's: sums of their products would not be numbers


VALUE = re.compile(rb"[ !#-\\^-~]{0,100}(?=[\"\]])")        # of a header: it ends at a quote or a bracket


def header_check(parts, header, weights, wanted):
    """Raises Failure with what differs where a file's header does not read as its parts would. weights,
    wanted: bytes."""
    at = 0
    for label, text in parts:
        text, value = text.encode(), VALUE.match(header, at) if label else None
        if label == "weights_crc32" and weights != wanted:
            raise Failure("it has %d bytes of weights, not %d" % (weights, wanted))
        if value and value.group() != text:
            raise Failure("its %s is %s, not %s" % (label, value.group().decode(), text.decode()))
        if header[at:at + len(text)] != text:
            raise Failure("its header is damaged near byte %d" % (8 + at))
        at += len(text)
    if header[at:] != b" " * (-at % 8):
        raise Failure("its header is damaged near byte %d" % (8 + at))


def checkpoint_take(net, about, data):
    """Fills the transformer from a checkpoint's bytes. The header must read as it would be written for
    this transformer, the weights must be there, all, as they were saved, and none beyond LARGEST. Raises
    Failure with what differs, and has taken nothing then."""
    if len(data) < 8:
        raise Failure("it is cut short: %d bytes" % len(data))
    if data[8:9] != b"{":
        raise Failure("it is no .safetensors file")
    length, = struct.unpack_from("<Q", data)
    if length > len(data) - 8:
        raise Failure("its header is cut short: %d of %d bytes" % (len(data) - 8, length))
    weights, n = data[8 + length:], net.n_params()
    header_check(checkpoint_header(net, about, weights), data[8:8 + length], len(weights), 8 * n)
    numbers = struct.unpack("<%dd" % n, weights)
    for i, x in enumerate(numbers):
        if not -LARGEST <= x <= LARGEST:
            raise Failure("its weight %d is not a number from -1e30 to 1e30" % i)
    numbers = iter(numbers)
    for matrix in net.matrices():
        for row in matrix:
            row[:] = itertools.islice(numbers, len(row))


# ---------------------------------------------------------------------------------------------
# VIII  EVALUATION: held-out figures
#
# A text that nobody counted is read token by token, and before each one the model says how probable it is:
# the model that listens, without the voice, its rules and the sampler.
#
#     nats/token = mean of -log p(token | all before it)
#     bits/byte  = sum of -log p(token | all before it) / (log 2 * the text's bytes)
#
# Bits a byte can be compared between tokenizers, nats a token cannot. A row is a distribution: the uniform
# one, the chain of one and of two tokens, and the modes, whole and without one of their parts; what a part is
# worth is the difference (such differences do not add up; only "full -transformer" has a lambda of its own).
# B is the chain, Z the transformer, H F A T the field's terms; "-heads" silences the attention.

LN2 = 0.6931471805599453    # log 2

ROWS = [("uniform", ""), ("unigram", ""), ("bigram", ""), ("chain", "B"), ("transformer", TRANSFORMER),
        ("transformer -heads", TRANSFORMER), ("meta", META), ("full", FULL), ("full -H", "BZFAT"),
        ("full -F", "BZHAT"), ("full -A", "BZHFT"), ("full -T", "BZHFA"), ("full -heads", FULL),
        ("full -transformer", "BHFAT")]


def without_heads(net):
    """The same transformer, but nothing that its attention heads bring goes on."""
    other = copy.copy(net)
    other.layers = [copy.copy(layer) for layer in net.layers]
    for layer in other.layers:
        layer.out = None
    return other


def evaluate(model, data):
    """Held-out figures of data (bytes): (label, bits a byte, nats a token) for each row of ROWS. Raises
    Failure where data is empty."""
    data = as_bytes(data, "the text")
    if not data:
        raise Failure("the text is empty: there is nothing to evaluate")
    text = Text(*encode_text(model.tokenizer, data, model.lines))
    field, vocab, silent = model.field(FULL), model.meta.vocab, Window(without_heads(model.net))
    shorter = [Chain(model.meta.text, vocab, order) for order in (1, 2)]
    nats, tokens = [0.0] * len(ROWS), 0
    for ids in text.documents():
        field.reset()
        silent.clear()
        for i, token in enumerate(ids):
            if i >= model.lines:
                field.terms()
                heard, alone = field.z, silent.logits() if silent.ids else field.log_p
                nats[0] += log(vocab)
                for k, chain in enumerate(shorter, 1):
                    nats[k] -= log(chain.token_prob(field.ids, token))
                for k, (label, use) in enumerate(ROWS[3:], 3):
                    field.z = alone if label.endswith("-heads") else heard
                    nats[k] += cross_entropy(field.logits(use), token)
                tokens += 1
                progress.say("evaluating: %d of %d tokens; nats/token: chain %.4f, full %.4f",
                             tokens, len(text.ids), nats[3] / tokens, nats[7] / tokens)
            field.push(token, field.expected(token))
            silent.push(token)
    return [(label, n / LN2 / len(data), n / tokens) for (label, _), n in zip(ROWS, nats)]


# ---------------------------------------------------------------------------------------------
# IX  THE COMMAND LINE: the help, which is the table of the options; files, whole or not at all; what is
# printed of a model; the ledger and the page of why; conversation; main

HELP = """postgpt [PROMPT] [options]      a GPT whose weights are counted, not trained

PROMPT is a text to continue; "-" reads it from standard input; without one,
a short demonstration from eight places of the corpus.

  -m, --mode NAME        both, meta, full or transformer (default both)
  -n, --tokens N         tokens to generate, 1 to 1000000 (default 100), and on
                         to the end of the sentence, at most 60 more
      --exact            stop after exactly N tokens
  -t, --temperature X    0 to 10, 0 is greedy (default 0.9)
  -k, --top-k N          0 to the vocabulary's size, 0 is all (default 15)
  -p, --top-p X          0 to 1: of these, the most probable that together have
                         so much (default 1)
  -r, --repetition X     penalty on the last 12 tokens, 0 to 10 (default 0)
  -s, --seed N           0 to 2^64 - 1 (default 42), or random: drawn, and named
      --discount X       share of the chain's discounts while it speaks, 0 to 1
                         (default 0.2, with --lines 1)
      --verbatim N       words in a row from the corpus at most, 0 to 1000
                         (default 11; 0: no limit)
      --samples N        1 to 1000000 continuations, seeds S, S + 1, ..., apart
                         by a line holding only ---- (default 1)
      --why              why each token was said: a ledger under the text
      --page FILE        the same as one HTML file to look at
      --tree             who keeps company with the words of PROMPT, as a tree
  -i, --interactive      prompts a line at a time; an empty line goes on
  -c, --corpus FILE      default postgpt.txt beside the program
      --merges N         byte pairs to learn, 0 to 65280 (default 1024)
      --alphabet NAME    bytes or corpus: number all bytes, or those that occur
      --order N          the chain looks at N - 1 tokens, 1 to 8 (default 3)
      --lines            every line of the corpus is a document
      --shape LIST       of the transformer (default layers=2,embd=48,content=2,
                         rrpram=2,context=64,mlp=4)
      --init NAME        ghost or random: seed it from the counts or not
      --lambda X         the field's coefficients, 0 to 100: the chain
                         (default 0.54, after training 0.5)
      --kappa X          the transformer (default 0.4, after training 0.5)
      --alpha X          Hebbian resonance (default 0.08)
      --beta X           prophecy (default 1)
      --gamma X          destiny (default 0.45)
      --trauma X         trauma (default 0.006)
      --memory N         tokens the field remembers, 1 to 1000000 (default 4096)
      --eval FILE        held-out figures: bits a byte, nats a token
      --holdout F        build on all but F of the corpus, evaluate the rest
      --train N          train the transformer for N steps, 1 to 1000000
      --lr X             rate, falls to 0 over the steps, 0 to 1 (default 0.003)
      --batch N          documents or windows a step, 1 to 1024 (default 4)
      --save FILE        write a checkpoint (.safetensors)
      --load FILE        read one
      --encode FILE      print FILE's token ids in one line
      --info             counts, parameters, memory, files
      --no-cache         neither read nor write the merges file
  -q, --quiet            no notes on standard error
  -h, --help             this text
      --version          the version

Examples:
  postgpt "The transformer"
  postgpt -m full -n 40 -t 0.5 -c mybook.txt "Once upon a time"
  postgpt --tree "attention and memory"
  postgpt -c mybook.txt -m full -i
"""


class Misuse(Exception):
    """A wrong command line; its text names the option and what it takes."""


def whole_number(digits):
    """The number; one of more than 20 digits as 2^64: too large for any option, and Python may refuse to
    read it."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= 20 else 1 << 64


class Option:
    """An option, read off its line of the help: its letter, its name, what it takes (N: a whole number, X
    or F: a number, NAME: one of the words that follow, FILE, LIST: a shape, nothing: a flag), its range,
    as in "0 to 10", and its default."""

    TAKES = {"": "flag", "N": "count", "X": "number", "F": "number",
             "NAME": "word", "FILE": "text", "LIST": "shape"}
    ODD = {"seed": (0, (1 << 64) - 1), "top-k": (0, 65536), "holdout": (0.001, 0.999)}     # told otherwise

    def __init__(self, letter, name, takes, text):
        self.letter, self.name, self.takes = letter, name, "seed" if name == "seed" else self.TAKES[takes]
        self.words = re.match("[a-z, ]*", text).group().strip()
        self.choices = re.split(", | or ", self.words)
        limits = re.search("([0-9]+) to ([0-9]+)", text)
        self.low, self.high = self.ODD.get(name) or (map(int, limits.groups()) if limits else (0, 100))
        whole = "" if self.takes == "number" else "whole "
        self.number = "a %snumber from %s to %s" % (whole, self.low, self.high)
        default = re.search("default ([0-9.]*[0-9])", text)
        number = (float if self.takes == "number" else int)(default.group(1) if default else 0)
        self.default = {"flag": False, "word": self.choices[0], "text": None, "shape": {}}.get(
            self.takes, number)
        if name in COEFFICIENTS or name == "discount":
            self.default = None                           # what it is depends on others

    def range(self):
        """What it takes, in words."""
        return {"word": self.words, "text": "a file", "seed": "random, or " + self.number,
                "shape": "layers, embd, content, rrpram, context or mlp as name=number, apart by commas"}.get(
            self.takes, self.number)

    def refuse(self, value):
        """Raises Misuse."""
        raise Misuse("--%s takes %s, not '%s'" % (self.name, self.range(), value))

    def parse(self, value):
        """The value of a string, or Misuse."""
        if self.takes == "text" and not value:
            raise Misuse("--%s needs the name of a file" % self.name)
        if self.takes == "word" and value not in self.choices:
            self.refuse(value)
        if self.takes in ("word", "text") or (self.takes, value) == ("seed", "random"):
            return value
        if self.takes == "shape":
            return self.parse_shape(value)
        if self.takes == "number":
            form, read = r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", float
        else:
            form, read = "[0-9]+", whole_number
        if not re.fullmatch(form, value) or not self.low <= read(value) <= self.high:
            self.refuse(value)
        return read(value)

    def parse_shape(self, value):
        """layers=2,embd=48: a dict of Shape's arguments."""
        shape = {}
        for part in value.split(","):
            name, equals, number = part.partition("=")
            if name not in Shape.LIMITS or not equals or not re.fullmatch("[0-9]+", number):
                self.refuse(value)
            low, high = Shape.LIMITS[name]
            if not low <= whole_number(number) <= high:
                raise Misuse("--shape: %s goes from %d to %d, not %s" % (name, low, high, number))
            shape[name] = whole_number(number)
        return shape


OPTIONS = [Option(*groups) for groups in re.findall(
    r"(?m)^  (?:-(.), |    )--([a-z-]+)(?: ([A-Z]+))? +((?:.*\n)(?: {25}.*\n)*)", HELP)]
CONFLICTS = [("encode", "a prompt"), ("encode", "tree"),
             *((name, other) for name in ("encode", "tree")
               for other in ("train", "save", "load", "eval", "info", "why", "page", "interactive"))]


def parse(args):
    """The options by name, and the prompt or None. Raises Misuse."""
    found, prompt = {option.name: option.default for option in OPTIONS}, None
    only_prompt, given, args = False, set(), iter(args)
    for arg in args:
        if only_prompt or not arg.startswith("-") or arg == "-":
            if prompt is not None:
                raise Misuse("one prompt at a time: '%s' is a second one"
                             " (put a prompt of several words in quotes)" % arg)
            prompt = arg
            continue
        if arg == "--":
            only_prompt = True
            continue
        if arg.startswith("--"):
            name, equals, value = arg.partition("=")
            value = value if equals else None
        else:
            name, value = arg[:2], arg[2:] or None
        option = next((known for known in OPTIONS if name in ("--" + known.name, "-" + known.letter)), None)
        if not option:
            raise Misuse("there is no option '%s' (postgpt --help lists them)" % arg)
        given.add(option.name)
        if option.takes == "flag":
            if value is not None:
                raise Misuse("--%s takes no value, but '%s' has one" % (option.name, arg))
            found[option.name] = True
            continue
        value = next(args, None) if value is None else value
        if value is None:
            raise Misuse("--%s needs a value: %s" % (option.name, option.range()))
        value = option.parse(value)
        if option.name == "shape":
            value = {**found["shape"], **value}
            try:
                Shape(**value)
            except ValueError as error:
                raise Misuse("--shape: %s" % error)
        found[option.name] = value
    if not given & {"help", "version"}:
        check_together(given | {"a prompt"} if prompt is not None else given)
    return found, prompt


def check_together(given):
    """Raises Misuse where an option would be of no use beside another, or without it: no option swallows
    another."""
    for name, other in CONFLICTS:
        if {name, other} <= given:
            raise Misuse("--%s and %s do not go together" %
                         (name, other if other == "a prompt" else "--" + other))
    for name in "lr", "batch":
        if name in given and "train" not in given:
            raise Misuse("--%s is of use only with --train" % name)
    for name in ("why", "page") if not {"a prompt", "interactive"} & given else ():
        for other in "train", "save", "eval", "holdout", "info":
            if {name, other} <= given:
                raise Misuse("--%s needs a prompt: with --%s and none, nothing is said" % (name, other))


def arguments():
    """The command line's arguments. sys.argv holds what the locale made of them, which in some (EUC-JP, Big5,
    GB18030) cannot be turned back: where the system tells the bytes, they are taken."""
    args = sys.argv[1:]
    with contextlib.suppress(OSError):                    # another system
        with open("/proc/self/cmdline", "rb") as file:
            given = file.read().split(b"\0")[:-1]
        given = given[len(given) - len(args):]
        alike = [raw.decode() == arg for raw, arg in zip(given, args) if raw.isascii()]
        if len(given) == len(args) and all(alike):
            return list(map(to_text, given))
    return [to_text(os.fsencode(arg)) for arg in args]


SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU")
           if hasattr(signal, name)]


def hold_signals(held):
    """What asks us to end waits, or what has waited comes, where the system lets it."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK if held else signal.SIG_UNBLOCK, SIGNALS)


asked = []                  # by which signals we were asked to end


def interrupted(number, frame):
    """Ends the program, once: who asks twice gets no traceback, and no less of the file being saved."""
    asked.append(number)
    if len(asked) == 1:
        raise KeyboardInterrupt


CONTROLS = re.compile(rb"[\0-\x08\x0b-\x1f\x7f]|(?<=\xc2)[\x80-\x9f]")


def put(data, to=1):
    """Writes to standard output (2: standard error) at once: text is to be seen as it comes. A terminal
    gets no control bytes."""
    progress.clear()
    data = memoryview(CONTROLS.sub(b"?", data) if os.isatty(to) else data)
    while data:
        try:
            data = data[os.write(to, data):]
        except BlockingIOError:
            select.select([], [to], [])
        except BrokenPipeError:
            return interrupted(signal.SIGPIPE, None)      # nobody listens: the end
        except OSError as error:
            raise Failure("cannot write standard output: %s" % os.strerror(error.errno))


def put_error(text):
    """One line on standard error, also where a file's name has two."""
    with contextlib.suppress(Failure):                    # nobody listens
        put(to_bytes("postgpt: %s" % text).replace(b"\n", b"?") + b"\n", 2)


def note(options, text):
    """A line on standard error, unless it is to be quiet."""
    if not options["quiet"]:
        put_error(text)


def unreadable(path, what, error):
    """The Failure of a file, or of standard input where path is None."""
    return Failure("cannot read %s %s: %s" % (what, path or "from standard input", os.strerror(error.errno)))


def read_file(path, what):
    """All bytes of a file, or of standard input where path is None. Raises Failure."""
    data = []
    try:
        with open(0 if path is None else to_bytes(path), "rb", buffering=0, closefd=path is not None) as file:
            while not data or data[-1]:
                data.append(file.read(1 << 20))
                if data[-1] is None:                      # nothing yet
                    data.pop()
                    select.select([file], [], [])
    except OSError as error:
        raise unreadable(path, what, error)
    return b"".join(data)


class Draft:
    """A file under way: beside the one that it is to be, under a name that nobody else can have, until it is
    whole.

    Raises OSError where it cannot be: what `path` names, where links lead, is no file, or may not be written.
    """

    def __init__(self, path):
        path, self.name, self.file = to_bytes(path), None, None
        try:
            there = os.stat(path)
        except FileNotFoundError:
            there = None
        if len(path) >= 4096:
            raise OSError(errno.ENAMETOOLONG, "")
        if there and not stat.S_ISREG(there.st_mode):     # no file takes a device's place
            raise OSError(errno.EISDIR if stat.S_ISDIR(there.st_mode) else errno.ENOTSUP, "")
        if there and not (there.st_mode & 0o222 and os.access(path, os.W_OK)):
            raise OSError(errno.EACCES, "")
        while os.path.islink(path):
            path = os.path.join(os.path.dirname(path), os.readlink(path))
        folder = os.path.dirname(path)
        self.sweep(folder)
        self.path = path
        try:
            while not self.name or not os.path.exists(self.name):    # or a sweep was quicker than the lock
                self.drop()
                name = os.path.join(folder, self.name_of(os.urandom(4).hex().encode()))
                self.file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
                self.name = name
                self.lock(self.file, True)
            if there:
                os.chmod(self.name, stat.S_IMODE(there.st_mode))
        except BaseException:
            self.drop()
            raise

    @staticmethod
    def lock(file, wait=False):
        """-> whether the file is ours now, until it is closed or we are gone."""
        try:
            import fcntl
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except (ImportError, OSError):
            return False
        return True

    @staticmethod
    def name_of(random):
        """A draft's name, of eight random digits and their checksum: nobody's own file is called so."""
        return b"postgpt-%s%08x.tmp" % (random, zlib.crc32(random))

    def sweep(self, folder):
        """Removes what others, killed while they wrote, have left."""
        for name in glob.glob(os.path.join(glob.escape(folder), b"postgpt-" + b"[0-9a-f]" * 16 + b".tmp")):
            if os.path.basename(name) != self.name_of(name[-20:-12]):
                continue
            with contextlib.suppress(OSError):            # it is gone, or not ours
                file = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if self.lock(file):
                        os.remove(name)
                finally:
                    os.close(file)

    def write(self, *parts):
        """Makes data all that the file holds."""
        os.lseek(self.file, 0, os.SEEK_SET)
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(self.file, rest):]
        os.ftruncate(self.file, sum(map(len, parts)))
        os.fsync(self.file)

    def keep(self):
        """It is whole: it takes its name."""
        os.replace(self.name, self.path)
        self.name = None

    def drop(self):
        """What was not kept never was."""
        with contextlib.suppress(OSError):                # somebody else was quicker
            if self.name:
                os.remove(self.name)
        with contextlib.suppress(OSError):
            if self.file is not None:
                os.close(self.file)
        self.name = self.file = None


def write_file(path, *parts, draft=None):
    """Writes a whole file or none. Raises OSError."""
    draft = draft or Draft(path)
    try:
        draft.write(*parts)
        draft.keep()
    finally:
        draft.drop()


MERGES = b"postgpt-merges "  # what our files begin with


def merges_text(tokenizer, corpus, options):
    """The merges file: a header line, then a pair of ids a line."""
    pairs = b"".join([b"%d %d\n" % pair for pair in tokenizer.pairs])
    alphabet, n = b"%s %d" % (options["alphabet"].encode(), tokenizer.base), len(tokenizer.pairs)
    return MERGES + b"1 corpus %d crc32 %08x alphabet %s merges %d learned %d crc32 %08x\n%s" % (
        len(corpus), zlib.crc32(corpus), alphabet, options["merges"], n, zlib.crc32(pairs), pairs)


def merges_take(file, corpus, alphabet, options):
    """The tokenizer of a merges file, or None where its pairs are not those that learning would give: the
    file must read exactly as it would be written again, and pass for learned."""
    tokenizer = Tokenizer(alphabet)
    for line in file.split(b"\n")[1:min(options["merges"], len(corpus)) + 1]:
        pair = re.fullmatch(b"([0-9]{1,5}) ([0-9]{1,5})", line)
        left, right = map(int, pair.groups()) if pair else (tokenizer.vocab, 0)
        if max(left, right) >= tokenizer.vocab:
            break
        if len(tokenizer.text[left]) + len(tokenizer.text[right]) > LONGEST:
            break
        tokenizer.add(left, right)
    same = merges_text(tokenizer, corpus, options) == file
    return tokenizer if same and tokenizer.passes(corpus, options["merges"]) else None


def merges_path(corpus):
    """postgpt.merges for postgpt.txt: the last extension is exchanged, or added where there is none."""
    stem, extension = os.path.splitext(corpus)
    return (corpus if extension == ".merges" else stem) + ".merges"


def merges_fault(file, corpus, options):
    """Why a merges file cannot be used, in words."""
    form = r"postgpt-merges 1 corpus (N) crc32 ([0-9a-f]{8}) alphabet (bytes|corpus) (N) merges (N) learned "
    header = re.match(form.replace("N", r"0|[1-9]\d{0,17}").encode(), file)
    if not header:
        return "is damaged"
    if header.group(1, 2) != (b"%d" % len(corpus), b"%08x" % zlib.crc32(corpus)):
        return "is of another corpus"
    same = header.group(3, 5) == (options["alphabet"].encode(), b"%d" % options["merges"])
    return "is damaged" if same else "was learned for other settings"


def merges_read(path, merges):
    """A merges file's bytes, not more than there can be; None where there is none, b"?" where it is no
    file that can be read."""
    with contextlib.suppress(OSError):
        if os.path.isfile(path):                          # not a pipe, which would let us wait
            with open(path, "rb") as file:
                return file.read(256 + 12 * merges)
    return b"?" if os.path.exists(path) else None


def load_tokenizer(corpus, alphabet, options):
    """The tokenizer from the merges file, or learned and kept there: beside a corpus that is a file, and
    not over another program's."""
    name = options["corpus"]
    path, cached = merges_path(name), os.path.isfile(to_bytes(name)) and not (
        options["no-cache"] or options["holdout"] or name.startswith(("/dev/", "/proc/")))
    file = merges_read(to_bytes(path), options["merges"]) if cached else None
    read = [other for other in (name, options["eval"], options["encode"], options["load"], "/dev/stdin")
            if file is not None and other and same_file(path, other)]
    ours = file is None or MERGES.startswith(file[:len(MERGES)]) and not read        # it is, by a link
    tokenizer = merges_take(file, corpus, alphabet, options) if file and ours else None
    if not tokenizer:
        tokenizer = Tokenizer.learn(corpus, options["merges"], alphabet)
        if cached:
            if tokenizer.pairs:
                why = ("is missing" if file is None else merges_fault(file, corpus, options) if ours else
                       "is another program's, and left alone")
                note(options, "learned %d merges: %s %s" % (len(tokenizer.pairs), path, why))
            hold_signals(True)
            with contextlib.suppress(OSError):            # if it cannot be kept, the next start learns again
                if ours:
                    write_file(path, merges_text(tokenizer, corpus, options))
            hold_signals(False)
    return tokenizer


def check_bytes(tokenizer, data, what):
    """Raises Failure at a byte that the alphabet lacks."""
    for byte in data:
        if byte not in tokenizer.id_of_byte:
            raise Failure("%s has the byte 0x%02x, which the corpus' alphabet lacks"
                          " (--alphabet bytes knows all)" % (what, byte))


def real_name(path, links=0):
    """Where a name (bytes) leads, also where nothing is yet; None where it leads nowhere."""
    folder, name = os.path.split(path)
    if os.path.exists(path):
        return os.path.realpath(path)
    if os.path.islink(path) and links <= 40:
        return real_name(os.path.join(folder, os.readlink(path)), links + 1)
    return os.path.join(os.path.realpath(folder or b"."), name) if os.path.isdir(folder or b".") else None


def same_file(a, b):
    """Do two names lead to one file, which need not be there yet?"""
    a, b = to_bytes(a), to_bytes(b)
    try:
        return os.path.samefile(a, b)
    except OSError:
        with contextlib.suppress(OSError):                # where we are may be gone
            name = real_name(a)
            return name is not None and name == real_name(b)
    return False


def check_outputs(options, prompted):
    """Raises Failure where what is to be written is what is read. prompted: by standard input."""
    read = [(options["corpus"], "the corpus is read from it"), (options["eval"], "the text is read from it"),
            (merges_path(options["corpus"]), "the merges are kept in it"),
            ("/dev/stdin" if prompted else None, "the prompt is read from it")]
    kept = [(options["save"], "the checkpoint is to be kept in it"),
            (options["load"], "the checkpoint is read from it")]
    for out, taken in (options["save"], read), (options["page"], read + kept):
        for path, why in taken if out else ():
            if path and same_file(out, path):
                raise Failure("cannot write %s: %s (name another file)" % (out, why))


def put_figures(model, data):
    """The held-out figures of data."""
    for label, bits, nats in model.evaluate(data):
        put(b"%-18s  %8.4f bits/byte  %8.4f nats/token\n" % (label.encode(), bits, nats))


def put_info(model, corpus, options):
    """Counts, parameters, memory, files."""
    shape, net, meta, vocab = model.shape, model.net, model.meta, model.meta.vocab
    embd, context = shape.embd, shape.context
    a_layer = sum(len(row) for matrix in net.layers[0].matrices() for row in matrix)
    n = net.n_params()
    put(to_bytes("""corpus       %s: %d bytes, crc32 %08x, %s
documents    %d
tokens       %d
vocabulary   %d: %d bytes and %d merges
chain        order %d: %d contexts, %d counts
trace        %d pairs that keep company
prophecy     %d promises
parameters   %d
  wte        %d: %d x %d
  wpe        %d: %d x %d
  layers     %d: %d x %d
    content  %d a layer: %d heads of %d
    rrpram   %d a layer: %d heads of %d
    out      %d a layer
    mlp      %d a layer
  head       %d: %d x %d
memory       %d bytes of parameters, %d of keys and values, %d tokens in the field
files        %s
""" % (options["corpus"], len(corpus), zlib.crc32(corpus), "UTF-8" if model.utf8 else "not UTF-8",
       len(meta.text.starts) - 1, len(meta.text.ids), vocab, model.tokenizer.base, len(model.tokenizer.pairs),
       meta.chain.order, len(meta.chain.backoff), meta.chain.counts, len(meta.trace), len(meta.promise), n,
       vocab * embd, vocab, embd, context * embd, context, embd,
       shape.layers * a_layer, shape.layers, a_layer,
       3 * embd * shape.content_dim, shape.content, shape.head_dim,
       shape.rrpram * embd * context + embd * shape.rrpram_dim, shape.rrpram, shape.head_dim, embd * embd,
       2 * shape.mlp * embd * embd, embd * vocab, embd, vocab,
       8 * n, 8 * shape.layers * context * (shape.content_dim + embd), model.memory,
       merges_path(options["corpus"]))))

def save_draft(path):
    """The Draft of a checkpoint or a page, before the work begins. Raises Failure."""
    try:
        return Draft(path)
    except OSError as error:
        raise Failure("cannot write %s: %s" % (path, os.strerror(error.errno)))


RESCUED = 240               # bytes of a name: with what is added a file system takes it


def rescue_name(path):
    """A name that is not taken: path.rescue, path.rescue2, .., of a long name the beginning."""
    path = to_bytes(path)
    path = to_text(path[:path.rfind(b"/") + 1 + RESCUED])
    name, n = path + ".rescue", 2
    while os.path.lexists(to_bytes(name)):
        name, n = "%s.rescue%d" % (path, n), n + 1
    return name


def save_file(path, *parts, draft=None, rescue=False):
    """Writes a checkpoint or a page; where it cannot be written any more, what was trained is saved beside
    it, or where we are. Raises Failure."""
    fault, rescued = None, ""
    for name in itertools.chain([path], map(rescue_name, [path, os.path.basename(path)] * rescue)):
        try:
            write_file(name, *parts, draft=draft)
            rescued = "; what was trained is in " + name
            break
        except OSError as error:
            fault, draft = fault or error, None
    if fault:
        raise Failure("cannot write %s: %s%s" % (path, os.strerror(fault.errno), rescued))


def train_model(model, rest, options, draft):
    """Trains, and saves the best state also where it is interrupted or fails; no interrupt cuts the saving
    short, and space and memory for it are taken before.

    Every step has its line on standard error, in full; where that is a terminal, one line in place, short,
    and at the end one that says what came of it."""
    steps, begin, terminal, done = options["train"], time.monotonic(), os.isatty(2), (0, 0.0)

    def report(line, step, loss, best):
        nonlocal done
        done = step, best
        if options["quiet"]:
            return
        if terminal:
            speed = step / max(time.monotonic() - begin, 1e-9)
            left = ", %.0f s left" % ((steps - step) / speed) if step else ""
            progress.show("step %d of %d: loss %.4f, best %.4f, %.1f a second%s" %
                          (step, steps, loss, best, speed, left))
            return
        with contextlib.suppress(Failure):                # it cannot be written
            put((line + "\n").encode(), 2)

    save, room, failure = options["save"], checkpoint_room(model.net), None     # seeded first: no half ghost
    if draft:
        try:
            draft.write(bytes(sum(map(len, model.saved(room))) + 8))
        except OSError as error:
            raise Failure("cannot write %s: %s" % (save, os.strerror(error.errno)))
    try:
        try:
            model.train(steps, options["lr"], options["batch"], rest, report)
        finally:
            hold_signals(True)
    except BaseException as error:                        # with its traceback goes what training has taken
        failure = error.with_traceback(None)
        failure.__context__ = None
    if draft:
        save_file(save, *model.saved(room), draft=draft, rescue=True)
    if terminal:
        note(options, "trained %d of %d steps, the best loss %.4f: %s" %
             (done[0], steps, done[1], "saved in " + save if save else "not saved (--save FILE would)"))
    if failure:
        raise failure
    hold_signals(False)


def pieces_of(data):
    """Bytes as they can be shown: (text, columns) of a character each; what is none or controls a terminal
    as an escape."""
    found = []
    for char in to_text(data):
        if char < " " or "\x7f" <= char < "\xa0" or "\udc80" <= char <= "\udcff":
            for byte in to_bytes(char):
                text = {9: "\\t", 10: "\\n", 13: "\\r"}.get(byte, "\\x%02x" % byte)
                found.append((text, len(text)))
        elif char in '"\\':
            found.append(("\\" + char, 2))
        else:
            found.append((char, 2 if "\u3000" <= char < "\uf000" or char >= "\U0001f000" else 1))
    return found


def quoted(data, most=100):
    r"""Bytes as text in quotes, in at most so many columns, and how many there are.

    >>> quoted(b"two\nlines"), quoted(b"a long word", 8)
    (('"two\\nlines"', 12), ('"a lon…"', 8))
    """
    pieces = pieces_of(data)
    columns = list(itertools.accumulate([n for _, n in pieces], initial=2))       # before each, and of all
    short = columns[-1] > most
    kept = bisect.bisect_right(columns, most - short) - 1
    return '"%s%s"' % ("".join([text for text, _ in pieces[:kept]]), "\u2026" * short), columns[kept] + short


def fixed(x, digits=2):
    """A number with so many decimals, and no minus before a zero."""
    return "%.*f" % (digits, round(x, digits) + 0.0)


def put_ledger(rows):
    """The ledger: a line a token in aligned columns that fit a hundred, then what they come to."""
    cells = [["p", "rank", *TERMS, "p", "stands"]]
    cells += [[fixed(row.p, 3), "%d" % row.rank, *map(fixed, row.gave), fixed(row.second_p, 3),
               "%d:%d +%d" % row.place if row.place else "new"] for row in rows]
    widest = [max(column, key=len) for column in zip(*cells)]
    room = max(100 - sum(map(len, widest)) - len(widest) - 1, 16)
    tokens = [(row.text, row.second_text) for row in rows]
    first, second = (max(least, *(quoted(text)[1] for text in texts))
                     for least, texts in zip((5, 6), zip(*tokens)))
    if first + second > room:                             # the longer one is cut short, or both
        first = max(room - second, min(first, room - room // 2))
        second = room - first
    shown = [(("token", 5), ("second", 6)), *((quoted(a, first), quoted(b, second)) for a, b in tokens)]
    put(b"\n")
    for ((token, n), (other, m)), cell in zip(shown, cells):
        *its, others, _ = ["%*s" % (len(most), text) for most, text in zip(widest, cell)]
        put(("%s%*s %s  %s%*s %s  %s\n" % (token, first - n, "", " ".join(its), other, second - m, "", others,
                                           cell[-1])).encode())
    runs = [row.place[2] if row.place else 0 for row in rows]
    share = [100.0 * len([n for n in runs if n >= k]) / len(rows) for k in (4, 6, 8)]
    decided = [0] * (len(TERMS) + 1)
    for row in rows:                                      # where the runner-up had more, chance decided
        decided[row.gave.index(max(row.gave)) if total(row.gave) > 0.0 else -1] += 1
    terms = ", ".join(["%s %d" % (name, n) for name, n in zip((*TERMS, "draw"), decided) if n])
    mean = fixed(total([row.p for row in rows]) / len(rows), 3)
    line = "verbatim +4 %.0f %%, +6 %.0f %%, +8 %.0f %%; mean p %s; decided: %s\n" % (*share, mean, terms)
    put(line.encode())


PAGE = """<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>
<title>PostGPT: why it said so</title><style>
:root{color-scheme:light dark;--paper:#faf8f3;--ink:#26221c;--soft:#756d60;--line:#e4decf;--card:#fffefb;
--tint:#dc9c26;--c0:#3f68a6;--c1:#8257ad;--c2:#2b8d84;--c3:#cf8a1f;--c4:#66943b;--c5:#c2504a;--c6:#948c80}
@media(prefers-color-scheme:dark){:root{--paper:#181714;--ink:#e8e2d6;--soft:#9d9586;--line:#36322b;
--card:#201e1a;--tint:#c9831a;--c0:#7ba1dc;--c1:#b48fdd;--c2:#5bbdb2;--c3:#e2ab52;--c4:#97c26c;--c5:#e5827b}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,
-apple-system,'Segoe UI',Roboto,sans-serif}main{max-width:1200px;margin:auto;padding:36px 30px;display:grid;
gap:0 56px;align-items:start;grid-template-columns:minmax(0,1fr) minmax(0,530px)}header{grid-column:1/-1;
margin-bottom:26px}h1,h2,#text,blockquote{font-family:Georgia,'DejaVu Serif',serif}h1{font-size:27px;
line-height:1.2;font-weight:600;margin:0 0 6px}p{margin:0 0 8px}small{font-size:12.5px}header p,section>p,
small{color:var(--soft)}b{font-weight:600}nav:not(:empty){margin-top:10px}nav button{font:inherit;
color:inherit;background:none;border:1px solid var(--line);border-radius:99px;padding:2px 14px;
margin:0 6px 6px 0;cursor:pointer}nav [aria-pressed=true]{background:var(--ink);color:var(--paper)}#text{
font-size:20px;line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere}#text i{font-style:normal;
color:var(--soft)}#text span{cursor:pointer;padding:3px 0;background:color-mix(in srgb,var(--tint) var(--p),
transparent)}.run,mark{text-decoration:underline 2px var(--c0);text-underline-offset:5px}mark{background:none;
color:var(--ink)}#text .new{box-shadow:inset 2px 0 var(--c5)}#text .seam{box-shadow:inset 2px 0 var(--c0)}
#text span:focus{outline:none}#text .on{outline:2px solid var(--ink);outline-offset:1px;border-radius:3px;
position:relative}#key{margin-top:26px;border-top:1px solid var(--line);padding-top:14px}#key b{
display:inline-block;width:2.6em;height:1em;margin-right:8px;vertical-align:-2px}aside{background:var(--card);
border:1px solid var(--line);border-radius:14px;padding:22px 24px;position:sticky;top:20px;
max-height:calc(100vh - 40px);overflow:auto}h2{font-size:30px;line-height:1.2;font-weight:600;margin:0 0 4px;
white-space:pre-wrap;overflow-wrap:anywhere}h3{font-size:14px;margin:22px 0 2px}section>p{font-size:13px;
line-height:1.45}.row{display:grid;grid-template-columns:8.4em 1fr 3.2em;gap:10px;align-items:center;
font-size:13px;line-height:1.8}.row>:first-child,.heads small{overflow:hidden;text-overflow:ellipsis;
white-space:pre}.me{font-weight:600}.row>:last-child,.term span{text-align:right;
font-variant-numeric:tabular-nums}.bar{position:relative;height:12px}.bar u{position:absolute;top:0;
height:12px}.bar:after{content:'';position:absolute;left:var(--z);top:-4px;bottom:-4px;
border-left:1px solid var(--soft)}.term{display:grid;grid-template-columns:12px 7.8em 3.4em 1fr;gap:9px;
font-size:13px;line-height:1.4;margin:8px 0}.term u{height:12px;border-radius:3px;margin-top:3px}.term small{
line-height:1.4}blockquote{margin:8px 0;padding-left:12px;border-left:2px solid var(--line);font-size:14px;
color:var(--soft)}.heads{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:8px 18px}
.heads small{display:block}.strip{display:flex;height:20px;border-radius:3px;overflow:hidden;
background:var(--paper)}.strip u{flex:1}svg{width:100%;height:60px;display:block;overflow:visible}path{
fill:none;vector-effect:non-scaling-stroke}@media(max-width:880px){main{display:block;padding:24px 20px 60vh}
#text{font-size:18px}#text span{scroll-margin:80px 0 58vh}h2{font-size:24px}aside{position:fixed;left:0;
right:0;bottom:0;top:auto;max-height:54vh;border-radius:16px 16px 0 0;border-width:1px 0 0;padding:16px 20px;
box-shadow:0 -8px 30px #0002}}
</style><main><header><h1>Why it said so</h1><p>Every token below was weighed with numbers counted in a corpus
of text. Choose one (click, or the arrow keys) and see which of six terms spoke for
it.<nav></nav></header><article><div id=text role=listbox aria-label=Text></div><div id=key><p><small><b
style='background:linear-gradient(90deg,transparent,color-mix(in srgb,var(--tint)
60%,transparent))'></b>probability: pale is near 1, full near 0</small><p><small><b class=run>abc</b>four
words or more, copied from the corpus</small><p><small><b style='box-shadow:inset 2px 0 var(--c5)'></b>new:
these two stand nowhere side by side</small><p><small><b style='box-shadow:inset 2px 0 var(--c0)'></b>a seam:
the copy jumps to another place in the corpus</small><p><small id=made></small></div></article><aside
aria-live=polite></aside></main><script>'use strict'
let D,T,at;const $=s=>document.querySelector(s),all=s=>document.querySelectorAll(s),N=['chain','net','H',
'F','A','T','rules'],V=['chain','transformer','H resonance','F prophecy','A destiny','T trauma','rules'],
E=['What came after the last few tokens in the corpus, by count.',
'Attention over the last tokens, by weights that were computed from the same counts.',
'Does it often stand near the last sixteen tokens?',
'It often follows recent tokens at some distance and is still missing; or it ends a word begun.',
'Has this text said it more often, lately, than the corpus does?',
'After surprises: what followed at moments of this text that were like this one.',
'The sampler fines long copies, bad joins and repeats; above 0 the other was fined more.'],
h=s=>s.replace(/[&<>']/g,c=>'&#'+c.charCodeAt()+';'),n=x=>(x>0?'+':'')+x.toFixed(2).replace('-','−'),
heads=()=>D.content+D.rrpram,mark=(k,css)=>`<u style='background:var(--c${k});${css}'></u>`;
function bars(c,me){const mean=N.map((_,k)=>c.reduce((s,x)=>s+x[2][k],0)/c.length),
d=c.map(x=>x[2].map((v,k)=>v-mean[k])),far=g=>Math.max(.01,...d.map(x=>x.reduce((s,v)=>s+Math.max(0,v*g),
0))),u=100/(far(1)+far(-1)),z=far(-1)*u;return c.map((x,i)=>{let r=z,l=z,s='';d[i].forEach((v,k)=>{
const w=Math.abs(v)*u;if(v<0)l-=w;s+=mark(k,`left:${v<0?l:r}%;width:${w}%`);if(v>0)r+=w});
return `<div class='row${x[0]==me?' me':''}'><span>${h(x[0])}</span><div class=bar style='--z:${z}%'>${s
}</div><span>${x[1].toFixed(3)}</span></div>`}).join('')};
function strip(t,i,k){if(k<0)return '<div></div>';const w=[...t.a[k]].map(c=>parseInt(c,36)/35),
W=T.tokens.slice(i-w.length,i),content=k%heads()<D.content,top=w.map((v,j)=>[v,j]).sort((a,
b)=>b[0]-a[0]||b[1]-a[1]).slice(0,3).filter(x=>x[0]>.04);return `<div><small>layer ${
1+Math.floor(k/heads())}, ${content?'content':'RRPRAM'}</small><div class=strip>${w.map((v,
j)=>mark(content?1:2,`opacity:${Math.sqrt(v).toFixed(2)}' title='${h(W[j].q)}`)).join('')}</div><small>${
top.map(x=>h(W[x[1]].q)+' '+Math.round(100*x[0])+' %').join('  ')||'a little everywhere'}</small></div>`}
function attention(t,i){let s='';for(let l=0;l<t.a.length;l+=heads())for(let k=0;k<Math.max(D.content,
D.rrpram);k++)s+=strip(t,i,k<D.content?l+k:-1)+strip(t,i,k<D.rrpram?l+D.content+k:-1);
return `<div class=heads>${s}</div>`};
function trauma(i){const g=T.tokens.slice(T.from),y=v=>60-56*Math.min(v/8,1);return `<svg viewBox='0 0 ${
Math.max(1,g.length-1)} 60' preserveAspectRatio=none><path d='M${
g.map((t,j)=>j+' '+y(t.l)).join('L')}' stroke=var(--c5) stroke-width=1.6 /><path d='M${i-T.from
} 2V60' stroke=var(--soft) stroke-dasharray=3 /></svg>`};
function select(i,focus){const g=T.tokens,t=g[at=i=Math.min(Math.max(i,T.from),g.length-1)],
sum=t?t.g.reduce((s,x)=>s+x,0):0,part=(title,text,body)=>`<section><h3>${title}</h3><p>${text}</p>${body
}</section>`;if(!t)return;all('#text span').forEach((e,j)=>{const on=j+T.from==i;e.classList.toggle('on',
on);e.tabIndex=on?0:-1;e.setAttribute('aria-selected',on);if(on&&focus){e.focus({preventScroll:true});
e.scrollIntoView({block:'nearest'})}});$('aside').innerHTML=`<h2>${h(t.q)}</h2><p>probability <b id=p>${
t.p.toFixed(3)}</b>, rank <b id=rank>${t.r}</b> of ${D.vocab}; ${t.r>1?'first':'second'
} was <b id=second>${h(t.u)
}</b> with <b id=v>${t.v.toFixed(3)}</b></p>`+part('Who spoke for it',
`Its score minus the score of ${h(t.u)}, term by term: together ${n(sum)} nats, ${
sum<0?'yet the draw took it.':'so at temperature '+D.tau+' it was '+(
sum/D.tau>13?'over a million':(+Math.exp(sum/D.tau).toPrecision(2)).toLocaleString('en'))+' times as likely.'
}`,t.g.map((x,k)=>`<div class=term>${mark(k,'')}<b>${V[k]}</b><span id=g${k}>${n(x)}</span><small>${E[k]
}</small></div>`).join(''))+part('The best candidates',
'To the right what spoke for each, to the left what spoke against it, beside their average.',bars(t.c,
t.q))+part('Where it stands in the corpus',t.w?`The longest run of words that ends here: <b id=place>${
t.w[0]}:${t.w[1]} +${t.w[2]}</b>, line, column and ${t.w[2]
} words.`:'<b id=place>new</b>: these two side by side stand nowhere in the corpus.',
t.x.map(x=>`<blockquote>…${h(x[0])}<mark>${h(x[1])}</mark>${h(x[2])
}…</blockquote>`).join(''))+(t.a.length?part('What attention saw',`The last ${t.a[0].length
} tokens (a full window is halved), the newest at the right; darker is more.
Content heads look for what is alike, RRPRAM heads at a distance.`,attention(t,i)):'')+part('Open promises',
'Tokens that prophecy still waits for, and the score it would give them.',t.o.map(o=>`<div class=row>
<span>${h(o[0])}</span><small>promised by ${h(o[1])}, ${o[2]} tokens back</small><span>${n(o[3])
}</span></div>`).join('')||'<small>None.</small>')+part('Trauma',`<b id=level>${t.l.toFixed(2)
}</b> nats: how surprising the text was lately. The higher it is, the louder is what
recall has found.`,trauma(i));history.replaceState(0,'',`#${
D.texts.indexOf(T)+1}.${i-T.from+1}`)};
function read(k,i){const run=new Set,g=(T=D.texts[k]).tokens;g.forEach((t,j)=>{
if(t.w&&t.w[2]>3)for(let m=0;m<t.w[3];m++)run.add(j-m)});$('#text').innerHTML=g.map((t,j)=>{
const c=(run.has(j)?'run':'')+(t.w===0&&g[j-1]?.w!==0?' new':t.w&&g[j-1]?.w&&t.w[3]<=g[j-1].w[3]?' seam':'');
return j<T.from?`<i class='${c}'>${h(t.s)}</i>`:`<span role=option class='${c}' style='--p:${
Math.round(60*(1-Math.sqrt(t.p)))}%'>${h(t.s)}</span>`}).join('');
$('nav').innerHTML=D.texts.length<2?'':D.texts.map((t,j)=>`<button aria-pressed=${j==k}>${
h(t.name)+(D.texts.length>2?' '+(j+1):'')}</button>`).join('');all('nav button').forEach((e,
j)=>e.onclick=()=>read(j,0));all('#text span').forEach((e,j)=>e.onclick=()=>select(j+T.from,1));
select(i+T.from)};
function show(d){D=d;d.texts.forEach(t=>t.tokens=t.tokens.map(a=>Object.fromEntries(a.map((x,
i)=>['sqprlguvwcxao'[i],x]))));const [k,i]=location.hash.slice(1).split('.');
$('#made').textContent=d.made;read(Math.min(Math.max(1,k|0),d.texts.length)-1,Math.max(1,i|0)-1);
document.onkeydown=e=>{const s={ArrowRight:1,ArrowDown:1,ArrowLeft:-1,ArrowUp:-1,Home:-1e9,End:1e9}
[e.key];if(s&&!e.ctrlKey&&!e.metaKey&&!e.altKey){e.preventDefault();select(at+s,1)}}}
</script><script>show("""


def json_text(data, shown=False):
    """Bytes as a JSON string, quoted as in the ledger, or `shown`: as the text itself, its invalid bytes
    as U+FFFD."""
    text = to_text(data) if shown else quoted(data)[0]
    text = re.sub("[\udc80-\udcff]", "\ufffd", text)
    return '"%s"' % re.sub('[\0-\x1f\x7f"\\\\<>&]', lambda c: "\\u%04x" % ord(c.group()), text)


def json_list(items):
    """[items, comma, separated]"""
    return "[%s]" % ",".join(items)


def page_text(model, prompt, mode, rows):
    """A text of the page, as JSON: what was said and the rows of why."""
    known = model.heard(prompt)[-model.shape.context * 2:]
    said = [model.tokenizer.text[token] for token in known] + [row.text for row in rows]
    held, tokens = b"", []
    for i, data in enumerate(said):
        held += data
        whole = utf8_run(0, held) in (0, BROKEN)          # a character stands at the token that completes it
        token = [json_text(held if whole else b"", True), json_text(data)]
        held = b"" if whole else held
        if i >= len(known):
            token += page_row(rows[i - len(known)])
        tokens.append(json_list(token))
    return '{"name":"%s","from":%d,"tokens":%s}' % (mode, len(known), json_list(tokens))


def page_row(row):
    """What the page knows of a token that was said, as JSON."""
    candidates = [[json_text(text), fixed(p, 3), json_list(map(fixed, parts))]
                  for text, p, parts in row.candidates]
    excerpts = [[json_text(part, True) for part in excerpt] for excerpt in row.excerpts]
    attention = ["".join(["0123456789abcdefghijklmnopqrstuvwxyz"[int(35.0 * w + 0.5)] for w in head])
                 for head in row.attention]
    promises = [[json_text(text), json_text(who), "%d" % back, fixed(nats)]
                for text, who, back, nats in row.promises]
    return [fixed(row.p, 3), "%d" % row.rank, fixed(row.level), json_list(map(fixed, row.gave)),
            json_text(row.second_text), fixed(row.second_p, 3),
            "[%d,%d,%d,%d]" % (*row.place, row.since) if row.place else "0",
            json_list(map(json_list, candidates)), json_list(map(json_list, excerpts)),
            json_list(map('"{}"'.format, attention)), json_list(map(json_list, promises))]


def put_page(model, pages, options):
    """Writes the page."""
    name = os.path.basename(options["corpus"])
    made = "%s, %s, temperature %s, seed %d" % (VERSION, name, fixed(options["temperature"]), options["seed"])
    text = '%s{"vocab":%d,"content":%d,"rrpram":%d,"tau":%s,"made":%s,"texts":%s})</script>\n' % (
        PAGE, model.meta.vocab, model.shape.content, model.shape.rrpram,
        fixed(options["temperature"] or 1.0, 3), json_text(to_bytes(made), True), json_list(pages))
    hold_signals(True)
    save_file(options["page"], text.encode())
    hold_signals(False)


def continue_prompt(model, prompt, options, said=None):
    """The prompt and what follows it, in one mode, or in both under a heading each. said: the text so far
    by sample and mode, which goes on where there is one; it gets what is added."""
    both, names = options["mode"] == "both", [name.replace("_", "-") for name in Sampling._fields[1:]]
    for i in range(options["samples"]):
        for mode in ("meta", "full") if both else (options["mode"],):
            if stopped:
                return
            if i and not (both and mode == "full"):
                put(b"----\n")
            if "Z" in MODES[mode]:
                model.net                                 # before a line begins that progress would clear
            if both:
                put(b"--- %s ---\n" % mode.encode())
            texts = {} if said is None else said
            if (i, mode) not in texts:
                put(prompt)
                texts[i, mode] = bytearray(prompt)
            text, rows = bytes(texts[i, mode]), []
            how = Sampling((options["seed"] + i) % (1 << 64), *[options[name] for name in names])
            why = 2 if options["page"] else int(options["why"])
            for data, row in model.speak(text, options["tokens"], mode, how, why):
                put(data)
                texts[i, mode] += data
                if row:
                    rows.append(row)
                if stopped:
                    break
            put(b"\n")
            if options["why"] and rows:
                put_ledger(rows)
            if options["page"]:
                options["pages"].append(page_text(model, text, mode, rows))


stopped = []                # by an interrupt: the answer under way is to end here


def converse(model, prompt, options):
    """Answers the prompt, if there is one, then standard input, a line at a time. An empty line goes on
    where the text stopped, with the next seed; an interrupt ends the answer under way and nothing else."""
    terminal, said, waiting = os.isatty(0), {}, False
    before = signal.getsignal(signal.SIGINT)

    def interrupt(number, frame):
        if not waiting:
            stopped.append(number)
        elif terminal:
            raise KeyboardInterrupt

    if before == interrupted:
        signal.signal(signal.SIGINT, interrupt)
    if prompt is not None:
        continue_prompt(model, prompt, options, said)
    try:
        lines = open(0, "rb", closefd=False)
    except OSError as error:
        raise unreadable(None, "the prompt", error)
    while True:
        stopped.clear()
        try:
            waiting = True
            if terminal:
                progress.show("> ")
                progress.shown = False
            line = lines.readline()
            waiting = False
        except OSError as error:
            raise unreadable(None, "the prompt", error)
        except KeyboardInterrupt:
            waiting = False
            if asked:                                     # by another signal: to end
                raise
            progress.shown = True                         # the prompt's line, which goes
            put_error("an interrupt ends an answer; the end of input (Ctrl-D) ends this")
            continue
        if not line:
            break
        prompt = line.rstrip(b"\r\n")
        try:
            check_bytes(model.tokenizer, prompt, "the prompt")
        except Failure as error:
            put_error(str(error))
            continue
        if prompt or not said:
            said = {}
        else:
            options = {**options, "seed": (options["seed"] + 1) % (1 << 64)}
        continue_prompt(model, prompt, options, said)
    if terminal:
        progress.show("\n")
        progress.shown = False
    signal.signal(signal.SIGINT, before)


QUOTED = 8                  # words in a row that the corpus has are a quotation


def quotations(corpus, text):
    """Of the runs of QUOTED words in a text, each up to where the next word begins: how many the corpus has,
    and how many there are."""
    standing, found, runs = Standing(corpus, ()), 0, 0
    for at in range(len(text)):
        if len(standing.begun) >= QUOTED and standing.begins(text, at):
            runs += 1
            found += standing.find(QUOTED, 0) >= 0
        standing.write(text[at:at + 1])
    return found, runs


def demonstrate(model, corpus, options):
    """Eight prompts from the corpus itself: the first three pieces of the lines after each eighth of it; and
    a note on how much of what was said is copied."""
    found = runs = 0
    for i in range(8):
        at = len(corpus) // 8 * i
        if at:
            at = corpus.find(b"\n", at - 1) + 1 or len(corpus)
        at = re.compile(rb"[\t-\r ]*").match(corpus, at).end()
        end, pieces, said = at, 0, None if options["quiet"] else {}
        while pieces < 3 and end < len(corpus) and KIND[corpus[end]] != WHITE:
            end, pieces = PIECE.match(corpus, end).end(), pieces + 1
        if i:
            put(b"\n")
        continue_prompt(model, corpus[at:end], options, said)
        for text in said.values() if said else ():
            found, runs = map(add, (found, runs), quotations(corpus, text))
    if runs:
        note(options, "of %d runs of %d words that were said, %d stand in the corpus (%.1f %%)"
             % (runs, QUOTED, found, 100.0 * found / runs))


MAGIC = {b"\x1f\x8b": "compressed (gzip)", b"PK\x03\x04": "compressed (zip)", b"%PDF-": "like a PDF",
         b"\x7fELF": "like a program (ELF)"}


def look_at(corpus, prompt, options):
    """Says so where what was given is hardly what was meant."""
    for magic, what in MAGIC.items():
        if corpus.startswith(magic):
            note(options, "the corpus %s looks %s, not like text: its bytes are counted as they are" %
                 (options["corpus"], what))
    if prompt and prompt != "-" and not re.search("[\t-\r ]", prompt) and os.path.isfile(to_bytes(prompt)):
        note(options, "the prompt '%s' is also the name of a file (--corpus %s counts it, - reads a prompt"
             " from standard input)" % (prompt, prompt))


def read_corpus(options):
    """What is counted of the corpus, and what --holdout holds out of it. Raises Failure."""
    path = options["corpus"]
    data = read_file(path, "the corpus")
    if len(data) < 2:
        raise Failure("the corpus %s %s: there is nothing to count" %
                      (path, "has one byte" if data else "is empty"))
    at = len(data) - int(len(data) * options["holdout"])
    if at < 2:
        raise Failure("--holdout leaves too little of the corpus %s to build on" % path)
    return data[:at], data[at:]


MODELS = ("merges", "alphabet", "order", "lines", "shape", "init", "seed", "memory")      # PostGPT's


def build_model(corpus, rest, tokenizer, checkpoint, options):
    """The model, loaded, trained and saved as the options ask. What cannot be written is found before."""
    draft = None
    try:
        hold_signals(True)
        if options["page"]:
            save_draft(options["page"]).drop()            # it can be written, as far as one can know
        if options["save"]:
            draft = save_draft(options["save"])
        hold_signals(False)
        chosen = {name: options[name] for name in (*MODELS, *COEFFICIENTS) if options[name] is not None}
        model = PostGPT(corpus, tokenizer=tokenizer, seeded=False, **chosen)
        if options["load"]:
            try:
                model.load(checkpoint)
            except Failure as failure:
                raise Failure("cannot use %s: %s" % (options["load"], failure))
        if options["train"]:
            train_model(model, rest, options, draft)
        elif draft:
            save_file(options["save"], model.save(), draft=draft)
        return model
    finally:
        if draft:
            draft.drop()


def run(args):
    """The program. Raises Misuse, Failure."""
    options, prompt = parse(args)
    if options["help"]:
        return put(HELP.encode())
    if options["version"]:
        return put(VERSION.encode() + b"\n")
    if not options["corpus"]:
        here = os.path.dirname(os.path.realpath(__file__))
        options["corpus"] = to_text(os.fsencode(os.path.join(here, "postgpt.txt")))
    if options["seed"] == "random":
        options["seed"], = struct.unpack("<Q", os.urandom(8))
        put_error("seed %d" % options["seed"])
    if options["tree"] and not prompt:
        raise Misuse("--tree needs a prompt: the words whose company it shows")
    if os.isatty(2) and not options["quiet"]:
        progress.watch()
    stdin = prompt == "-"
    prompted = stdin or options["interactive"]
    if prompted and not os.path.isfile(0) and same_file(options["corpus"], "/dev/stdin"):
        raise Misuse("the corpus and the prompt cannot both be read from standard input (name a corpus file)")
    corpus, rest = read_corpus(options)
    look_at(corpus, prompt, options)
    if prompt is not None:
        prompt = read_file(None, "the prompt") if stdin else to_bytes(prompt)
    if options["tree"]:
        return put(b"".join([line + b"\n" for line in Company(corpus).tree(letters_of(prompt))]))
    alphabet = Tokenizer(alphabet_of(corpus, options["alphabet"], options["lines"]))
    if options["top-k"] > max(alphabet.base + options["merges"], 15):    # the default suits every vocabulary
        raise Misuse("--top-k takes a whole number from 0 to %d, not '%d'" %
                     (alphabet.base + options["merges"], options["top-k"]))
    # what cannot be used is found before anything takes long
    check_outputs(options, prompted)
    check_bytes(alphabet, prompt or b"", "the prompt")
    name = options["encode"] or options["eval"]
    text = read_file(name, "the text") if name else b""
    check_bytes(alphabet, text, name)
    check_bytes(alphabet, rest, "what --holdout holds out")
    for data, option, what in ((text, "eval", name), (rest, "holdout", "what --holdout holds out")):
        if options[option] and not data:
            raise Failure("%s is empty: there is nothing to evaluate" % what)
    checkpoint = read_file(options["load"], "the checkpoint") if options["load"] else None
    tokenizer = load_tokenizer(corpus, alphabet.alphabet, options)
    if options["encode"]:
        ids, _ = encode_text(tokenizer, text, options["lines"])
        return put(" ".join(map(str, ids)).encode() + b"\n")
    model = build_model(corpus, rest, tokenizer, checkpoint, options)
    if options["info"]:
        put_info(model, corpus, options)
    if options["holdout"]:
        put_figures(model, rest)
    if options["eval"]:
        put_figures(model, text)
    options["pages"] = []
    if options["interactive"]:
        converse(model, prompt, options)
    elif prompt is not None:
        continue_prompt(model, prompt, options)
    elif not any([options[name] for name in ("info", "eval", "holdout", "train", "save")]):
        demonstrate(model, corpus, options)
    if options["page"]:
        put_page(model, options["pages"], options)


def main():
    """Runs the command line and exits: 0, 1 what cannot be done, 2 a wrong command line, 130 an interrupt;
    another signal ends it."""
    gc.disable()                                          # as in resting()
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)     # put() hears of it
    code = 0
    try:
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, interrupted)
        try:
            run(arguments())
        except Misuse as misuse:
            code = 2
            put_error(misuse)
        except Failure as failure:
            code = 1
            put_error(failure)
        except (MemoryError, SystemError):                # CPython may fail to say which it is
            code = 1
            put_error("out of memory")
        progress.clear()
        os._exit(code)                                    # all is written, and an end takes time otherwise
    except KeyboardInterrupt:
        if asked[0] == signal.SIGINT:
            os._exit(130)                                 # at once: later signals are not heard
        hold_signals(False)
        signal.signal(asked[0], signal.SIG_DFL)           # what we die of is told by dying of it
        os.kill(os.getpid(), asked[0])
        os._exit(128 + asked[0])                          # the first process of a container outlives that


if __name__ == "__main__":
    main()
