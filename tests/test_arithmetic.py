"""Chapter 0 and the small linear algebra of chapters II and IV, against plain loops and definitions."""
import ast
import math
import random
import re
import unittest
from unittest import mock

from twins import ROOT
import postgpt


def matrix(rng, n, m):
    return [[rng.uniform(-2, 2) for _ in range(m)] for _ in range(n)]


def product(a, b):
    """a b, by the definition."""
    return [[math.fsum(a[i][k] * b[k][j] for k in range(len(b))) for j in range(len(b[0]))] for i in range(len(a))]


def transposed(a):
    return [list(column) for column in zip(*a)]


def table(rows):
    """A dense matrix as a sparse table."""
    return postgpt.Table([[(j, x) for j, x in enumerate(row) if x] for row in rows])


class Close(unittest.TestCase):
    def assertMatrix(self, a, b, delta=1e-9):
        self.assertEqual([len(row) for row in a], [len(row) for row in b])
        for i, (row, other) in enumerate(zip(a, b)):
            for j, (x, y) in enumerate(zip(row, other)):
                self.assertAlmostEqual(x, y, delta=delta, msg="at [%d][%d]" % (i, j))


class SplitMix64(unittest.TestCase):
    def test_seed_0_gives_the_published_outputs(self):
        rng = postgpt.Rng(0)
        self.assertEqual([rng.next() for _ in range(5)],
                         [16294208416658607535, 7960286522194355700, 487617019471545679, 17909611376780542444,
                          1961750202426094747])

    def test_uniforms_are_the_high_53_bits_and_below_1(self):
        bits, floats = postgpt.Rng(2 ** 64 - 1), postgpt.Rng(2 ** 64 - 1)
        drawn = [floats.uniform() for _ in range(5000)]
        self.assertEqual(drawn, [(bits.next() >> 11) / 2.0 ** 53 for _ in range(5000)])
        self.assertTrue(all(0.0 <= u < 1.0 for u in drawn))
        self.assertAlmostEqual(math.fsum(drawn) / 5000, 0.5, delta=0.02)

    def test_the_largest_number_is_still_below_1(self):
        rng = postgpt.Rng(0)
        rng.next = lambda: 2 ** 64 - 1
        self.assertEqual(rng.uniform(), 1.0 - 2.0 ** -53)


class SumsAscendOneTermAtATime(unittest.TestCase):
    """Bit for bit: the numbers differ in size so much that another order gives another sum."""

    def numbers(self, rng, n):
        return [rng.uniform(-1, 1) * 10.0 ** rng.randrange(-12, 12) for _ in range(n)]

    def test_such_numbers_tell_orders_apart(self):
        rng = random.Random(1)
        x = self.numbers(rng, 40)
        self.assertNotEqual(postgpt.total(x), postgpt.total(x[::-1]))
        self.assertNotEqual(postgpt.total(x), math.fsum(x))

    def test_matvec(self):
        rng = random.Random(2)
        for n in [*range(20), 33, 64]:
            for m in (1, 2, 7):
                x, w, y = self.numbers(rng, n), [self.numbers(rng, m) for _ in range(n)], self.numbers(rng, m)
                for i in rng.sample(range(n), n // 4):
                    x[i] = 0.0
                want = y[:]
                for j in range(m):
                    for i in range(n):
                        want[j] += x[i] * w[i][j]
                self.assertEqual(postgpt.matvec(y, x, w), want, (n, m))

    def test_dot_and_total(self):
        rng = random.Random(3)
        for n in range(30):
            x, y, product, plain = self.numbers(rng, n), self.numbers(rng, n), 0.0, 0.0
            for i in range(n):
                product += x[i] * y[i]
                plain += x[i]
            self.assertEqual(postgpt.dot(x, y), product)
            self.assertEqual(postgpt.total(x), plain)

    def test_softmax(self):
        rng = random.Random(4)
        for n in range(1, 30):
            x, sum = [rng.uniform(-30, 700) for _ in range(n)], 0.0
            top = max(x)
            for i in range(n):
                sum += math.exp(x[i] - top)
            self.assertEqual(postgpt.softmax(x), [math.exp(a - top) / sum for a in x])

    def test_rmsnorm(self):
        rng = random.Random(5)
        for n in range(1, 30):
            x, sum = [rng.uniform(-3, 3) for _ in range(n)], 0.0
            for i in range(n):
                sum += x[i] * x[i]
            scale = 1.0 / math.sqrt(sum / n + 1e-5)
            self.assertEqual(postgpt.rmsnorm(x), [a * scale for a in x])

    def test_sparse_table_times_a_matrix(self):
        rng = random.Random(6)
        a, x = [[v * rng.randrange(2) for v in self.numbers(rng, 9)] for _ in range(9)], [self.numbers(rng, 4)
                for _ in range(9)]
        want = [[0.0] * 4 for _ in range(9)]
        for i in range(9):
            for k in range(4):
                for j in range(9):
                    want[i][k] += a[i][j] * x[j][k]
        self.assertEqual(table(a).times(x), want)
        self.assertEqual(table(a).transposed().rows, table(transposed(a)).rows)


WHOLE_SUMS = re.compile(r"map\(len, .*\)|\(?len\(\w+\) for .*|\w*counts\.values\(\)")     # lengths and counts


def forbidden(source):
    """What could round differently elsewhere: (line, what) for each use of math.fsum and kin, of ** between anything
    but constants, of a function of libm other than exp, log, sqrt, sin, cos, and of sum() over what is not seen to be
    whole numbers."""
    found = []
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.ImportFrom) and node.module == "math":
            found += [(line, name.name) for name in node.names if name.name not in ("exp", "log", "sqrt", "sin", "cos")]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            found += [(line, name) for name in names if name in ("math", "statistics", "numpy", "random", "fractions",
                                                                 "decimal")]
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Pow):
            found.append((line, "**="))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            if any(isinstance(part, (ast.Name, ast.Call, ast.Attribute, ast.Subscript)) for part in ast.walk(node)):
                found.append((line, "**"))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("sum", "pow"):
            if node.func.id == "pow" or not WHOLE_SUMS.fullmatch(ast.unparse(node.args[0])):
                found.append((line, ast.unparse(node)))
    return found


class OnlyArithmeticThatIsTheSameEverywhere(unittest.TestCase):
    @unittest.skipUnless(hasattr(ast, "unparse"), "needs Python 3.9")
    def test_the_twin_uses_nothing_else(self):
        self.assertEqual(forbidden((ROOT / "postgpt.py").read_text(encoding="utf-8")), [])

    @unittest.skipUnless(hasattr(ast, "unparse"), "needs Python 3.9")
    def test_the_inspection_finds_what_it_looks_for(self):
        for source in ("sum(x)", "sum(a * b for a, b in pairs)", "from math import fsum", "import math", "x ** 0.5",
                       "x ** 2", "x **= y", "pow(x, 2)",
                       "from math import tanh", "import statistics", "from statistics import mean",
                       "sum(map(float, x))", "2.0 ** x"):
            self.assertEqual(len(forbidden(source)), 1, source)
        self.assertEqual(forbidden("sum(map(len, rows)); sum(len(r) for r in rows); 2.0 ** -53; total(x)"), [])

    def test_what_sum_is_given_while_a_model_is_built_and_speaks_is_whole(self):
        given = []

        def watched(terms):
            terms = list(terms)
            given.extend(terms)
            return sum(terms)
        postgpt.sum = watched
        try:
            model = postgpt.PostGPT((ROOT / "postgpt.txt").read_bytes()[:1500], merges=20)
            list(model.generate(b"The ", 3))
            model.evaluate(b"The chain")
            model.net.n_params()
        finally:
            del postgpt.sum
        self.assertGreater(len(given), 100)
        self.assertEqual({type(n) for n in given}, {int})


class LinearAlgebra(Close):
    def test_orthonormalize_spans_the_same_with_unit_columns_at_right_angles(self):
        rng = random.Random(7)
        for n, r in ((1, 1), (5, 3), (6, 6), (40, 8)):
            a = matrix(rng, n, r)
            q = postgpt.orthonormalize(a)
            self.assertMatrix(product(transposed(q), q), [[float(i == j) for j in range(r)] for i in range(r)])
            self.assertMatrix(product(q, product(transposed(q), a)), a)           # projecting on them changes nothing

    def test_orthonormalize_keeps_the_first_direction(self):
        q = postgpt.orthonormalize([[3.0, 1.0], [4.0, 1.0]])
        self.assertMatrix([[row[0]] for row in q], [[0.6], [0.8]])

    def test_orthonormalize_makes_zero_of_what_is_spanned_already(self):
        rng = random.Random(8)
        a = [[x, y, 2.0 * x - y, 0.0, x] for x, y in matrix(rng, 12, 2)]
        q = transposed(postgpt.orthonormalize(a))
        self.assertEqual(q[2:], [[0.0] * 12] * 3)
        self.assertMatrix([[postgpt.dot(x, y) for y in q[:2]] for x in q[:2]], [[1.0, 0.0], [0.0, 1.0]])

    def test_eigen_solves_m_v_is_lambda_v(self):
        rng = random.Random(9)
        for n, rank in ((1, 1), (2, 2), (3, 3), (8, 8), (20, 20), (6, 2)):
            half = matrix(rng, n, rank)
            m = product(half, transposed(half))
            kept = [row[:] for row in m]
            values, vectors = postgpt.eigen(m)
            self.assertEqual(m, kept, "its argument stays as it was")
            self.assertMatrix(product(vectors, transposed(vectors)),
                              [[float(i == j) for j in range(n)] for i in range(n)])
            self.assertMatrix(product(vectors, m), [[value * x for x in v] for value, v in zip(values, vectors)], 1e-7)

    def test_eigen_of_a_known_matrix(self):
        values, vectors = postgpt.eigen([[2.0, 1.0], [1.0, 2.0]])
        self.assertMatrix([sorted(values)], [[1.0, 3.0]])
        self.assertAlmostEqual(abs(vectors[values.index(max(values))][0]), math.sqrt(0.5))

    def assertFactors(self, a, r, rounds, rank, delta=1e-6):
        u, s, v = postgpt.svd(table(a), r, rounds)
        self.assertEqual(s, sorted(s, reverse=True))
        self.assertMatrix(product([[x * t for x, t in zip(row, s)] for row in u], transposed(v)), a, delta)
        for side in (u, v):
            columns = transposed(side)[:rank]
            self.assertMatrix([[postgpt.dot(x, y) for y in columns] for x in columns],
                              [[float(i == j) for j in range(rank)] for i in range(rank)], delta)
        return s

    def test_factor_gives_back_a_matrix_of_full_rank(self):
        rng = random.Random(10)
        for n in (1, 2, 5, 12):
            self.assertFactors(matrix(rng, n, n), n, 3, n)

    def test_factor_gives_back_a_matrix_of_low_rank_at_any_rank_above(self):
        rng = random.Random(11)
        a = product(matrix(rng, 15, 3), matrix(rng, 3, 15))
        for r in (3, 4, 7):
            s = self.assertFactors(a, r, 2, 3)
            self.assertTrue(all(x < 1e-6 for x in s[3:]), s)

    def test_factor_finds_known_singular_values(self):
        rng = random.Random(12)
        u, v = (postgpt.orthonormalize(matrix(rng, 10, 3)) for _ in range(2))
        s = postgpt.svd(table(product([[x * t for x, t in zip(row, (9.0, 4.0, 1.0))] for row in u], transposed(v))), 3,
                        4)[1]
        self.assertMatrix([s], [[9.0, 4.0, 1.0]], 1e-8)

    def test_truncated_factor_leaves_no_more_than_the_next_singular_values(self):
        rng = random.Random(13)
        a = [[x / (1.0 + i + j) for j, x in enumerate(row)] for i, row in enumerate(matrix(rng, 14, 14))]
        whole = postgpt.svd(table(a), 14, 12)[1]
        u, s, v = postgpt.svd(table(a), 5, 12)
        near = product([[x * t for x, t in zip(row, s)] for row in u], transposed(v))
        left = math.sqrt(math.fsum((x - y) ** 2 for row, other in zip(a, near) for x, y in zip(row, other)))
        best = math.sqrt(math.fsum(t * t for t in whole[5:]))                     # Eckart and Young 1936
        self.assertLess(left, 1.01 * best)
        self.assertGreater(left, 0.999 * best)

    def test_factor_of_nothing_is_nothing(self):
        u, s, v = postgpt.svd(table([[0.0] * 4] * 4), 2, 2)
        self.assertEqual((u, s), ([[0.0] * 2] * 4, [0.0] * 2))

    def test_conjugate_gradients_solve_a_system_in_as_many_rounds_as_it_has_unknowns(self):
        rng = random.Random(14)
        for n in (1, 2, 4, 9):
            half = matrix(rng, n, n + 3)
            whole, x = product(half, transposed(half)), [rng.gauss(0, 1) for _ in range(n)]
            times = lambda v: [math.fsum(a * b for a, b in zip(row, v)) for row in whole]
            with mock.patch.object(postgpt, "NEAR", 0.0):
                found = postgpt.conjugate(times, times(x), 3 * n)
            self.assertMatrix([found], [x], 1e-5)

    def test_conjugate_gradients_stop_where_it_is_near_enough_and_where_the_matrix_says_nothing(self):
        asked = []
        times = lambda v: asked.append(v) or [2.0 * a for a in v]
        self.assertEqual(postgpt.conjugate(times, [1.0, -3.0], 50), [0.5, -1.5])
        self.assertEqual(len(asked), 1)
        self.assertEqual(postgpt.conjugate(lambda v: [0.0, 0.0], [1.0, 2.0], 5), [0.0, 0.0])
        self.assertEqual(postgpt.conjugate(times, [0.0, 0.0], 5), [0.0, 0.0])


if __name__ == "__main__":
    unittest.main()
