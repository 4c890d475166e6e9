"""What may go wrong around the programs, in both twins: files that are replaced, planted, forged or in the way, systems
that fail, signals, numbers of any size, texts that are all one word."""
import errno
import fcntl
import os
import re
import resource
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib
from pathlib import Path

import twins
from twins import Case, book

import postgpt
from postgpt import PostGPT, Tokenizer

TINY = ("--merges", "3", "--shape", "layers=1,embd=4,content=1,rrpram=1,context=4,mlp=1")
MODEL = dict(merges=3, shape=dict(layers=1, embd=4, content=1, rrpram=1, context=4, mlp=1))
OLD = b"the one before"


class Alike(unittest.TestCase):
    """Each test is for both twins, in a folder of its own."""

    def each(self):
        """-> a twin's command; a fresh folder with corpus.txt is self.folder"""
        for command in (twins.PYTHON, (twins.binary(),)):
            with tempfile.TemporaryDirectory() as folder:
                self.folder = Path(folder)
                (self.folder / "corpus.txt").write_bytes(book(600))
                yield command

    def start(self, command, *args, corpus="corpus.txt", **how):
        """A process with pipes."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0,
               "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **how}
        process = subprocess.Popen([*command, "-c", corpus, *TINY, *args], cwd=str(self.folder), **how)
        self.addCleanup(twins.end, process)
        return process

    def run_(self, command, *args, corpus="corpus.txt", **how):
        """-> exit code, standard output, standard error"""
        return twins.run(command, ["-c", corpus, *TINY, *args], cwd=str(self.folder), **how)

    def save(self, command, *args, **how):
        return self.run_(command, "-q", "--no-cache", "--save", *args, **how)

    def names(self):
        return sorted(os.listdir(str(self.folder)))

    def checkpoint(self, name="x"):
        """The file is a whole checkpoint."""
        try:
            PostGPT(book(600), **MODEL).load((self.folder / name).read_bytes())
        except postgpt.Failure as failure:
            self.fail(str(failure))


class Saving(Alike):
    def test_what_a_link_points_to_is_written_and_the_link_stays(self):
        for command in self.each():
            (self.folder / "there").mkdir()
            (self.folder / "there" / "y").write_bytes(OLD)
            (self.folder / "link").symlink_to("there/second")
            (self.folder / "there" / "second").symlink_to("y")
            (self.folder / "dangling").symlink_to(str(self.folder / "new"))
            (self.folder / "round").symlink_to("round")
            self.assertEqual(self.save(command, "link"), (0, b"", b""))
            self.assertTrue((self.folder / "link").is_symlink())
            self.checkpoint("there/y")
            self.assertEqual(self.save(command, "dangling"), (0, b"", b""))
            self.assertTrue((self.folder / "dangling").is_symlink())
            self.checkpoint("new")
            self.assertEqual(self.save(command, "round"),
                             (1, b"", b"postgpt: cannot write round: Too many levels of symbolic links\n"))
            self.assertEqual(self.names(), ["corpus.txt", "dangling", "link", "new", "round", "there"])

    def test_no_link_makes_the_merges_file_what_is_read(self):
        for command in self.each():
            text = b"postgpt-merges " + book(600)
            (self.folder / "x.txt").write_bytes(text)
            (self.folder / "x.merges").symlink_to("x.txt")
            (self.folder / "corpus.merges").symlink_to("held.txt")
            (self.folder / "held.txt").write_bytes(text)
            for args in (("x.txt",), ("corpus.txt", "--eval", "held.txt")):
                self.assertEqual(self.run_(command, "-q", *args[1:], "-n", "2", "-m", "meta", "a", corpus=args[0])[::2],
                                 (0, b""))
            self.assertEqual(self.run_(command, "-q", "--encode", "held.txt")[::2], (0, b""))
            with open(str(self.folder / "held.txt"), "rb") as prompt:
                process = self.start(command, "-q", "-m", "meta", "-n", "2", "-", stdin=prompt)
                self.assertEqual((process.communicate()[1], process.returncode), (b"", 0))
            self.assertEqual([(self.folder / name).read_bytes() for name in ("x.txt", "held.txt")], [text] * 2)

    def rescued(self, command, name):
        """-> the last line of a training whose folder went away while it saved to `name` there"""
        there = self.folder / "there"
        there.mkdir()
        process = self.start(command, "-q", "--no-cache", "--train", "1000000", "--save", "there/" + name)
        while not list(there.glob("*.tmp")):
            time.sleep(0.01)
        time.sleep(1.0)
        shutil.rmtree(str(there))
        process.send_signal(signal.SIGTERM)
        return process.communicate(timeout=60)[1].splitlines()[-1]

    def test_a_rescue_takes_no_file_s_place(self):
        for command in self.each():
            (self.folder / "x.rescue").write_bytes(OLD)
            (self.folder / "x.rescue2").symlink_to("nowhere")
            self.assertEqual(self.rescued(command, "x"), b"postgpt: cannot write there/x: No such file or "
                                                         b"directory; what was trained is in x.rescue3")
            self.checkpoint("x.rescue3")
            self.assertEqual((self.folder / "x.rescue").read_bytes(), OLD)

    def test_a_long_name_is_rescued_under_its_beginning(self):
        for command in self.each():
            self.rescued(command, "x" * 255)
            self.assertEqual(self.names(), ["corpus.txt", "x" * 240 + ".rescue"])
            self.checkpoint("x" * 240 + ".rescue")

    def test_what_is_read_is_never_written(self):
        """Nor one file twice."""
        for command in self.each():
            (self.folder / "link").symlink_to("corpus.txt")
            (self.folder / "new").symlink_to("y")
            (self.folder / "held.txt").write_bytes(OLD)
            for args, name, why in ((("--page", "corpus.txt", "the"), "corpus.txt", "the corpus is read from it"),
                                    (("--save", "link"), "link", "the corpus is read from it"),
                                    (("--eval", "held.txt", "--save", "held.txt"), "held.txt",
                                     "the text is read from it"),
                                    (("--save", "corpus.merges"), "corpus.merges", "the merges are kept in it"),
                                    (("--save", "./corpus.merges"), "./corpus.merges", "the merges are kept in it"),
                                    (("--load", "held.txt", "--page", "held.txt", "the"), "held.txt",
                                     "the checkpoint is read from it"),
                                    (("--save", "x", "--page", "./x", "the"), "./x",
                                     "the checkpoint is to be kept in it"),
                                    (("--save", "new", "--page", "y", "the"), "y",
                                     "the checkpoint is to be kept in it"),
                                    (("--save", "x", "--page", "x", "the"), "x",
                                     "the checkpoint is to be kept in it")):
                self.assertEqual(self.run_(command, "-q", *args), (1, b"", (
                    "postgpt: cannot write %s: %s (name another file)\n" % (name, why)).encode()))
            for args in (("--page", "held.txt", "-"), ("--save", "held.txt", "-i")):
                with open(str(self.folder / "held.txt"), "rb") as prompt:
                    process = self.start(command, "-q", *args, stdin=prompt)
                    self.assertEqual((*process.communicate(), process.returncode), (b"", (
                        b"postgpt: cannot write held.txt: the prompt is read from it (name another file)\n"), 1))
            self.assertEqual((self.folder / "corpus.txt").read_bytes(), book(600))
            self.assertEqual((self.folder / "held.txt").read_bytes(), OLD)
            self.assertEqual(self.names(), ["corpus.txt", "held.txt", "link", "new"])

    def test_a_pipe_is_not_corpus_and_prompt_at_once(self):
        said = b"postgpt: the corpus and the prompt cannot both be read from standard input (name a corpus file)\n"
        for command in self.each():
            for args in (("-c", "/dev/stdin", "-"), ("--corpus", "/dev/fd/0", "-i"), ("-c/dev/stdin", "--tree", "-")):
                process = self.start(command, *args, stdin=subprocess.PIPE)
                self.assertEqual((*process.communicate(book(600)), process.returncode), (b"", said, 2))

    def test_a_file_may_be_corpus_and_prompt_at_once(self):
        for command in self.each():
            for args in (("-c", "corpus.txt", "-"), ("-c", "/dev/stdin", "-"), ("-i",)):
                with open(str(self.folder / "corpus.txt"), "rb") as prompt:
                    process = self.start(command, "-q", "-m", "meta", "-n", "2", *args, stdin=prompt)
                    out, err = process.communicate()
                self.assertEqual((out[:20] if "-i" not in args else b"", err, process.returncode),
                                 (book(600)[:20] if "-i" not in args else b"", b"", 0))

    def test_programs_that_save_in_one_folder_leave_each_other_s_drafts(self):
        for command in self.each():
            if command != twins.PYTHON:
                for _ in range(6):
                    several = [self.start(command, "-q", "--no-cache", "--save", "x%d" % i) for i in range(4)]
                    self.assertEqual([process.communicate()[1] for process in several], [b""] * 4)
                self.assertEqual(self.names(), ["corpus.txt", "x0", "x1", "x2", "x3"])

    def test_a_draft_that_somebody_sweeps_before_it_is_locked_gets_another_name(self):
        with tempfile.TemporaryDirectory() as folder:
            class Swept(postgpt.Draft):
                swept = []

                def lock(self, file, wait=False):
                    if len(self.swept) < 3:
                        self.swept.append(self.name)
                        os.remove(self.name)
                    return postgpt.Draft.lock(file, wait)
            draft = Swept(folder + "/x")
            draft.write(OLD)
            draft.keep()
            self.assertEqual((os.listdir(folder), len({*Swept.swept})), (["x"], 3))

    def test_a_link_to_a_device_is_refused_and_stays(self):
        for command in self.each():
            (self.folder / "link").symlink_to(os.devnull)
            self.assertEqual(self.save(command, "link"),
                             (1, b"", b"postgpt: cannot write link: Operation not supported\n"))
            self.assertTrue((self.folder / "link").is_symlink())

    def test_the_mode_of_a_file_that_is_replaced_is_kept(self):
        for command in self.each():
            for mode in (0o600, 0o755, 0o666):
                (self.folder / "x").write_bytes(OLD)
                (self.folder / "x").chmod(mode)
                self.assertEqual(self.save(command, "x"), (0, b"", b""))
                self.assertEqual(stat.S_IMODE((self.folder / "x").stat().st_mode), mode)

    def test_a_new_file_has_the_mode_that_the_user_asks_of_all(self):
        for command in self.each():
            for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
                before = os.umask(mask)
                try:
                    self.assertEqual(self.save(command, "x%o" % mask), (0, b"", b""))
                finally:
                    os.umask(before)
                self.assertEqual(stat.S_IMODE((self.folder / ("x%o" % mask)).stat().st_mode), mode)

    def test_a_read_only_file_is_not_replaced(self):
        for command in self.each():
            (self.folder / "x").write_bytes(OLD)
            (self.folder / "x").chmod(0o444)
            for args in ((), ("--train", "1000000")):
                self.assertEqual(self.save(command, "x", *args),
                                 (1, b"", b"postgpt: cannot write x: Permission denied\n"))
            self.assertEqual((self.folder / "x").read_bytes(), OLD)

    def test_what_killed_programs_left_is_swept_but_not_what_is_being_written_or_is_not_ours(self):
        for command in self.each():
            left_over = postgpt.Draft.name_of(b"0123abcd").decode()
            others = [left_over.upper().replace("POSTGPT", "postgpt").replace("TMP", "tmp"),
                      left_over.replace(".tmp", "0.tmp"), postgpt.Draft.name_of(b"aaaaaaaa").decode(), "x.123.tmp",
                      "postgpt-0123456789abcdef.tmp"]
            for name in (left_over, "precious", *others[:2], *others[3:]):
                (self.folder / name).write_bytes(OLD)
            (self.folder / others[2]).symlink_to("precious")
            writing = self.start(command, "--no-cache", "--train", "1000000", "--save", "y")
            writing.stderr.readline()
            self.assertEqual(self.save(command, "x"), (0, b"", b""))
            left = [name for name in self.names() if name.endswith(".tmp")]
            self.assertEqual((len(left), sorted({*others} - {*left})), (6, []))
            self.assertNotIn(left_over, left)
            writing.kill()
            writing.communicate()
            self.assertEqual(self.save(command, "x"), (0, b"", b""))
            self.assertEqual(self.names(), sorted(["corpus.txt", "precious", "x", *others]))
            self.assertEqual((self.folder / "precious").read_bytes(), OLD)

    def faults(self, command, several):
        """Every system call of a save fails, once each: the old file or a whole new one is there, one line says so
        where it is the old one, and nothing else is left. -> how often it was the old one"""
        preload, failed = twins.build("tests/faults.c", flags=("-shared", "-fPIC", "-O1")), 0
        for name in ("open", "lock", "chmod", "lseek", "write", "ftruncate", "fsync", "rename", "close", "access",
                     "unlink"):
            for n in several:
                (self.folder / "x").write_bytes(OLD)
                code, out, err = self.save(command, "x", "--train", "1",
                                           env={"LD_PRELOAD": preload, "FAULT": "%s %d %d" % (name, n, errno.EIO)})
                what = (name, n, code, err, self.names())
                self.assertRegex(err,
                                 rb"\A(postgpt: cannot write x: [^\n;]*(; what was trained is in x\.rescue)?\n)?\Z",
                                 what)
                self.assertEqual((out, code), (b"", 1 if err else 0), what)
                if b"rescue" in err:
                    self.checkpoint("x.rescue")
                    (self.folder / "x.rescue").unlink()
                if code:
                    self.assertEqual((self.folder / "x").read_bytes(), OLD, what)
                else:
                    self.checkpoint()
                failed += code
                self.assertEqual(self.names(), ["corpus.txt", "x"], what)
        return failed

    @unittest.skipUnless(sys.platform.startswith("linux"), "only Linux knows LD_PRELOAD")
    def test_every_system_call_of_a_save_fails_once(self):
        for command in self.each():
            self.assertGreater(self.faults(command, (1, 2) if command == twins.PYTHON else (1, 2, 3)), 4)


class Merges(Alike):
    def test_another_programs_file_is_never_overwritten(self):
        for command in self.each():
            for data in (b"#version: 0.2\nt h\n", b"hello", b"postgpt-merged", b"\0" * 20, b"x" * 100000):
                (self.folder / "corpus.merges").write_bytes(data)
                code, out, err = self.run_(command, "-n", "2", "The")
                self.assertEqual((code, err),
                                 (
                    0, b"postgpt: learned 3 merges: corpus.merges is another program's, and left alone\n"))
                self.assertEqual((self.folder / "corpus.merges").read_bytes(), data)
                self.assertEqual(self.run_(command, "--no-cache", "-n", "2", "The"), (0, out, b""))

    def test_what_began_as_ours_is_written_anew(self):
        for command in self.each():
            for data in (b"", b"postgpt-", b"postgpt-merges 9", b"postgpt-merges " + b"1" * 100000):
                (self.folder / "corpus.merges").write_bytes(data)
                code, _, err = self.run_(command, "-n", "2", "The")
                self.assertEqual((code, err), (0, b"postgpt: learned 3 merges: corpus.merges is damaged\n"))
                self.assertEqual(self.run_(command, "-n", "2", "The")[2], b"")

    def test_a_pipe_or_a_folder_of_that_name_does_not_stop_us(self):
        for command in self.each():
            for make in (os.mkfifo, os.mkdir):
                make(str(self.folder / "corpus.merges"))
                code, _, err = self.run_(command, "-n", "2", "The", timeout=20)
                self.assertEqual((code, err),
                                 (
                    0, b"postgpt: learned 3 merges: corpus.merges is another program's, and left alone\n"))
                (os.unlink if make == os.mkfifo else os.rmdir)(str(self.folder / "corpus.merges"))

    def test_no_file_is_made_beside_a_pipe_or_a_device(self):
        for command in self.each():
            want = self.run_(command, "--no-cache", "-n", "2", "The")
            os.mkfifo(str(self.folder / "pipe"))
            writer = threading.Thread(target=lambda: (self.folder / "pipe").write_bytes(book(600)))
            writer.start()
            self.assertEqual(self.run_(command, "-n", "2", "The", corpus="pipe"), want)
            writer.join()
            if os.path.exists("/dev/stdin"):
                self.assertEqual(self.run_(command, "-n", "2", "The", corpus="/dev/stdin", stdin=book(600)), want)
                with open(str(self.folder / "corpus.txt"), "rb") as file:
                    process = self.start(command, "-n", "2", "The", corpus="/dev/stdin", stdin=file)
                    self.assertEqual((*process.communicate(), process.returncode), (*want[1:], 0))
                self.assertFalse(os.path.exists("/dev/stdin.merges"))
            self.assertEqual(self.names(), ["corpus.txt", "pipe"])

    def forged(self, corpus, pairs, merges=None):
        """A merges file that reads as ours do."""
        text = b"".join([b"%d %d\n" % pair for pair in pairs])
        return b"postgpt-merges 1 corpus %d crc32 %08x alphabet bytes 256 merges %d learned %d crc32 %08x\n%s" % (
            len(corpus), zlib.crc32(corpus), merges or len(pairs), len(pairs), zlib.crc32(text), text)

    def test_pairs_that_learning_could_not_have_given_are_learned_anew(self):
        corpora = {b"ab": [[(97, 98)]], b"abxab": [[(97, 98)]], b"aaa": [[(97, 97)], [(97, 97), (256, 97)]],
                   book(400): []}
        pairs = Tokenizer.learn(book(400), 20).pairs
        corpora[book(400)] += [pairs[:-1] + [(0, 1)], pairs[1::-1] + pairs[2:], [(122, 122)] * 20,
                               [(101, 32), *pairs[1:]], pairs[:10],
                               [(256 + i - 1 if i else 97, 97) for i in range(20)]]
        for corpus, forgeries in corpora.items():
            for forgery in forgeries:
                merges = 20 if len(corpus) > 100 else len(forgery)
                args = ("-c", "corpus.txt", "--merges", str(merges), *TINY[2:], "-n", "2", "--eval", "corpus.txt", "--",
                        corpus[:2])
                case = Case(args, {"corpus.txt": corpus, "corpus.merges": self.forged(corpus, forgery, merges)})
                self.assertEqual(twins.difference(case, (twins.binary(),)), "")
                outcome, = twins.play(case, (twins.binary(),))
                learned = Tokenizer.learn(corpus, merges).pairs
                self.assertEqual(outcome.code, 0)
                if learned != forgery:                    # of no merges there is nothing to say
                    self.assertEqual(b"is damaged" in outcome.stderr, bool(learned))
                self.assertEqual(outcome.files["corpus.merges"], self.forged(corpus, learned, merges))

    def test_what_was_learned_always_passes(self):
        for name, text in sorted(twins.corpora().items()):
            for merges in (1, 20, 3000):
                learned = Tokenizer.learn(text, merges)
                self.assertTrue(Tokenizer(range(256), learned.pairs).passes(text, merges), (name, merges))


class Sizes(Alike):
    def test_numbers_of_any_size_are_printed_alike(self):
        weights = struct.pack("<4d", 1e30, -1e30, 5e29, -3e29)
        model = PostGPT(book(600), **MODEL)
        whole = model.save()
        length = struct.unpack("<Q", whole[:8])[0]
        body = (weights * (len(whole) // 32 + 1))[:len(whole) - 8 - length]
        header = re.sub(rb'(weights_crc32":")[0-9a-f]{8}', rb"\g<1>%08x" % zlib.crc32(body), whole[:8 + length])
        case = Case(("-c", "corpus.txt", "--no-cache", *TINY, "--load", "x", "--eval", "held.txt", "--kappa", "100",
                     "--lambda", "0"),
                    {"corpus.txt": book(600), "x": header + body, "held.txt": b"of the"})
        self.assertEqual(twins.difference(case, (twins.binary(),)), "")
        out = twins.play(case, (twins.binary(),))[0].stdout
        self.assertEqual(out.count(b"nats/token\n"), len(postgpt.ROWS))
        self.assertRegex(out, rb"\d{30}")

    def test_a_shape_beyond_measure_is_out_of_memory(self):
        for command in self.each():
            shape = "layers=32,embd=1024,content=32,rrpram=32,context=4096,mlp=16"
            limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))
            process = self.start(command, "--shape", shape, "--init", "random", "-m", "full", "-n", "1", "The",
                                 preexec_fn=limit)
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, out or b"The", err.splitlines()[-1]),
                             (1, b"The", b"postgpt: out of memory"))


class Training(Alike):
    def test_whatever_ends_a_training_the_best_state_is_saved(self):
        for command in self.each():
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU, signal.SIGINT):
                (self.folder / "x").write_bytes(OLD)
                process = self.start(command, "--no-cache", "--train", "1000000", "--save", "x")
                for _ in range(3):
                    process.stderr.readline()
                process.send_signal(number)
                process.communicate(timeout=60)
                self.assertEqual(process.returncode, 130 if number == signal.SIGINT else -number)
                self.checkpoint()
                self.assertEqual(self.names(), ["corpus.txt", "x"])

    def test_where_training_takes_all_memory_there_is_some_left_to_save(self):
        """In Python, where what took it is still held by the traceback."""
        takes_all = ("import os, resource, sys, postgpt\n"
                     "def train(self, *how):\n"
                     "    self.trained, taken = True, []\n"
                     "    size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
                     "    resource.setrlimit(resource.RLIMIT_AS, (size + (16 << 20),) * 2)\n"
                     "    while True: taken.append((bytes(1 << 14), [0.5 * len(taken)]))\n"
                     "postgpt.PostGPT.train = train\n"
                     "postgpt.main()\n")
        for command in self.each():
            if command == twins.PYTHON:
                found = twins.run((sys.executable, "-c", takes_all),
                                  ["-c", "corpus.txt", "--no-cache", "--merges", "3", "--train", "5", "--save", "x"],
                                  cwd=str(self.folder), env={**os.environ, "PYTHONPATH": str(twins.ROOT)})
                self.assertEqual(found, (1, b"", b"postgpt: out of memory\n"))
                PostGPT((self.folder / "corpus.txt").read_bytes(), merges=3).load((self.folder / "x").read_bytes())

    def test_a_signal_that_was_to_be_ignored_is(self):
        for command in self.each():
            process = self.start(command, "--no-cache", "--train", "50", "--save", "x",
                                 preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
            process.stderr.readline()
            process.send_signal(signal.SIGHUP)
            process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0)

    def test_a_closed_pipe_on_standard_error_ends_it_and_saves(self):
        for command in self.each():
            process = self.start(command, "--no-cache", "--train", "1000000", "--save", "x")
            process.stderr.readline()
            process.stderr.close()
            process.wait(60)
            self.assertEqual((process.returncode, process.stdout.read()), (-signal.SIGPIPE, b""))
            self.checkpoint()

    def test_a_closed_pipe_on_standard_output_comes_after_the_saving(self):
        for command in self.each():
            process = self.start(command, "--no-cache", "--train", "2", "--save", "x", "-n", "1000000", "The")
            process.stdout.close()
            self.assertEqual((process.wait(60), process.stderr.read().count(b"\n")), (-signal.SIGPIPE, 3))
            self.checkpoint()

    def test_signals_before_the_training_leave_nothing(self):
        for command in self.each():
            for number in (signal.SIGTERM, signal.SIGINT):
                process = self.start(command, "-q", "--no-cache", "--train", "1000000", "--save", "x", "--shape",
                                     "layers=32,embd=240")
                while not any(name.endswith(".tmp") for name in self.names()):
                    time.sleep(0.001)
                process.send_signal(number)
                self.assertEqual(process.communicate(timeout=60), (b"", b""))
                self.assertEqual(process.returncode, 130 if number == signal.SIGINT else -number)
                self.assertIn(self.names(), (["corpus.txt"], ["corpus.txt", "x"]))

    def test_where_the_file_cannot_be_written_any_more_the_state_is_beside_it(self):
        for command in self.each():
            process = self.start(command, "--no-cache", "--train", "1000000", "--save", "x")
            process.stderr.readline()
            (self.folder / "x").mkdir()
            process.send_signal(signal.SIGINT)
            lines = process.communicate(timeout=60)[1].splitlines()
            self.assertEqual((process.returncode, lines[-1]),
                             (1, b"postgpt: cannot write x: Is a directory; what was trained is in x.rescue"))
            self.checkpoint("x.rescue")
            self.assertEqual(self.names(), ["corpus.txt", "x", "x.rescue"])

    def test_where_the_folder_is_gone_the_state_is_here(self):
        for command in self.each():
            (self.folder / "there").mkdir()
            process = self.start(command, "--no-cache", "--train", "1000000", "--save", "there/x")
            process.stderr.readline()
            (self.folder / "there").rename(self.folder / "elsewhere")
            process.send_signal(signal.SIGINT)
            lines = process.communicate(timeout=60)[1].splitlines()
            self.assertEqual((process.returncode, lines[-1]),
                             (
                1, b"postgpt: cannot write there/x: No such file or directory; what was trained is in x.rescue"))
            self.checkpoint("x.rescue")

    def test_the_space_is_there_before_the_training_begins(self):
        for command in self.each():
            process = self.start(command, "--no-cache", "--train", "1000000", "--save", "x")
            process.stderr.readline()
            size, = [(self.folder / name).stat().st_size for name in self.names() if name.endswith(".tmp")]
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            self.assertLess(abs(size - (self.folder / "x").stat().st_size), 16)

    def test_what_is_to_be_evaluated_is_read_before_anything_long(self):
        for command in self.each():
            (self.folder / "empty.txt").write_bytes(b"")
            (self.folder / "foreign.txt").write_bytes(b"~\0")
            for args, why in (
                (("--eval", "missing.txt"), b"cannot read the text missing.txt: No such file or directory"),
                (("--eval", "empty.txt"), b"empty.txt is empty: there is nothing to evaluate"),
                (
                    ("--eval", "foreign.txt", "--alphabet", "corpus"),
                    b"foreign.txt has the byte 0x7e, which the corpus' alphabet lacks (--alphabet bytes knows all)",
                ),
                (("--holdout", "0.001"), b"what --holdout holds out is empty: there is nothing to evaluate"),
                (("--load", "missing"), b"cannot read the checkpoint missing: No such file or directory"),
            ):
                self.assertEqual(self.run_(command, "--train", "1000000", "--save", "x", *args),
                                 (1, b"", b"postgpt: %s\n" % why))
                self.assertEqual(self.names(), ["corpus.txt", "empty.txt", "foreign.txt"])


class CommandLine(Alike):
    def test_a_folder_that_is_gone_is_no_traceback(self):
        for command in self.each():
            gone = self.folder / "gone"
            gone.mkdir()
            shell = ("sh", "-c", 'cd gone && rmdir ../gone && shift && exec "$@"', "sh", "x")
            for args in (("--save", "s"), ("--page", "s")):
                gone.mkdir(exist_ok=True)
                process = self.start((*shell, *command), "-q", "-n", "2", *args, "the",
                                     corpus=str(self.folder / "corpus.txt"))
                self.assertEqual((process.communicate()[1], process.returncode),
                                 (b"postgpt: cannot write s: No such file or directory\n", 1))

    @unittest.skipIf(subprocess.run(["unshare", "--pid", "--fork", "true"], stderr=subprocess.DEVNULL).returncode
                     if shutil.which("unshare") else True, "no process namespace for a test")
    def test_the_first_process_of_a_container_ends_too(self):
        for command in self.each():
            process = self.start(("unshare", "--pid", "--fork", "--kill-child", *command), "--no-cache", "--train",
                                 "1000000", "--save", "x")
            process.stderr.readline()
            child = Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text().split()[0]
            os.kill(int(child), signal.SIGTERM)
            process.stderr.read()
            self.assertEqual(process.wait(), 128 + signal.SIGTERM)
            self.checkpoint()

    def test_a_name_neither_controls_the_terminal_nor_makes_two_lines(self):
        name = "no\x1b[31m\nfile\u009b\t"
        for command in self.each():
            self.assertEqual(self.run_(command, "a", corpus=name)[2], (
                "postgpt: cannot read the corpus no\x1b[31m?file\u009b\t: No such file or directory\n").encode())
            ours, theirs = os.openpty()
            self.start(command, "a", corpus=name, stderr=theirs).communicate()
            os.close(theirs)
            self.assertEqual(os.read(ours, 1000),
                             b"postgpt: cannot read the corpus no?[31m?file\xc2?\t: No such file or directory\r\n")
            os.close(ours)

    def test_an_interrupt_after_the_last_word_gives_no_traceback(self):
        for command in self.each():
            for delay in (0.0, 0.01):
                process = self.start(command, "-q", "-n", "2", "-m", "meta", "the", corpus=str(twins.BOOK))
                process.stdout.readline()
                time.sleep(delay)
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.communicate()[1], b"")
                self.assertIn(process.returncode, (0, 130, -signal.SIGINT))

    def test_no_option_swallows_another(self):
        for command in self.each():
            for args, why in ((("--encode", "x", "y"), "--encode and a prompt do not go together"),
                              (("--info", "--encode", "x"), "--encode and --info do not go together"),
                              *((("--encode", "x", "--" + name, value), "--encode and --%s do not go together" % name)
                                for name, value in (("train", "1"), ("save", "y"), ("load", "y"), ("eval", "y"))),
                              (("--lr", "0.1", "The"), "--lr is of use only with --train"),
                              (("--batch", "2"), "--batch is of use only with --train")):
                self.assertEqual(self.run_(command, *args), (2, b"", b"postgpt: %s\n" % why.encode()))
            self.assertEqual(self.run_(command, "--help", "--encode", "x", "--info")[0], 0)

    def test_a_standard_output_that_does_not_block_waits(self):
        for command in self.each():
            want = self.run_(command, "--no-cache", "--encode", "big.txt")[1]
            (self.folder / "big.txt").write_bytes(book(120000))
            want = self.run_(command, "--no-cache", "--encode", "big.txt")[1]
            self.assertGreater(len(want), 200000)
            read, write = os.pipe()
            fcntl.fcntl(write, fcntl.F_SETFL, fcntl.fcntl(write, fcntl.F_GETFL) | os.O_NONBLOCK)
            process = self.start(command, "--no-cache", "--encode", "big.txt", stdout=write)
            os.close(write)
            time.sleep(0.3)
            got = b""
            with open(read, "rb") as pipe:
                got = pipe.read()
            self.assertEqual((got == want, process.wait(60), process.stderr.read()), (True, 0, b""))

    def test_a_standard_input_that_does_not_block_waits(self):
        for command in self.each():
            read, write = os.pipe()
            fcntl.fcntl(read, fcntl.F_SETFL, fcntl.fcntl(read, fcntl.F_GETFL) | os.O_NONBLOCK)
            process = self.start(command, "-q", "--no-cache", "-m", "meta", "-n", "1", "-", stdin=read)
            os.close(read)
            for part in (b"The ", b"text"):
                time.sleep(0.2)
                os.write(write, part)
            os.close(write)
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, err), (0, b""))
            self.assertTrue(out.startswith(b"The text"))

    def test_a_prompt_is_the_bytes_that_the_shell_gave_in_every_locale(self):
        locales = subprocess.run(["locale", "-a"],
                                 stdout=subprocess.PIPE).stdout.decode().split() if os.path.exists(
            "/usr/bin/locale") else []
        prompts = ("\u8a9e\u00e9".encode(), b"\x8f\xa2\xb7 \xa1\xc0\xfe\\ \x80\x81" + bytes(range(128, 256)))
        for command in self.each():
            for locale in ["C", "C.UTF-8", "POSIX", *[name for name in locales
                                                      if re.search("euc|big5|gb|1252|8859", name, re.I)]]:
                for prompt in prompts:
                    code, out, err = self.run_(command, "-q", "--no-cache", "-m", "meta", "-n", "1", prompt,
                                               env={"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})
                    self.assertEqual((code, err, out[:len(prompt)]), (0, b"", prompt), locale)

    def test_an_interrupt_at_any_moment_after_the_interpreters_own_is_no_traceback(self):
        for command in self.each():
            if command == twins.PYTHON:
                # a line for each module: the second of ours says that we have begun
                command = (command[0], "-S", "-X", "importtime", command[1])
                for pause in (0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08):
                    process = self.start(command, "-q", "--no-cache", "-n", "1000000", "The",
                                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
                    while b"bisect" not in process.stderr.readline():
                        pass
                    time.sleep(pause)
                    process.send_signal(signal.SIGINT)
                    err = process.communicate(timeout=60)[1]
                    self.assertEqual(process.returncode, 130, pause)
                    self.assertNotIn(b"Traceback", err)

    def test_prompts_that_cannot_be_read_are_one_line(self):
        for command in self.each():
            with open(os.devnull, "wb") as nothing:
                process = self.start(command, "-q", "--no-cache", "-i", stdin=nothing)
                self.assertEqual((*process.communicate(), process.returncode), (
                    b"", b"postgpt: cannot read the prompt from standard input: Bad file descriptor\n", 1))

    def test_a_ledger_of_nothing_is_a_misuse(self):
        for command in self.each():
            for name, other in (("why", ("--info",)), ("page", ("--train", "1"))):
                code, out, err = self.run_(command, "--" + name, *(("x",) if name == "page" else ()), *other)
                self.assertEqual((code, out, err.splitlines()[0]), (2, b"", (
                    "postgpt: --%s needs a prompt: with %s and none, nothing is said" % (name, other[0])).encode()))

    def test_memory_that_ends_at_any_moment_is_one_line(self):
        for command in self.each():
            if command == twins.PYTHON:
                found = set()
                for megabytes in (24, 31, 40, 200):         # with less than that Python cannot even read us
                    process = self.start(command, "-q", "--no-cache", "-n", "2", "-m", "full", "The", "--merges", "300",
                                         "--shape", "embd=96",
                                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA,
                            (megabytes << 20, megabytes << 20)))
                    _, err = process.communicate(timeout=60)
                    found.add((process.returncode, err))
                self.assertEqual(found - {(0, b""), (1, b"postgpt: out of memory\n")}, set())
                self.assertEqual(len(found), 2)


class Compilers(unittest.TestCase):
    def refused(self, compiler, flags, why):
        try:
            twins.build(compiler=compiler, flags=flags)
        except AssertionError as error:
            return self.assertIn(why, str(error))
        self.fail("%s %s is not refused" % (compiler, flags))

    def test_arithmetic_that_is_not_ours_is_refused_at_compile_time(self):
        for compiler in ("gcc", "clang"):
            for flag in ("-ffast-math", "-Ofast"):
                self.refused(compiler, ("-std=c11", "-O2", flag), "-ffast-math changes")
        self.refused("gcc", ("-std=c11", "-O1", "-mfpmath=387"), "a double is to have 64 bits")

    def test_another_order_is_noticed_at_the_start(self):
        code, out, err = twins.run((twins.build(compiler="gcc",
                                                flags=("-std=c11", "-O1", "-ftree-vectorize",
                                                       "-funsafe-math-optimizations")),), ["--version"])
        self.assertEqual((code, out), (1, b""))
        self.assertRegex(err, rb"\Apostgpt: this build computes otherwise[^\n]*\n\Z")


if __name__ == "__main__":
    unittest.main()
