"""Chapter VII: gradients against finite differences, Chuck's habits, both twins' steps, checkpoints, and what the seeds
of this program learn."""
import itertools
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import twins
from twins import Case, book

import postgpt
from postgpt import Chuck, Failure, PostGPT, Rng, Shape, Text, Transformer, batch_gradient, train, window_loss

SHAPES = {                                                # layers, embd, content, rrpram, context, mlp
    "content_heads": (1, 6, 2, 0, 7, 1), "rrpram_heads": (1, 6, 0, 3, 5, 2),
          "both_kinds_in_two_layers": (2, 8, 2, 2, 5, 1),
    "one_head": (1, 3, 1, 0, 4, 1), "an_uneven_shape": (1, 9, 1, 2, 7, 2),
}
BOTH = "layers=1,embd=8,content=1,rrpram=1,context=8,mlp=2"
NAMES = twins.ROOT.parent / "shared" / "data" / "names.txt"


def random_net(numbers, vocab=11):
    """A transformer with lively random weights."""
    net = Transformer(Shape(*numbers), vocab)
    postgpt.randomize(net, 3)
    for matrix in net.matrices():
        for row in matrix:
            row[:] = [3.0 * x for x in row]
    return net


def words(net):
    """All weights in one list."""
    return [x for matrix in net.matrices() for row in matrix for x in row]


class Gradients(unittest.TestCase):
    """Every weight moved a little up and a little down: the slope is what backpropagation says."""

    def check_python(self, numbers):
        net, context = random_net(numbers), numbers[4]
        ids = [1, 2, 3, 4, 5, 2, 1, 7, 8, 9, 10, 0, 0, 6]
        windows = [ids[:context + 1], ids[6:6 + context], ids[10:13]]
        loss, grad = batch_gradient(net, windows)

        def loss_now():
            found = [window_loss(net, window) for window in windows]
            return sum(loss for loss, _ in found) / sum(n for _, n in found)

        self.assertAlmostEqual(loss, loss_now(), delta=1e-12)
        h = 1e-5
        for matrix, slopes in zip(net.matrices(), grad.matrices()):
            self.assertEqual([len(row) for row in matrix], [len(row) for row in slopes])
            for row, slope_row in zip(matrix, slopes):
                for i, was in enumerate(row):
                    row[i] = was + h
                    up = loss_now()
                    row[i] = was - h
                    slope = (up - loss_now()) / (2 * h)
                    row[i] = was
                    self.assertLessEqual(abs(slope - slope_row[i]) / max(abs(slope), abs(slope_row[i]), 1e-3), 1e-6)

    def check_c(self, numbers):
        done = subprocess.run([twins.build("tests/gradients.c", flags=("-std=c11", "-O1", "-ffp-contract=off")),
                               *map(str, numbers)], stdout=subprocess.PIPE)
        self.assertEqual(done.returncode, 0)
        self.assertLessEqual(float(done.stdout), 1e-6)

    def test_the_windows_forward_says_the_same_as_the_token_by_token_one(self):
        net = random_net((2, 8, 2, 2, 6, 2))
        ids, window = [1, 5, 2, 9, 0, 3], postgpt.Window(net)
        logits, _ = postgpt.net_forward(net, ids)
        for id, row in zip(ids, logits):
            window.push(id)
            self.assertEqual(window.logits(), row)


for name, numbers in SHAPES.items():
    setattr(Gradients, "test_python_gradients_of_%s_are_slopes" % name, lambda self,
            numbers=numbers: self.check_python(numbers))
    setattr(Gradients, "test_c_gradients_of_%s_are_slopes" % name, lambda self, numbers=numbers: self.check_c(numbers))


class ChuckTest(unittest.TestCase):
    """The optimizer's levels, one by one."""

    def chuck(self):
        return Chuck(Transformer(Shape(1, 2, 1, 0, 2, 1), 2))

    def watch(self, losses):
        chuck, factors = self.chuck(), []
        for loss in losses:
            chuck.watch(loss)
            factors.append(chuck.factor)
        return factors

    def test_its_factor_is_never_under_a_half_nor_over_one_and_a_half(self):
        rng, losses, loss = Rng(5), [], 3.0
        for _ in range(3000):
            loss += (rng.uniform() - 0.5) * (1.0 if len(losses) // 300 % 2 else 0.1) + (0.05 if len(losses) // 150
                    % 2 else -0.05)
            losses.append(loss)
        factors = self.watch(losses)
        self.assertEqual((min(factors), max(factors)), (0.5, 1.5))

    def test_the_first_fifteen_steps_change_nothing(self):
        self.assertEqual(self.watch([5.0 - i for i in range(15)]), [1.0] * 15)

    def test_rising_losses_dampen_it_by_a_twentieth_down_to_half(self):
        factors = self.watch([0.1 * i for i in range(60)])
        self.assertEqual(factors[15], 0.95)
        self.assertEqual((min(factors), factors[-1]), (0.5, 0.5))

    def test_a_rise_of_less_than_two_hundredths_is_noise(self):
        self.assertEqual(self.watch([1.0] * 8 + [1.0199] * 8)[-1], 1.0)
        self.assertEqual(self.watch([1.0] * 8 + [1.0201] * 8)[-1], 0.95)

    def test_falling_losses_boost_it_by_a_twentieth_up_to_one_and_a_half(self):
        factors = self.watch([9.0 - 0.1 * i for i in range(60)])
        self.assertEqual(factors[15], 1.05)
        self.assertEqual((max(factors), factors[-1]), (1.5, 1.5))

    def test_a_fall_of_less_than_two_hundredths_is_noise_too(self):
        self.assertEqual(self.watch([1.0] * 8 + [0.9801] * 8)[-1], 1.0)
        self.assertEqual(self.watch([1.0] * 8 + [0.9799] * 8)[-1], 1.05)

    def test_it_drifts_back_by_a_thousandth_a_step(self):
        chuck = self.chuck()
        chuck.factor = 0.5
        chuck.watch(1.0)
        self.assertEqual(chuck.factor, 0.5 + 0.001 * 0.5)
        chuck.factor = 1.5
        chuck.watch(1.0)
        self.assertEqual(chuck.factor, 1.5 - 0.001 * 0.5)

    def test_a_norm_over_twice_the_average_is_clipped_but_never_one_under_1(self):
        chuck = self.chuck()
        self.assertEqual((chuck.clip(3.0), chuck.limit), (1.0, 6.0))
        chuck.power1 = 0.9                                # the first step is done
        clip = chuck.clip(100.0)
        average = 0.99 * 3.0 + 0.01 * 100.0
        self.assertEqual((chuck.average, chuck.limit, clip), (average, 2.0 * average, 2.0 * average / 100.0))
        chuck.average = 0.1
        self.assertEqual((chuck.clip(0.9), chuck.limit), (1.0, 1.0))

    def test_the_first_step_is_adamws(self):
        net = random_net((1, 2, 1, 0, 2, 1), 2)
        before, grad = words(net), random_net((1, 2, 1, 0, 2, 1), 2)
        Chuck(net).step(net, grad, 0.1)
        for old, g, new in zip(before, words(grad), words(net)):
            self.assertAlmostEqual(new, old - 0.1 * (g / (abs(g) + 1e-8) + 0.01 * old), delta=1e-9)

    def test_a_step_is_as_much_shorter_as_its_clip(self):
        net, grad = random_net((1, 2, 1, 0, 2, 1), 2), random_net((1, 2, 1, 0, 2, 1), 2)
        chuck = Chuck(net)
        chuck.average, chuck.power1, chuck.power2 = 0.0, 0.9, 0.999
        norm = chuck.step(net, grad, 0.1)
        self.assertGreater(norm, chuck.limit)
        self.assertEqual(chuck.mean[0][0][0], (1.0 - 0.9) * (grad.wte[0][0] * (chuck.limit / norm)))

    def test_training_restores_its_best_state(self):
        net, text = random_net((1, 4, 1, 0, 4, 1), 4), Text([0, 1, 2, 3] * 20)
        before, lines = words(net), []
        train(net, text, 40, rate=1.0, seed=1, held_out=Text([0, 1, 2, 3] * 4), report=lambda line,
              *_: lines.append(line))
        looks = [float(re.search(r"loss (\S+)", line).group(1)) for line in lines if line.startswith("held-out")]
        best = min(looks)
        self.assertNotEqual(best, looks[-1])
        self.assertEqual(postgpt.held_out_loss(net, Text([0, 1, 2, 3] * 4)), best)
        self.assertNotEqual(words(net), before)

    def test_training_that_makes_it_worse_leaves_it_as_it_was(self):
        net, text = random_net((1, 4, 1, 0, 4, 1), 4), Text([0, 1, 2, 3] * 20)
        train(net, text, 100, rate=0.01)
        before = words(net)
        train(net, text, 3, rate=1.0, held_out=text)
        self.assertEqual(words(net), before)
        train(net, text, 3, rate=1.0)
        self.assertNotEqual(words(net), before,
                            "before there are 64 losses the newest state is kept: one easy batch proves nothing")

    def test_what_is_trained_is_learned(self):
        net, text = random_net((1, 8, 1, 1, 4, 1), 4), Text([0, 1, 2, 3] * 20)
        train(net, text, 60, rate=0.02)
        self.assertLess(postgpt.held_out_loss(net, text), 0.1)


def steps(*args, n=10, corpus=book(3000), **files):
    """A case of n training steps."""
    return Case(("-c", "corpus.txt", "--no-cache", "--train", str(n), "--save", "x.safetensors", *args),
                {"corpus.txt": corpus, **files})


class TwinsTakeTheSameSteps(unittest.TestCase):
    """Every line and every byte of the saved file."""

    def check(self, case):
        found = twins.difference(case, (twins.binary(),))
        self.assertEqual(found, "")


for name, case in {
    "of_content_heads": steps("--merges", "20", "--shape", "layers=1,embd=8,content=2,rrpram=0,context=8,mlp=2"),
    "of_rrpram_heads": steps("--merges", "20", "--shape", "layers=2,embd=8,content=0,rrpram=2,context=9,mlp=1",
                             "--batch", "3"),
    "of_both_kinds": steps("--merges", "50", "--shape", "embd=16,context=16", "--lr", "0.02"),
    "of_both_kinds_from_random_weights": steps("--init", "random", "--shape", BOTH, "--merges", "9", "--seed", "7",
                                               n=30),
    "of_lines": steps("--lines", "--merges", "0", "--alphabet", "corpus", "--shape", BOTH, "--batch", "5",
                      corpus=twins.NAMES),
    "of_lines_with_some_held_out": steps("--lines", "--merges", "5", "--holdout", "0.2", "--shape", BOTH,
                                         corpus=twins.NAMES),
    "with_some_held_out": steps("--merges", "20", "--holdout", "0.03", "--shape", BOTH, n=23),
    "that_are_too_long": steps("--lr", "1", "--merges", "0", "--shape", BOTH, "--batch", "1", n=40),
    "of_no_length": steps("--lr", "0", "--merges", "0", "--shape", BOTH, n=2),
    "in_threads": steps("--merges", "300", "--shape", "layers=1,embd=32", "--batch", "3", n=2),
    "on_a_corpus_shorter_than_the_context": steps("--merges", "0", "--shape", "layers=1,embd=8,context=64",
                                                  corpus=b"a short corpus"),
    "on_two_bytes": steps("--merges", "0", "--shape", BOTH, corpus=b"ab"),
    "quietly_and_then_speaks": steps("-q", "--merges", "20", "--shape", BOTH, "-n", "20", "The"),
    "two_hundred_times": steps("--merges", "20", "--shape", BOTH, "--lr", "0.01", n=200, corpus=book(1500)),
    "where_it_cannot_save": Case(("-c", "corpus.txt", "--no-cache", "--merges", "0", "--shape", BOTH, "--train", "1",
                                  "--save", "missing/x"), {"corpus.txt": book(900)}),
}.items():
    setattr(TwinsTakeTheSameSteps, "test_%s" % name, lambda self, case=case: self.check(case))


class Said(unittest.TestCase):
    """What the lines of a training say, and what its file depends on."""

    OPTIONS = ("-c", "corpus.txt", "--no-cache", "--merges", "9", "--shape", BOTH)

    def train(self, *args, **how):
        """-> the lines, the file. In C: Python's are the same."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "corpus.txt").write_bytes(book(1500))
            code, _, lines = twins.run(how.pop("command", None) or [twins.binary()],
                                       [*self.OPTIONS, *args, "--save", "x"], cwd=folder, **how)
            self.assertEqual(code, 0, lines)
            return lines.decode().splitlines(), Path(folder, "x").read_bytes()

    def test_every_step_says_loss_rate_factor_norm_clip_and_best_with_17_digits(self):
        lines, _ = self.train("--train", "40", "--lr", "0.01")
        number, means = r"(\d[\d.e+-]*)", []
        for step, line in enumerate(lines[:-1], 1):
            found = re.fullmatch(r"step (\d+) loss N rate N factor N norm N clip N best N".replace("N", number), line)
            self.assertTrue(found, line)
            self.assertEqual(found.group(1), str(step))
            for text in found.groups()[1:]:
                self.assertEqual("%.17g" % float(text), text)
            loss, rate, factor, norm, clip, best = map(float, found.groups()[1:])
            self.assertEqual(rate, 0.01 * ((40 - (step - 1)) / 40) * factor)
            self.assertTrue(0.5 <= factor <= 1.5 and clip >= 1.0 and norm > 0.0)
            means.append(postgpt.total([*(float(line.split()[3]) for line in lines[:step])]) / step)
            self.assertEqual(best, means[-1], "no state is judged before there are 64 losses")
        self.assertEqual(len(means), 40)
        self.assertRegex(lines[-1], r"\Aafter 40 steps: loss %s best %s\Z" % (number, number))

    def test_the_same_seed_makes_the_same_file_and_another_one_another(self):
        one, again, other = (self.train("--train", "50", "--lr", "0.002", "--seed", seed) for seed in ("1", "1", "2"))
        self.assertTrue(one == again)
        self.assertTrue(one[1] != other[1])

    def test_held_out_loss_is_said_before_and_after_and_is_the_saved_files(self):
        lines, data = self.train("--train", "20", "--holdout", "0.2", "--lr", "0.02")
        looks = [re.fullmatch(r"held-out after (\d+) steps: loss (\S+) best (\S+)", line) for line in lines
                 if line.startswith("held-out")]
        self.assertEqual([int(look.group(1)) for look in looks], [*range(0, 21, 2)])
        losses = [float(look.group(2)) for look in looks]
        self.assertEqual([float(look.group(3)) for look in looks], [min(losses[:i + 1]) for i in range(len(losses))])
        cut = 1500 - int(1500 * 0.2)
        layers = dict(part.split("=") for part in BOTH.split(","))
        model = PostGPT(book(1500)[:cut], merges=9, shape={name: int(n) for name, n in layers.items()})
        model.load(data)
        self.assertEqual(postgpt.held_out_loss(model.net, Text(model.tokenizer.encode(book(1500)[cut:]))), min(losses))

    def test_the_number_of_processors_changes_nothing(self):
        try:
            command = [twins.build("tests/threads.c", flags=("-std=c11", "-O1", "-ffp-contract=off", "-pthread"))]
        except AssertionError as error:                   # no threads here
            self.skipTest(str(error))
        wide = ("--merges", "300", "--shape", "layers=1,embd=32,context=64", "--batch", "5", "--train", "2")
        want = self.train(*wide, env={"PROCESSORS": "1"}, command=command)
        for processors in ("2", "3", "16"):
            self.assertTrue(self.train(*wide, env={"PROCESSORS": processors}, command=command) == want, processors)
        self.assertTrue(self.train(*wide) == want)
        if hasattr(os, "sched_setaffinity"):
            all = os.sched_getaffinity(0)
            try:
                os.sched_setaffinity(0, {min(all)})
                self.assertTrue(self.train(*wide) == want)
            finally:
                os.sched_setaffinity(0, all)


class Interrupted(unittest.TestCase):
    """Ctrl-C while training."""

    def awkward(self, command, *args, moment, env={}):
        """Interrupts a training at a moment (a function of the process). -> the saved file, the lines"""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "corpus.txt").write_bytes(book(3000))
            Path(folder, "x").write_bytes(b"the one before")
            run = subprocess.Popen([*command, "-c", "corpus.txt", "--no-cache", "--merges", "0", *args, "--save", "x"],
                                   cwd=folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env={**os.environ, **env})
            try:
                begin = moment(run) or b""
                _, lines = run.communicate(timeout=60)
            finally:
                run.kill()
            self.assertEqual((run.returncode, sorted(os.listdir(folder))), (130, ["corpus.txt", "x"]), begin + lines)
            for line in (begin + lines).splitlines():
                self.assertRegex(line, rb"\A(step|held-out after|after) ")
            return Path(folder, "x").read_bytes(), begin + lines

    def model(self, shape, held_out=0):
        return PostGPT(book(3000)[:3000 - held_out], merges=0, shape=shape, init="random")

    def check_twice(self, command):
        """As `timeout -s INT` does it: the second one right behind the first, or a little later."""
        for pause in (0.0, 0.001, 0.01):
            def moment(run):
                line = run.stderr.readline()
                run.send_signal(signal.SIGINT)
                time.sleep(pause)
                run.send_signal(signal.SIGINT)
                return line
            data, _ = self.awkward(command, "--shape", BOTH, "--train", "1000000", moment=moment)
            self.assertGreater(len(data), 1000)

    def check_the_first_step(self, command):
        """The first of its thousand windows is hardly done: what is saved is what it began with."""
        shape = dict(layers=4, embd=64, content=2, rrpram=2, context=64, mlp=4)
        for wait in (1.0, 3.0, 9.0):
            def moment(run):
                time.sleep(wait)
                run.send_signal(signal.SIGINT)
            data, lines = self.awkward(command, "--init", "random", "--shape",
                                       ",".join("%s=%d" % part for part in shape.items()),
                                       "--batch", "1024", "--train", "9", moment=moment)
            if data != b"the one before":                 # it had not yet begun: a busy machine
                break
        self.assertEqual(lines, b"")
        model = self.model(shape)
        model.trained = True                              # that it was to be trained, the file says
        self.assertTrue(data == model.save())

    def check_a_look(self, command):
        """Nearly all time is spent on the held-out text, so the interrupt meets a look: the best state is the one of
        the lines."""
        shape = dict(layers=1, embd=8, content=1, rrpram=1, context=4, mlp=2)

        def moment(run):
            lines = run.stderr.readline() + run.stderr.readline()
            run.send_signal(signal.SIGINT)
            return lines
        data, lines = self.awkward(command, "--init", "random", "--shape",
                                   ",".join("%s=%d" % part for part in shape.items()), "--batch", "1", "--lr", "0.1",
                                   "--holdout", "0.9", "--train", "10", moment=moment)
        best = re.findall(rb"(?m)^held-out .* best (\S+)$", lines)[-1]
        model = self.model(shape, 2700)
        model.load(data)
        self.assertEqual(postgpt.held_out_loss(model.net, Text([*book(3000)[300:]])), float(best))

    def check_the_saving(self, command):
        """tests/faults.c sends two interrupts when the file is written, or when it is whole and about to take its
        name."""
        if not sys.platform.startswith("linux"):
            self.skipTest("only Linux knows LD_PRELOAD")
        preload = twins.build("tests/faults.c", flags=("-shared", "-fPIC", "-O1"))
        model = PostGPT(book(3000), merges=0, shape=dict(layers=1, embd=8, content=1, rrpram=1, context=8, mlp=2))
        model.train(3)
        for where in ("write 2 0", "fsync 2 0", "rename 1 0"):
            data, lines = self.awkward(command, "--shape", BOTH, "--train", "3", moment=lambda run: None,
                                       env={"LD_PRELOAD": preload, "FAULT": where})
            self.assertEqual(lines.count(b"step "), 3)
            self.assertTrue(data == model.save(), where)

    def test_an_interrupt_while_seeding_saves_no_half_ghost(self):
        model, seed = PostGPT(book(900), merges=0, shape=dict(layers=1, embd=8), seeded=False), postgpt.seed

        def interrupted(net, meta):
            seed(net, meta)
            raise KeyboardInterrupt
        postgpt.seed = interrupted
        try:
            self.assertRaises(KeyboardInterrupt, model.train, 1)
        finally:
            postgpt.seed = seed
        self.assertIsNone(model.network)

    def test_at_any_moment_the_weights_are_the_best_state_so_far(self):
        net, text, states = random_net((1, 4, 1, 0, 4, 1), 4), Text([0, 1, 2, 3] * 20), []
        train(net, text, 30, rate=0.3, held_out=Text([0, 1, 2, 3] * 3), report=lambda line,
              *_: states.append((line, postgpt.held_out_loss(net, Text([0, 1, 2, 3] * 3)))))
        self.assertGreater(len({loss for _, loss in states}), 2)
        for line, loss in states:
            if line.startswith(("held-out", "step")):
                self.assertEqual(float(line.split()[-1]), loss)

    def check(self, command):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "corpus.txt").write_bytes(book(3000))
            options = ["-c", "corpus.txt", "--no-cache", "--merges", "0", "--shape", BOTH]
            run = subprocess.Popen([*command, *options, "--train", "1000000", "--save", "x"], cwd=folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(5):
                self.assertRegex(run.stderr.readline(), rb"^step ")
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=20)
            self.assertEqual(run.returncode, 130)
            self.assertEqual(os.listdir(folder).count("x"), 1)
            code, _, error = twins.run(command, [*options, "--load", "x", "-n", "1", "-m", "transformer", "The"],
                                       cwd=folder)
            self.assertEqual((code, error), (0, b""))

    def test_python_saves_the_best_state_and_exits_with_130(self):
        self.check(twins.PYTHON)

    def test_c_saves_the_best_state_and_exits_with_130(self):
        self.check([twins.binary()])

    def test_python_two_at_once_lose_nothing(self):
        self.check_twice(twins.PYTHON)

    def test_c_two_at_once_lose_nothing(self):
        self.check_twice([twins.binary()])

    def test_python_one_before_the_first_step_ended_saves_what_it_began_with(self):
        self.check_the_first_step(twins.PYTHON)

    def test_c_one_before_the_first_step_ended_saves_what_it_began_with(self):
        self.check_the_first_step([twins.binary()])

    def test_python_one_while_looking_at_the_held_out_text_saves_the_best_state(self):
        self.check_a_look(twins.PYTHON)

    def test_c_one_while_looking_at_the_held_out_text_saves_the_best_state(self):
        self.check_a_look([twins.binary()])

    def test_python_one_while_saving_waits_for_the_file(self):
        self.check_the_saving(twins.PYTHON)

    def test_c_one_while_saving_waits_for_the_file(self):
        self.check_the_saving([twins.binary()])


def weights_in(data):
    """What follows a checkpoint's header."""
    return data[8 + struct.unpack_from("<Q", data)[0]:]


def crc_in(data):
    """The checksum that a checkpoint's header gives its weights."""
    return re.search(rb'"weights_crc32":"([0-9a-f]{8})"', data).group(1).decode()


def summed(data):
    """A checkpoint whose weights were changed, with their checksum."""
    return data.replace(b'crc32":"%s"},' % crc_in(data).encode(), b'crc32":"%08x"},' % zlib.crc32(weights_in(data)), 1)


class Checkpoints(unittest.TestCase):
    """Files that were written by one of the twins, and what may have happened to them since."""

    OPTIONS = ("-c", "corpus.txt", "--no-cache", "--merges", "3", "--shape",
               "layers=1,embd=4,content=1,rrpram=1,context=4,mlp=1")
    MODEL = dict(merges=3, shape=dict(layers=1, embd=4, content=1, rrpram=1, context=4, mlp=1))

    @classmethod
    def setUpClass(cls):
        cls.corpus = book(400)
        cls.model = PostGPT(cls.corpus, **cls.MODEL)
        cls.whole = cls.model.save()
        cls.header = struct.unpack("<Q", cls.whole[:8])[0]

    def fault(self, data):
        """Why Python cannot use the bytes, "" where it can."""
        try:
            self.model.load(data)
        except Failure as failure:
            return str(failure)
        return ""

    def check_twins(self, many):
        """Both twins say the same of each of the bytes."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "corpus.txt").write_bytes(self.corpus)

            def c(i_data):
                name = "x%d" % i_data[0]
                Path(folder, name).write_bytes(i_data[1])
                code, _, error = twins.run([twins.binary()],
                                           [*self.OPTIONS, "--load", name, "-m", "transformer", "-n", "1", "The"],
                                           cwd=folder)
                return code, error, b"postgpt: cannot use %s: " % name.encode()

            with ThreadPoolExecutor(2) as pool:
                for data, (code, error, begin) in zip(many, pool.map(c, enumerate(many))):
                    fault = self.fault(data).encode()
                    self.assertEqual((code, error), (1, begin + fault + b"\n") if fault else (0, b""))

    def change(self, old, new):
        self.assertEqual(self.whole[:8 + self.header].count(old), 1, old)
        header = self.whole[8:8 + self.header].replace(old, new).rstrip(b" ")
        header += b" " * (-len(header) % 8)
        return struct.pack("<Q", len(header)) + header + self.whole[8 + self.header:]

    def test_each_fault_has_its_line(self):
        number = len(self.whole) - 8 - self.header
        faults = {
            self.whole[:5]: "it is cut short: 5 bytes",
            b"": "it is cut short: 0 bytes",
            b"<!doctype html><title>a page</title>": "it is no .safetensors file",
            self.whole[:100]: "its header is cut short: 92 of %d bytes" % self.header,
            b"\xff" * 8
            + self.whole[8:]: "its header is cut short: %d of 18446744073709551615 bytes" % (len(self.whole) - 8),
            self.whole[:-8]: "it has %d bytes of weights, not %d" % (number - 8, number),
            self.whole + b"\0": "it has %d bytes of weights, not %d" % (number + 1, number),
            summed(
                self.whole[:-8] + struct.pack("<d", float("nan"))
            ): "its weight %d is not a number from -1e30 to 1e30"
            % (number // 8 - 1),
            summed(
                self.whole[: 8 + self.header] + struct.pack("<d", float("-inf")) + self.whole[16 + self.header :]
            ): "its weight 0 is not a number from -1e30 to 1e30",
            summed(self.whole[:-8] + struct.pack("<d", 1.1e30)): "its weight %d is not a number from -1e30 to 1e30"
            % (number // 8 - 1),
            self.whole[:-8]
            + struct.pack("<d", 1.5): "its weights_crc32 is %s, not %s"
            % (crc_in(self.whole), crc_in(summed(self.whole[:-8] + struct.pack("<d", 1.5)))),
            self.change(
                b"checkpoint 2", b"checkpoint 1"
            ): "its format is postgpt-checkpoint 1, not postgpt-checkpoint 2",
            self.change(
                b'"layers=1', b'"layers=12'
            ): "its shape is layers=12,embd=4,content=1,rrpram=1,context=4,mlp=1, not "
               "layers=1,embd=4,content=1,rrpram=1,context=4,mlp=1",
            self.change(b'"merges":"3"', b'"merges":"4"'): "its merges is 4, not 3",
            self.change(b"bytes 256", b"corpus 27"): "its alphabet is corpus 27, not bytes 256",
            self.change(b'corpus_crc32":"', b'corpus_crc32":"0'): "its corpus_crc32 is 0%08x, not %08x"
            % (self.model.crc32, self.model.crc32),
            self.change(
                b'wpe.weight":{"dtype":"F64', b'wpe.weight":{"dtype":"F32'
            ): "its wpe.weight dtype is F32, not F64",
            self.change(
                b'wte.weight":{"dtype":"F64","shape":[259,4]', b'wte.weight":{"dtype":"F64","shape":[4,259]'
            ): "its wte.weight shape is 4,259, not 259,4",
            self.change(b"[0,8288]", b"[8,8296]"): "its wte.weight data_offsets is 8,8296, not 0,8288",
            self.change(b'"wpe.weight"', b'"wqe.weight"'): "its header is damaged near byte %d"
            % self.whole.index(b',"wpe.weight"'),
            self.change(b'{"__metadata__"', b'{ "__metadata__"'): "its header is damaged near byte 8",
        }
        for data, line in faults.items():
            self.assertEqual(self.fault(data), line)
        self.check_twins([self.whole, *faults])

    def test_a_file_cut_anywhere_is_refused(self):
        cuts = range(len(self.whole))
        for n in cuts:
            self.assertNotEqual(self.fault(self.whole[:n]), "", n)
        self.check_twins([self.whole[:n] for n in [*cuts[:20], *cuts[20::499]]])

    def test_a_header_with_any_byte_changed_is_refused(self):
        changed = []
        for at in range(8 + self.header):
            for byte in (self.whole[at] ^ 1, 0, 0x20 if self.whole[at] != 0x20 else 0x5d):
                if byte != self.whole[at]:
                    changed.append(self.whole[:at] + bytes([byte]) + self.whole[at + 1:])
        for data in changed:
            self.assertNotEqual(self.fault(data), "")
        self.check_twins(changed[::31])

    def test_a_file_that_is_refused_changes_nothing(self):
        before = words(self.model.net)
        self.assertTrue(self.fault(self.whole[:-1]))
        self.assertEqual(words(self.model.net), before)

    def test_what_is_loaded_is_what_was_saved(self):
        self.assertEqual(self.fault(self.whole), "")
        self.assertEqual(self.model.save(), self.whole)

    def test_a_trained_transformer_is_believed_more_also_where_it_is_loaded(self):
        trained = PostGPT(self.corpus, **self.MODEL)
        before = trained.coefficients
        trained.train(2)
        self.assertEqual(trained.coefficients, {**before, **postgpt.TRAINED})
        loaded, chosen = PostGPT(self.corpus, **self.MODEL), PostGPT(self.corpus, kappa=0.5, **self.MODEL)
        for model in (loaded, chosen):
            model.load(trained.save())
        self.assertEqual(loaded.coefficients, trained.coefficients)
        self.assertEqual(chosen.coefficients, {**trained.coefficients, "kappa": 0.5})
        loaded.load(self.whole)
        self.assertEqual(loaded.coefficients, before)

    def test_twins_write_and_read_the_same(self):
        files = {"corpus.txt": self.corpus, "x": self.whole}
        for args in (("--save", "y"), ("--load", "x", "--save", "y"), ("--load", "x", "-n", "20", "The"),
                     ("--load", "x", "--eval", "corpus.txt"),
                     ("--load", "x", "--train", "5", "--save", "y"), ("--load", "missing"),
                     ("--load", "corpus.txt", "The"), ("--load", "x", "--order", "2", "--info")):
            self.assertEqual(twins.difference(Case((*self.OPTIONS, *args), files), (twins.binary(),)), "")

    def test_a_gradient_that_is_not_a_number_stops_and_keeps_the_state(self):
        net = random_net((1, 4, 1, 0, 4, 1), 4)
        net.head = [[(i * 4 + j) * 37 % 11 * 1e160 for j in range(4)] for i in range(4)]
        before = words(net)
        self.assertRaisesRegex(Failure, "the gradient of step 1 is not a number", train, net, Text([0, 1, 2, 3] * 20),
                               5)
        self.assertEqual(words(net), before)

    def test_a_loss_that_is_not_a_number_stops_and_keeps_the_state(self):
        net = random_net((1, 4, 1, 0, 4, 1), 4)
        net.head = [[1.7e308 * (1 + i % 2) for i in range(4)] for _ in net.head]
        before = words(net)
        self.assertRaisesRegex(Failure, "the loss of step 1 is not a number", train, net, Text([0, 1, 2, 3] * 20), 5)
        self.assertEqual(words(net), before)

    def test_a_loss_that_is_no_number_later_on_keeps_the_best_state_before_it(self):
        net, text, states = random_net((1, 4, 1, 0, 4, 1), 4), Text([0, 1, 2, 3] * 20), []
        self.assertRaisesRegex(Failure, r"step [2-9] is not a number", train, net, text, 9, rate=1e301,
                               report=lambda line, *_: states.append(words(net)))
        self.assertTrue(states)
        self.assertEqual(words(net), states[-1])
        self.assertTrue(all(x - x == 0.0 for x in words(net)))

    def test_the_safetensors_package_opens_it(self):
        try:
            from safetensors.numpy import load
        except ImportError:
            raise unittest.SkipTest("there is no package safetensors")
        for content, rrpram in ((1, 1), (2, 0), (0, 2)):
            model = PostGPT(self.corpus, merges=3, shape=dict(layers=1, embd=4, content=content, rrpram=rrpram,
                                                              context=4, mlp=1))
            found = load(model.save())
            self.assertEqual(found["wte.weight"].tolist(), model.net.wte)
            self.assertEqual(found["head.weight"].tolist(), model.net.head)
            if content:
                self.assertEqual(found["layers.0.content.k.weight"].tolist(), model.net.layers[0].k)
            if rrpram:
                self.assertEqual(found["layers.0.rrpram.r.weight"].tolist(), model.net.layers[0].r)


class Tasks(unittest.TestCase):
    """What the seeds of this program learn, on this engine."""

    def sorts(self, heads, seed):
        """zeptoGPT's task: how many of 27 triples of letters the trained C twin sorts."""
        rows = ["".join(row) for row in itertools.product("abc", repeat=3)]
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "corpus.txt").write_text("".join("%s>%s\n" % (row, "".join(sorted(row))) for row in rows))
            options = ["-c", "corpus.txt", "--no-cache", "-q", "--lines", "--merges", "0", "--alphabet", "corpus",
                       "--shape", "layers=1,embd=6,%s,context=7,mlp=1" % heads, "--seed", str(seed), "--init", "random"]
            code, _, error = twins.run([twins.binary()],
                                       [*options, "--train", "600", "--batch", "27", "--lr", "0.02", "--save", "x"],
                                       cwd=folder)
            self.assertEqual((code, error), (0, b""))
            right = 0
            for row in rows:
                _, text, _ = twins.run([twins.binary()],
                                       [*options, "--load", "x", "-m", "transformer", "-t", "0", "-r", "0", "-n", "3",
                                        "--exact", row + ">"], cwd=folder)
                right += text.decode().strip() == "%s>%s" % (row, "".join(sorted(row)))
            return right

    def check_sorting(self, heads):
        with ThreadPoolExecutor(2) as pool:
            right = list(pool.map(lambda seed: self.sorts(heads, seed), range(1, 11)))
        self.assertGreaterEqual(right.count(27), 9, right)

    def test_two_content_heads_learn_to_sort_three_letters(self):
        self.check_sorting("content=2,rrpram=0")

    def test_a_content_and_an_rrpram_head_learn_to_sort_three_letters(self):
        self.check_sorting("content=1,rrpram=1")

    def test_a_thousand_shuffled_names_are_learned_nearly_as_well_as_microgpt_learns_them(self):
        if not NAMES.exists():
            raise unittest.SkipTest("there is no %s" % NAMES)
        means = []
        for seed in range(1, 6):
            code, _, lines = twins.run([twins.binary()],
                                       ["-c", str(NAMES), "--no-cache", "--lines", "--merges", "0", "--alphabet",
                                        "corpus", "--init", "random",
                                                          "--shape",
                                        "layers=1,embd=16,content=4,rrpram=0,context=16,mlp=4", "--batch", "1",
                                                          "--train", "1000", "--seed", str(seed)])
            losses = [float(loss) for loss in re.findall(rb"(?m)^step \d+ loss (\S+)", lines)]
            self.assertEqual((code, len(losses)), (0, 1000))
            means.append(sum(losses[-200:]) / 200)
        self.assertLessEqual(sum(means) / len(means), 2.45, means)        # microgpt: 2.390


if __name__ == "__main__":
    unittest.main()
